# SPDX-License-Identifier: Apache-2.0
"""exp, expm1 and log of arrays of float64, with the same bits on every CPU.

By additions, multiplications and divisions in one order, which the C library's functions, and
NumPy's, are not. exp errs by less than 2 units in the last place, the others by less than 4.
"""

from __future__ import annotations

import math
from decimal import Context, Decimal

import numpy as np

from philinit.initializers.base import Array

_PER_LN2 = float.fromhex("0x1.71547652b82fep+0")  # 1 / ln(2)
# ln(2) in two parts; the first has 20 bits of zeros at its end: times k it is exact.
_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
_EXP = [1.0 / math.factorial(n) for n in range(13, -1, -1)]  # to r**13, |r| <= ln(2) / 2
_EXPM1 = [1.0 / math.factorial(n + 1) for n in range(13, -1, -1)]
_LOG = [1.0 / (2 * n + 1) for n in range(11, -1, -1)]  # to z**11, z <= 0.0295


def exp(x: Array) -> Array:
    """E to the power of each float64 in `x`, which must not be near the ends of the range."""
    k = np.rint(x * _PER_LN2)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    return np.ldexp(_horner(_EXP, r), k.astype(np.int32))


def log(x: Array) -> Array:
    """The natural logarithm of each float64 in `x`, all positive and normal."""
    m, e = np.frexp(x)
    small = m < math.sqrt(0.5)
    m, k = np.where(small, m * 2.0, m), np.where(small, e - 1, e).astype(np.float64)
    s = (m - 1.0) / (m + 1.0)
    return k * _LN2_HIGH + (s * _horner(_LOG, s * s) * 2.0 + k * _LN2_LOW)


def expm1(x: Array) -> Array:
    """E to the power of each float64 in `x`, less 1; all of them positive."""
    small = np.minimum(x, 0.35)
    return np.where(x == small, small * _horner(_EXPM1, small), exp(x) - 1.0)


def _horner(coefficients: list[float], x: Array) -> Array:
    found = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        found *= x
        found += coefficient
    return found


def ln(value: float) -> float:
    """The natural logarithm of one number, rounded once."""
    return float(Decimal(value).ln(Context(prec=60)))
