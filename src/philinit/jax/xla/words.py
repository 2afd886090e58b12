# SPDX-License-Identifier: Apache-2.0
"""Random words by their indices: section 1 of kernels/README.md.

Each weight computes its counter block alone and takes one word of the four: so XLA spreads the
weights over devices, cuts and fuses them as it likes, and no device waits for another. On a CPU
sharing a block would be no faster, since the words would have to be put in order through memory.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from philinit.jax.xla.arithmetic import Word, flag, mulhi, word
from philinit.kernels.constants import PHILOX_M0, PHILOX_M1, PHILOX_ROUNDS, PHILOX_W0, PHILOX_W1

Wide = tuple[Word, Word]  # numbers below 2**64: lower and upper word
M0, M1 = word(PHILOX_M0), word(PHILOX_M1)


def plus(a: Wide, b: Wide) -> Wide:
    """a + b modulo 2**64."""
    low = a[0] + b[0]
    return low, a[1] + b[1] + flag(low < b[0])


def scaled(a: Wide, factor: int) -> Wide:
    """a * factor modulo 2**64."""
    low, high = word(factor), word(factor >> 32)
    return a[0] * low, mulhi(a[0], low) + a[0] * high + a[1] * low


def _counters(base: Any, block: Wide) -> tuple[Word, Word, Word, Word]:
    """base + block modulo 2**128."""
    c0, c1 = plus((base[0], base[1]), block)
    carry = flag((c1 < block[1]) | ((c1 == block[1]) & (c0 < block[0])))
    c2 = base[2] + carry
    return c0, c1, c2, base[3] + flag(c2 < carry)


def random_words(key: Any, index: Wide) -> Word:
    """The words of the stream at some indices; `key` holds the two words and the base's four."""
    low, high = index
    lane = low & word(3)
    c0, c1, c2, c3 = _counters(key[2:], (low >> 2 | high << 30, high >> 2))
    k0, k1 = key[0], key[1]
    for _ in range(PHILOX_ROUNDS - 1):
        c0, c1, c2, c3 = mulhi(M1, c2) ^ c1 ^ k0, M1 * c2, mulhi(M0, c0) ^ c3 ^ k1, M0 * c0
        k0, k1 = k0 + word(PHILOX_W0), k1 + word(PHILOX_W1)
    # Of the last round only the word that is wanted.
    first = lane < 2
    factor, number = jnp.where(first, M1, M0), jnp.where(first, c2, c0)
    other = jnp.where(first, c1 ^ k0, c3 ^ k1)
    return jnp.where((lane & word(1)) == 0, mulhi(factor, number) ^ other, factor * number)
