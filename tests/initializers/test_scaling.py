# SPDX-License-Identifier: Apache-2.0
"""Initializers by variance: the formulas of the papers, fans, axes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit import distributions
from tests.support.initializers import same

# Standard deviation of N(0, 1) cut at +-2, as in the source of TensorFlow and Keras.
CUT_AT_2 = 0.87962566103423978


SHAPE, FAN_IN, FAN_OUT = (3, 5, 32, 48), 480, 720


@pytest.mark.parametrize(
    ("init", "variance"),
    [
        (pi.GlorotUniform(), Fraction(2, FAN_IN + FAN_OUT)),  # Glorot & Bengio 2010, Eq. 12, 16
        (pi.GlorotNormal(), Fraction(2, FAN_IN + FAN_OUT)),
        (pi.HeUniform(), Fraction(2, FAN_IN)),  # He et al. 2015, Eq. 10
        (pi.HeNormal(), Fraction(2, FAN_IN)),
        (pi.LecunUniform(), Fraction(1, FAN_IN)),  # LeCun et al. 1998, Eq. 16
        (pi.LecunNormal(), Fraction(1, FAN_IN)),
        (pi.HeNormal(activation="relu"), Fraction(2, FAN_IN)),
        (pi.HeNormal(activation="leaky_relu", param=0.5), Fraction(8, 5 * FAN_IN)),  # Eq. 15
        (pi.HeUniform(activation="leaky_relu", param=0.5), Fraction(8, 5 * FAN_IN)),
        (pi.HeUniform(activation="linear"), Fraction(1, FAN_IN)),
        (pi.HeUniform(gain=0.5), Fraction(1, 4 * FAN_IN)),
        (pi.LecunNormal(activation="relu"), Fraction(2, FAN_IN)),
        (pi.GlorotUniform(activation="tanh"), Fraction(50, 9 * (FAN_IN + FAN_OUT))),
        (pi.GlorotNormal(gain=3), Fraction(18, FAN_IN + FAN_OUT)),
        (pi.VarianceScaling(3.0, "fan_out", "normal"), Fraction(3, FAN_OUT)),
        (pi.VarianceScaling(3.0, "fan_avg", "uniform"), Fraction(6, FAN_IN + FAN_OUT)),
        (pi.VarianceScaling(3.0, "fan_geo_avg", "uniform"), 3 / math.sqrt(FAN_IN * FAN_OUT)),
    ],
)
def test_variance_is_that_of_the_paper(init: Any, variance: Any) -> None:
    mean, stddev = init.distribution_for(SHAPE).moments()
    assert mean == 0.0
    assert stddev == pytest.approx(math.sqrt(variance), rel=1e-14)
    found = init.distribution_for(SHAPE)
    kind = init.distribution
    if kind == "uniform":
        assert found.high == pytest.approx(math.sqrt(3 * variance), rel=1e-14)
    elif kind == "truncated_normal":
        assert found.stddev == pytest.approx(math.sqrt(variance) / CUT_AT_2, rel=1e-14)
        assert (found.lower, found.upper) == (-2.0, 2.0)
    assert type(found).__name__ == kind.title().replace("_", "")


def test_he_uniform_does_not_put_the_stddev_in_place_of_the_limit() -> None:
    assert pi.HeUniform().distribution_for((6, 9)) == distributions.Uniform(-1.0, 1.0)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,)])
def test_fans_below_one_count_as_one(shape: tuple[int, ...]) -> None:
    found = pi.LecunUniform(seed=1).distribution_for(shape)
    limit = 1.0 if shape == (3, 0) else math.sqrt(3.0)
    assert found.support() == (-limit, limit)
    assert pi.lecun_uniform(shape, seed=1).shape == shape


def test_axes_reach_the_fans() -> None:
    init = pi.LecunNormal(in_axis=(0, 1), out_axis=2)
    assert init.distribution_for((8, 64, 512)).moments()[1] == pytest.approx(512**-0.5)
    experts = pi.VarianceScaling(distribution="normal", batch_axis=0)
    assert experts.distribution_for((12, 64, 256)) == distributions.Normal(0.0, 0.125)


def test_sampler_tensorflow_gives_the_bits_of_keras() -> None:
    pytest.importorskip("tensorflow")
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")
    for ours, theirs in [
        (
            pi.GlorotUniform(seed=42, sampler="tensorflow"),
            keras.initializers.GlorotUniform(seed=42),
        ),
        (pi.HeUniform(seed=7, sampler="tensorflow"), keras.initializers.HeUniform(seed=7)),
        (pi.LecunUniform(seed=0, sampler="tensorflow"), keras.initializers.LecunUniform(seed=0)),
        (pi.Uniform(seed=3, sampler="tensorflow"), keras.initializers.RandomUniform(seed=3)),
    ]:
        for shape in [(64, 48), (3, 3, 5, 7), (11,)]:
            assert same(ours(shape), np.asarray(theirs(shape)))


@pytest.mark.parametrize(("lower", "upper"), [(-2, 2), (-3, 3), (-1, 2.5), (-math.inf, 3)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg"])
def test_any_cut_before_and_after_the_correction(lower: float, upper: float, mode: str) -> None:
    stats = pytest.importorskip("scipy.stats")
    n = {"fan_in": FAN_IN, "fan_out": FAN_OUT, "fan_avg": (FAN_IN + FAN_OUT) / 2}[mode]
    stddev = math.sqrt(0.5 / n)
    for after_cut in (True, False):
        cut = {"lower": lower, "upper": upper, "after_cut": after_cut}
        found = pi.VarianceScaling(0.5, mode, seed=1, **cut).distribution_for(SHAPE)
        ratio = float(stats.truncnorm(lower, upper).std())
        assert found.stddev == pytest.approx(stddev / (ratio if after_cut else 1), rel=1e-9)
        assert found.moments()[1] == pytest.approx(stddev * (1 if after_cut else ratio), rel=1e-9)
        assert (found.lower, found.upper) == (lower, upper)


def test_the_cut_is_for_truncated_normals() -> None:
    for distribution in ("normal", "uniform"):
        for cut in ({"lower": -3.0}, {"upper": 3.0}, {"after_cut": False}):
            with pytest.raises(ValueError, match="must be left out unless the distribution is"):
                pi.VarianceScaling(1.0, "fan_in", distribution, **cut)
    with pytest.raises(ValueError, match="`lower` must be below `upper`"):
        pi.VarianceScaling(lower=3)
    init = pi.VarianceScaling(lower=-3, upper=3, seed=1)
    assert type(init).from_config(init.get_config()) == init != pi.VarianceScaling(seed=1)
    assert repr(init) == "VarianceScaling(seed=1, lower=-3.0, upper=3.0)"
    with pytest.raises(TypeError):
        pi.GlorotNormal(lower=-3)  # type: ignore[call-arg]
