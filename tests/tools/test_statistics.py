# SPDX-License-Identifier: Apache-2.0
"""Moments and ends of samples against NumPy and SciPy; verdicts on right and spoiled ones."""

import math

import numpy as np
import pytest

from philinit.distributions import TruncatedNormal, Uniform
from philinit.tools.measure import statistics
from philinit.tools.measure.statistics import Sample, observed, verdict
from philinit.tools.measure.theory import Moments


def sample(kind, size, dtype="float32"):
    """A sample by NumPy's generator: an answer from outside."""
    generator = np.random.Generator(np.random.PCG64(1))
    if kind == "uniform":
        return Uniform(-0.25, 0.25), generator.uniform(-0.25, 0.25, size).astype(dtype)
    x = generator.standard_normal(2 * size)
    return TruncatedNormal(0.0, 0.1), (0.1 * x[np.abs(x) < 2][:size]).astype(dtype)


@pytest.mark.parametrize("kind", ["uniform", "truncated"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("order", [2, 4])
def test_statistics_agree_with_numpy_over_several_blocks(kind, threads, order, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK", 10_007)
    _, x = sample(kind, 100_000)
    found = observed(x, threads, order=order)
    wide = x.astype(np.float64)
    assert found.size == 100_000
    assert found.moments.mean == pytest.approx(wide.mean(), abs=1e-15)
    assert found.moments.stddev == pytest.approx(wide.std(), rel=1e-12)
    assert (found.smallest, found.largest) == (wide.min(), wide.max())
    assert math.isnan(found.moments.kurtosis) is (order == 2)


def test_with_a_step_some_blocks_are_read(monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK", 1000)
    x = sample("uniform", 10_500)[1]
    found = observed(x, step=3)
    read = np.concatenate([x[i : i + 1000] for i in (0, 3000, 6000, 9000)]).astype(np.float64)
    assert found.size == 4000
    assert found.moments.mean == pytest.approx(read.mean(), abs=1e-15)
    assert found.largest == read.max()


def test_statistics_read_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = sample("uniform", 10_000)[1].astype(bfloat16)
    found = observed(x)
    assert found.largest == float(x.astype(np.float64).max())
    assert found.moments.mean == pytest.approx(x.astype(np.float64).mean(), abs=1e-15)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_moments_of_a_sample_are_scipys_over_several_blocks(dtype, monkeypatch):
    monkeypatch.setattr(statistics, "BLOCK", 1001)
    stats = pytest.importorskip("scipy.stats")
    x = np.random.Generator(np.random.PCG64(1)).gamma(2.0, size=10_000).astype(dtype)
    wide = x.astype(np.float64)
    found = observed(x).moments
    expected = (wide.mean(), wide.std(), stats.skew(wide), stats.kurtosis(wide) + 3)
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_moments_far_from_zero_keep_their_digits():
    stats = pytest.importorskip("scipy.stats")
    x = 1e6 + np.random.Generator(np.random.PCG64(1)).standard_normal(10_000)
    y = x - 1e6  # exact, and so are its moments
    expected = (1e6 + y.mean(), y.std(), stats.skew(y), stats.kurtosis(y) + 3)
    np.testing.assert_allclose(observed(x).moments, expected, rtol=1e-9)


def test_a_sample_without_spread_has_no_skewness():
    found = observed(np.full(10, 3.0, np.float32)).moments
    assert found[:2] == (3.0, 0.0)
    assert math.isnan(found.skewness)
    assert math.isnan(found.kurtosis)


def judged(x, wanted):
    found = verdict(observed(x, order=2), wanted, x.dtype.name)
    return {key for key in ("mean", "stddev", "min", "max") if not found[key + "_ok"]}


@pytest.mark.parametrize("kind", ["uniform", "truncated"])
def test_the_verdict_passes_a_true_sample(kind):
    wanted, x = sample(kind, 200_000)
    assert judged(x, wanted) == set()


@pytest.mark.parametrize("kind", ["uniform", "truncated"])
def test_the_verdict_fails_spoiled_samples(kind):
    wanted, x = sample(kind, 200_000)
    assert judged(x * np.float32(1.02), wanted) == {"stddev", "min", "max"}
    assert judged(x * np.float32(0.98), wanted) == {"stddev", "min", "max"}
    assert "mean" in judged(x + np.float32(0.003), wanted)
    inner = x[np.abs(x) < 0.95 * x.max()]
    assert {"min", "max"} <= judged(inner, wanted)


def test_the_verdict_uses_the_kurtosis_of_the_distribution():
    stats = pytest.importorskip("scipy.stats")
    kurtosis = stats.truncnorm(-2, 2).stats("k") + 3
    wanted = TruncatedNormal(0.0, 0.1)
    mean, stddev = wanted.moments()
    found = Sample(10_000, Moments(mean, stddev * 1.01, 0.0, 0.0), -0.2, 0.2)
    z = verdict(found, wanted, "float32")["z_stddev"]
    assert z == pytest.approx(0.01 * 2 * np.sqrt(10_000 / (kurtosis - 1)), rel=1e-9)


def test_a_number_that_is_none_is_off():
    wanted, x = sample("uniform", 1000)
    x[500] = np.nan
    assert judged(x, wanted) == {"mean", "stddev", "min", "max"}
