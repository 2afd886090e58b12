# SPDX-License-Identifier: Apache-2.0
"""The oracle's words: section 1 of kernels/README.md in Python integers, and in uint64 arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from philinit.keys import Key

Array = np.ndarray[Any, Any]

M32 = (1 << 32) - 1
M64 = (1 << 64) - 1


def philox4x32(counter: Sequence[int], key: Sequence[int], rounds: int = 10) -> tuple[int, ...]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        low = 0xD2511F53 * c0
        high = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (high >> 32) ^ c1 ^ k0, high & M32, (low >> 32) ^ c3 ^ k1, low & M32
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c0, c1, c2, c3


def inverse_philox4x32(words: Sequence[int], key: Sequence[int], rounds: int = 10) -> int:
    """The 128-bit counter whose block holds these words: so any words can be fed to a kernel."""
    c0, c1, c2, c3 = words
    n0, n1 = pow(0xD2511F53, -1, 1 << 32), pow(0xCD9E8D57, -1, 1 << 32)
    for r in reversed(range(rounds)):
        k0, k1 = (key[0] + r * 0x9E3779B9) & M32, (key[1] + r * 0xBB67AE85) & M32
        a0, a2 = c3 * n0 & M32, c1 * n1 & M32
        a1 = c0 ^ k0 ^ (0xCD9E8D57 * a2 >> 32)
        a3 = c2 ^ k1 ^ (0xD2511F53 * a0 >> 32)
        c0, c1, c2, c3 = a0, a1, a2, a3
    return c0 | c1 << 32 | c2 << 64 | c3 << 96


def block_words(key: Sequence[int], start: int, steps: Array) -> Array:
    """The words of counter blocks `start + steps`, a row of four uint32 for each of the steps."""
    u = np.uint64
    start %= 1 << 128
    low = u(start & M64) + steps.astype(u)  # wraps at 2**64 ...
    high = u(start >> 64) + (low < u(start & M64)).astype(u)  # ... and carries once
    mask, shift = u(M32), u(32)
    c0, c1, c2, c3 = low & mask, low >> shift, high & mask, high >> shift
    k0, k1 = key
    for _ in range(10):
        p0, p1 = u(0xD2511F53) * c0, u(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ u(k0),
            p1 & mask,
            (p0 >> shift) ^ c3 ^ u(k1),
            p0 & mask,
        )
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def words(key: Key, first: int, count: int) -> Array:
    """Words `first`, `first + 1`, ... of a stream, as uint32."""
    blocks = (first + count + 3) // 4 - first // 4
    rows = block_words(key.words, key.base + first // 4, np.arange(blocks))
    return rows.ravel()[first % 4 :][:count]


def pairs(stream: Array) -> Array:
    """Words 2i (low half) and 2i + 1 (high half) as one uint64."""
    wide = stream.astype(np.uint64)
    return wide[0::2] | wide[1::2] << np.uint64(32)


def key_of_seed(seed: int) -> Key:
    low = seed % (1 << 64)
    high = 0 if -(1 << 63) <= seed < 1 << 64 else (seed >> 64) % (1 << 64)
    counter = (low & M32, low >> 32, high & M32, high >> 32)
    mix = philox4x32(counter, (0x3EC8F720, 0x02461E29))
    return Key((mix[0], mix[1]), mix[2] << 64 | mix[3] << 96)


def fold_in(key: Key, data: int | str) -> Key:
    tagged = b"s" + data.encode("utf-8") if isinstance(data, str) else b"i" + str(data).encode()
    own = b"".join(w.to_bytes(4, "little") for w in key.words) + key.base.to_bytes(16, "little")
    digest = hashlib.blake2b(own + tagged, digest_size=16, person=b"philinit.fold_in").digest()
    w = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return Key((w[0], w[1]), w[2] << 64 | w[3] << 96)


def row_stream(key: Key, row_key: int) -> Key:
    """The stream that begins with the row by this key."""
    return Key(key.words, (key.base + (1 << 63) + (row_key % (1 << 64) << 64)) % (1 << 128))
