# SPDX-License-Identifier: Apache-2.0
"""Bits of float32 into bounds, and to those of the dtypes of 16 and 8 bits."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from philinit.dtypes import LEAST_EXPONENT, MANTISSA_BITS
from philinit.jax.xla.arithmetic import ONE, SIGN, Word, constant, exponent, word


def clamp(b: Word, low: float, high: float) -> Word:
    """Numbers moved into [low, high], as the kernels do it: of equal zeros the end's stays."""
    order = _order(b)
    after = 0 if low == 0.0 else int(_order(constant(low)))
    before = -1 if high == 0.0 else int(_order(constant(high)))
    found = jnp.where(order > after, b, constant(low))
    return jnp.where(order < before, found, constant(high))


def _order(b: Any) -> Any:
    """An int32 that grows with the number; -0.0 comes before 0.0."""
    signed = b.astype(np.int32)
    return signed ^ (signed >> 31 & np.int32(0x7FFFFFFF))


def rounded(b: Word, dtype: np.dtype[Any]) -> Any:
    """The numbers of a dtype next to float32, ties to even."""
    if dtype.name == "bfloat16":
        b = (b + word(0x7FFF) + (b >> 16 & ONE) >> 16).astype(jnp.uint16)
    elif dtype.itemsize < 4:
        b = _to_smaller(b, dtype).astype(f"u{dtype.itemsize}")
    return lax.bitcast_convert_type(b, dtype)


def _to_smaller(b: Word, dtype: np.dtype[Any]) -> Word:
    """Of numbers up to the largest one of float16 or a float8, whose exponents are fewer."""
    shift = 23 - MANTISSA_BITS[dtype.name]
    least = LEAST_EXPONENT[dtype.name] + 127
    size = b & ~SIGN
    normal = size + word((1 << shift - 1) - 1) + (size >> shift & ONE) - word(least - 1 << 23)
    # Below 2**least_exponent all numbers of the dtype are multiples of one.
    n = jnp.clip(word(least + shift) - exponent(b), ONE, word(26))  # small where it is not taken
    digits = size & word(0x7FFFFF) | word(0x800000)
    subnormal = digits + (ONE << n - ONE) - ONE + (digits >> n & ONE) >> n
    found = jnp.where(size < word(least << 23), subnormal, normal >> shift)
    sign = b >> 32 - 8 * dtype.itemsize & word(1 << 8 * dtype.itemsize - 1)
    if dtype.name.endswith("fnuz"):  # which have no -0
        sign = jnp.where(found == word(0), word(0), sign)
    return found | sign
