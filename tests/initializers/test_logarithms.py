# SPDX-License-Identifier: Apache-2.0
"""LogUniform, UniformLogarithm, LogRange: accuracy, intervals, moments, shards, fixed bits."""

from __future__ import annotations

import json
import math
from typing import Any

import mpmath
import numpy as np
import pytest

import philinit as pi
from philinit import distributions
from philinit.initializers import elementary
from philinit.initializers.models import (
    LogRange,
    LogUniform,
    ParameterMap,
    Parts,
    UniformLogarithm,
    dry_run,
    initialize,
)
from tests.support.initializers import DTYPES, EVERY, same
from tests.support.processes import run_json

ALL: list[Any] = [
    LogUniform(seed=1),
    LogUniform(0.5, 30.0, seed=2, names=("a", 3)),
    LogUniform(1e-4, 0.1, inverse_softplus=True, seed=3),
    UniformLogarithm(seed=4),
    LogRange(),
]


def name_of(init: Any) -> str:
    return repr(init)


def check_ulps(got: Any, exact: list[Any], most: float) -> None:
    for value, true in zip(got.tolist(), exact, strict=True):
        assert abs(value - true) <= most * mpmath.mpf(math.ulp(float(true)))


def test_exp_and_log_err_by_a_few_units() -> None:
    numbers = np.random.default_rng(1)
    with mpmath.workprec(200):
        x = np.concatenate([numbers.uniform(-660, 660, 800), numbers.uniform(-1, 1, 800)])
        check_ulps(elementary.exp(x), [mpmath.exp(mpmath.mpf(v)) for v in x.tolist()], 2)
        y = np.concatenate([np.exp(x), 1 + numbers.uniform(-1e-3, 1e-3, 800), [0.5, 1.0, 2.0]])
        check_ulps(elementary.log(y), [mpmath.log(mpmath.mpf(v)) for v in y.tolist()], 4)
        z = np.concatenate([np.exp(numbers.uniform(-600, 6, 1600)), [0.35, 0.35 + 1e-16]])
        check_ulps(elementary.expm1(z), [mpmath.expm1(mpmath.mpf(v)) for v in z.tolist()], 4)
    for value in (1e-300, 0.1, 1.0, 3.0, 1e300):
        assert elementary.ln(value) == float(mpmath.log(mpmath.mpf(value)))


@pytest.mark.parametrize("init", ALL, ids=name_of)
@pytest.mark.parametrize("dtype", EVERY)
def test_g1_shards_and_rows_are_those_of_the_whole(init: Any, dtype: str) -> None:
    shape = (6, 7, 5)
    whole = init(shape, dtype)
    for index in [np.s_[1:5, 2:6, 1:4], np.s_[2], np.s_[:, 3, 0:2], np.s_[0:0]]:
        assert same(init.shard(shape, index, dtype), whole[index])
    ids = np.array([[5, 0], [0, 3]])
    assert same(init.rows(shape, ids, dtype), whole[ids])
    assert same(init.rows((7,), [3, 1, 3], dtype), init((7,), dtype)[[3, 1, 3]])
    assert type(init).from_config(json.loads(json.dumps(init.get_config()))) == init


