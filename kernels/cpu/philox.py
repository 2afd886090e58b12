# SPDX-License-Identifier: Apache-2.0
"""Philox4x32: counter blocks to random words, many blocks at a time.

Each word of a counter block stands in a 64-bit lane of its own, because the multiplication
32 x 32 -> 64 bits wants it there: the high word of the product is one shift away, and the low word
needs no mask, since only the low half of a lane is ever read.
"""

from typing import Any

from numba import njit, types

from philinit.kernels.constants import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS, PHILOX_W0, PHILOX_W1
from philinit.kernels.cpu.simd.target import has_feature
from philinit.kernels.cpu.simd.types import VectorType

LOW = 0xFFFFFFFF

# Three vectors of counters at once: enough independent chains to hide the latency of a
# multiplication, few enough to stay in registers (32 of 512 bits, or 16 of 256).
LANES = 16 if has_feature("avx512f") else 8
BLOCKS = 3 * LANES
u64xN = VectorType(types.uint64, LANES)


@njit
def begin(c0, c1, c2, c3):
    """Counters with the products that begin a round in the place of the words they are of."""
    return (c0 & LOW) * PHILOX_M0, c1, (c2 & LOW) * PHILOX_M1, c3


@njit
def after_round(state, k0, k1):
    """The rest of a round, and the products of the next one."""
    p0, c1, p1, c3 = state
    return begin((p1 >> 32) ^ c1 ^ k0, p1, (p0 >> 32) ^ c3 ^ k1, p0)


@njit
def end(state, k0, k1):
    """The rest of the last round: the four words in two lanes, w0 above w1 and w2 above w3."""
    p0, c1, p1, c3 = state
    return p1 ^ (c1 << 32) ^ (k0 << 32), p0 ^ (c3 << 32) ^ (k1 << 32)


@njit
def bump_key(k0, k1):
    return (k0 + PHILOX_W0) & LOW, (k1 + PHILOX_W1) & LOW


def philox4x32(rounds: int = PHILOX_ROUNDS) -> Any:
    """A function of three begun vectors of counters and a key: the words of each, as by `end`.

    The rounds are written out: LLVM leaves a loop over so many registers as it is, and then moves
    them about.
    """
    if rounds == 1:

        @njit(forceinline=True)
        def last(a, b, c, k0, k1):
            return end(a, k0, k1), end(b, k0, k1), end(c, k0, k1)

        return last
    rest = philox4x32(rounds - 1)

    @njit(forceinline=True)  # a call would pass all registers through memory
    def first_and_rest(a, b, c, k0, k1):
        a, b, c = after_round(a, k0, k1), after_round(b, k0, k1), after_round(c, k0, k1)
        k0, k1 = bump_key(k0, k1)
        return rest(a, b, c, k0, k1)

    return first_and_rest
