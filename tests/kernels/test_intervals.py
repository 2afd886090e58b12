# SPDX-License-Identifier: Apache-2.0
"""G6: uniform numbers are in [low, high), truncated normals in their bounds, in every dtype."""

import math
from typing import Any

import numpy as np
import pytest

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling.fill import fill
from philinit.keys import Key
from tests.support import exact
from tests.support import reference as r

KEY = Key.from_seed(99)


FLOAT8 = {name: r.DTYPES[name] for name in r.FLOAT8}
INTERVALS = [
    *((0.0, 1.0), (100.0, 101.0), (1.0, 1.0 + 2**-20), (-1e-3, 1e-3), (-0.05, 0.05), (-1.0, 0.0)),
    *((0.1, 0.3), (-3.0, -2.9), (1.0, 1.1), (-1e-3, 5.0), (-5.0, 1e-3), (0.0, 2.0**-14)),
    *((-(2.0**-20), 2.0**-20), (4095.0, 4099.0)),
]


INTERVALS_8 = [
    *((0.0, 1.0), (96.0, 113.0), (1.0, 1.01), (-1e-3, 1e-3), (-0.05, 0.05), (-1.0, 0.0)),
    *((0.1, 0.3), (-3.0, -2.4), (-1e-3, 5.0), (-5.0, 1e-3), (0.0, 2.0**-14), (-(2.0**-9), 2.0**-8)),
]


@pytest.mark.parametrize(
    ("interval", "dtype"),
    [(i, dtype) for i in INTERVALS for dtype in r.OF_TENSORFLOW.values()]
    + [(i, dtype) for i in INTERVALS_8 for dtype in FLOAT8.values()],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_g6_uniform_includes_low_and_excludes_high(
    interval: tuple[float, float], dtype: np.dtype[Any]
) -> None:
    low, high = interval
    random = fill(np.empty(100_000, dtype), Uniform(low, high), KEY).astype(np.float64)
    extreme = r.feed(r.extreme_words(dtype), Uniform(low, high), dtype).astype(np.float64)
    for numbers in (random, extreme):
        assert numbers.min() >= low
        assert numbers.max() < high


def test_g6_the_check_would_catch_plain_rounding() -> None:
    """Rounding a float32 of [0, 1) to bfloat16 reaches 1: the interval needs care."""
    numbers = fill(np.empty(100_000, np.float32), Uniform(), KEY).astype(r.BFLOAT16)
    assert numbers.astype(np.float64).max() == 1.0


@pytest.mark.parametrize("name", ["float16", "bfloat16", *FLOAT8])
@pytest.mark.parametrize(
    "distribution",
    [Uniform(-0.05, 0.05), Uniform(0, 1), Uniform(100, 113), Normal(0.1, 0.02), TruncatedNormal()]
    + [
        TruncatedNormal(1, 0.04),
        TruncatedNormal(0, 0.1, -3, 3),
        TruncatedNormal(0, 1, 1, math.inf),
    ],
    ids=str,
)
def test_g6_smaller_dtypes_are_the_float32_weights_rounded_once(
    distribution: Distribution, name: str
) -> None:
    dtype = r.DTYPES[name]
    single = fill(np.empty(50_000, np.float32), distribution, KEY)
    kept = exact.rounded(single, dtype)
    low, high = distribution.support()
    ends = exact.at_least(r.Fraction(low), dtype) if math.isfinite(low) else low, math.inf
    if isinstance(distribution, Uniform):
        ends = ends[0], exact.below(high, dtype)
    elif math.isfinite(high):
        ends = ends[0], exact.at_most(r.Fraction(high), dtype)
    right = exact.clamp(kept.astype(np.float32), *ends).astype(dtype)
    r.assert_same_bits(fill(np.empty(50_000, dtype), distribution, KEY), right)


TRUNCATED = [
    *(
        TruncatedNormal(*p)
        for p in ((0, 1), (0, 0.1), (0, 0.02), (0.02, 0.1), (1, 0.02), (-3, 0.7))
    ),
    *(TruncatedNormal(0, 0.1, *b) for b in ((-3, 3), (-1, 4), (0, math.inf), (1, 1.5), (5, 5.5))),
]
# Between bounds that two numbers of every float8 lie between: a single one would take all.
TRUNCATED_8 = [TruncatedNormal(*p) for p in ((0, 1), (0, 0.1), (0.02, 0.1), (1, 0.2), (-3, 0.7))]
TRUNCATED_8 += [TruncatedNormal(0, 0.1, *b) for b in ((-3, 3), (-1, 4), (0, math.inf), (1, 3))]


@pytest.mark.parametrize(
    ("distribution", "dtype"),
    [(d, dtype) for d in TRUNCATED for dtype in r.OF_TENSORFLOW.values()]
    + [(d, dtype) for d in TRUNCATED_8 for dtype in FLOAT8.values()],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_g6_truncated_normals_keep_their_bounds_and_do_not_pile_up_there(
    distribution: TruncatedNormal, dtype: np.dtype[Any]
) -> None:
    d, n = distribution, 200_000
    low, high = d.support()
    numbers = fill(np.empty(n, dtype), d, KEY).astype(np.float64)
    for sample in (numbers, r.feed(r.extreme_words(dtype), d, dtype).astype(np.float64)):
        assert sample.min() >= low
        assert sample.max() <= high
    if dtype == r.FLOAT64:
        return
    # What rounds to the outermost number: all between the bound and half a step inside it. One
    # step of float32 more for the parameters, which are rounded; z = 4.5 above the expectation.
    for end in (high, -low):
        if math.isinf(end):
            continue
        last = exact.at_most(r.Fraction(end), dtype)
        edge = (last + exact.below(last, dtype)) / 2 - 2.0**-23 * abs(last)
        mirrored = d.mean if end == high else -d.mean
        x = (edge - mirrored) / d.stddev
        top = d.upper if end == high else -d.lower
        p = (math.erfc(x / 2**0.5) - math.erfc(top / 2**0.5)) / 2 / d.mass()
        found = np.count_nonzero(numbers == (last if end == high else -last))
        assert found <= n * p + 4.5 * math.sqrt(n * p) + 1


def test_g6_the_check_of_piles_would_catch_clipping() -> None:
    """Clipping a normal at 2 stddev puts 2.3 % on each bound, some 40 times what is allowed."""
    clipped = np.clip(fill(np.empty(200_000, np.float32), Normal(), KEY), -2, 2)
    assert np.count_nonzero(clipped == 2.0) > 4000


def test_g6_normals_are_symmetric() -> None:
    """A word and its complement-but-one-bit give x and -x: no bias of any order."""
    for dtype in r.DTYPES.values():
        raw = r.extreme_words(dtype) | (1 if dtype == r.FLOAT64 else np.uint32(1))
        mirror = (~raw + raw.dtype.type(1)) | raw.dtype.type(1)  # -k
        for d in (Normal(), TruncatedNormal(), TruncatedNormal(0, 1, -3, 3)):
            a, b = r.feed(raw, d, dtype), r.feed(mirror, d, dtype)
            assert (a.astype(np.float64) == -b.astype(np.float64)).all()