def test_values_are_those_of_the_uniform_numbers() -> None:
    """exp and log of philinit's own float64 draws, by mpmath."""
    for init, low, high, function in [
        (LogUniform(seed=5), math.log(0.001), math.log(0.1), mpmath.exp),
        (UniformLogarithm(seed=5), 1.0, 16.0, mpmath.log),
        (
            LogUniform(inverse_softplus=True, seed=5),
            math.log(0.001),
            math.log(0.1),
            lambda u: mpmath.log(mpmath.expm1(mpmath.exp(u))),
        ),
    ]:
        drawn = np.empty(300, np.float64)
        pi.fill(drawn, distributions.Uniform(low, high), pi.Key.from_seed(5))
        expected = [float(function(mpmath.mpf(u))) for u in drawn.tolist()]
        np.testing.assert_allclose(init((300,), "float64"), expected, rtol=1e-14)
        np.testing.assert_array_equal(init((300,)), np.array(expected, np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("low", "high"), [(0.001, 0.1), (0.3, 0.31), (1.0, 1000.0)])
def test_g6_weights_stay_in_the_interval(low: float, high: float, dtype: str) -> None:
    w = LogUniform(low, high, seed=1)((1 << 17,), dtype).astype(np.float64)
    assert low <= w.min() and w.max() < high
    assert w.min() < low * 1.01 and w.max() > high * 0.98


@pytest.mark.parametrize("dtype", EVERY[4:])
def test_g6_weights_of_float8_stay_in_the_interval(dtype: str) -> None:
    w = LogUniform(0.03, 1.0, seed=1)((1 << 17,), dtype).astype(np.float64)
    ends = {"float8_e4m3fn": (0.03125, 0.9375), "float8_e5m2fnuz": (0.03125, 0.875)}
    assert (w.min(), w.max()) == ends[dtype]


def test_g8_an_interval_without_a_number_is_refused() -> None:
    out = np.zeros(3, pi.dtypes.as_dtype("float8_e4m3fn"))
    with pytest.raises(ValueError, match="must hold at least one number of float8_e4m3fn; got Log"):
        LogUniform(0.3, 0.31, seed=1).fill(out)
    assert (out == 0).all()


def test_moments_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    reciprocal = stats.loguniform(0.001, 0.1)
    found = LogUniform().moments()
    assert found == pytest.approx((reciprocal.mean(), reciprocal.std()), rel=1e-9)
    w = LogUniform(seed=1)((1 << 18,), "float64")
    assert (w.mean(), w.std()) == pytest.approx(found, rel=0.01)
    assert stats.kstest(w[: 1 << 14], reciprocal.cdf).pvalue > 1e-4
    w = UniformLogarithm(seed=1)((1 << 18,), "float64")
    assert (w.mean(), w.std()) == pytest.approx(UniformLogarithm().moments(), rel=0.01)
    assert stats.kstest(np.exp(w[: 1 << 14]), stats.uniform(1, 15).cdf).pvalue > 1e-4
    w = LogUniform(inverse_softplus=True, seed=1)((1 << 14,), "float64")
    assert stats.kstest(np.log1p(np.exp(w)), reciprocal.cdf).pvalue > 1e-4


def test_a_range_of_logarithms() -> None:
    w = LogRange()((3, 16))
    np.testing.assert_array_equal(w, np.log(np.arange(1, 17)).astype(np.float32)[None].repeat(3, 0))
    assert LogRange()((4,), "float64")[1] == math.log(2)


BITS = [
    "1bf3b1fa8fc34694",
    "4271aefab12952f0",
    "caf490db5d9e2c0a",
    "058657d4d6f79396",
    "6226f9689d8feb1d",
]

DIGESTS = """
import hashlib, json
from tests.initializers.test_logarithms import ALL
made = [init((1000, 16), "float64").tobytes() for init in ALL]
print(json.dumps([hashlib.sha256(data).hexdigest()[:16] for data in made]))
"""


def test_g2_bits_are_fixed_and_those_of_other_processors() -> None:
    """NumPy's additions and multiplications are all that makes them, with AVX and without."""
    known: Any = (getattr(np, "_core", None) or np.core)._multiarray_umath  # NumPy 2 or 1
    features = [name for name in known.__cpu_dispatch__ if known.__cpu_features__[name]]
    for disabled in ("", " ".join(features)):
        assert run_json(DIGESTS, env={"NPY_DISABLE_CPU_FEATURES": disabled or None}) == BITS


def test_in_a_map_of_names() -> None:
    parameters = ParameterMap({
        "*.dt": LogUniform(inverse_softplus=True), "*.A": Parts([LogRange(), LogUniform()]),
        "*": LogUniform(),
    })  # fmt: skip
    assert ParameterMap.from_json(parameters.to_json()) == parameters
    weights = {name: np.empty((64, 64), np.float32) for name in ("x.dt", "x.A", "y")}
    initialize(weights, parameters, seed=3)
    assert same(weights["y"], LogUniform(seed=3).named("y")((64, 64)))
    row = dry_run(weights, parameters, seed=3).observed().rows()[-1]
    assert row["observed_mean"] == pytest.approx(row["mean"], rel=0.1)


def test_progress_and_threads() -> None:
    calls: list[Any] = []
    init = LogUniform(seed=1)
    w = init((3, 50_000), threads=2, progress=lambda *c: calls.append(c))
    assert same(w, init((3, 50_000))) and calls[-1] == (150_000, 150_000) and len(calls) == 3
    init((0, 3), progress=lambda *c: calls.append(c))
    assert calls[-1] == (0, 0)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: LogUniform(0.0, 1.0), "`low` must be positive"),
        (lambda: LogUniform(2.0, 1.0), "`low` must be below `high`"),
        (lambda: LogUniform(1.0, 1e3, inverse_softplus=True), "`low` and `high` must be well"),
        (lambda: LogUniform(1.0, 1e300), "`low` and `high` must be well inside"),
        (lambda: UniformLogarithm(-1.0, 1.0), "`low` must be positive"),
        (lambda: LogUniform(1.0, 1e39, seed=1)(3), "must stay below 3.40282e"),
        (lambda: LogUniform(1.0, 1e5, seed=1)(3, "float16"), "must stay below 65504"),
        (lambda: LogRange()(()), "`shape` must have an axis"),
    ],
)
def test_numbers_that_are_refused(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make()
