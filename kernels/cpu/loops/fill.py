# SPDX-License-Identifier: Apache-2.0
"""The loop over tiles, and the list of kernels: every distribution and dtype is one line."""

from __future__ import annotations

from typing import Any, NamedTuple

from numba import njit

from philinit.kernels.constants import RESERVED_BLOCKS
from philinit.kernels.cpu import distributions as d
from philinit.kernels.cpu import tensorflow_maps as tf
from philinit.kernels.cpu.rounding import (
    as_it_is,
    between,
    to_bfloat16,
    to_bfloat16_exact,
    to_float16,
)
from philinit.kernels.cpu.simd.memory import (
    copy,
    fence,
    load,
    load_parameters,
    scratch,
    store,
    store_streaming,
    touch,
)
from philinit.kernels.cpu.simd.types import i64x8, u32x16
from philinit.kernels.cpu.tensorflow import (
    LARGEST_TILE,
    normals32,
    normals64,
    truncated32,
    truncated64,
)
from philinit.kernels.cpu.words import Draw, random_words

# A tile is made in two phases that stay in the L1 cache: random words into scratch, then words to
# numbers. Each phase has the registers to itself; in one loop, tables and Philox state spill.
TILE_BLOCKS = 128
STEP_BLOCKS = 32  # what both phases can handle at once on every CPU

# Looking up a page takes the CPU as long as filling a quarter of it. Memory that is streamed to is
# looked up this many bytes ahead: 4 to 10 % where pages are small, as TensorFlow's are.
PAGE = 4096
AHEAD = 4 * PAGE


# --- words to numbers of a dtype: 64 words a step, so that four chains overlap -------------------


def as_words() -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 64):
            put(target + j, load(u32x16, source + j))

    return transform


def as_float32(number: Any) -> Any:
    @njit
    def transform(source, target, words, p, put):
        for j in range(0, 4 * words, 256):
            for i in range(j, j + 256, 64):
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


class Kernel(NamedTuple):
    """What a tile is made by: `draw` writes words or numbers into scratch, `transform` the rest."""

    transform: Any
    itemsize: int  # bytes of a weight
    words: int = 1  # words of a weight
    draw: Draw = random_words
    reserved: int = 1  # counter blocks from one block of a tile to the next
    tile: int = TILE_BLOCKS  # counter blocks of a tile


