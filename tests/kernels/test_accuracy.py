# SPDX-License-Identifier: Apache-2.0
"""The maps against the exact inverse distribution function at the exact word.

Exact values come from mpmath: a number x that should have the tail probability q is off by
(Q(x) - q) / phi(x), to first order, and Q needs one erfc in many digits. scipy's ndtri serves where
1e-15 is enough, on larger samples.
"""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from philinit.distributions import Normal, TruncatedNormal
from philinit.kernels import tails
from philinit.kernels.plan import plan
from tests.support import reference as r

# What kernels/README.md promises in section 3; measured here: 2.39e-7, 3.1e-7, 6.2e-16.
LIMIT_32 = 2.4e-7
LIMIT_BETWEEN_32 = 3.5e-7  # between other bounds than +-2
LIMIT_64 = 1e-15
ROUNDED_32 = 2.0**-24 + LIMIT_64  # a float64 number rounded once

# Where the bounds are not symmetric, u = 2 Phi(x) - 1 has a rounded constant, so that near x = 0
# the error is absolute: there it is taken relative to this.
FLOOR = 0.1
FLOOR_32 = 0.25


def stratified(bits: int, per_octave: int, seed: int) -> r.Array:
    """Magnitudes |k| with every distance from 0 and from the top in octaves, both ends included."""
    rng = np.random.default_rng(seed)
    picked = [1, 3, 5, 7]
    for e in range(bits - 1):
        picked += [2**e + int(x * 2**e) for x in rng.random(per_octave)]
    top = 2 ** (bits - 1)
    both = {k | 1 for k in picked} | {top - (k | 1) for k in picked if k < top}
    odd = sorted(k for k in both if 0 < k < top)
    kind = np.uint32 if bits == 32 else np.uint64
    magnitudes = np.array(odd, dtype=kind)
    return np.concatenate([magnitudes, (~magnitudes + kind(1))])  # k and -k


def two_sided(x: float) -> mpmath.mpf:
    return mpmath.erfc(mpmath.mpf(x) / mpmath.sqrt(2))


def relative_error(
    x: float, fraction: Fraction, lower: float, upper: float, floor: float = FLOOR
) -> float:
    """(x - exact) / |exact| where Phi(exact) is at `fraction` of the way between the bounds."""
    reach = max((abs(b) for b in (lower, upper) if math.isfinite(b)), default=10.0)
    with mpmath.workdps(50 + int(max(reach, abs(x)) ** 2 * 0.3)):
        part = mpmath.mpf(fraction.numerator) / fraction.denominator
        left, right = two_sided(-lower), two_sided(upper)  # 2 Phi(lower), 2 (1 - Phi(upper))
        inside = 2 - left - right
        target, found = right + (1 - part) * inside, two_sided(x)
        density = 2 * mpmath.exp(-(mpmath.mpf(x) ** 2) / 2) / mpmath.sqrt(2 * mpmath.pi)
        delta = (target - found) / density  # x - exact, first order
        delta -= mpmath.mpf(x) / 2 * delta**2  # and second
        size = abs(mpmath.mpf(x) - delta)
        return float(delta / (size if lower == -upper else max(size, floor)))


def fraction_of(word: int, bits: int) -> Fraction:
    """1/2 + k 2**-bits, k the odd signed word."""
    k = word | 1
    k -= (k >> (bits - 1)) << bits
    return Fraction(1, 2) + Fraction(k, 2**bits)


def worst_error(
    raw: r.Array, x: r.Array, lower: float, upper: float, floor: float = FLOOR
) -> float:
    bits = 8 * raw.itemsize
    errors = (
        abs(relative_error(v, fraction_of(w, bits), lower, upper, floor))
        for w, v in zip(raw.tolist(), x.astype(np.float64).tolist(), strict=True)
    )
    return max(errors)


# --- float32 maps --------------------------------------------------------------------------------


def exact_normal(raw: r.Array) -> r.Array:
    k = (raw | np.uint32(1)).view(np.int32).astype(np.float64)
    return np.copysign(special.ndtri((2.0**31 - np.abs(k)) * 2.0**-32), k)


def exact_truncated(raw: r.Array) -> r.Array:
    """Near 0 and at large |k| as a tail: 2 - |x| from the distance to the bound."""
    k = np.abs((raw | np.uint32(1)).view(np.int32).astype(np.float64))
    inside = math.erf(2**0.5)
    tail = (1.0 - inside * (k * 2.0**-31)) / 2
    x = np.where(
        k < 2.0**27, special.erfinv(inside * (k * 2.0**-31)) * 2**0.5, -special.ndtri(tail)
    )
    return np.copysign(x, raw.view(np.int32))


