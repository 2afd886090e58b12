# SPDX-License-Identifier: Apache-2.0
"""Products and sums of float32, each rounded once, as XLA operations on integers alone.

What XLA makes of floating-point arithmetic depends on the program around it: it contracts products
and sums, reorders them where its fast-math flags allow it, and some devices flush subnormal
numbers. Integers it leaves as they are. So a float32 is its bits here, a uint32, and one operation
rounds: the conversion of an int32 to float32, to nearest and ties to even. Call all of this in
JAX's 64-bit mode, since integers have up to 64 bits.

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


def wide(a: Word) -> Any:
    """In 64 bits."""
    return a.astype(jnp.uint64)


def upper(a: Any, n: int = 32) -> Word:
    """An integer of 64 bits without its last n, 32 at least."""
    return (a >> n).astype(jnp.uint32)


def mulhi(a: Word, b: Word) -> Word:
    """The upper half of the product of two words.

    By way of 64 bits, as XLA's compilers know it: products of 16 bits take four times as long, and
    programs with lax.mulhi of JAX 0.10 cannot be compiled for more than one device.
    """
    return upper(wide(a) * wide(b))


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


def _nearest_wide(value: Any) -> Word:
    """The bits of the float32 next to an integer of 64 bits whose first or second digit is 1."""
    return nearest(sticky(upper(value, 33), value & (1 << 33) - 1))


def times(a: Word, b: Word) -> Word:
    """a * b, of which nothing is subnormal; 0.0 where a is 0, whatever the signs."""
    value = _nearest_wide(wide(significand(a)) * wide(significand(b)))
    found = value + ((exponent(a) + exponent(b) - word(283)) << 23)
    return jnp.where((a << 1) == 0, ZERO, found | (a ^ b) & SIGN)


def fma(a: Word, b: Word, c: Word) -> Word:
    """a * b + c; a may be 0, b and c not, nothing is subnormal."""
    # Product and c as integers below 2**62 times 2**(exponent - 314), without loss: their
    # significands have 48 and 24 digits. They are at least 2**60, but for a product of 0.
    x = jnp.where((a << 1) == 0, ZERO, significand(a))
    product, other = wide(x) * wide(significand(b)) >> 2, wide(significand(c)) << 30
    at = (exponent(a) + exponent(b)).astype(jnp.int32)
    to = (exponent(c) + word(126)).astype(jnp.int32)

    # The smaller one is brought to the exponent of the larger one, sticky: it loses digits only
    # where the sum keeps 59.
    less = at < to
    small, large = jnp.where(less, product, other), jnp.where(less, other, product)
    apart = jnp.minimum(jnp.abs(at - to), 63).astype(jnp.uint64)
    short = small >> apart
    short |= ((short << apart) != small).astype(jnp.uint64)
    total = jnp.where((a ^ b ^ c) >= SIGN, large - short, large + short)
    negative = total >> 63 != 0  # where two of one exponent were subtracted
    total = jnp.where(negative, -total, total)
    sign = (jnp.where(less, c, a ^ b) ^ jnp.where(negative, SIGN, ZERO)) & SIGN

    # Its first digit to the front.
    high = upper(total)
    n = jnp.where(high == 0, word(32) + lax.clz(total.astype(jnp.uint32)), lax.clz(high))
    value = _nearest_wide(total << wide(n))
    found = value + ((jnp.maximum(at, to).astype(jnp.uint32) - n - word(281)) << 23)
    return jnp.where(total == 0, ZERO, found | sign)


def linear(x: Word, scale: Any, middle: Any) -> Word:
    """x * scale + middle of bits; `middle` is known, and so is `scale` where it is 0."""
    if isinstance(scale, np.uint32) and not scale:
        return jnp.full_like(x, middle)
    return fma(x, scale, middle) if middle << 1 else times(x, scale)
