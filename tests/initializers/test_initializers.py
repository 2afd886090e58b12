# SPDX-License-Identifier: Apache-2.0
"""initializers: parameters from the papers, moments, shards, seeds, configs, bad input."""

from __future__ import annotations

import inspect
import json
import math
import pickle
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import philinit as pi
from philinit import distributions
from philinit.dtypes import BFLOAT16
from philinit.initializers import functions

DTYPES = ("float32", "float64", "float16", "bfloat16")
# Standard deviation of N(0, 1) cut at +-2, as in the source of TensorFlow and Keras.
CUT_AT_2 = 0.87962566103423978

RANDOM: list[Any] = [
    pi.VarianceScaling(0.7, "fan_geo_avg", "normal", seed=1),
    pi.VarianceScaling(in_axis=(0, 1), out_axis=2, seed=2),
    pi.GlorotUniform(seed=3),
    pi.GlorotNormal(seed=4, activation="tanh"),
    pi.HeUniform(seed=5, activation="leaky_relu", param=0.2),
    pi.HeNormal(seed=6),
    pi.LecunUniform(seed=7, gain=2.0),
    pi.LecunNormal(seed=8, names=("a", 3)),
    pi.Uniform(-1.0, 2.0, seed=9),
    pi.Normal(1.0, 0.5, seed=(1 << 128) - 1),
    pi.TruncatedNormal(0.5, 2.0, -1.0, math.inf, seed=-5),
]
OTHERS: list[Any] = [
    pi.Constant(0.25),
    pi.Zeros(),
    pi.Ones(),
    pi.Identity(2.0),
    pi.Orthogonal(1.5, seed=10),
]
ALL = RANDOM + OTHERS

free: Any = pi  # free of types, for what mypy would refuse


def name_of(value: Any) -> str:
    return type(value).__name__ if isinstance(value, pi.Initializer) else str(value)


def same(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())


# --- which distribution: formulas of the papers -------------------------------------------------

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
    drawn = init.distribution_for(SHAPE)
    kind = init.distribution
    if kind == "uniform":
        assert drawn.high == pytest.approx(math.sqrt(3 * variance), rel=1e-14)
    elif kind == "truncated_normal":
        assert drawn.stddev == pytest.approx(math.sqrt(variance) / CUT_AT_2, rel=1e-14)
        assert (drawn.lower, drawn.upper) == (-2.0, 2.0)
    assert type(drawn).__name__ == kind.title().replace("_", "")


def test_he_uniform_does_not_put_the_stddev_in_place_of_the_limit() -> None:
    assert pi.HeUniform().distribution_for((6, 9)) == distributions.Uniform(-1.0, 1.0)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (3, 0), (1,)])
def test_fans_below_one_count_as_one(shape: tuple[int, ...]) -> None:
    drawn = pi.LecunUniform(seed=1).distribution_for(shape)
    limit = 1.0 if shape == (3, 0) else math.sqrt(3.0)
    assert drawn.support() == (-limit, limit)
    assert pi.lecun_uniform(shape, seed=1).shape == shape


def test_axes_reach_the_fans() -> None:
    init = pi.LecunNormal(in_axis=(0, 1), out_axis=2)
    assert init.distribution_for((8, 64, 512)).moments()[1] == pytest.approx(512**-0.5)
    experts = pi.VarianceScaling(distribution="normal", batch_axis=0)
    assert experts.distribution_for((12, 64, 256)) == distributions.Normal(0.0, 0.125)


def test_plain_initializers_draw_what_they_say() -> None:
    for init, drawn in [
        (pi.Uniform(), distributions.Uniform(-0.05, 0.05)),
        (pi.Normal(), distributions.Normal(0.0, 0.05)),
        (pi.TruncatedNormal(), distributions.TruncatedNormal(0.0, 0.05, -2.0, 2.0)),
        (pi.TruncatedNormal(1, 2, -3, 4), distributions.TruncatedNormal(1.0, 2.0, -3.0, 4.0)),
    ]:
        assert init.distribution_for((2, 3)) == drawn
    assert pi.Zeros().distribution_for((2, 3)) is None
    assert pi.Orthogonal().distribution_for((2, 3)) is None


