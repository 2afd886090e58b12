# SPDX-License-Identifier: Apache-2.0
"""Uniform, Normal, TruncatedNormal: what they say is what they draw."""

from __future__ import annotations

import math

import numpy as np
import pytest

import philinit as pi
from philinit import distributions
from tests.support.initializers import DTYPES


def test_plain_initializers_draw_what_they_say() -> None:
    for init, expected in [
        (pi.Uniform(), distributions.Uniform(-0.05, 0.05)),
        (pi.Normal(), distributions.Normal(0.0, 0.05)),
        (pi.TruncatedNormal(), distributions.TruncatedNormal(0.0, 0.05, -2.0, 2.0)),
        (pi.TruncatedNormal(1, 2, -3, 4), distributions.TruncatedNormal(1.0, 2.0, -3.0, 4.0)),
    ]:
        assert init.distribution_for((2, 3)) == expected
    assert pi.Zeros().distribution_for((2, 3)) is None
    assert pi.Orthogonal().distribution_for((2, 3)) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_stays_in_its_half_open_interval(dtype: str) -> None:
    w = pi.uniform((1 << 16,), dtype, low=-0.1, high=0.3, seed=1).astype(np.float64)
    assert -0.1 <= w.min() < -0.09
    assert 0.29 < w.max() < 0.3


@pytest.mark.parametrize(
    ("lower", "upper"),
    [(-2, 2), (-3, 3), (-1, 2.5), (-math.inf, 1), (0, math.inf), (-math.inf, math.inf)],
)
def test_the_stddev_after_the_cut_is_the_one_asked_for(lower: float, upper: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    before = pi.TruncatedNormal(0.5, 0.02, lower, upper, seed=1)
    after = pi.TruncatedNormal(0.5, 0.02, lower, upper, after_cut=True, seed=1)
    spread = float(stats.truncnorm(lower, upper).std())
    assert before.distribution_for(3).stddev == 0.02
    found = after.distribution_for(3)
    assert found.stddev == pytest.approx(0.02 / spread, rel=1e-9)
    assert (found.mean, found.lower, found.upper) == (0.5, lower, upper)
    assert found.moments()[1] == pytest.approx(0.02, rel=1e-9)
    w = after((1 << 18,), "float64")
    assert w.std() == pytest.approx(0.02, rel=0.01)
    assert w.min() >= found.support()[0] and w.max() <= found.support()[1]


def test_after_the_cut_is_part_of_an_initializer_and_a_bool() -> None:
    init = pi.TruncatedNormal(0, 0.02, -3, 3, after_cut=True, seed=1)
    assert repr(init) == (
        "TruncatedNormal(seed=1, stddev=0.02, lower=-3.0, upper=3.0, after_cut=True)"
    )
    assert init != pi.TruncatedNormal(0, 0.02, -3, 3, seed=1)
    for make in (pi.TruncatedNormal, pi.VarianceScaling):
        with pytest.raises(TypeError, match="`after_cut` must be a bool; got after_cut=1"):
            make(after_cut=1)  # type: ignore[arg-type]
