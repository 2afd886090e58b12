# SPDX-License-Identifier: Apache-2.0
"""The oracle: kernels/README.md in slow, obvious NumPy, sharing only the coefficient tables.

Everything else is derived here anew: parameters from mpmath and exact rational numbers, fma from
error-free transformations (exact.py), words in reference_words.py.

This is the native sampler; TensorFlow's is in reference_tensorflow.py, and the cases to test in
cases.py.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import ml_dtypes
import mpmath
import numpy as np

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.kernels import constants as c
from philinit.keys import Key
from tests.support.exact import (
    at_least,
    at_most,
    below,
    clamp,
    fields_of,
    fma32,
    fma64,
    round_fraction,
    rounded,
)
from tests.support.reference_words import M32, inverse_philox4x32, pairs, words

Array = np.ndarray[Any, Any]

DATA = Path(__file__).parents[1] / "data"
FLOAT64: np.dtype[Any] = np.dtype(np.float64)
FLOAT32: np.dtype[Any] = np.dtype(np.float32)
FLOAT16: np.dtype[Any] = np.dtype(np.float16)
BFLOAT16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
OF_TENSORFLOW = {d.name: d for d in (FLOAT32, FLOAT64, FLOAT16, BFLOAT16)}  # that its sampler draws
DTYPES = OF_TENSORFLOW | {name: np.dtype(getattr(ml_dtypes, name)) for name in FLOAT8}

# --- section 2: parameters -----------------------------------------------------------------------


@dataclass(frozen=True)
class Linear:
    """y = fma(x, scale, middle), moved into [low, high] of the dtype."""

    scale: float
    middle: float
    low: float = -math.inf
    high: float = math.inf


def f32(x: float) -> float:
    return round_fraction(Fraction(x), 24, -149)


def _within(low: float, high: float, middle: float, reach: int, work: np.dtype[Any]) -> Linear:
    """The largest scale with low <= middle - reach * scale and middle + reach * scale <= high."""
    middle = min(max(middle, low), high)
    half = min(Fraction(high) - Fraction(middle), Fraction(middle) - Fraction(low))
    return Linear(at_most(half / reach, work), middle)


def uniform_parameters(d: Uniform, dtype: np.dtype[Any]) -> Linear:
    work = FLOAT64 if dtype == FLOAT64 else FLOAT32
    middle = d.low / 2 + d.high / 2
    inner = _within(
        at_least(Fraction(d.low), work),
        below(d.high, work),
        round_fraction(Fraction(middle), *fields_of(work)),
        2 ** (63 if work == FLOAT64 else 31),
        work,
    )
    low, high = at_least(Fraction(d.low), dtype), below(d.high, dtype)
    return Linear(inner.scale, inner.middle, low, high)


def ends(d: Normal, lower: float, upper: float, dtype: np.dtype[Any]) -> tuple[float, float]:
    """The numbers of `dtype` next to mean + lower stddev and mean + upper stddev, inside them."""
    near = max(lower, -max(-upper, 0.0) - 10.0), min(upper, max(lower, 0.0) + 10.0)
    if d.stddev == 0.0:
        only = round_fraction(Fraction(d.mean), *fields_of(dtype))
        return only, only
    low, high = (d.mean + bound * d.stddev for bound in near)  # float64, as the plan says
    return at_least(Fraction(low), dtype), at_most(Fraction(high), dtype)


def truncated_parameters(d: TruncatedNormal, dtype: np.dtype[Any]) -> Linear:
    inner = _within(*ends(d, -2.0, 2.0, FLOAT32), f32(d.mean), 2, FLOAT32)
    scale = min(inner.scale, at_most(Fraction(d.stddev), FLOAT32))
    return Linear(scale, inner.middle, *ends(d, -2.0, 2.0, dtype))


def as_fraction(x: mpmath.mpf) -> Fraction:
    sign, man, exp, _ = x._mpf_
    return Fraction(-int(man) if sign else int(man)) * Fraction(2) ** int(exp)


@functools.lru_cache(maxsize=64)
def masses(lower: float, upper: float) -> tuple[float, float, float, float]:
    """2 Phi(lower), 2 (1 - Phi(upper)), 2 (Phi(upper) - Phi(lower)), half of first minus second."""
    reach = max((abs(x) for x in (lower, upper) if math.isfinite(x)), default=0.0)
    with mpmath.workdps(100 + int(reach * reach / 2)):  # exp(-x^2 / 2) has 0.22 x^2 leading zeros
        left = mpmath.erfc(-mpmath.mpf(lower) / mpmath.sqrt(2))
        right = mpmath.erfc(mpmath.mpf(upper) / mpmath.sqrt(2))
        exact = left, right, 2 - left - right, (left - right) / 2
        a, b, c, d = (round_fraction(as_fraction(v)) for v in exact)
    return a, b, c, d


@dataclass(frozen=True)
class Between:
    """Parameters of 2.4 for 32-bit words, all of them numbers of float32."""

    mean: float
    low: float
    high: float
    lower_mass: float
    upper_mass: float
    scale: float
    center: float
    spacing: float


def is_near(d: TruncatedNormal) -> bool:
    """Whether 2.4 draws 32-bit words in float32."""
    left, right, inside, _ = masses(d.lower, d.upper)
    tails = inside >= 0.25 or (left >= 2.0**-31 and right >= 2.0**-31)
    tiny = [
        math.isfinite(b) and 0.0 < abs(d.mean + b * d.stddev) < 2.0**-126
        for b in (d.lower, d.upper)
    ]
    width = d.upper - d.lower
    return tails and width >= 0.125 and 2.0**-64 <= d.stddev < 2.0**96 and not any(tiny)


def between_parameters(d: TruncatedNormal, dtype: np.dtype[Any]) -> Between:
    left, right, inside, center = masses(d.lower, d.upper)
    spacing = f32(inside / 2)
    least = at_least(1 - Fraction(spacing), FLOAT32)
    low, high = ends(d, d.lower, d.upper, dtype)
    return Between(
        f32(d.mean),
        low,
        high,
        max(f32(left * 2.0**31), least),
        max(f32(right * 2.0**31), least),
        f32(inside / 2 * d.stddev),
        f32(center * 2.0**31 * d.stddev),
        spacing,
    )


# --- section 2: maps -----------------------------------------------------------------------------


def lookup(table: Sequence[float], index: Array) -> Array:
    return np.array(table, np.float32)[index]


def horner32(table: Sequence[Sequence[float]], index: Array, t: Array) -> Array:
    value = lookup(table[-1], index)
    for row in reversed(table[:-1]):
        value = fma32(value, t, lookup(row, index))
    return value


def horner64(coefficients: Sequence[float], x: Array) -> Array:
    value = np.full_like(x, coefficients[-1])
    for a in reversed(coefficients[:-1]):
        value = fma64(value, x, a)
    return value


def odd32(w: Array) -> Array:
    """k = w | 1 as int64."""
    return (w.astype(np.uint32) | np.uint32(1)).view(np.int32).astype(np.int64)


def normal_ratio32(q: Array) -> Array:
    b = q.view(np.uint32)
    index = (b >> np.uint32(23)) % np.uint32(32)
    mantissa = (b & np.uint32(0x7FFFFF) | np.uint32(0x3F800000)).view(np.float32)
    return horner32(c.NORMAL_TABLE, index, mantissa - np.float32(1.5))


def standard_normal32(w: Array) -> Array:
    k = odd32(w)
    return k.astype(np.float32) * normal_ratio32(((1 << 31) - np.abs(k)).astype(np.float32))


def between32(w: Array, p: Between) -> Array:
    k = odd32(w)
    f = fma32(k.astype(np.float32), p.scale, p.center)
    low = fma32(((1 << 31) + k).astype(np.float32), p.spacing, p.lower_mass)
    high = fma32(((1 << 31) - k).astype(np.float32), p.spacing, p.upper_mass)
    return clamp(fma32(f, normal_ratio32(np.minimum(low, high)), p.mean), p.low, p.high)


def standard_truncated32(w: Array) -> Array:
    k = (w.astype(np.uint32) | np.uint32(1)).view(np.int32)
    f = k.astype(np.float32)
    b = fma32(-f, f, float.fromhex("0x1.14p+62")).view(np.uint32)
    index = (b >> np.uint32(21)) % np.uint32(16)
    m = (b & np.uint32(0x1FFFFF) | np.uint32(0x3F800000)).view(np.float32)
    return f * horner32(c.TRUNCATED_TABLE, index, m)


def log64(y: Array) -> Array:
    b = y.view(np.int64)
    e = (b - 0x3FE6A09E667F3BCD) >> 52
    f = (b - (e << 52)).view(np.float64) - 1.0
    s = f / (f + 2.0)
    log_m = s * horner64(c.LOG_POLYNOMIAL, s * s)
    n = e.astype(np.float64)
    return fma64(n, c.LN2_HIGH, fma64(n, c.LN2_LOW, log_m))


def tail64(q: Array) -> Array:
    r = np.sqrt(-log64(q * 0.5))
    near, far = r - 1.6, r - 5.0
    return np.where(
        r <= 5.0,
        horner64(c.NORMAL64_MIDDLE_NUMERATOR, near) / horner64(c.NORMAL64_MIDDLE_DENOMINATOR, near),
        horner64(c.NORMAL64_FAR_NUMERATOR, far) / horner64(c.NORMAL64_FAR_DENOMINATOR, far),
    )


def standard_bounded64(k: Array, lower: float, upper: float) -> Array:
    """`k`: odd, or odd times 2**32, as int64."""
    left, right, inside, center = masses(lower, upper)
    d = round_fraction(Fraction(inside) / 2**64)
    unsigned, top = k.view(np.uint64), np.uint64(1 << 63)
    u = fma64(k.astype(np.float64), d, center)
    low = fma64((unsigned + top).astype(np.float64), d, left)
    high = fma64((top - unsigned).astype(np.float64), d, right)
    q = np.where(high < low, high, low)
    w = -log64(q * (2.0 - q))
    x = u * horner64(c.NORMAL64_CENTER, w - 3.125)
    far = ~(w <= 6.25)
    if far.any():
        t = tail64(q[far])
        x[far] = np.where((high < low)[far], t, -t)
    return x


def weights_of(raw: Array, distribution: Distribution, dtype: np.dtype[Any]) -> Array:
    """What the map makes of words: uint32, one for each weight, or uint64 for float64."""
    d = distribution
    if isinstance(d, Uniform):
        p = uniform_parameters(d, dtype)
        if dtype == FLOAT64:
            return clamp(
                fma64(raw.view(np.int64).astype(np.float64), p.scale, p.middle), p.low, p.high
            )
        y = fma32(raw.view(np.int32).astype(np.float32), p.scale, p.middle)
        return rounded(clamp(y, p.low, p.high), dtype)
    if isinstance(d, TruncatedNormal) and (d.lower, d.upper) == (-2.0, 2.0) and dtype != FLOAT64:
        p = truncated_parameters(d, dtype)
        y = fma32(standard_truncated32(raw), p.scale, p.middle)
        return rounded(clamp(y, p.low, p.high), dtype)
    if not isinstance(d, TruncatedNormal) and dtype != FLOAT64:
        return rounded(fma32(standard_normal32(raw), f32(d.stddev), f32(d.mean)), dtype)
    if isinstance(d, TruncatedNormal) and dtype != FLOAT64 and is_near(d):
        return rounded(between32(raw, between_parameters(d, dtype)), dtype)
    cut = isinstance(d, TruncatedNormal)
    lower, upper = (d.lower, d.upper) if cut else (-math.inf, math.inf)  # type: ignore[union-attr]
    if raw.dtype == np.uint32:
        k = (raw | np.uint32(1)).view(np.int32).astype(np.int64) << 32
    else:
        k = (raw | np.uint64(1)).view(np.int64)
    y = fma64(standard_bounded64(k, lower, upper), d.stddev, d.mean)
    y = clamp(y, *ends(d, lower, upper, dtype))
    return y if dtype == FLOAT64 else rounded(y.astype(np.float32), dtype)


def weights(
    distribution: Distribution, dtype: np.dtype[Any], key: Key, offset: int, count: int
) -> Array:
    """Weights `offset`, `offset + 1`, ... of a stream."""
    if dtype == FLOAT64:
        raw = pairs(words(key, 2 * offset, 2 * count))
    else:
        raw = words(key, offset, count)
    return weights_of(raw, distribution, dtype)


# --- words that reach the ends of every map, and comparisons by bits ------------------------------

EXTREME_WORDS = (
    *(0x00000000, 0x00000001, 0x00000002, 0x00000003, 0x000000FF, 0x00FFFFFF, 0x01000001),
    *(0x3FFFFFFF, 0x40000000, 0x7FFFFF00, 0x7FFFFF80, 0x7FFFFFBF, 0x7FFFFFC0, 0x7FFFFFFC),
    *(0x7FFFFFFD, 0x7FFFFFFE, 0x7FFFFFFF, 0x80000000, 0x80000001, 0x80000002, 0x80000003),
    *(0x80000004, 0x8000003F, 0x80000040, 0x80000080, 0xBFFFFFFF, 0xC0000000, 0xFEFFFFFF),
    *(0xFF000001, 0xFFFFFF00, 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF, 0x007FFFFF, 0x00800000),
    *(0xDEADBEEF, 0x9B00DBD8, 0x12345678, 0xFFFF8000, 0x00008001),
)
EXTREME_LONGS = (
    *(
        w << 32 | v
        for w in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
        for v in (0, 1, M32 - 1, M32)
    ),
    *(0x7FFFFFFFFFFFFC00, 0x8000000000000400, 0x7FF0000000000000, 0x8010000000000000),
    *(0x0000100000000000, 0xFFFFF00000000000, 0x1234567890ABCDEF, 0xFEDCBA0987654321),
)


def extreme_words(dtype: np.dtype[Any]) -> Array:
    if dtype == FLOAT64:
        return np.array(EXTREME_LONGS, np.uint64)
    return np.array(EXTREME_WORDS, np.uint32)


def digest(a: Array) -> str:
    """SHA-256 of the little-endian bytes."""
    raw = a.view(f"u{a.itemsize}")
    return hashlib.sha256(raw.astype(raw.dtype.newbyteorder("<")).tobytes()).hexdigest()


def hex_words(a: Array) -> list[str]:
    return [f"{w:0{2 * a.itemsize}x}" for w in a.view(f"u{a.itemsize}").tolist()]


def hex_numbers(a: Array) -> list[str]:
    return [float(v).hex() for v in a.astype(np.float64)]


def bits_of(a: Array) -> Array:
    """The bits of an array as unsigned integers, at any alignment."""
    return np.frombuffer(a.tobytes(), f"u{a.dtype.itemsize}")


def assert_same_bits(got: Array, expected: Array, what: object = "") -> None:
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    a, b = bits_of(got), bits_of(expected)
    if not np.array_equal(a, b):
        first = int(np.nonzero(a != b)[0][0])
        x, y = got.ravel()[first], expected.ravel()[first]
        raise AssertionError(
            f"{what}: {np.count_nonzero(a != b)} of {a.size} differ, first [{first}]: {x!r} {y!r}"
        )


FEED_KEY = (0xA4093822, 0x299F31D0)


def feed(
    raw: Array, distribution: Distribution, dtype: np.dtype[Any], sampler: str = "native"
) -> Array:
    """What `philinit.fill` itself makes of chosen words, as `weights_of` takes them.

    Philox is a bijection of counters for a fixed key: there is a counter for any four words.
    """
    from philinit.filling.fill import fill

    wide = np.stack([raw, raw >> np.uint64(32)], 1) if raw.dtype == np.uint64 else raw
    stream = np.zeros(-(-wide.size // 4) * 4, np.int64)
    stream[: wide.size] = (wide.ravel() & wide.dtype.type(M32)).astype(np.int64)
    step = 2 if raw.dtype == np.uint64 else 4
    out = np.empty(stream.size * step // 4, dtype)
    for i, block in enumerate(stream.reshape(-1, 4).tolist()):
        key = Key(FEED_KEY, inverse_philox4x32(block, FEED_KEY))
        fill(out[step * i : step * (i + 1)], distribution, key, sampler=sampler)
    return out[: raw.size]
