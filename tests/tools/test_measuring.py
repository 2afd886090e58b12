# SPDX-License-Identifier: Apache-2.0
"""What demo and benchmarks measure with: statistics, verdicts, peaks of memory, memset."""

from pathlib import Path

import numpy as np
import pytest

from philinit.distributions import TruncatedNormal, Uniform
from philinit.tools.measure import measuring as _measuring


def sample(kind, size, dtype="float32"):
    """A sample by NumPy's generator: an answer from outside."""
    generator = np.random.Generator(np.random.PCG64(1))
    if kind == "uniform":
        return Uniform(-0.25, 0.25), generator.uniform(-0.25, 0.25, size).astype(dtype)
    x = generator.standard_normal(2 * size)
    return TruncatedNormal(0.0, 0.1), (0.1 * x[np.abs(x) < 2][:size]).astype(dtype)


@pytest.mark.parametrize("kind", ["uniform", "truncated"])
@pytest.mark.parametrize("threads", [1, 3])
def test_statistics_agree_with_numpy_over_several_blocks(kind, threads, monkeypatch):
    monkeypatch.setattr(_measuring, "BLOCK", 10_007)
    _, x = sample(kind, 100_000)
    found = _measuring.statistics(x, threads)
    wide = x.astype(np.float64)
    assert found["mean"] == pytest.approx(wide.mean(), abs=1e-15)
    assert found["stddev"] == pytest.approx(wide.std(), rel=1e-12)
    assert (found["min"], found["max"]) == (wide.min(), wide.max())


def test_statistics_read_bfloat16():
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = sample("uniform", 10_000)[1].astype(bfloat16)
    found = _measuring.statistics(x, 1)
    assert found["max"] == float(x.astype(np.float64).max())
    assert found["mean"] == pytest.approx(x.astype(np.float64).mean(), abs=1e-15)


def judged(x, wanted):
    found = _measuring.statistics(x, 1)
    verdict = _measuring.verdict(found, wanted, x.size, x.dtype.name)
    return {key for key in ("mean", "stddev", "min", "max") if not verdict[key + "_ok"]}


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
    found = {"mean": mean, "stddev": stddev * 1.01, "min": -0.2, "max": 0.2}
    z = _measuring.verdict(found, wanted, 10_000, "float32")["z_stddev"]
    assert z == pytest.approx(0.01 * 2 * np.sqrt(10_000 / (kurtosis - 1)), rel=1e-9)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_peak_sees_memory_that_was_given_back():
    size = 64 << 20
    with _measuring.Peak() as peak:
        np.ones(size, np.uint8)
    if peak.extra is None:
        pytest.skip("this system does not let a process reset its peak")
    slack = 8 << 20  # the kernel counts resident pages in batches
    assert size - slack < peak.extra < size + slack
    with _measuring.Peak() as idle:
        pass
    assert idle.extra < slack


def test_memset_rates_are_rates():
    rates = _measuring.memset_rates(1 << 22, 2)
    assert set(rates) == {"fresh", "resident"}
    assert all(1e6 < rate < 1e13 for rate in rates.values())
