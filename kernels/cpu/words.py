# SPDX-License-Identifier: Apache-2.0
"""Random words into scratch memory: of consecutive counter blocks, or of any."""

from typing import Any, NamedTuple

from numba import njit

from philinit.kernels.constants import PHILOX_M0, PHILOX_M1
from philinit.kernels.cpu.philox import BLOCKS, LANES, LOW, philox4x32, u64xN
from philinit.kernels.cpu.simd.lanes import shuffle
from philinit.kernels.cpu.simd.memory import (
    INTERLEAVE_ORDER,
    load,
    load_int64,
    store,
    store_interleaved,
)
from philinit.kernels.cpu.simd.operators import constant, splat
from philinit.kernels.cpu.simd.types import u64x8

LARGEST_TILE = 480  # counter blocks at once, at the most: scratch memory is made for so many

STORE_ORDER = [i - i % 8 + INTERLEAVE_ORDER[i % 8] for i in range(LANES)]
in_store_order = shuffle(u64xN, STORE_ORDER)

# M0 times the counters 0, 1, ...: the first product of consecutive counters is an arithmetic
# sequence, an addition instead of one of the twenty multiplications.
counter_products = constant(u64xN, [PHILOX_M0 * i for i in STORE_ORDER])
words_of = philox4x32()


class Draw(NamedTuple):
    """Two ways to make what a tile is transformed from, of equal results.

    ``in_order(address, blocks, c0, c1, c2, c3, k0, k1, libm)``: of the counter blocks from
    (c0, c1, c2, c3) on, as many apart as the kernel reserves; c0 does not wrap on the way.
    ``at(address, blocks, counters, highs, c2, c3, k0, k1, libm)``: of those whose first 64 bits are
    listed, and whose other 64 are listed at `highs`, or are (c2, c3) where `highs` is 0. `libm` is
    how TensorFlow's normals are computed; words do not look at it.
    """

    in_order: Any
    at: Any


@njit(forceinline=True)
def store_words(address, words):
    a, b, c = words
    store_interleaved(address, *a)
    store_interleaved(address + 16 * LANES, *b)
    store_interleaved(address + 32 * LANES, *c)


def words_of_every(stride: int) -> Any:
    """The words of counter blocks `stride` apart; c0 does not wrap on the way."""
    step = LANES * stride * PHILOX_M0

    @njit(forceinline=True)  # a call would load its two dozen constants anew for each tile
    def write_words(address, blocks, c0, c1, c2, c3, k0, k1, libm):
        v1, v3, p1 = splat(u64xN, c1), splat(u64xN, c3), splat(u64xN, c2 * PHILOX_M1)
        for b in range(0, blocks, BLOCKS):
            p0 = counter_products() * stride + (c0 + b * stride) * PHILOX_M0
            x, y, z = (p0, v1, p1, v3), (p0 + step, v1, p1, v3), (p0 + 2 * step, v1, p1, v3)
            store_words(address + 16 * b, words_of(x, y, z, k0, k1))

    return write_words


write_words = words_of_every(1)


@njit
def listed(halves, multiplier):
    """Two words each of the counters whose halves are listed: the first times its multiplier."""
    c = load(u64xN, halves)
    c = in_store_order(c, c)
    return (c & LOW) * multiplier, c >> 32


@njit
def write_words_at(address, blocks, counters, highs, c2, c3, k0, k1, libm):
    """The words of the counter blocks that are listed."""
    b1, b2 = 8 * LANES, 16 * LANES
    if highs != 0:
        for b in range(0, 8 * blocks, 8 * BLOCKS):
            c, h = counters + b, highs + b
            x = listed(c, PHILOX_M0) + listed(h, PHILOX_M1)
            y = listed(c + b1, PHILOX_M0) + listed(h + b1, PHILOX_M1)
            z = listed(c + b2, PHILOX_M0) + listed(h + b2, PHILOX_M1)
            store_words(address + 2 * b, words_of(x, y, z, k0, k1))
        return
    high = splat(u64xN, c2 * PHILOX_M1), splat(u64xN, c3)
    for b in range(0, 8 * blocks, 8 * BLOCKS):
        c = counters + b
        x = listed(c, PHILOX_M0) + high
        y = listed(c + b1, PHILOX_M0) + high
        z = listed(c + b2, PHILOX_M0) + high
        store_words(address + 2 * b, words_of(x, y, z, k0, k1))


@njit
def list_highs(highs, times, blocks, high, keys):
    """Of `blocks` blocks of each of `times` rows by key; `high` and a row's key add up."""
    for i in range(times):
        c = splat(u64x8, high + load_int64(keys, i))
        for b in range(0, 8 * blocks, 64):
            store(highs + b, c)
        highs += 8 * blocks


random_words = Draw(write_words, write_words_at)