# --- the numbers: moments with computed bounds, each with a twin that must fail ------------------


def z_scores(sample: Any, mean: float, stddev: float, kurtosis: float) -> tuple[float, float]:
    """Standardized errors of the sample's mean and variance; N(0, 1) where all is right."""
    n, x = sample.size, sample.astype(np.float64).ravel() - mean
    spread = math.sqrt((kurtosis - 1.0) / n)
    return (
        float(x.mean()) * math.sqrt(n) / stddev,
        (float(np.mean(x * x)) / stddev**2 - 1.0) / spread,
    )


KURTOSIS = {
    "uniform": 1.8,
    "normal": 3.0,
    "truncated_normal": 2.3655,
}  # of +-2: scipy, tested below


def test_kurtosis_of_the_truncated_normal() -> None:
    stats = pytest.importorskip("scipy.stats")
    excess = float(stats.truncnorm(-2, 2).stats(moments="k"))
    assert KURTOSIS["truncated_normal"] == pytest.approx(3 + excess, rel=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("init", [i for i in RANDOM if hasattr(i, "distribution")][:8], ids=name_of)
def test_moments(init: Any, dtype: str) -> None:
    shape = (64, 8, 512)
    mean, stddev = init.distribution_for(shape).moments()
    w = init(shape, dtype)
    # bfloat16 rounds by up to 2**-8: relative variance 1 + 2**-16 / 3, far below the bound.
    kurtosis = KURTOSIS[init.distribution]
    assert max(map(abs, z_scores(w, mean, stddev, kurtosis))) < 4.5
    spoiled = w.astype(np.float64) * 1.02
    assert max(map(abs, z_scores(spoiled, mean, stddev, kurtosis))) > 4.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_stays_in_its_half_open_interval(dtype: str) -> None:
    w = pi.uniform((1 << 16,), dtype, low=-0.1, high=0.3, seed=1).astype(np.float64)
    assert -0.1 <= w.min() < -0.09
    assert 0.29 < w.max() < 0.3


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


# --- one interface ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_call_fill_and_out_write_the_same(init: Any, dtype: str) -> None:
    shape = (4, 3, 5) if not isinstance(init, pi.Identity) else (4, 6)
    w = init(shape, dtype)
    assert w.shape == shape
    assert w.dtype == (BFLOAT16() if dtype == "bfloat16" else np.dtype(dtype))
    assert w.ctypes.data % 64 == 0
    assert w.flags.c_contiguous
    assert w.flags.writeable
    assert same(init(shape, dtype), w)  # pure
    out = np.full(shape, 7, w.dtype)
    assert init(shape, out=out) is out
    assert same(out, w)
    out = np.full(shape, 7, w.dtype)
    assert init.fill(out, threads=1) is out
    assert same(out, w)
    assert same(pickle.loads(pickle.dumps(init))(shape, dtype, threads=2), w)


def test_float32_is_the_default_dtype() -> None:
    assert pi.GlorotUniform()((2, 2)).dtype == np.float32
    assert pi.zeros(3).dtype == np.float32


BOXES = [
    (slice(1, 3), slice(None), slice(2, 5)),
    (slice(2, 4),),
    (..., slice(1, 4)),
    (2, slice(1, 3)),
    (..., -1),
    (1, 2, 3),
    slice(2, 2),
    ...,
]


@pytest.mark.parametrize("index", BOXES, ids=str)
@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_a_shard_is_that_box_of_the_tensor(init: Any, index: Any) -> None:
    shape: tuple[int, ...] = (4, 3, 6)
    if isinstance(init, pi.Identity):
        shape = (9, 7)
        index = index[:2] if isinstance(index, tuple) else index
    expected = np.asarray(init(shape, "float64")[index])
    assert same(init.shard(shape, index, "float64"), expected)
    assert same(init(shape, "float64", shard=pi.Shard(shape, index)), expected)
    out = np.full(expected.shape, 7.0)
    assert init.fill(out, shard=pi.Shard(shape, index)) is out
    assert same(out, expected)


@given(st.data())
def test_any_shard_of_an_identity(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    index = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape
    )
    w = pi.Identity(3.0).shard(shape, index)
    assert w.tolist() == (3.0 * np.eye(*shape))[index].tolist()


def test_a_shard_far_beyond_two_to_the_32_needs_no_memory_for_the_rest() -> None:
    init, shape = pi.GlorotUniform(seed=42), (1 << 36, 1 << 26)
    row = (1 << 36) - 5
    w = init.shard(shape, (slice(row, row + 2), slice(3, 12)))
    expected = np.empty(9, np.float32)
    for i in range(2):
        offset = ((row + i) << 26) + 3
        pi.fill(expected, init.distribution_for(shape), pi.Key.from_seed(42), offset)
        assert same(w[i], expected)


@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_progress_ends_at_the_size_of_what_was_asked(init: Any) -> None:
    matrix = isinstance(init, pi.Identity)
    shape, index = ((6, 8), slice(1, 4)) if matrix else ((6, 2, 4), (slice(1, 4), slice(0, 1)))
    seen: list[tuple[int, int]] = []
    init(shape, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (48, 48)
    seen.clear()
    box = init.shard(shape, index, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (box.size, box.size)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {box.size}
    seen.clear()
    init((0, *shape[1:]), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 0)]


# --- rules as values: repr, config, equality, seeds, names --------------------------------------


@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_repr_config_and_pickle_round_trip(init: Any) -> None:
    for rule in (init, init.named("encoder/0/kernel").named(3)):
        assert eval(repr(rule), vars(pi) | {"float": float}) == rule
        config = json.loads(json.dumps(rule.get_config(), allow_nan=False))
        assert type(rule).from_config(config) == rule
        assert pickle.loads(pickle.dumps(rule)) == rule
        assert hash(type(rule).from_config(config)) == hash(rule)
        with pytest.raises(AttributeError):
            rule.anything = 1


def test_lists_from_json_are_as_good_as_tuples() -> None:
    init = pi.VarianceScaling(in_axis=[0, 1], out_axis=[2], batch_axis=[], names=["a"], seed=1)
    assert init == pi.VarianceScaling(in_axis=(0, 1), out_axis=(2,), names=("a",), seed=1)
    assert hash(init) == hash(
        pi.VarianceScaling(in_axis=(0, 1), out_axis=(2,), names=("a",), seed=1)
    )
    assert hash(pi.GlorotUniform(batch_axis=[], seed=1)) == hash(pi.GlorotUniform(seed=1))


def test_equality_is_that_of_rule_and_key() -> None:
    assert len(set(ALL)) == len(ALL)
    init = pi.HeNormal(seed=1)
    assert init == free.HeNormal(seed=np.int64(1))
    assert init != pi.HeNormal(seed=2)
    assert init != pi.HeUniform(seed=1)
    assert init != pi.HeNormal(seed=1, activation="relu")
    assert init != init.named("a")
    assert init != pi.HeNormal(seed=1, sampler="tensorflow")
    assert pi.Zeros() == pi.Zeros() != pi.Constant(0.0)


def test_repr_shows_what_differs_from_the_default() -> None:
    assert repr(pi.GlorotUniform(seed=42)) == "GlorotUniform(seed=42)"
    assert (
        repr(pi.HeNormal(seed=1, gain=2).named("a")) == "HeNormal(seed=1, names=('a',), gain=2.0)"
    )
    assert repr(pi.Ones()) == "Ones()"


def test_a_missing_seed_is_drawn_once_and_shown() -> None:
    init, other = pi.GlorotUniform(), pi.GlorotUniform()
    assert init.seed != other.seed
    assert init.seed is not None
    assert 0 <= init.seed < 1 << 128
    assert init.from_entropy
    assert repr(init) == f"GlorotUniform(seed={init.seed}, from_entropy=True)"
    assert eval(repr(init), vars(pi).copy()) == init == pi.GlorotUniform(seed=init.seed)
    assert same(init((5, 5)), init((5, 5)))
    assert same(init((5, 5)), pi.glorot_uniform((5, 5), seed=init.seed))
    assert init.named("a").from_entropy
    assert not same(pi.glorot_uniform((5, 5)), pi.glorot_uniform((5, 5)))


def test_the_key_is_that_of_the_seed_with_the_names_folded_in() -> None:
    init = pi.Normal(seed=42)
    assert init.key == pi.Key.from_seed(42)
    assert init.named("a").named(3).key == pi.Key.from_seed(42).fold_in("a").fold_in(3)
    assert init.named("a/3") != init.named("a").named(3)
    assert init.named("3").key != init.named(3).key
    expected = np.empty((3, 5), np.float32)
    pi.fill(expected, distributions.Normal(0.0, 0.05), pi.Key.from_seed(42).fold_in("a"))
    assert same(init.named("a")((3, 5)), expected)
    assert pi.Zeros().named("a") == pi.Zeros()
    assert pi.Zeros().key is None


def test_names_give_independent_values() -> None:
    a, b = (pi.Normal(0.0, 1.0, seed=1).named(name)((1 << 16,)) for name in ("a", "b"))
    z = float(np.mean(a.astype(np.float64) * b)) * math.sqrt(a.size)
    assert abs(z) < 4.5
    assert float(np.mean(a.astype(np.float64) * (b + 0.05 * a))) * math.sqrt(a.size) > 4.5


# --- functions ----------------------------------------------------------------------------------

PAIRS = [
    ("VarianceScaling", "variance_scaling"),
    ("GlorotUniform", "glorot_uniform"),
    ("GlorotNormal", "glorot_normal"),
    ("HeUniform", "he_uniform"),
    ("HeNormal", "he_normal"),
    ("LecunUniform", "lecun_uniform"),
    ("LecunNormal", "lecun_normal"),
    ("Uniform", "uniform"),
    ("Normal", "normal"),
    ("TruncatedNormal", "truncated_normal"),
    ("Constant", "constant"),
    ("Zeros", "zeros"),
    ("Ones", "ones"),
    ("Identity", "identity"),
    ("Orthogonal", "orthogonal"),
]


@pytest.mark.parametrize(("cls", "function"), PAIRS)
def test_a_function_takes_the_parameters_of_its_class_and_gives_its_values(
    cls: str, function: str
) -> None:
    make, call = getattr(pi, cls), getattr(pi, function)
    theirs = inspect.signature(make).parameters
    ours = inspect.signature(call).parameters
    assert {n: p.default for n, p in ours.items() if n not in ("shape", "dtype", "call")} == {
        n: p.default for n, p in theirs.items() if n not in ("names", "from_entropy")
    }
    seed = {"seed": 5} if "seed" in theirs else {}
    assert same(call((4, 6), "float64", **seed), make(**seed)((4, 6), "float64"))
    out = np.empty((2, 6), np.float16)
    assert call((4, 6), out=out, shard=slice(1, 3), threads=1, device="cpu", **seed) is out
    assert same(out, make(**seed)((4, 6), "float16")[1:3])


def test_every_function_and_alias_is_public() -> None:
    names = {n for n, f in vars(functions).items() if inspect.isfunction(f)}
    assert names == {f for _, f in PAIRS} | {
        f"{author}_{kind}" for author in ("xavier", "kaiming") for kind in ("uniform", "normal")
    }
    assert all(getattr(pi, name) is getattr(functions, name) for name in names)
    assert pi.xavier_uniform is pi.glorot_uniform
    assert pi.kaiming_normal is pi.he_normal
    assert pi.XavierNormal is pi.GlorotNormal
    assert pi.KaimingUniform is pi.HeUniform


# --- constants, identity, orthogonal ------------------------------------------------------------


@pytest.mark.parametrize("value", [0.1, -1 / 3, 1.0, 1e-7, 6e-8, 65504.0, 1 + 2**-9, 1 + 3 * 2**-9])
def test_constants_are_rounded_once_to_nearest_even(value: float) -> None:
    for dtype in (np.float32, np.float64, np.float16):
        assert pi.constant(3, dtype, value=value).tolist() == [float(dtype(value))] * 3
    # bfloat16 by exact arithmetic: 8 significant bits, ties to even (Python rounds so).
    step = Fraction(2) ** (math.frexp(value)[1] - 8)
    assert (
        pi.constant(3, "bfloat16", value=value).tolist()
        == [round(Fraction(value) / step) * step] * 3
    )


def test_a_constant_is_not_rounded_twice() -> None:
    value = 1 + 2**-8 + 2**-40  # float32 makes a tie of it, which would go down to 1
    assert float(pi.constant((), "bfloat16", value=value)) == 1 + 2**-7


@pytest.mark.parametrize(
    ("make", "dtype", "message"),
    [
        (
            lambda: pi.Constant(65505),
            "float16",
            "`value` must fit into float16, which ends at 65504.0",
        ),
        (lambda: pi.Constant(-1e39), "float32", "`value` must fit into float32"),
        (
            lambda: pi.Constant(1e-9),
            "float16",
            "`value` must not vanish in float16; got value=1e-09",
        ),
        (lambda: pi.Identity(1e6), "float16", "`gain` must fit into float16"),
        (lambda: pi.Orthogonal(1e6), "float16", "`gain` must fit into float16"),
    ],
)
def test_a_constant_the_dtype_cannot_hold(make: Any, dtype: str, message: str) -> None:
    out = np.full((2, 2), 7, dtype)
    with pytest.raises(ValueError, match=message):
        make().fill(out)
    assert (out == 7).all()


def test_negative_zero_keeps_its_sign() -> None:
    assert np.signbit(pi.constant((), value=-0.0))
    assert not np.signbit(pi.zeros(()))


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (0, 2)])
def test_identity(shape: tuple[int, int]) -> None:
    assert pi.identity(shape, gain=0.5).tolist() == (0.5 * np.eye(*shape)).tolist()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 2, 5), (2, 3, 4), (1, 1), (2, 0)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...], dtype: str) -> None:
    w = pi.orthogonal(shape, dtype, gain=2.0, seed=3).astype(np.float64)
    w = w.reshape(math.prod(shape[:-1]), shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    # Each entry sums at most 9 products, errors of a few units in the last place of gain**2.
    epsilon = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
    np.testing.assert_allclose(gram, 4.0 * np.eye(len(gram)), atol=4.0 * 9 * epsilon[dtype])


def test_orthogonal_is_the_qr_of_the_native_normal_with_positive_diagonal() -> None:
    a = np.empty((7, 4))
    pi.fill(a, distributions.Normal(), pi.Key.from_seed(3))
    w = pi.orthogonal((7, 4), "float64", seed=3)
    r = w.T @ a
    assert (np.diagonal(r) > 0).all()
    np.testing.assert_allclose(np.tril(r, -1), 0.0, atol=1e-13)
    np.testing.assert_allclose(w @ r, a, atol=1e-13)


def test_orthogonal_favors_no_sign() -> None:
    """Without the sign fix LAPACK's Q[0, 0] has one sign only."""
    positive = sum(float(pi.orthogonal((3, 3), "float64", seed=s)[0, 0]) > 0 for s in range(400))
    assert abs(positive - 200) < 4.5 * 10  # binomial, stddev 10


# --- bad input: a sentence, and nothing written -------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: free.VarianceScaling(-1.0),
            ValueError,
            "`scale` must be positive; got scale=-1.0",
        ),
        (lambda: free.VarianceScaling(0), ValueError, "`scale` must be positive; got scale=0.0"),
        (
            lambda: free.VarianceScaling(math.nan),
            ValueError,
            "`scale` must be finite; got scale=nan",
        ),
        (
            lambda: free.VarianceScaling(math.inf),
            ValueError,
            "`scale` must be finite; got scale=inf",
        ),
        (
            lambda: free.VarianceScaling("1"),
            TypeError,
            "`scale` must be a real number; got scale='1'",
        ),
        (
            lambda: free.VarianceScaling(True),
            TypeError,
            "`scale` must be a real number; got scale=True",
        ),
        (
            lambda: free.VarianceScaling(mode="fan"),
            ValueError,
            "`mode` must be one of fan_in, fan_out,",
        ),
        (
            lambda: free.VarianceScaling(mode=None),
            TypeError,
            "`mode` must be a str; got mode=None",
        ),
        (
            lambda: free.VarianceScaling(distribution="untruncated_normal"),
            ValueError,
            "`distribution` must be one of uniform, normal, truncated_normal; "
            "got distribution='untruncated_normal'",
        ),
        (
            lambda: free.VarianceScaling(in_axis=0.0),
            TypeError,
            "`in_axis` must be an int or a sequence",
        ),
        (lambda: free.HeNormal(in_axis=(1, 1)), ValueError, "`in_axis` must not repeat an axis"),
        (
            lambda: free.HeNormal(in_axis=-1),
            ValueError,
            "`in_axis` and `out_axis` must not share an axis",
        ),
        (lambda: free.HeNormal(gain=0), ValueError, "`gain` must be positive; got gain=0.0"),
        (
            lambda: free.HeNormal(gain=math.nan),
            ValueError,
            "`gain` must be finite; got gain=nan",
        ),
        (lambda: free.HeNormal(gain=1e200), ValueError, "`scale` must be finite; got scale=inf"),
        (
            lambda: free.HeNormal(gain=2.0, activation="relu"),
            ValueError,
            "`gain` and `activation` must not both be given; got gain=2.0, activation='relu'",
        ),
        (lambda: free.HeNormal(activation="geglu"), ValueError, "`activation` must be one of"),
        (
            lambda: free.HeNormal(activation="relu", param=1),
            ValueError,
            "`param` must be left out for relu",
        ),
        (
            lambda: free.HeNormal(param=0.1),
            ValueError,
            "`param` must come with `activation`; got param=0.1",
        ),
        (
            lambda: free.HeNormal(seed=1.0),
            TypeError,
            "`seed` must be an int or None; got seed=1.0",
        ),
        (
            lambda: free.HeNormal(seed=True),
            TypeError,
            "`seed` must be an int or None; got seed=True",
        ),
        (
            lambda: free.HeNormal(seed=1 << 128),
            ValueError,
            "`seed` must lie in [-2**127, 2**128)",
        ),
        (
            lambda: free.HeNormal(seed=-(1 << 127) - 1),
            ValueError,
            "`seed` must lie in [-2**127, 2**128)",
        ),
        (lambda: free.HeNormal(sampler="numpy"), ValueError, "`sampler` must be"),
        (
            lambda: free.HeNormal(names="a"),
            TypeError,
            "`names` must be a sequence of str and int; got names='a'",
        ),
        (
            lambda: free.HeNormal().named(1.5),
            TypeError,
            "`names` must be a sequence of str and int",
        ),
        (
            lambda: free.HeNormal(from_entropy=1),
            TypeError,
            "`from_entropy` must be a bool; got from_entropy=1",
        ),
        (lambda: free.HeNormal(42), TypeError, "positional"),
        (
            lambda: free.Uniform(1.0, 1.0),
            ValueError,
            "`low` must be below `high`; got low=1.0, high=1.0",
        ),
        (lambda: free.Uniform(-1e308, 1e308), ValueError, "`high - low` must not overflow"),
        (
            lambda: free.Normal(stddev=-1.0),
            ValueError,
            "`stddev` must not be negative; got stddev=-1.0",
        ),
        (lambda: free.Normal(math.inf), ValueError, "`mean` must be finite; got mean=inf"),
        (
            lambda: free.TruncatedNormal(lower=2, upper=1),
            ValueError,
            "`lower` must be below `upper`",
        ),
        (lambda: free.Constant(math.nan), ValueError, "`value` must be finite; got value=nan"),
        (lambda: free.Constant("1"), TypeError, "`value` must be a real number; got value='1'"),
        (lambda: free.Identity(math.inf), ValueError, "`gain` must be finite; got gain=inf"),
        (
            lambda: free.Orthogonal(None),
            TypeError,
            "`gain` must be a real number; got gain=None",
        ),
        (lambda: pi.Initializer()((2,)), NotImplementedError, "`Initializer` is abstract"),
    ],
)
def test_bad_parameters_fail_when_the_initializer_is_made(
    make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    "init", [pi.GlorotUniform(seed=1), pi.Ones(), pi.Orthogonal()], ids=name_of
)
@pytest.mark.parametrize(
    ("shape", "keywords", "error", "message"),
    [
        ((2, -3), {}, ValueError, "`shape` must not hold negative dimensions; got shape=(2, -3)"),
        ((2.0, 3), {}, TypeError, "`shape` must hold ints only; got 2.0 of type float"),
        ((2, 3), {"dtype": "int32"}, ValueError, "`dtype` must be one of float32"),
        ((2, 3), {"dtype": "complex64"}, ValueError, "`dtype` must be one of float32"),
        ((2, 3), {"dtype": 7}, TypeError, "`dtype` must be one of float32"),
        ((2, 3), {"dtype": "float64"}, ValueError, "`dtype` must be that of `out` or left out"),
        (
            (3, 2),
            {},
            ValueError,
            "`out` must have the shape asked for; got out of shape (2, 3) for (3, 2)",
        ),
        ((2, 3), {"device": "tpu"}, ValueError, "`device` must be"),
        ((2, 3), {"threads": 0}, ValueError, "`threads` must be at least 1; got threads=0"),
        ((2, 3), {"threads": 1.5}, TypeError, "`threads` must be an int"),
        ((2, 3), {"progress": 1}, TypeError, "`progress` must be callable"),
        ((4, 3), {"shard": slice(1, 5)}, ValueError, "`index` must stay inside the global shape"),
        ((4, 3), {"shard": slice(1, 4)}, ValueError, "`out` must have the shape asked for"),
        (
            (4, 3),
            {"shard": pi.Shard((5, 3), slice(0, 2))},
            ValueError,
            "`shape` must be the global shape of `shard`; got shape=(4, 3)",
        ),
        (
            (4, 4),
            {"shard": (slice(0, 2), slice(0, 3)), "progress": 1},
            TypeError,
            "`progress` must be",
        ),
    ],
)
def test_bad_calls_write_nothing(
    init: Any, shape: Any, keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    out = np.full((2, 3), 7, np.float32)
    with pytest.raises(error, match=re.escape(message)):
        init(shape, out=out, **keywords)
    assert (out == 7).all()


def test_bad_out() -> None:
    read_only = np.zeros((2, 3), np.float32)
    read_only.flags.writeable = False
    for out in (read_only, np.zeros((3, 2), np.float32).T, np.zeros((2, 3), np.int32)):
        for init in ALL[2], pi.Ones():
            with pytest.raises(ValueError, match="`out` must"):
                init((2, 3), out=out)
            with pytest.raises(ValueError, match="`out` must"):
                init.fill(out)


def test_fill_needs_a_whole_shard_to_know_the_global_shape() -> None:
    out = np.empty((2, 3), np.float32)
    with pytest.raises(TypeError, match=re.escape("`shard` must be a Shard(global_shape, index)")):
        pi.GlorotUniform().fill(out, shard=slice(1, 3))  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="`out` must have the shape of the shard; got out of shape"
    ):
        pi.GlorotUniform().fill(out, shard=pi.Shard((4, 3), slice(1, 4)))


def test_shapes_without_the_axes_that_a_matrix_needs() -> None:
    with pytest.raises(
        ValueError, match="`shape` must have at least 2 axes for an orthogonal matrix"
    ):
        pi.orthogonal((3,))
    with pytest.raises(ValueError, match="`shape` must have 2 axes for an identity matrix"):
        pi.identity((3, 3, 3))
    with pytest.raises(ValueError, match=re.escape("`in_axis` must lie in [-2, 2)")):
        pi.glorot_uniform((3, 3), in_axis=2)


def test_unknown_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="sed"):
        pi.glorot_uniform((3, 3), sed=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="gian"):
        pi.HeNormal.from_config({"gian": 1.0})