# In 16 bits a number can round past its bounds: "clamped" kernels prevent that for any bounds,
# those without the word by two integer operations instead of four slower ones, but only where
# low < 0 < high.
KERNELS = {
    "words": Kernel(as_words(), 4, 1),
    "uniform_float32": Kernel(as_float32(d.uniform32), 4, 1),
    "uniform_float64": Kernel(as_float64(d.uniform64), 8, 2),
    "uniform_float16": Kernel(as_16_bit(d.uniform32, to_float16, between), 2, 1),
    "uniform_bfloat16": Kernel(as_16_bit(d.uniform32, to_bfloat16, between), 2, 1),
    "uniform_clamped_float16": Kernel(as_16_bit(d.uniform32_clamped, to_float16), 2, 1),
    "uniform_clamped_bfloat16": Kernel(as_16_bit(d.uniform32_clamped, to_bfloat16), 2, 1),
    "normal_float32": Kernel(as_float32(d.normal32), 4, 1),
    "normal_float16": Kernel(as_16_bit(d.normal32, to_float16), 2, 1),
    "normal_bfloat16": Kernel(as_16_bit(d.normal32, to_bfloat16), 2, 1),
    "truncated_float32": Kernel(as_float32(d.truncated32), 4, 1),
    "truncated_float16": Kernel(as_16_bit(d.truncated32, to_float16, between), 2, 1),
    "truncated_bfloat16": Kernel(as_16_bit(d.truncated32, to_bfloat16, between), 2, 1),
    "truncated_clamped_float16": Kernel(as_16_bit(d.truncated32_clamped, to_float16), 2, 1),
    "truncated_clamped_bfloat16": Kernel(as_16_bit(d.truncated32_clamped, to_bfloat16), 2, 1),
    "bounded_float32": Kernel(as_float32(d.bounded32), 4, 1),
    "bounded_float64": Kernel(as_float64(d.bounded64_words), 8, 2),
    "bounded_float16": Kernel(as_16_bit(d.bounded32, to_float16), 2, 1),
    "bounded_bfloat16": Kernel(as_16_bit(d.bounded32, to_bfloat16_exact), 2, 1),
    "tensorflow_uniform_float32": Kernel(as_float32(tf.uniform32), 4),
    "tensorflow_uniform_float64": Kernel(as_float64(tf.uniform64), 8, 2),
    "tensorflow_uniform_float16": Kernel(as_16_bit(tf.uniform_half, to_float16), 2),
    "tensorflow_uniform_bfloat16": Kernel(as_16_bit(tf.uniform_bfloat, to_bfloat16_exact), 2),
    "tensorflow_normal_float32": Kernel(as_float32(tf.scaled32), 4, 1, normals32),
    "tensorflow_normal_float64": Kernel(as_float64(tf.scaled64), 8, 2, normals64),
    "tensorflow_normal_float16": Kernel(as_16_bit(tf.scaled_half, to_float16), 2, 1, normals32),
    "tensorflow_normal_bfloat16": Kernel(
        as_16_bit(tf.scaled_bfloat, to_bfloat16_exact), 2, 1, normals32
    ),
    "tensorflow_truncated_float32": Kernel(
        as_float32(tf.scaled32), 4, 1, truncated32, RESERVED_BLOCKS, LARGEST_TILE
    ),
    "tensorflow_truncated_float64": Kernel(
        as_float64(tf.scaled64), 8, 2, truncated64, RESERVED_BLOCKS // 2, LARGEST_TILE
    ),
    "tensorflow_truncated_float16": Kernel(
        as_16_bit(tf.scaled_half, to_float16),
        2,
        1,
        truncated32,
        RESERVED_BLOCKS,
        LARGEST_TILE,
    ),
    "tensorflow_truncated_bfloat16": Kernel(
        as_16_bit(tf.scaled_bfloat, to_bfloat16_exact),
        2,
        1,
        truncated32,
        RESERVED_BLOCKS,
        LARGEST_TILE,
    ),
}


def entry(name: str) -> Any:
    """The function to compile for a kernel, of eleven 64-bit integers.

    ``out``: address of the first number; ``count``: numbers to write; ``skip``: numbers of the
    first counter block that come before it; ``c0 .. c3``: the counter of that block, c0 not
    wrapping within the call; ``k0, k1``: the key; ``parameters``: address of eight float64;
    ``streaming``: whether whole lines may bypass the caches.
    """
    transform, size, words, draw, reserved, tile_blocks = KERNELS[name]
    draw_in_order = draw.in_order
    tile = 4 * tile_blocks // words
    source_scratch, spare_scratch = scratch(16 * tile_blocks), scratch(16 * tile_blocks)

    def fill(out, count, skip, c0, c1, c2, c3, k0, k1, parameters, streaming):
        p = load_parameters(parameters)
        source, spare = source_scratch(), spare_scratch()
        done = -skip
        while done < count:
            todo = min(tile, count - done)
            blocks = (todo * words + 4 * STEP_BLOCKS - 1) // (4 * STEP_BLOCKS) * STEP_BLOCKS
            if streaming:
                for page in range(0, tile * size, PAGE):
                    touch(out + done * size + AHEAD + page)
            draw_in_order(source, blocks, c0, c1, c2, c3, k0, k1, p)
            target = out + done * size
            whole = done >= 0 and todo == tile
            # A ragged head or tail becomes whole vectors in scratch; the wanted part is copied.
            if whole and streaming and target & 63 == 0:
                transform(source, target, 4 * blocks, p, store_streaming)
            else:
                transform(source, target if whole else spare, 4 * blocks, p, store)
            if not whole:
                first = max(-done, 0)
                copy(target + first * size, spare + first * size, (todo - first) * size)
            done += tile
            c0 += tile_blocks * reserved
        if streaming:
            fence()

    return fill
