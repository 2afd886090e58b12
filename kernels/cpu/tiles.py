# SPDX-License-Identifier: Apache-2.0
"""What is made at a time: some counter blocks, in two phases, both in the L1 cache.

Random words go into scratch, then words become numbers. Each phase has the registers to itself; in
one loop, tables and Philox state spill.
"""

from typing import Any, NamedTuple

from numba import njit

from philinit.kernels.cpu.rounding import as_it_is, to_float8, without_negative_zero
from philinit.kernels.cpu.simd.memory import load, store
from philinit.kernels.cpu.simd.types import f32x16, i64x8, u32x16
from philinit.kernels.cpu.words import Draw, random_words

TILE_BLOCKS = 96
STEP_BLOCKS = 48  # what both phases can handle at once on every CPU


class Tile(NamedTuple):
    """How a tile is made: `draw` writes words or numbers into scratch, `transform` the weights."""

    transform: Any
    draw: Draw = random_words
    blocks: int = TILE_BLOCKS  # counter blocks


# Words to weights, of any number of pairs of vectors of sixteen words: as many vectors a turn as
# overlap well, a divisor of twelve, and what is then left. In 8 bits, of two pairs: a vector.
PAIR = 32  # words


def as_words() -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 64):
            put(target + j, load(u32x16, source + j))

    return transform


def as_float32(number: Any, vectors: int = 6) -> Any:
    turn = 64 * vectors

    @njit
    def transform(source, target, words, p, put):
        whole = 4 * words // turn * turn
        for j in range(0, whole, turn):
            for i in range(j, j + turn, 64):
                put(target + i, number(load(u32x16, source + i), p))
        for i in range(whole, 4 * words, 64):
            put(target + i, number(load(u32x16, source + i), p))

    return transform


def as_16_bit(number: Any, rounded: Any, limited: Any = as_it_is, vectors: int = 4) -> Any:
    turn = 64 * max(2, vectors)

    @njit
    def one(source, target, i, p, put):
        a = number(load(u32x16, source + i), p)
        b = number(load(u32x16, source + i + 64), p)
        put(target + (i >> 1), limited(rounded(a, b), p))

    @njit
    def transform(source, target, words, p, put):
        whole = 4 * words // turn * turn
        for j in range(0, whole, turn):
            for i in range(j, j + turn, 128):
                one(source, target, i, p, put)
        for i in range(whole, 4 * words, 128):
            one(source, target, i, p, put)

    return transform


def as_8_bit(number: Any, limited: Any = as_it_is, vectors: int = 6) -> Any:
    """The numbers take the memory of the words: rounding them is a phase of its own."""
    make_numbers = as_float32(number, vectors)

    @njit
    def transform(source, target, words, p, put):
        make_numbers(source, source, words, p, store)
        for j in range(0, 4 * words, 256):
            a, b = load(f32x16, source + j), load(f32x16, source + j + 64)
            c, d = load(f32x16, source + j + 128), load(f32x16, source + j + 192)
            packed = limited(to_float8(a, b, c, d, p), p)
            put(target + (j >> 2), without_negative_zero(packed, p))

    return transform


def as_float64(number: Any) -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 128):
            for i in range(j, j + 128, 64):
                put(target + i, number(load(i64x8, source + i), p))

    return transform
