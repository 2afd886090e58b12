# SPDX-License-Identifier: Apache-2.0
"""Philox4x32: counter blocks to random words, many blocks at a time.

Each word of a counter block stands in a 64-bit lane of its own, because the multiplication
32 x 32 -> 64 bits wants it there: the high word of the product is one shift away, and the low word
needs no mask, since only the low half of a lane is ever read.
"""

from numba import njit, types

from philinit.kernels.constants import (
    PHILOX_M0,
    PHILOX_M1,
    PHILOX_W0,
    PHILOX_W1,
)
from philinit.kernels.cpu.simd.memory import INTERLEAVE_ORDER
from philinit.kernels.cpu.simd.operators import constant
from philinit.kernels.cpu.simd.target import has_feature
from philinit.kernels.cpu.simd.types import VectorType

LOW = 0xFFFFFFFF

# Counters at once: enough independent chains to hide the latency of a multiplication, few enough
# to stay in registers (32 of 512 bits, or 16 of 256). On Zen 4, 16 are 8 % and 64 are 3 % slower.
BLOCKS = 32 if has_feature("avx512f") else 8
u64xN = VectorType(types.uint64, BLOCKS)

_ORDER = [8 * (i // 8) + INTERLEAVE_ORDER[i % 8] for i in range(BLOCKS)]

# M0 times the counters 0 to BLOCKS - 1, in the lane order that `store_interleaved` puts back into
# line. The first product of consecutive counters is an arithmetic sequence: an addition instead of
# one of the twenty multiplications.
counter_products = constant(u64xN, [PHILOX_M0 * i for i in _ORDER])


@njit
def after_products(p0, p1, c1, c3, k0, k1):
    """The words after a round, from the two products that begin it."""
    return (p1 >> 32) ^ c1 ^ k0, p1, (p0 >> 32) ^ c3 ^ k1, p0


@njit
def single_round(c0, c1, c2, c3, k0, k1):
    return after_products((c0 & LOW) * PHILOX_M0, (c2 & LOW) * PHILOX_M1, c1, c3, k0, k1)


@njit
def bump_key(k0, k1):
    return (k0 + PHILOX_W0) & LOW, (k1 + PHILOX_W1) & LOW


@njit(forceinline=True)  # a call would pass 32 registers through memory
def philox4x32_of_sequence(p0, p1, c1, c3, k0, k1, rounds):
    """`philox4x32` of counters whose products with M0 and M1 are known."""
    c0, c1, c2, c3 = after_products(p0, p1, c1, c3, k0, k1)
    k0, k1 = bump_key(k0, k1)
    for _ in range(rounds - 1):
        c0, c1, c2, c3 = single_round(c0, c1, c2, c3, k0, k1)
        k0, k1 = bump_key(k0, k1)
    return c0, c1, c2, c3


@njit(forceinline=True)
def philox4x32(c0, c1, c2, c3, k0, k1, rounds):
    """The four words of each counter (c0, c1, c2, c3); the upper halves of the lanes are noise."""
    p0, p1 = (c0 & LOW) * PHILOX_M0, (c2 & LOW) * PHILOX_M1
    return philox4x32_of_sequence(p0, p1, c1, c3, k0, k1, rounds)
