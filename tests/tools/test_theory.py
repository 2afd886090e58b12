# SPDX-License-Identifier: Apache-2.0
"""Densities, moments and standard errors against SciPy, and against Cramér's formulas."""

import math

import numpy as np
import pytest

from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.tools.measure.theory import density, expected

stats = pytest.importorskip("scipy.stats")

CASES = [
    (Uniform(-0.3, 0.9), stats.uniform(-0.3, 1.2)),
    (Normal(1.5, 0.3), stats.norm(1.5, 0.3)),
    (TruncatedNormal(0.0, 0.1), stats.truncnorm(-2, 2, 0, 0.1)),
    (TruncatedNormal(0.5, 2.0, 1.0, math.inf), stats.truncnorm(1, math.inf, 0.5, 2)),
    (TruncatedNormal(0.0, 1.0, -math.inf, 4.0), stats.truncnorm(-math.inf, 4)),
    (TruncatedNormal(-1.0, 0.5, -1.0, 4.0), stats.truncnorm(-1, 4, -1, 0.5)),
]


@pytest.mark.parametrize(("wanted", "oracle"), CASES)
def test_densities_are_scipys(wanted, oracle):
    mean, stddev = wanted.moments()
    x = mean + stddev * np.linspace(-7.0, 7.0, 1001)  # beyond the support, too
    np.testing.assert_allclose(density(wanted, x), oracle.pdf(x), rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize(("wanted", "oracle"), CASES)
def test_moments_are_scipys(wanted, oracle):
    mean, variance, skewness, kurtosis = map(float, oracle.stats("mvsk"))
    found = expected(wanted)[0]
    np.testing.assert_allclose(
        found, (mean, math.sqrt(variance), skewness, kurtosis + 3), 1e-10, 1e-12
    )
    np.testing.assert_allclose(found[:2], wanted.moments(), 1e-12, 1e-15)


def cramer(oracle):
    """Standard errors of one weight: Cramér 1946, Mathematical Methods of Statistics, 27.7."""
    mean = oracle.mean()
    low, high = oracle.support()
    m = [oracle.expect(lambda x, p=p: (x - mean) ** p, lb=low, ub=high) for p in range(9)]
    stddev = (m[4] - m[2] ** 2) / (4 * m[2])
    skewness = (
        4 * m[2] ** 2 * m[6] - 12 * m[2] * m[3] * m[5] - 24 * m[2] ** 3 * m[4]
        + 9 * m[3] ** 2 * m[4] + 35 * m[2] ** 2 * m[3] ** 2 + 36 * m[2] ** 5
    ) / (4 * m[2] ** 5)  # fmt: skip
    kurtosis = (
        m[2] ** 2 * m[8] - 4 * m[2] * m[4] * m[6] - 8 * m[2] ** 2 * m[3] * m[5] + 4 * m[4] ** 3
        - m[2] ** 2 * m[4] ** 2 + 16 * m[2] * m[3] ** 2 * m[4] + 16 * m[2] ** 3 * m[3] ** 2
    ) / m[2] ** 6  # fmt: skip
    return [math.sqrt(v) for v in (m[2], stddev, skewness, kurtosis)]


@pytest.mark.parametrize(("wanted", "oracle"), CASES)
def test_standard_errors_are_cramers(wanted, oracle):
    np.testing.assert_allclose(expected(wanted)[1], cramer(oracle), rtol=1e-6)


def test_without_spread_there_is_no_theory():
    assert expected(Normal(1.0, 0.0)) is None
