# SPDX-License-Identifier: Apache-2.0
"""Tails and spread against mpmath, down to bounds as close as float64 has them."""

import math

import mpmath
import numpy as np
import pytest

import philinit as pi
from philinit.kernels.tails import masses, spread

PAIRS = [
    (-2.0, 2.0), (-math.inf, 1.0), (3.0, math.inf), (-1.0, 2.5), (-1e-20, 1e-20), (-1e-43, 1e-43),
    (-1e-60, 1e-60), (-1e-65, 2e-65), (0.0, 5e-324), (-1e-300, 1e-290),
    (1.0, math.nextafter(1.0, 2.0)), (-30.0, math.nextafter(-30.0, 0.0)), (20.0, 20.0 + 1e-12),
    (1e-200, 3e-200), (-8.0, -8.0 + 1e-14),
]  # fmt: skip


@pytest.mark.parametrize(("lower", "upper"), PAIRS)
def test_masses_are_rounded_once(lower, upper):
    mpmath.mp.dps = 900
    try:
        low, high = mpmath.mpf(lower), mpmath.mpf(upper)
        below = mpmath.erfc(-low / mpmath.sqrt(2))
        above = mpmath.erfc(high / mpmath.sqrt(2))
        want = below, above, 2 - below - above, (below - above) / 2
        for got, exact in zip(masses(lower, upper), want, strict=True):
            assert got == float(mpmath.nstr(exact, 40))
    finally:
        mpmath.mp.dps = 15


@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        *[(a, b) for a, b in PAIRS if b - a > 1e-70],
        (-3.0, 3.0), (-1.0, 1.0), (0.0, 1.0), (-math.inf, math.inf), (2.0, math.inf), (30.0, 36.0),
        (-36.0, -35.0), (-1e-3, 1e-3), (5.0, 5.0000001), (-100.0, 2.0), (-math.inf, -30.0),
    ],
)  # fmt: skip
def test_the_spread_is_rounded_once(lower, upper):
    with mpmath.workdps(450):
        bounds = [mpmath.mpf(x) if math.isfinite(x) else mpmath.mpf(0) for x in (lower, upper)]
        density = [mpmath.npdf(b) if math.isfinite(x) else mpmath.mpf(0)
                   for b, x in zip(bounds, (lower, upper), strict=True)]  # fmt: skip
        below = mpmath.erfc(-mpmath.mpf(lower) / mpmath.sqrt(2)) / 2
        above = mpmath.erfc(mpmath.mpf(upper) / mpmath.sqrt(2)) / 2
        inside = 1 - below - above
        slope = (bounds[0] * density[0] - bounds[1] * density[1]) / inside
        variance = 1 + slope - ((density[0] - density[1]) / inside) ** 2
        assert spread(lower, upper) == float(mpmath.nstr(mpmath.sqrt(variance), 40))


def test_the_spread_at_2_is_the_constant_of_tensorflow_and_keras():
    assert spread(-2.0, 2.0) == 0.87962566103423978


@pytest.mark.parametrize("width", [1e-30, 1e-43, 1e-50, 1e-60, 1e-65, 1e-100])
def test_weights_between_close_bounds_are_uniform(width):
    init = pi.TruncatedNormal(0.0, 1.0 / width, -width, width, seed=3)
    weights = init((1 << 16,), "float64")
    assert abs(weights).max() <= 1.0
    assert abs(weights.std() - 3.0**-0.5) < 0.01
    assert np.unique(weights).size > 65_000