MAPS_32: list[tuple[str, Any, Callable[[r.Array], r.Array], float, float]] = [
    ("normal", Normal(), exact_normal, -math.inf, math.inf),
    ("truncated", TruncatedNormal(), exact_truncated, -2.0, 2.0),
]
maps_32 = pytest.mark.parametrize(
    ("distribution", "exact", "lower", "upper"),
    [m[1:] for m in MAPS_32],
    ids=[m[0] for m in MAPS_32],
)


@maps_32
def test_float32_maps_against_mpmath(
    distribution: Normal, exact: Callable[[r.Array], r.Array], lower: float, upper: float
) -> None:
    raw = np.concatenate([stratified(32, 12, 1), r.extreme_words(r.FLOAT32)])
    x = r.feed(raw, distribution, r.FLOAT32)
    assert worst_error(raw, x, lower, upper) <= LIMIT_32
    # The oracle for the larger sample is good enough to be one.
    assert worst_error(raw, exact(raw), lower, upper) < 1e-14


@maps_32
def test_float32_maps_on_a_large_sample(
    distribution: Normal, exact: Callable[[r.Array], r.Array], lower: float, upper: float
) -> None:
    """The oracle's map, which has the kernel's bits (test_samplers.py), on two million words."""
    rng = np.random.default_rng(2)
    raw = np.concatenate(
        [rng.integers(0, 1 << 32, 1_900_000).astype(np.uint32), stratified(32, 1500, 3)]
    )
    x = r.weights_of(raw, distribution, r.FLOAT32).astype(np.float64)
    error = np.abs(x / exact(raw) - 1)
    assert error.max() <= LIMIT_32
    assert np.abs(x).max() <= (2.0 if upper == 2.0 else 6.2302599)


def test_the_check_would_catch_a_float32_error_of_three_units() -> None:
    raw = stratified(32, 12, 1)
    x = r.feed(raw, Normal(), r.FLOAT32)
    assert worst_error(raw, x * np.float32(1 + 3 * 2.0**-23), -math.inf, math.inf) > LIMIT_32


def test_the_extremes_of_the_float32_maps() -> None:
    top = np.array([0x7FFFFFFF, 0x80000001, 0x80000000], np.uint32)
    assert r.feed(top, TruncatedNormal(), r.FLOAT32).tolist() == [2.0, -2.0, -2.0]
    assert r.feed(top, Normal(), r.FLOAT32).tolist() == [
        s * float.fromhex("0x1.8ebc94p+2") for s in (1, -1, -1)
    ]


# --- general bounds and float64 ------------------------------------------------------------------

INF = math.inf
MAPS_ELSEWHERE = ((-2.0, 2.0),)  # has a map of its own in float32
BOUNDS = [
    *((-INF, INF), (-2.0, 2.0), (-3.0, 3.0), (0.0, INF), (1.0, INF), (-1.0, 4.0), (4.0, 6.0)),
    *((5.0, 5.01), (8.0, 9.0), (10.0, INF), (30.0, 31.0), (-9.0, -8.0), (-INF, 0.0), (-0.1, 0.2)),
    *((-1e-9, 1e-9), (-1.0, 2.0), (5.0, 5.125), (0.1, INF)),
]
# What the float32 map draws: neither far out nor close together.
NEAR = (
    *((-INF, INF), (-3.0, 3.0), (0.0, INF), (1.0, INF), (-1.0, 4.0), (4.0, 6.0), (-1.0, 2.0)),
    *((-INF, 0.0), (-0.1, 0.2), (5.0, 5.125), (0.1, INF)),
)
by_bounds = pytest.mark.parametrize(("lower", "upper"), BOUNDS)


def sample(bits: int, per_octave: int, lower: float, upper: float) -> r.Array:
    raw = stratified(bits, per_octave, 4)
    far = min(abs(lower), abs(upper)) > 20  # hundreds of digits: fewer words, with both ends
    return np.concatenate([raw[::23], raw[-3:]]) if far else raw


@by_bounds
def test_float64_maps(lower: float, upper: float) -> None:
    raw = sample(64, 4, lower, upper)
    x = r.feed(raw, TruncatedNormal(0, 1, lower, upper), r.FLOAT64)
    assert worst_error(raw, x, lower, upper) <= LIMIT_64
    assert worst_error(raw[:99], x[:99] * (1 + 9 * 2.0**-53), lower, upper) > LIMIT_64 / 2


