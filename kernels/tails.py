# SPDX-License-Identifier: Apache-2.0
"""Tails and spread of the normal distribution, correctly rounded on every platform.

The C library's erfc differs between platforms in the last bit, and with it would every weight.
Decimal arithmetic is exact where we ask for it, and runs once for each pair of bounds.
"""

from __future__ import annotations

import functools
import math
from decimal import Context, Decimal, localcontext


def _pi() -> Decimal:
    """Pi to the precision of the current context (Gauss-Legendre)."""
    a, b, t, p = Decimal(1), 1 / Decimal(2).sqrt(), Decimal("0.25"), Decimal(1)
    while a != b and abs(a - b) > Decimal(10) ** (3 - _precision()):
        middle = (a + b) / 2
        b, t = (a * b).sqrt(), t - p * (a - middle) ** 2
        a, p = middle, 2 * p
    return (a + b) ** 2 / (4 * t)


def _precision() -> int:
    from decimal import getcontext

    return getcontext().prec


def _two_sided(x: float) -> Decimal:
    """2 (1 - Phi(x)) = erfc(x / sqrt 2): 2 far to the left, 0 far to the right."""
    if math.isinf(x):
        return Decimal(0 if x > 0 else 2)
    # 2 Phi(|x|) - 1 = sqrt(2 / pi) exp(-x^2 / 2) sum of x^(2n+1) / (1 3 5 ... (2n+1))
    z = abs(Decimal(x))
    term = total = z
    n = 1
    while term > total * Decimal(10) ** -_precision():
        term = term * z * z / (2 * n + 1)
        total += term
        n += 1
    inner = (2 / _pi()).sqrt() * (-z * z / 2).exp() * total
    return 1 - inner if x > 0 else 1 + inner


@functools.lru_cache(maxsize=256)
def masses(lower: float, upper: float) -> tuple[float, float, float, float]:
    """Doubled probabilities of a standard normal around [lower, upper].

    Returns
    -------
    tuple of float
        2 Phi(lower); 2 (1 - Phi(upper)); 2 (Phi(upper) - Phi(lower)); half the first minus half
        the second. Each is rounded once.
    """
    reach = max((abs(x) for x in (lower, upper) if math.isfinite(x)), default=0.0)
    if reach > 64:  # exp(-2048) is 0 in float64: one such bound is no bound
        return masses(*(math.copysign(math.inf, x) if abs(x) > 64 else x for x in (lower, upper)))
    # 1 - inner loses as many digits as the tail has leading zeros, x^2 / (2 ln 10).
    # What lies between close bounds is a small difference, and the center one of two of these.
    digits = 60 + int(reach * reach * 0.22) + max(0, -math.frexp(upper - lower)[1]) * 2 // 3
    with localcontext(Context(prec=digits)):
        below, above = _two_sided(-lower), _two_sided(upper)
        inside = _two_sided(lower) - above if lower > 0 else 2 - below - above
        return float(below), float(above), float(inside), float((below - above) / 2)


@functools.lru_cache(maxsize=256)
def spread(lower: float, upper: float) -> float:
    """Standard deviation of a standard normal cut at `lower` and `upper`, rounded once.

    variance = 1 + (a phi(a) - b phi(b)) / Z - ((phi(a) - phi(b)) / Z)**2, where a and b are the
    bounds, phi is the density and Z what lies between (Johnson, Kotz & Balakrishnan 1994, 13.10).
    """
    reach = max((abs(x) for x in (lower, upper) if math.isfinite(x)), default=0.0)
    if reach > 64:
        return spread(*(math.copysign(math.inf, x) if abs(x) > 64 else x for x in (lower, upper)))
    # As in `masses`; the variance of close bounds is a small difference of terms near 1 / width**2.
    digits = 60 + int(reach * reach * 0.22) + max(0, -math.frexp(upper - lower)[1]) * 2
    with localcontext(Context(prec=digits)):
        below, above = _two_sided(-lower), _two_sided(upper)
        inside = _two_sided(lower) - above if lower > 0 else 2 - below - above
        root, bounds, heights = (2 * _pi()).sqrt(), [], []
        for x in (lower, upper):
            bounds.append(Decimal(x) if math.isfinite(x) else Decimal(0))
            height = (-(bounds[-1] ** 2) / 2).exp() / root if math.isfinite(x) else Decimal(0)
            heights.append(2 * height / inside)  # `inside` is doubled
        slope = bounds[0] * heights[0] - bounds[1] * heights[1]
        return float((1 + slope - (heights[0] - heights[1]) ** 2).sqrt())
