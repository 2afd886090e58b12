# SPDX-License-Identifier: Apache-2.0
"""Random words into scratch memory: of consecutive counter blocks, or of any."""

from typing import Any, NamedTuple

from numba import njit

from philinit.kernels.constants import PHILOX_M0, PHILOX_M1
from philinit.kernels.cpu.philox import BLOCKS, LANES, LOW, philox4x32, u64xN
from philinit.kernels.cpu.simd.lanes import shuffle
from philinit.kernels.cpu.simd.memory import INTERLEAVE_ORDER, load, store_interleaved
from philinit.kernels.cpu.simd.operators import constant, splat

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
    ``at(address, blocks, counters, c2, c3, k0, k1, libm)``: of those whose first 64 bits are
    listed. `libm` is how TensorFlow's normals are computed; words do not look at it.
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
def listed(counters, p1, v3):
    """A vector of the counters whose first 64 bits are listed."""
    c = load(u64xN, counters)
    c = in_store_order(c, c)
    return (c & LOW) * PHILOX_M0, c >> 32, p1, v3


@njit
def write_words_at(address, blocks, counters, c2, c3, k0, k1, libm):
    """The words of the counter blocks whose first 64 bits are listed at `counters`."""
    p1, v3 = splat(u64xN, c2 * PHILOX_M1), splat(u64xN, c3)
    for b in range(0, blocks, BLOCKS):
        x = listed(counters + 8 * b, p1, v3)
        y = listed(counters + 8 * (b + LANES), p1, v3)
        z = listed(counters + 8 * (b + 2 * LANES), p1, v3)
        store_words(address + 16 * b, words_of(x, y, z, k0, k1))


random_words = Draw(write_words, write_words_at)
