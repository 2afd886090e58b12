# SPDX-License-Identifier: Apache-2.0
"""Plans: what a dtype cannot hold is refused in one sentence, before a byte is written."""

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pytest

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling.fill import fill
from philinit.kernels.plan import plan
from philinit.keys import Key
from tests.support import cases, exact
from tests.support import reference as r
from tests.support import reference_tensorflow as tensorflow

KEY = Key.from_seed(4)

LARGEST = {"float64": "1.79769e+308", "float32": "3.40282e+38", "float16": "65504"}
LARGEST |= {"bfloat16": "3.38953e+38"}
LARGEST |= zip(r.FLOAT8, ("448", "57344", "240", "57344"), strict=True)


def overflow(dtype: str) -> str:
    return f"the numbers drawn must stay below {LARGEST[dtype]}, the largest {dtype}"


def empty(dtype: str) -> str:
    return f"the bounds must hold at least one number of {dtype}"


def narrow(dtype: str) -> str:
    least = {"float64": "1.18e-271", "bfloat16": "9.09e-13"}.get(dtype, "1.01e-28")
    return f"the spread of the distribution must be 0 or at least {least} in {dtype}"


def small(dtype: str) -> str:
    least = {"float64": "1.18e-271"}.get(dtype, "7.89e-31")
    return f"the middle of the distribution must be 0 or at least {least} in {dtype}"


F16, BF16, F32, F64 = "float16", "bfloat16", "float32", "float64"
E4, E5, E4Z, E5Z = r.FLOAT8
REFUSED: list[tuple[Any, Distribution, str]] = [
    *((overflow, Uniform(0, 1e5), F16), (overflow, Uniform(-1e39, 0), F32)),
    *((overflow, Uniform(0, 3.4e38), BF16), (overflow, Normal(0, 2e4), F16)),
    *((overflow, Normal(1e39, 1), F32), (overflow, Normal(0, 1e308), F64)),
    *((overflow, TruncatedNormal(65000, 1e3), F16), (overflow, Normal(0, 1e38), BF16)),
    *((overflow, TruncatedNormal(0, 1e308, -3, 3), F64), (overflow, Normal(-1e5, 0), F16)),
    *((empty, Uniform(1.0001, 1.0002), F16), (empty, Uniform(1.001, 1.002), BF16)),
    *((empty, Uniform(1 + 2**-40, 1 + 2**-30), F32), (empty, TruncatedNormal(100.1, 1e-3), BF16)),
    *((empty, TruncatedNormal(100.1, 1e-3, 0, 1), F16), (narrow, Uniform(0, 1e-30), F32)),
    *((narrow, Normal(0, 1e-30), BF16), (narrow, TruncatedNormal(1, 1e-29), F16)),
    *((narrow, Normal(0, 1e-280), F64), (narrow, Normal(0, 2.0**-41), BF16)),
    *((small, Normal(1e-31, 1), BF16), (small, TruncatedNormal(-1e-38, 1), BF16)),
    *((small, Normal(1e-39, 0), F32), (small, TruncatedNormal(1e-39, 2.0**-92), F32)),
    *((small, Normal(-1e-39, 1), F16), (small, Normal(1e-310, 0), F64)),
    # Nothing is saturated: a normal reaches 6.23 stddev, and 72 times that is beyond 448.
    *(
        (overflow, Normal(0, 72), E4),
        (overflow, Normal(0, 39), E4Z),
        (overflow, Normal(0, 1e4), E5),
    ),
    *((overflow, Uniform(-1, 449), E4), (overflow, TruncatedNormal(0, 3e4), E5Z)),
    *((empty, Uniform(100, 101), E4), (empty, TruncatedNormal(1.3, 0.01), E5)),
    *((narrow, Normal(0, 1e-30), E4), (small, Normal(1e-31, 1), E5Z)),
]


@pytest.mark.parametrize(("reason", "distribution", "dtype"), REFUSED)
def test_g8_what_a_dtype_cannot_hold_is_refused_and_nothing_written(
    reason: Any, distribution: Distribution, dtype: str
) -> None:
    refused(ValueError, f"{reason(dtype)}; got {distribution!r}", distribution, dtype, "native")


@pytest.mark.parametrize("dtype", r.OF_TENSORFLOW)
@pytest.mark.parametrize("bounds", [(-3.0, 3.0), (-2.0, math.inf), (0.0, 2.0)])
def test_g8_the_tensorflow_sampler_refuses_other_bounds_than_2(
    bounds: tuple[float, float], dtype: str
) -> None:
    distribution = TruncatedNormal(0.0, 0.1, *bounds)
    message = (
        'sampler="tensorflow" truncates at lower=-2, upper=2 only, as TensorFlow does; '
        f'got {distribution!r}: use sampler="native"'
    )
    refused(NotImplementedError, message, distribution, dtype, "tensorflow")


