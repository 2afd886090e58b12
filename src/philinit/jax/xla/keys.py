# SPDX-License-Identifier: Apache-2.0
"""`Key.fold_in` of numbers that are known only when the program runs: BLAKE2b on words.

A key is six words: those of Philox, then those of the base. RFC 7693 has the hash; its 64-bit words
are pairs of uint32 here, and the four that a step works on at once one array.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from philinit.jax.xla.arithmetic import ONE, ZERO, Word, flag, word
from philinit.jax.xla.words import Wide, plus
from philinit.keys import Key

# RFC 7693, 2.6 and 2.7: the initial values, and which word of the message a step takes.
_START = (
    *(0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1),
    *(0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179),
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
_PARAMETERS = bytes([16, 0, 1, 1]).ljust(48, b"\0") + _PERSON  # 2.8: digest of 16 bytes, no key
_TENS = np.array([10**n for n in reversed(range(10))], np.uint32)


def as_words(key: Key) -> Any:
    """A key as six words."""
    return np.array([*key.words, *(key.base >> 32 * i & 0xFFFFFFFF for i in range(4))], np.uint32)


def fold_in(key: Any, number: Word) -> Any:
    """``Key.fold_in`` of a word: six words again."""
    # In decimal, from the first digit on; of what is not written there are zeros.
    count = ONE + flag(number >= _TENS[:-1]).sum(dtype=np.uint32)
    place = word(10) - count + np.arange(10, dtype=np.uint32)
    digits = word(ord("0")) + (number // _TENS % word(10)).at[place].get(mode="fill", fill_value=0)
    digits = jnp.where(place < 10, digits, ZERO)
    text = jnp.concatenate([jnp.full(1, word(ord("i"))), digits, jnp.zeros(5, np.uint32)])
    text = (text.reshape(4, 4) << np.array([0, 8, 16, 24], np.uint32)).sum(1, dtype=np.uint32)
    message = jnp.concatenate([key, text, jnp.zeros(22, np.uint32)])
    return _blake2b((message[::2], message[1::2]), word(25) + count)


def _blake2b(message: Wide, length: Word) -> Any:
    """The first four words of the hash of one block, and zeros in the base between them."""
    start = np.array(_START, np.uint64)
    first = start ^ np.frombuffer(_PARAMETERS, "<u8")
    state = _halves(np.concatenate([first, start]).reshape(4, 4))
    low, high = (half + (length & ZERO) for half in state)
    low = low.at[3, 0].set(low[3, 0] ^ length)
    low, high = low.at[3, 2].set(~low[3, 2]), high.at[3, 2].set(~high[3, 2])

    def one_round(number: Any, v: Any) -> Any:
        order = jnp.asarray(_ORDER)[number % 10]
        taken = [(message[0][order[i::2]], message[1][order[i::2]]) for i in (0, 1)]
        columns = _mixed(v, *(tuple(half[:4] for half in pair) for pair in taken))
        diagonal = [tuple(jnp.roll(half, -i) for half in row) for i, row in enumerate(columns)]
        mixed = _mixed(diagonal, *(tuple(half[4:] for half in pair) for pair in taken))
        return [tuple(jnp.roll(half, i) for half in row) for i, row in enumerate(mixed)]

    rows = [(low[i], high[i]) for i in range(4)]
    a, _, c, _ = lax.fori_loop(0, _ROUNDS, one_round, rows)
    first_low, first_high = _halves(first[:2])
    found = [h ^ x[:2] ^ y[:2] for h, x, y in zip((first_low, first_high), a, c, strict=True)]
    (w0, m2), (w1, m3) = found
    zero = w0 & ZERO
    return jnp.stack([w0, w1, zero, zero, m2, m3])


def _halves(numbers: Any) -> tuple[Any, Any]:
    return (numbers & 0xFFFFFFFF).astype(np.uint32), (numbers >> 32).astype(np.uint32)


def _mixed(rows: Any, x: Wide, y: Wide) -> Any:
    """G of 3.1, on four columns at once."""
    a, b, c, d = rows
    for added, turn_d, turn_b in ((x, 32, 24), (y, 16, 63)):
        a = plus(plus(a, b), added)
        d = _turned(_xor(d, a), turn_d)
        c = plus(c, d)
        b = _turned(_xor(b, c), turn_b)
    return [a, b, c, d]


def _xor(a: Wide, b: Wide) -> Wide:
    return a[0] ^ b[0], a[1] ^ b[1]


def _turned(a: Wide, n: int) -> Wide:
    """Rotated to the right."""
    low, high = a if n < 32 else a[::-1]
    n %= 32
    return (low >> n | high << 32 - n, high >> n | low << 32 - n) if n else (low, high)
