# SPDX-License-Identifier: Apache-2.0
"""Moments, distribution and independence of the weights, each with a spoiled twin that must fail.

Keys are fixed, so a test passes always or never. Every bound comes from the sample size: |z| < 4.5
has a chance of 7e-6 for a true null hypothesis, the Kolmogorov-Smirnov and chi-square tests take
ALPHA.
"""

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from scipy import stats

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling.fill import fill
from philinit.keys import Key

Array = np.ndarray[Any, Any]

COUNT = 1 << 19
ALPHA = 1e-6
Z = 4.5
KEY = Key.from_seed(20250101)
INF = math.inf

DISTRIBUTIONS: list[Distribution] = [
    *(Uniform(), Uniform(-0.05, 0.05), Uniform(-3.0, 2.5), Normal(), Normal(0.0, 0.02)),
    *(Normal(1.5, 0.3), TruncatedNormal(), TruncatedNormal(0.0, 0.02), TruncatedNormal(1.0, 0.5)),
    *(TruncatedNormal(0.0, 0.1, *b) for b in ((-3, 3), (0, INF), (1, 1.5), (-1, 4), (4, 6))),
]
by_distribution = pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=str)
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def sample(d: Distribution, dtype: Any, count: int = COUNT, offset: int = 0) -> Array:
    return fill(np.empty(count, dtype), d, KEY, offset).astype(np.float64)


def law(d: Distribution) -> Any:
    """The exact distribution, by scipy."""
    if isinstance(d, Uniform):
        return stats.uniform(d.low, d.high - d.low)
    if isinstance(d, TruncatedNormal):
        return stats.truncnorm(d.lower, d.upper, d.mean, d.stddev)
    return stats.norm(d.mean, d.stddev)


NODES, WEIGHTS = np.polynomial.legendre.leggauss(300)


def central_moments(d: Distribution, highest: int) -> list[float]:
    """E[z**j], z the standardized number, by quadrature (Gauss-Legendre) of the density."""
    exact = law(d)
    low, high = d.support()
    if isinstance(d, Normal):  # 14 stddev: 1e-44 of the normal
        low, high = max(low, d.mean - 14 * d.stddev), min(high, d.mean + 14 * d.stddev)
    x = (high + low) / 2 + (high - low) / 2 * NODES
    density = exact.pdf(x) * (high - low) / 2 * WEIGHTS
    z = (x - exact.mean()) / exact.std()
    return [float(np.sum(density * z**j)) for j in range(highest + 1)]


def moment_scores(x: Array, d: Distribution) -> dict[str, float]:
    """z-scores of the first four moments of the standardized sample, from its size."""
    exact = law(d)
    z = (x - exact.mean()) / exact.std()
    m = central_moments(d, 8)
    assert m[:3] == pytest.approx([1, 0, 1], abs=1e-6)  # the quadrature and scipy agree
    names = {1: "mean", 2: "std", 3: "skew", 4: "kurtosis"}
    return {
        name: float((np.mean(z**j) - m[j]) / math.sqrt((m[2 * j] - m[j] ** 2) / x.size))
        for j, name in names.items()
    }


def worst_score(x: Array, d: Distribution) -> float:
    return max(abs(z) for z in moment_scores(x, d).values())


def ks_p_value(x: Array, d: Distribution) -> float:
    return float(stats.kstest(x[: 1 << 16], law(d).cdf).pvalue)


# --- moments and distribution functions ----------------------------------------------------------


@by_dtype
@by_distribution
def test_moments(distribution: Distribution, dtype: str) -> None:
    assert worst_score(sample(distribution, dtype), distribution) < Z


@by_distribution
def test_moments_of_the_description(distribution: Distribution) -> None:
    mean, stddev = distribution.moments()
    exact = law(distribution)
    assert mean == pytest.approx(exact.mean(), rel=1e-9, abs=1e-12)
    assert stddev == pytest.approx(exact.std(), rel=1e-7)


@by_distribution
def test_moments_would_catch_two_percent_and_a_shift(distribution: Distribution) -> None:
    x, exact = sample(distribution, "float32"), law(distribution)
    assert worst_score(exact.mean() + (x - exact.mean()) * 1.02, distribution) > Z
    assert worst_score(x + 0.02 * exact.std(), distribution) > Z


