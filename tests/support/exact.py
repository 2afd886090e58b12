# SPDX-License-Identifier: Apache-2.0
"""Arithmetic that rounds once, and the numbers of a dtype next to any other: for the oracles."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


# Bits of a significand, and the exponent of the least subnormal. The float8 formats are those of
# Micikevicius et al. 2022 (arXiv:2209.05433) and of Noune et al. 2022 (arXiv:2206.02915).
FIELDS = {
    "float64": (53, -1074),
    "float32": (24, -149),
    "float16": (11, -24),
    "bfloat16": (8, -133),
    "float8_e4m3fn": (4, -9),
    "float8_e5m2": (3, -16),
    "float8_e4m3fnuz": (4, -10),
    "float8_e5m2fnuz": (3, -17),
}
LARGEST_CODES = {  # of finite numbers: behind it come NaN, or the infinity and NaN, or nothing
    "float8_e4m3fn": 0x7E,
    "float8_e5m2": 0x7B,
    "float8_e4m3fnuz": 0x7F,
    "float8_e5m2fnuz": 0x7F,
}


# --- fma, rounded once ---------------------------------------------------------------------------


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """s = RN(a + b) and the error e: s + e = a + b exactly (Knuth; no overflow)."""
    s = a + b
    bb = s - a
    return s, (a - (s - bb)) + (b - bb)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """p = RN(a b) and the error e: p + e = a b exactly (Dekker; no over- or underflow)."""

    def split(x: Array) -> tuple[Array, Array]:
        t = x * 134217729.0  # 2**27 + 1
        high = t - (t - x)
        return high, x - high

    p = a * b
    (ah, al), (bh, bl) = split(a), split(b)
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def add_to_odd(a: Array, b: Array) -> Array:
    """a + b rounded to odd: where inexact, the one of the two neighbors whose last bit is 1."""
    s, e = two_sum(a, b)
    b64 = s.view(np.int64)
    fix = (e != 0) & (b64 & 1 == 0)
    # Away from zero where the error has the sign of the sum, else towards zero.
    step = np.where((e > 0) == (s > 0), 1, -1)
    return np.where(fix, b64 + step, b64).view(np.float64)


def fma32(a: Any, b: Any, c: Any) -> Array:
    """a b + c in float32, rounded once.

    The product of two 24-bit numbers is exact in float64; rounding the sum to odd in 53 >= 24 + 2
    bits and then to 24 is one rounding (Boldo & Melquiond 2008, theorem 1), subnormals included,
    as float64 has then even more bits to spare.
    """
    a, b, c = np.broadcast_arrays(
        *(np.asarray(v, np.float32).astype(np.float64) for v in (a, b, c))
    )
    with np.errstate(under="ignore"):
        return np.asarray(add_to_odd(a * b, c + 0.0)).astype(np.float32)


def fma64(a: Any, b: Any, c: Any) -> Array:
    """a b + c in float64, rounded once (Boldo & Melquiond 2008, figure 3: Fma emulation).

    Their proof excludes over- and underflow of the parts: such elements go through `fma_exact`.
    """
    a, b, c = (np.array(v, np.float64) for v in np.broadcast_arrays(a, b, c))
    uh, ul = two_product(a, b)
    th, tl = two_sum(c, ul)
    vh, vl = two_sum(uh, th)
    result = np.asarray(vh + add_to_odd(tl, vl))
    size = np.abs(uh)
    odd = (size < 1e-250) | (size > 1e250) | (np.abs(a) > 1e250) | (np.abs(b) > 1e250)
    odd &= (a != 0) & (b != 0)
    for i in zip(*np.nonzero(odd), strict=True):
        result[i] = fma_exact(float(a[i]), float(b[i]), float(c[i]))
    return result


def fma_exact(a: float, b: float, c: float, bits: int = 53, least: int = -1074) -> float:
    """a b + c in rational arithmetic, rounded once to `bits` bits and multiples of 2**least."""
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    return round_fraction(exact, bits, least)


def round_fraction(exact: Fraction, bits: int = 53, least: int = -1074) -> float:
    """The nearest float of `bits` bits, ties to even."""
    if not exact:
        return 0.0
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    if abs(exact) < Fraction(2) ** exponent:
        exponent -= 1  # now 2**exponent <= |exact| < 2**(exponent + 1)
    unit = Fraction(2) ** max(exponent - bits + 1, least)
    return float(round(exact / unit) * unit)  # Python rounds a Fraction to even


# --- rounding to a dtype -------------------------------------------------------------------------


def rounded(y: Array, dtype: np.dtype[Any]) -> Array:
    """float32 rounded to nearest even; bfloat16 by integers, float8 by a table, else by NumPy."""
    if dtype.itemsize == 1:
        return rounded_to_float8(y, dtype)
    if dtype.name == "bfloat16":
        b = y.astype(np.float32).view(np.uint32).astype(np.uint64)
        b = (b + np.uint64(0x7FFF) + (b >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)
        return b.astype(np.uint16).view(dtype)
    return y.astype(dtype)


@functools.cache
def magnitudes_of(dtype: np.dtype[Any]) -> Array:
    """The finite numbers >= 0 of a float8 in order: those of the codes 0, 1, ..., by definition."""
    bits, least = fields_of(dtype)
    step = 2 ** (bits - 1)
    numbers = [n * 2.0**least for n in range(step)]  # subnormal ones, and 0
    while len(numbers) < LARGEST_CODES[dtype.name] + 1:
        octave = len(numbers) // step - 1
        numbers.append((step + len(numbers) % step) * 2.0 ** (least + octave))
    return np.array(numbers)


def rounded_to_float8(y: Array, dtype: np.dtype[Any]) -> Array:
    """The nearest number of a float8, ties to the even code, of numbers up to its largest one."""
    numbers = magnitudes_of(dtype)
    size = np.abs(y.astype(np.float64))
    assert not (size > numbers[-1]).any()
    above = np.searchsorted(numbers, size).clip(1)  # numbers[above - 1] < size <= numbers[above]
    middle = (numbers[above - 1] + numbers[above]) / 2  # exact in float64
    up = (size > middle) | ((size == middle) & (above % 2 == 0))
    code = np.where(up, above, above - 1).astype(np.uint8)
    signed = np.signbit(y) & ~((code == 0) & dtype.name.endswith("fnuz"))
    return (code | signed.astype(np.uint8) << 7).view(dtype)


def fields_of(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Bits of the significand, and the exponent of the least subnormal."""
    return FIELDS[dtype.name]


def at_most(x: Fraction, dtype: np.dtype[Any]) -> float:
    """The largest number of `dtype` that is <= x."""
    bits, least = fields_of(dtype)
    y = round_fraction(x, bits, least)
    if Fraction(y) > x:
        exponent = max((math.frexp(y)[1] if y else least) - bits, least)
        if y > 0 and math.frexp(y)[0] == 0.5:
            exponent = max(exponent - 1, least)
        y -= 2.0**exponent
    return y + 0.0


def at_least(x: Fraction, dtype: np.dtype[Any]) -> float:
    return -at_most(-x, dtype) + 0.0


def below(x: float, dtype: np.dtype[Any]) -> float:
    """The largest number of `dtype` that is < x."""
    return at_most(Fraction(np.nextafter(x, -np.inf).item()), dtype)


def clamp(y: Array, low: float, high: float) -> Array:
    """y moved into [low, high]; a y inside keeps its bits."""
    return np.where(y < low, y.dtype.type(low), np.where(y > high, y.dtype.type(high), y))
