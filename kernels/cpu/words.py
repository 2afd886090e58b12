# SPDX-License-Identifier: Apache-2.0
"""Random words into scratch memory: of consecutive counter blocks, or of any."""

from typing import Any, NamedTuple

from numba import njit

from philinit.kernels.constants import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS
from philinit.kernels.cpu.philox import (
    BLOCKS,
    counter_products,
    philox4x32,
    philox4x32_of_sequence,
    u64xN,
)
from philinit.kernels.cpu.simd.lanes import shuffle
from philinit.kernels.cpu.simd.memory import INTERLEAVE_ORDER, load, store_interleaved
from philinit.kernels.cpu.simd.operators import splat

in_store_order = shuffle(u64xN, [8 * (i // 8) + INTERLEAVE_ORDER[i % 8] for i in range(BLOCKS)])


class Draw(NamedTuple):
    """Two ways to make what a tile is transformed from, of equal results.

    ``in_order(address, blocks, c0, c1, c2, c3, k0, k1, libm)``: of the counter blocks from
    (c0, c1, c2, c3) on, as many apart as the kernel reserves; c0 does not wrap on the way.
    ``at(address, blocks, counters, c2, c3, k0, k1, libm)``: of those whose first 64 bits are
    listed. `libm` is how TensorFlow's normals are computed; words do not look at it.
    """

    in_order: Any
    at: Any


def words_of_every(stride: int) -> Any:
    """The words of counter blocks `stride` apart; c0 does not wrap on the way."""

    @njit(forceinline=True)  # a call would load its two dozen constants anew for each tile
    def write_words(address, blocks, c0, c1, c2, c3, k0, k1, libm):
        v1, v3, p1 = splat(u64xN, c1), splat(u64xN, c3), splat(u64xN, c2 * PHILOX_M1)
        for b in range(0, blocks, BLOCKS):
            p0 = counter_products() * stride + (c0 + b * stride) * PHILOX_M0
            w0, w1, w2, w3 = philox4x32_of_sequence(p0, p1, v1, v3, k0, k1, PHILOX_ROUNDS)
            store_interleaved(address + 16 * b, w0, w1, w2, w3)

    return write_words


write_words = words_of_every(1)


@njit
def write_words_at(address, blocks, counters, c2, c3, k0, k1, libm):
    """The words of the counter blocks whose first 64 bits are listed at `counters`."""
    v2, v3 = splat(u64xN, c2), splat(u64xN, c3)
    for b in range(0, blocks, BLOCKS):
        c = load(u64xN, counters + 8 * b)
        c = in_store_order(c, c)
        w0, w1, w2, w3 = philox4x32(c, c >> 32, v2, v3, k0, k1, PHILOX_ROUNDS)
        store_interleaved(address + 16 * b, w0, w1, w2, w3)


random_words = Draw(write_words, write_words_at)
