# SPDX-License-Identifier: Apache-2.0
"""Products and sums of float32, each rounded once, as XLA operations on integers alone.

What XLA makes of floating-point arithmetic depends on the program around it: it contracts products
and sums, reorders them where its fast-math flags allow it, and some devices flush subnormal
numbers. Integers it leaves as they are. So a float32 is its bits here, a uint32, and one operation
rounds: the conversion of an integer to float32, to nearest and ties to even.

A number between two integers is kept as the odd one of them ("sticky"): rounded later, to fewer
binary digits by two at least, that gives what the number itself would.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

Word = Any  # an array of uint32


def word(value: int) -> Any:
    """A constant, modulo 2**32."""
    return np.uint32(value & 0xFFFFFFFF)


SIGN = word(0x80000000)
ZERO, ONE = word(0), word(1)


def mulhi(a: Word, b: Word) -> Word:
    """The upper half of the product of two words."""
    if not hasattr(lax, "mulhi"):  # before JAX 0.10
        return mulhi_by_halves(a, b)
    return lax.mulhi(*jnp.broadcast_arrays(a, b))


def mulhi_by_halves(a: Word, b: Word) -> Word:
    """`mulhi` by products of 16 bits."""
    low_a, high_a, low_b, high_b = a & word(0xFFFF), a >> 16, b & word(0xFFFF), b >> 16
    middle = high_a * low_b + (low_a * low_b >> 16)
    rest = low_a * high_b + (middle & word(0xFFFF))
    return high_a * high_b + (middle >> 16) + (rest >> 16)


def flag(condition: Any) -> Word:
    """1 where it holds, 0 elsewhere."""
    return condition.astype(jnp.uint32)


def sticky(high: Word, lost: Word) -> Word:
    """The integer part `high` of a number, or its odd neighbor where the rest of it is not 0."""
    return high | flag(lost != 0)


def bits(x: Any) -> Word:
    """The bits of float32."""
    return lax.bitcast_convert_type(x, jnp.uint32)


def constant(value: float) -> Any:
    """The bits of a number of float32 that is known."""
    return np.float32(value).view(np.uint32)


def nearest(value: Word) -> Word:
    """The bits of the float32 next to an integer below 2**31."""
    return bits(value.astype(jnp.int32).astype(jnp.float32))


def nearest_integer(value: Word) -> Word:
    """The float32 next to an integer below 2**31, as an integer: 2**31 at most."""
    return value.astype(jnp.int32).astype(jnp.float32).astype(jnp.uint32)


def significand(b: Word) -> Word:
    """The significand of a float32 in the upper 24 bits of a word."""
    return b << 8 | SIGN


def exponent(b: Word) -> Word:
    """The exponent field of a float32."""
    return b >> 23 & word(0xFF)


def times(a: Word, b: Word) -> Word:
    """The product of two float32 of which one or both are positive; neither it nor they subnormal.

    The first may be 0, and then the product is 0.0.
    """
    x, y = significand(a), significand(b)
    high = mulhi(x, y)
    value = sticky(high >> 1, high << 31 | x * y)
    found = nearest(value) + ((exponent(a) + exponent(b) - word(283)) << 23)
    return jnp.where((a << 1) == 0, ZERO, found | (a ^ b) & SIGN)


def left(a: Word, n: Word) -> Word:
    """Shifted by n; gives 0 for n > 31 and, modulo 2**32, for negative n."""
    return lax.shift_left(*jnp.broadcast_arrays(a, n))


def right(a: Word, n: Word) -> Word:
    """Like `left`, to the right."""
    return lax.shift_right_logical(*jnp.broadcast_arrays(a, n))


def shifted(high: Word, low: Word, n: Word) -> tuple[Word, Word]:
    """A number of two words, divided by 2**n, n < 64; sticky."""
    beyond = n - word(32)
    lost = low & (left(ONE, n) - ONE) | jnp.where(n < 32, ZERO, high & (left(ONE, beyond) - ONE))
    below = right(low, n) | left(high, word(32) - n) | right(high, beyond)
    return right(high, n), sticky(below, lost)


def added(a: tuple[Word, Word], b: tuple[Word, Word], minus: Any) -> tuple[Word, Word]:
    """a + b, or a - b where `minus`, of numbers of two words, modulo 2**64."""
    low = jnp.where(minus, a[1] - b[1], a[1] + b[1])
    carry = flag(jnp.where(minus, a[1] < b[1], low < a[1]))
    return jnp.where(minus, a[0] - b[0] - carry, a[0] + b[0] + carry), low


def fma(a: Word, b: Word, c: Word) -> Word:
    """a * b + c; a may be 0, c and b not, nothing is subnormal."""
    # Product and c as integers below 2**62 times 2**(exponent - 314): without loss, for their
    # significands have 48 and 24 digits. They are at least 2**60, but for a product of 0.
    x, y = jnp.where((a << 1) == 0, ZERO, significand(a)), significand(b)
    high = mulhi(x, y)
    product = high >> 2, high << 30 | x * y >> 2
    other = significand(c) >> 2, ZERO
    at = (exponent(a) + exponent(b)).astype(jnp.int32)
    to = (exponent(c) + word(126)).astype(jnp.int32)

    # The smaller one is brought to the exponent of the larger one; it has lost digits only where
    # the sum keeps 2**57 at the least.
    less = at < to
    small = tuple(jnp.where(less, p, o) for p, o in zip(product, other, strict=True))
    large = tuple(jnp.where(less, o, p) for p, o in zip(product, other, strict=True))
    apart = jnp.minimum(jnp.abs(at - to), 63).astype(jnp.uint32)
    high, low = added(large, shifted(*small, apart), (a ^ b ^ c) >= SIGN)
    sign = jnp.where(less, c, a ^ b) & SIGN
    negative = high >= SIGN  # where two of one exponent were subtracted
    high, low = added((jnp.where(negative, ZERO, high), jnp.where(negative, ZERO, low)),
                      (jnp.where(negative, high, ZERO), jnp.where(negative, low, ZERO)), negative)
    sign ^= jnp.where(negative, SIGN, ZERO)

    # Its first digit to the front.
    n = jnp.where(high == 0, word(32) + lax.clz(low), lax.clz(high))
    front = left(high, n) | right(low, word(32) - n) | left(low, n - word(32))
    value = nearest(sticky(front >> 1, front << 31 | left(low, n)))
    found = value + ((jnp.maximum(at, to).astype(jnp.uint32) - n - word(281)) << 23)
    return jnp.where(front == 0, ZERO, found | sign)


def linear(x: Word, scale: Any, middle: Any) -> Word:
    """x * scale + middle of bits; `middle` is known, and so is `scale` where it is 0."""
    if isinstance(scale, np.uint32) and not scale:
        return jnp.full_like(x, middle)
    return fma(x, scale, middle) if middle << 1 else times(x, scale)
