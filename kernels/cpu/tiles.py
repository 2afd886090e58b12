# SPDX-License-Identifier: Apache-2.0
"""What is made at a time: some counter blocks, in two phases, both in the L1 cache.

Random words go into scratch, then words become numbers. Each phase has the registers to itself; in
one loop, tables and Philox state spill.
"""

from typing import Any, NamedTuple

from numba import njit

from philinit.kernels.cpu.rounding import as_it_is
from philinit.kernels.cpu.simd.memory import load
from philinit.kernels.cpu.simd.types import i64x8, u32x16
from philinit.kernels.cpu.words import Draw, random_words

TILE_BLOCKS = 96
STEP_BLOCKS = 48  # what both phases can handle at once on every CPU


class Tile(NamedTuple):
    """How a tile is made: `draw` writes words or numbers into scratch, `transform` the weights."""

    transform: Any
    draw: Draw = random_words
    blocks: int = TILE_BLOCKS  # counter blocks


# Words to weights: 64 words a step, so that four chains overlap.


def as_words() -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 64):
            put(target + j, load(u32x16, source + j))

    return transform


def as_float32(number: Any) -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 384):
            for i in range(j, j + 384, 64):
                put(target + i, number(load(u32x16, source + i), p))

    return transform


def as_16_bit(number: Any, rounded: Any, limited: Any = as_it_is) -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 256):
            for i in range(j, j + 256, 128):
                a = number(load(u32x16, source + i), p)
                b = number(load(u32x16, source + i + 64), p)
                put(target + (i >> 1), limited(rounded(a, b), p))

    return transform


def as_float64(number: Any) -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 128):
            for i in range(j, j + 128, 64):
                put(target + i, number(load(i64x8, source + i), p))

    return transform