@by_dtype
@by_distribution
def test_kolmogorov_smirnov(distribution: Distribution, dtype: str) -> None:
    assert ks_p_value(sample(distribution, dtype, 1 << 16), distribution) > ALPHA


@by_distribution
def test_kolmogorov_smirnov_would_catch_a_shift_and_a_scale(distribution: Distribution) -> None:
    x, exact = sample(distribution, "float32", 1 << 16), law(distribution)
    assert ks_p_value(x + 0.05 * exact.std(), distribution) < ALPHA
    assert ks_p_value(exact.mean() + (x - exact.mean()) * 1.1, distribution) < ALPHA


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (TruncatedNormal(0, 1, -2, 2), TruncatedNormal(0, 1, -1.8, 1.8)),
        (TruncatedNormal(0, 1, 1, 1.5), TruncatedNormal(0, 1, 1, 1.55)),
        (TruncatedNormal(0, 1, 0, INF), TruncatedNormal(0, 1, 0.03, INF)),
        (Normal(), TruncatedNormal(0, 1, -2.2, 2.2)),
    ],
    ids=str,
)
def test_statistics_would_catch_wrong_bounds(right: Distribution, wrong: Distribution) -> None:
    x = sample(wrong, "float32")
    assert worst_score(x, right) > Z
    assert worst_score(x, wrong) < Z
    assert ks_p_value(x, right) < ALPHA


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "distribution", [Uniform(-0.05, 0.05), Normal(0, 0.02), TruncatedNormal(0, 0.02)], ids=str
)
def test_moments_in_16_bits(distribution: Distribution, dtype: str) -> None:
    """Rounding to nearest is symmetric: mean and skew stay; the variance grows by less than 1e-5.

    The share of the standard deviation is step**2 / 12 <= (2**-8)**2 / 12 of x**2 in bfloat16.
    """
    kind = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    scores = moment_scores(sample(distribution, kind), distribution)
    assert all(abs(scores[name]) < Z for name in ("mean", "std", "skew"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "distribution", [Uniform(-0.05, 0.05), Normal(1.5, 0.3), TruncatedNormal(0, 0.02)], ids=str
)
def test_moments_of_the_tensorflow_sampler(distribution: Distribution, dtype: str) -> None:
    """Its 23 bits leave the uniform mean 2**-24 of the range too low: that is too little to see."""
    x = fill(np.empty(COUNT, dtype), distribution, KEY, sampler="tensorflow").astype(np.float64)
    assert worst_score(x, distribution) < Z
    assert ks_p_value(x, distribution) > ALPHA
    assert worst_score(x[: COUNT // 2] * 1.02, distribution) > Z


def test_16_bit_rounding_would_be_caught_if_it_cut_off() -> None:
    x = sample(Uniform(0.0, 1.0), "float32", 1 << 21).astype(np.float32)
    cut = (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    assert worst_score(cut.astype(np.float64), Uniform(0.0, 1.0)) > Z


# --- tails ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tail_counts_of_the_normal(dtype: str) -> None:
    """Numbers beyond 3, 3.5, 4 and 4.5 stddev: Poisson counts around n 2 (1 - Phi)."""
    x = np.abs(sample(Normal(), dtype, 1 << 22))
    for bound in (3.0, 3.5, 4.0, 4.5):
        mu = x.size * math.erfc(bound / math.sqrt(2))
        found = np.count_nonzero(x > bound)
        low, high = stats.poisson.interval(1 - ALPHA, mu)
        assert low <= found <= high, bound
        spoiled = np.count_nonzero(x * 1.15 > bound)
        assert not low <= spoiled <= high, bound


# --- independence --------------------------------------------------------------------------------


def correlation_score(a: Array, b: Array) -> float:
    """Correlation times sqrt(n): standard normal for independent numbers."""
    a, b = a - a.mean(), b - b.mean()
    return float(
        np.sum(a * b) / math.sqrt(float(np.sum(a * a) * np.sum(b * b))) * math.sqrt(a.size)
    )


SERIES: dict[str, Distribution] = {
    "uniform": Uniform(),
    "normal": Normal(),
    "cut": TruncatedNormal(),
}


@by_dtype
@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 16, 64, 256, 2048, 32768])
@pytest.mark.parametrize("name", SERIES)
def test_serial_correlation(name: str, lag: int, dtype: str) -> None:
    x = sample(SERIES[name], dtype, 1 << 18)
    assert abs(correlation_score(x[:-lag], x[lag:])) < Z
    assert abs(correlation_score(np.abs(x[:-lag]), np.abs(x[lag:]))) < Z
    spoiled = x.copy()
    spoiled[lag:] += 0.02 * x[:-lag]
    assert abs(correlation_score(spoiled[:-lag], spoiled[lag:])) > Z


@by_dtype
def test_lanes_are_uncorrelated_and_alike(dtype: str) -> None:
    lanes = sample(Normal(), dtype, 1 << 20).reshape(-1, 64)
    table = np.corrcoef(lanes.T) * math.sqrt(lanes.shape[0])
    np.fill_diagonal(table, 0)
    assert np.abs(table).max() < Z + 1  # the largest of 2016: 2016 * 3.8e-8 = 8e-5
    means = lanes.mean(axis=0) * math.sqrt(lanes.shape[0])
    assert np.abs(means).max() < Z
    assert lane_chi_square(lanes) > ALPHA


def lane_chi_square(lanes: Array) -> float:
    """p-value of all lanes having variance 1: the sum of squares is normal for many numbers."""
    n = lanes.shape[0]
    scores = (np.sum(lanes**2, axis=0) - n) / math.sqrt(2 * n)
    return float(stats.chi2.sf(np.sum(scores**2), scores.size))


def test_lanes_would_catch_a_constant_lane_and_a_copied_one() -> None:
    lanes = sample(Normal(), "float32", 1 << 20).reshape(-1, 64)
    constant = lanes.copy()
    constant[:, 5] = 0.5
    assert lane_chi_square(constant) < ALPHA
    copied = lanes.copy()
    copied[:, 9] = copied[:, 3]
    assert abs(np.corrcoef(copied.T)[3, 9]) * math.sqrt(lanes.shape[0]) > Z + 1


def test_streams_of_neighboring_seeds_and_names_are_uncorrelated() -> None:
    keys = [Key.from_seed(s) for s in range(8)] + [KEY.fold_in(i) for i in range(8)]
    streams = [fill(np.empty(1 << 15, np.float32), Normal(), k).astype(np.float64) for k in keys]
    for i, a in enumerate(streams):
        for b in streams[:i]:
            assert abs(correlation_score(a, b)) < Z
    assert abs(correlation_score(streams[0], streams[0] + streams[1])) > Z


# --- bytes ---------------------------------------------------------------------------------------


def bytes_p_value(data: Array) -> float:
    counts = np.bincount(data, minlength=256)
    return float(stats.chisquare(counts).pvalue)


def random_bytes() -> Array:
    """The upper three bytes of the words, read back from uniform float64 numbers."""
    x = sample(Uniform(), "float64", 1 << 18)
    return np.stack([np.floor(x * 2.0 ** (8 * i)) % 256 for i in (1, 2, 3)], 1).astype(np.int64)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_bytes_are_uniform(position: int) -> None:
    data = random_bytes()[:, position]
    p = bytes_p_value(data)
    assert ALPHA < p < 1 - ALPHA
    spoiled = data.copy()
    spoiled[::50] = 7
    assert bytes_p_value(spoiled) < ALPHA


def test_pairs_of_bytes_are_uniform() -> None:
    data = random_bytes()
    both = data[:-1, 0] // 4 * 64 + data[1:, 0] // 4
    p = float(stats.chisquare(np.bincount(both, minlength=4096)).pvalue)
    assert ALPHA < p < 1 - ALPHA
    spoiled = np.sort(data[:, 0].reshape(-1, 2), 1).ravel()
    both = spoiled[:-1] // 4 * 64 + spoiled[1:] // 4
    assert float(stats.chisquare(np.bincount(both, minlength=4096)).pvalue) < ALPHA