@pytest.mark.parametrize("dtype", r.FLOAT8)
def test_g8_the_tensorflow_sampler_refuses_float8(dtype: str) -> None:
    message = f'sampler="tensorflow" draws no {dtype}, as TensorFlow does not: use sampler="native"'
    for distribution in (Uniform(), Normal(), TruncatedNormal()):
        refused(NotImplementedError, message, distribution, dtype, "tensorflow")


@pytest.mark.parametrize(
    ("distribution", "dtype"),
    [
        *((Uniform(0, 1e39), F32), (Uniform(-40_000, 40_000), F16), (Uniform(0, 3.4e38), BF16)),
        *((Normal(0, 1e38), F32), (Normal(0, 12_000), F16), (Normal(-1e5, 0), F16)),
        *((Normal(0, 1e308), F64), (TruncatedNormal(65_000, 1e3), F16)),
        # |mean| + 5.68 stddev fits into bfloat16, but five roundings lead out of it.
        *((Normal(5.602093941405825e36, 5.86885641990135e37), BF16),),
        *((TruncatedNormal(0, 2e38), BF16),),
    ],
)
def test_g8_the_tensorflow_sampler_refuses_what_overflows(
    distribution: Distribution, dtype: str
) -> None:
    message = f"{overflow(dtype)}; got {distribution!r}"
    refused(ValueError, message, distribution, dtype, "tensorflow")


def refused(
    kind: type[Exception], message: str, distribution: Distribution, dtype: str, sampler: str
) -> None:
    pattern = f"^{re.escape(message)}$"
    with pytest.raises(kind, match=pattern):
        plan(distribution, r.DTYPES[dtype], sampler)
    out = np.full(1000, 7, r.DTYPES[dtype])
    with pytest.raises(kind, match=pattern):
        fill(out, distribution, KEY, sampler=sampler)
    assert (out == 7).all()


@pytest.mark.parametrize("sampler", ["native", "tensorflow"])
@pytest.mark.parametrize("dtype", r.DTYPES)
def test_something_else_is_no_distribution(dtype: str, sampler: str) -> None:
    message = (
        "`distribution` must be a Uniform, Normal or TruncatedNormal; got distribution='normal'"
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        plan("normal", r.DTYPES[dtype], sampler)  # type: ignore[arg-type]


def test_g8_the_tensorflow_sampler_refuses_a_span_that_overflows() -> None:
    """high - low is a float32 there: infinite, it would make infinities and NaN of all words."""
    out = np.full(10, 7, np.float32)
    with pytest.raises(ValueError, match="must stay below"):
        fill(out, Uniform(-3e38, 3e38), KEY, sampler="tensorflow")
    assert (out == 7).all()


# --- what is not refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("distribution", "dtype"),
    [
        (Uniform(-65504, 65504), "float16"),
        (Uniform(-3.4e38, 3.4e38), "float32"),
        (Uniform(-3.38e38, 3.38e38), "bfloat16"),
        (Uniform(-8e307, 8e307), "float64"),
        (Uniform(0, 2.0**-92), "float32"),
        (Normal(0, 10_000), "float16"),
        (Normal(0, 5e37), "float32"),
        (Normal(0, 2.0**-92), "float16"),
        (Normal(0, 2.0**-40), "bfloat16"),
        (Normal(2.0**-100, 2.0**-40), "bfloat16"),
        (TruncatedNormal(0, 32_000), "float16"),
        (TruncatedNormal(0, 1.6e38), "bfloat16"),
        (TruncatedNormal(0, 1e-6), "float16"),
        (Normal(0, 71.9), "float8_e4m3fn"),
        (Uniform(-448, 448), "float8_e4m3fn"),
        (Uniform(0, 57344), "float8_e5m2"),
        (TruncatedNormal(0, 120), "float8_e4m3fnuz"),
        (TruncatedNormal(57344, 0), "float8_e5m2fnuz"),
        (Normal(0, 1e-6), "float8_e5m2fnuz"),
    ],
)
def test_g6_wide_and_narrow_distributions_stay_finite(
    distribution: Distribution, dtype: str
) -> None:
    kind = r.DTYPES[dtype]
    numbers = r.feed(r.extreme_words(kind), distribution, kind).astype(np.float64)
    assert np.isfinite(numbers).all()
    low, high = distribution.support()
    assert low <= numbers.min() <= numbers.max() <= high
    raw = r.extreme_words(kind)
    r.assert_same_bits(
        r.feed(raw, distribution, kind), r.weights_of(raw, distribution, kind), distribution
    )


