# SPDX-License-Identifier: Apache-2.0
"""Random words by their indices: section 1 of kernels/README.md.

Each weight computes its counter block alone and takes one word of the four: so XLA spreads the
weights over devices, cuts and fuses them as it likes, and no device waits for another. On a CPU
sharing a block would be no faster, since the words would have to be put in order through memory.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from philinit.jax.xla.arithmetic import Word, flag, mulhi, upper, wide, word
from philinit.kernels.constants import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS, PHILOX_W0, PHILOX_W1

M0, M1 = word(PHILOX_M0), word(PHILOX_M1)


def _counters(base: Any, block: Any) -> tuple[Word, Word, Word, Word]:
    """base + block modulo 2**128."""
    low = (wide(base[0]) | wide(base[1]) << 32) + block
    carry = flag(low < block)
    c2 = base[2] + carry
    return low.astype(jnp.uint32), upper(low), c2, base[3] + flag(c2 < carry)


def random_words(key: Any, index: Any) -> Word:
    """The words of the stream at some indices; `key` holds the two words and the base's four."""
    lane = (index & 3).astype(jnp.uint32)
    c0, c1, c2, c3 = _counters(key[2:], wide(index >> 2))
    k0, k1 = key[0], key[1]
    for _ in range(PHILOX_ROUNDS - 1):
        c0, c1, c2, c3 = mulhi(M1, c2) ^ c1 ^ k0, M1 * c2, mulhi(M0, c0) ^ c3 ^ k1, M0 * c0
        k0, k1 = k0 + word(PHILOX_W0), k1 + word(PHILOX_W1)
    # Of the last round only the word that is wanted.
    first = lane < 2
    factor, number = jnp.where(first, M1, M0), jnp.where(first, c2, c0)
    other = jnp.where(first, c1 ^ k0, c3 ^ k1)
    return jnp.where((lane & word(1)) == 0, mulhi(factor, number) ^ other, factor * number)