def with_tails(lower: float, upper: float) -> tuple[float, float]:
    """The bounds as the float32 map has them: no tail of its is less than 2**-31 (1 - D / 2)."""
    inside = (math.erf(upper / 2**0.5) - math.erf(lower / 2**0.5)) / 2  # D / 2
    end = -float(special.ndtri(2.0**-32 * (1.0 - inside)))
    return max(lower, -end), min(upper, end)


@pytest.mark.parametrize(("lower", "upper"), [b for b in BOUNDS if b not in MAPS_ELSEWHERE])
def test_float32_maps_of_any_bounds(lower: float, upper: float) -> None:
    """The map in float32; elsewhere the nearest float32 to the float64 number: half a unit."""
    raw, d = sample(32, 4, lower, upper), TruncatedNormal(0, 1, lower, upper)
    x = r.feed(raw, d, r.FLOAT32)
    near = plan(d, r.FLOAT32, "native").kernel.name == "bounded_float32"
    assert near == ((lower, upper) in NEAR)
    if near:
        assert worst_error(raw, x, *with_tails(lower, upper), FLOOR_32) <= LIMIT_BETWEEN_32
        off = x * np.float32(1 + 4 * 2.0**-23)
        assert worst_error(raw, off, *with_tails(lower, upper), FLOOR_32) > LIMIT_BETWEEN_32
    else:
        assert worst_error(raw, x, lower, upper) <= ROUNDED_32


def test_the_float32_map_without_bounds_is_the_normal() -> None:
    raw = np.concatenate([stratified(32, 12, 6), r.extreme_words(r.FLOAT32)])
    unbounded = TruncatedNormal(0, 1, -INF, INF)
    r.assert_same_bits(r.feed(raw, Normal(), r.FLOAT32), r.feed(raw, unbounded, r.FLOAT32))


def test_float64_normal_has_the_bits_of_infinite_bounds() -> None:
    raw = stratified(64, 4, 5)
    unbounded = TruncatedNormal(0, 1, -INF, INF)
    r.assert_same_bits(r.feed(raw, Normal(), r.FLOAT64), r.feed(raw, unbounded, r.FLOAT64))


def test_the_extremes_of_the_float64_map() -> None:
    top = np.array([2**63 - 1, 2**63 + 1, 2**63], np.uint64)
    exact = -special.ndtri(2.0**-64)  # the words nearest to an end: 2**-64 of it
    for x, sign in zip(r.feed(top, Normal(), r.FLOAT64).tolist(), (1, -1, -1), strict=True):
        assert x == pytest.approx(sign * exact, rel=1e-15, abs=0)


@pytest.mark.parametrize(("lower", "upper"), [(35.9, INF), (36.2, 36.5), (-INF, -36.0)])
def test_the_farthest_tails(lower: float, upper: float) -> None:
    raw = np.array([2**63 - 1, 2**63, 0, 2**62, 2**63 - 2**40, 12345678901234567], np.uint64)
    x = r.feed(raw, TruncatedNormal(0, 1, lower, upper), r.FLOAT64)
    assert worst_error(raw, x, lower, upper) <= LIMIT_64


# --- masses --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lower", "upper"), [*BOUNDS, (-38.0, 20.5), (-64.0, 1.0), (-65.0, 1.0)])
def test_g2_masses_are_correctly_rounded(lower: float, upper: float) -> None:
    assert tails.masses(lower, upper) == r.masses(lower, upper)
    left, right, inside, center = tails.masses(lower, upper)
    mirrored = (right, left, inside, -center if center else 0.0)
    assert tails.masses(-upper, -lower) == mirrored


@settings(max_examples=100)
@given(st.floats(-30, 30), st.floats(1e-6, 30))
def test_g2_masses_of_any_bounds_are_correctly_rounded(lower: float, width: float) -> None:
    upper = lower + width
    assert tails.masses(lower, upper) == r.masses(lower, upper)


@given(st.floats(-30, 30), st.floats(1e-9, 30))
def test_masses_agree_with_scipy(lower: float, width: float) -> None:
    """scipy is good to a few units here; this checks the oracle as much as the code."""
    left, right, _, _ = tails.masses(lower, lower + width)
    assert left == pytest.approx(special.erfc(-lower / 2**0.5), rel=1e-13 * (1 + lower**2))
    upper = lower + width
    assert right == pytest.approx(special.erfc(upper / 2**0.5), rel=1e-13 * (1 + upper**2))