@pytest.mark.parametrize("dtype", r.DTYPES)
@pytest.mark.parametrize("mean", [0.0, -0.0, 0.1, -3.3, 1 + 2**-3])
def test_a_spread_of_zero_gives_the_rounded_mean(mean: float, dtype: str) -> None:
    kind = r.DTYPES[dtype]
    right = exact.round_fraction(r.Fraction(mean), *exact.fields_of(kind))
    for d in (Normal(mean, 0), TruncatedNormal(mean, 0), TruncatedNormal(mean, 0, 1, 3)):
        out = fill(np.empty(99, kind), d, KEY)
        assert (out.astype(np.float64) == right).all()
        assert not (np.signbit(out) & (out == 0)).any()


# --- which map ------------------------------------------------------------------------------------

NEAR: list[tuple[float, ...]] = [
    *((0, 1, -3, 3), (0, 0.02, 0, math.inf), (1, 2.0**-40, -1, 2), (-5, 1e28, -6.2, 6.3)),
    *((0, 1, 1.15, math.inf), (0, 1, -math.inf, -1.15), (0, 1, 6, 6.2), (0, 1, 3, 3.125)),
]
FAR: list[tuple[float, ...]] = [
    *((0, 1, 1.2, math.inf), (0, 1, -6.3, -5), (0, 1, 3, 3.12), (0, 2.0**-65, -3, 3)),
    *(
        (0, 2.0**96, -3, 3),
        (0, 1, 1e-300, math.inf),
        (2.0**-80, 2.0**-30, -(2.0**-50 + 2.0**-102), 2),
    ),
]


@pytest.mark.parametrize(("near", "numbers"), [(1, n) for n in NEAR] + [(0, n) for n in FAR])
def test_g6_one_map_for_the_smaller_dtypes(near: bool, numbers: tuple[float, ...]) -> None:
    drawn = TruncatedNormal(*numbers)
    for name in ("float32", "float16", "bfloat16", "float8_e4m3fn"):
        dtype, raw = r.DTYPES[name], r.extreme_words(r.DTYPES[name])
        try:
            found = plan(drawn, dtype, "native")
        except ValueError:  # the others cannot hold all of them
            assert name != "float32"
            continue
        kernel = "bounded_" if near else "bounded_far_"
        assert found.kernel.name == kernel + name.replace(E4, "float8")
        r.assert_same_bits(r.feed(raw, drawn, dtype), r.weights_of(raw, drawn, dtype), drawn)


# --- plans are values ----------------------------------------------------------------------------


def parameters(d: Distribution, dtype: np.dtype[Any], sampler: str) -> list[str]:
    return [float(v).hex() for v in plan(d, dtype, sampler).values().values()]


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_g1_a_plan_depends_on_its_arguments_only(case: cases.Case) -> None:
    dtype = r.DTYPES[case.dtype]
    before = parameters(case.distribution, dtype, case.sampler)
    for other in cases.CASES:
        plan(other.distribution, r.DTYPES[other.dtype], other.sampler)
    fill(np.empty(100, dtype), case.distribution, KEY, sampler=case.sampler)
    assert parameters(case.distribution, dtype, case.sampler) == before
    plan.cache_clear()
    assert parameters(case.distribution, dtype, case.sampler) == before
    found = plan(case.distribution, dtype, case.sampler)
    assert found.kernel.words == (2 if dtype.itemsize == 8 else 1)
    assert found.kernel.reserved == case.reserved


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_g2_parameters_are_finite_and_what_the_oracle_derives(case: cases.Case) -> None:
    dtype, d = r.DTYPES[case.dtype], case.distribution
    found = list(plan(d, dtype, case.sampler).values().values())
    assert all(map(math.isfinite, found))
    near = [f"bounded_{name}" for name in ("float32", "float16", "bfloat16", "float8")]
    if case.kernel in near:
        assert isinstance(d, TruncatedNormal)
        assert found[:8] == [*dataclasses.astuple(r.between_parameters(d, dtype))]
    elif case.kernel.startswith("bounded"):
        bounds = (d.lower, d.upper) if isinstance(d, TruncatedNormal) else (-math.inf, math.inf)
        left, right, inside, center = r.masses(*bounds)
        assert found[4:8] == [left, right, inside * 2.0**-64, center]
    elif case.kernel.startswith(("uniform", "truncated")):
        by = r.uniform_parameters if isinstance(d, Uniform) else r.truncated_parameters
        linear = by(d, dtype)  # type: ignore[arg-type]
        assert found[:2] == [linear.scale, linear.middle]
    elif case.kernel.startswith("tensorflow"):
        first, second = (d.low, d.high) if isinstance(d, Uniform) else (d.stddev, d.mean)
        p, q = (tensorflow.parameter(v, dtype) for v in (first, second))
        assert found[:2] == [*map(float, (q - p, p) if isinstance(d, Uniform) else (p, q))]
