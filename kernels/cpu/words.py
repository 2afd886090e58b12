# SPDX-License-Identifier: Apache-2.0
"""Random words into scratch memory, in the order of the stream."""

from __future__ import annotations

from typing import Any

from numba import njit

from philinit.kernels.constants import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS
from philinit.kernels.cpu.access import store_interleaved
from philinit.kernels.cpu.philox import BLOCKS, counter_products, philox4x32_of_sequence, u64xN
from philinit.kernels.cpu.simd import splat


def words_of_every(stride: int) -> Any:
    """The words of counter blocks `stride` apart; c0 does not wrap on the way."""

    @njit
    def write_words(address, blocks, c0, c1, c2, c3, k0, k1, p):
        v1, v3, p1 = splat(u64xN, c1), splat(u64xN, c3), splat(u64xN, c2 * PHILOX_M1)
        for b in range(0, blocks, BLOCKS):
            p0 = counter_products() * stride + (c0 + b * stride) * PHILOX_M0
            w0, w1, w2, w3 = philox4x32_of_sequence(p0, p1, v1, v3, k0, k1, PHILOX_ROUNDS)
            store_interleaved(address + 16 * b, w0, w1, w2, w3)

    return write_words


write_words = words_of_every(1)
