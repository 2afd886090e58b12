# SPDX-License-Identifier: Apache-2.0
"""Bits of float32 into bounds, and to those of the 16-bit dtypes."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

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
    if dtype.itemsize == 2:
        b = (_to_float16 if dtype == np.float16 else _to_bfloat16)(b).astype(jnp.uint16)
    return lax.bitcast_convert_type(b, dtype)


def _to_bfloat16(b: Word) -> Word:
    return b + word(0x7FFF) + (b >> 16 & ONE) >> 16


def _to_float16(b: Word) -> Word:
    """Below 65520."""
    size = b & ~SIGN
    normal = size + word(0xFFF) + (size >> 13 & ONE) - word(112 << 23) >> 13
    # Below 2**-14 float16 counts in 2**-24.
    n = jnp.clip(word(126) - exponent(b), ONE, word(26))  # up to 14 where it is normal: not taken
    digits = size & word(0x7FFFFF) | word(0x800000)
    subnormal = digits + (ONE << n - ONE) - ONE + (digits >> n & ONE) >> n
    return jnp.where(size < word(113 << 23), subnormal, normal) | b >> 16 & word(0x8000)
