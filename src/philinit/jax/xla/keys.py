# SPDX-License-Identifier: Apache-2.0
"""`Key.fold_in` of numbers that are known only when the program runs: BLAKE2b on words.

A key is six words: those of Philox, then those of the base. RFC 7693 has the hash; the four numbers
that a step works on at once are one array here. Call this in JAX's 64-bit mode.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from philinit.jax.xla.arithmetic import ONE, ZERO, Word, flag, upper, wide, word
from philinit.keys import Key

# RFC 7693, 2.6 and 2.7: the initial values, and which word of the message a step takes.
_START = np.array(
    [
        *(0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1),
        *(0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179),
    ],
    np.uint64,
)
_ORDER = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ]
)
_ROUNDS = 12
_PERSON = b"philinit.fold_in"
_PARAMETERS = bytes([16, 0, 1, 1]).ljust(48, b"\0") + _PERSON  # 2.5: digest of 16 bytes, no key
_TENS = np.array([10**n for n in reversed(range(10))], np.uint32)


def words_of(key: Key) -> Any:
    """A key as six words."""
    return np.array([*key.words, *(key.base >> 32 * i & 0xFFFFFFFF for i in range(4))], np.uint32)


def fold_in(key: Any, number: Word) -> Any:
    """``Key.fold_in`` of a word: six words again."""
    # In decimal, its first digit first; behind the last one there are zeros.
    count = ONE + flag(number >= _TENS[:-1]).sum(dtype=np.uint32)
    place = word(10) - count + np.arange(10, dtype=np.uint32)
    digits = word(ord("0")) + (number // _TENS % word(10)).at[place].get(mode="fill", fill_value=0)
    text = [np.full(1, ord("i"), np.uint32), jnp.where(place < 10, digits, ZERO)]
    text = jnp.concatenate([*text, np.zeros(5, np.uint32)]).reshape(4, 4)
    text = (text << np.array([0, 8, 16, 24], np.uint32)).sum(1, dtype=np.uint32)
    message = jnp.concatenate([key, text, np.zeros(22, np.uint32)]).reshape(16, 2)
    message = wide(message[:, 0]) | wide(message[:, 1]) << 32
    return _blake2b(message, wide(word(25) + count))


def _blake2b(message: Any, length: Any) -> Any:
    """The hash of one block, as the words of a key."""
    first = _START ^ np.frombuffer(_PARAMETERS, "<u8")
    # As the length is, so that the state is traced from the first round on as from the second.
    state = np.concatenate([first, _START]).reshape(4, 4) + (length & np.uint64(0))
    state = state.at[3, 0].set(state[3, 0] ^ length).at[3, 2].set(~state[3, 2])

    def one_round(number: Any, rows: Any) -> Any:
        taken = message[jnp.asarray(_ORDER)[number % 10]]
        mixed = _mixed(rows, taken[0:8:2], taken[1:8:2])
        diagonals = _mixed([jnp.roll(r, -i) for i, r in enumerate(mixed)], taken[8::2], taken[9::2])
        return [jnp.roll(row, i) for i, row in enumerate(diagonals)]

    a, _, c, _ = lax.fori_loop(0, _ROUNDS, one_round, list(state))
    found = first[:2] ^ a[:2] ^ c[:2]
    words = jnp.stack([found.astype(jnp.uint32), upper(found)], 1).reshape(4)
    return jnp.concatenate([words[:2], words[:2] & ZERO, words[2:]])


def _mixed(rows: Any, x: Any, y: Any) -> Any:
    """G of 3.1, on four columns at once."""
    a, b, c, d = rows
    for added, turn_d, turn_b in ((x, 32, 24), (y, 16, 63)):
        a = a + b + added
        d = _turned(d ^ a, turn_d)
        c = c + d
        b = _turned(b ^ c, turn_b)
    return [a, b, c, d]


def _turned(a: Any, n: int) -> Any:
    """Rotated to the right."""
    return a >> n | a << 64 - n
