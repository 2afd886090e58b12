# SPDX-License-Identifier: Apache-2.0
"""Seeds become keys: a Philox key (two words) and a base counter (four words)."""

from __future__ import annotations

import functools
import operator
import os
from dataclasses import dataclass
from typing import Any

from philinit.checks import is_bool, shown

_MASK32 = (1 << 32) - 1
_MASK64 = (1 << 64) - 1

# TensorFlow's GenerateKey scrambles a seed with Philox under this fixed key.
_SCRAMBLE_KEY = (0x3EC8F720, 0x02461E29)


def philox4x32(
    counter: tuple[int, int, int, int], key: tuple[int, int], rounds: int = 10
) -> tuple[int, int, int, int]:
    """Four random words of one counter block (Salmon et al. 2011), in Python integers.

    Only seeds pass through here; weights come from the kernels.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0 = c0 * 0xD2511F53
        p1 = c2 * 0xCD9E8D57
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & _MASK32
        k0 = (k0 + 0x9E3779B9) & _MASK32
        k1 = (k1 + 0xBB67AE85) & _MASK32
    return c0, c1, c2, c3


def fresh_seed() -> int:
    """128 bits of entropy from the operating system, as a seed."""
    return int.from_bytes(os.urandom(16), "little")


def as_seed(seed: Any) -> int:
    """`seed` as a Python int in [-2**127, 2**128), or an error that says why not."""
    if is_bool(seed):
        raise TypeError(f"`seed` must be an int or None; got seed={seed!r}")
    try:
        value = operator.index(seed)
    except TypeError:
        raise TypeError(
            f"`seed` must be an int or None; got seed={shown(seed)} of type {type(seed).__name__}"
        ) from None
    if not -(1 << 127) <= value < 1 << 128:
        raise ValueError(f"`seed` must lie in [-2**127, 2**128); got seed={shown(value)}")
    return value


@functools.lru_cache(maxsize=1024)
def _scramble(seed: int) -> Key:
    low = seed & _MASK64
    # A seed of up to 64 bits, negative ones included, is TensorFlow's pair [seed, 0].
    high = 0 if -(1 << 63) <= seed <= _MASK64 else (seed >> 64) & _MASK64
    words = (low & _MASK32, low >> 32, high & _MASK32, high >> 32)
    mix = philox4x32(words, _SCRAMBLE_KEY)
    return Key((mix[0], mix[1]), (mix[2] << 64) | (mix[3] << 96))


@dataclass(frozen=True, slots=True)
class Key:
    """What makes two streams different: two key words and a 128-bit base counter.

    Counter block b of the stream is ``philox4x32_10(base + b mod 2**128, words)``.

    >>> pi.Key.from_seed(42).fold_in("encoder") == pi.HeNormal(seed=42).named("encoder").key
    True

    Parameters
    ----------
    words : tuple of 2 int
        The Philox key, each word in [0, 2**32). Unlike a seed it is used as it is.
    base : int
        The counter of block 0, in [0, 2**128).

    Notes
    -----
    Two streams of one key and different bases overlap where their counters do; `from_seed` and
    `fold_in` set only the upper 64 bits of the base, as TensorFlow does.
    """

    words: tuple[int, int]
    base: int = 0

    def __post_init__(self) -> None:
        words = self.words
        if not (isinstance(words, tuple) and len(words) == 2):
            raise TypeError(f"`words` must be a tuple of two ints; got words={words!r}")
        for word in words:
            if type(word) is not int or not 0 <= word <= _MASK32:
                raise ValueError(f"`words` must hold ints in [0, 2**32); got words={words!r}")
        if type(self.base) is not int or not 0 <= self.base < 1 << 128:
            raise ValueError(f"`base` must be an int in [0, 2**128); got base={self.base!r}")

    @staticmethod
    def from_seed(seed: int | None) -> Key:
        """The key of a seed, as TensorFlow makes it from the pair ``[seed, 0]``.

        Parameters
        ----------
        seed : int or None
            In [-2**127, 2**128). Negative numbers stand for their two's complement: in 64 bits
            down to -2**63, in 128 bits below. None draws 128 bits of entropy.

        Raises
        ------
        TypeError
            `seed` is no integer (bool included).
        ValueError
            `seed` does not fit into 128 bits.
        """
        return _scramble(fresh_seed() if seed is None else as_seed(seed))

    def fold_in(self, data: int | str) -> Key:
        """An independent key derived from this one and a number or a name.

        The new key is a BLAKE2b hash of this key and `data`, so that neighbors such as 1 and 2
        share nothing. An int and its decimal string give different keys.

        Raises
        ------
        TypeError
            `data` is neither an int nor a str.
        """
        if isinstance(data, str):
            tagged = b"s" + data.encode()
        elif is_bool(data):
            raise TypeError(f"`data` must be an int or a str; got data={data!r}")
        else:
            try:
                tagged = b"i%d" % operator.index(data)
            except TypeError:
                raise TypeError(
                    "`data` must be an int or a str; "
                    f"got data={shown(data)} of type {type(data).__name__}"
                ) from None
        import hashlib  # loads OpenSSL, which most imports of philinit do not need

        k0, k1 = self.words
        own = (k0 | k1 << 32 | self.base << 64).to_bytes(24, "little")
        hashed = hashlib.blake2b(own + tagged, digest_size=16, person=b"philinit.fold_in")
        found = int.from_bytes(hashed.digest(), "little")
        return Key((found & _MASK32, found >> 32 & _MASK32), found >> 64 << 64)
