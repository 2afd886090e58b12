# SPDX-License-Identifier: Apache-2.0
"""The oracle: kernels/README.md in slow, obvious NumPy, sharing only the coefficient tables.

Everything else is derived here anew: parameters from mpmath and exact rational numbers, fma from
error-free transformations (exact.py), Philox in
Python integers and once more in uint64 arrays.

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

Array = np.ndarray[Any, Any]

DATA = Path(__file__).parents[1] / "data"
FLOAT64: np.dtype[Any] = np.dtype(np.float64)
FLOAT32: np.dtype[Any] = np.dtype(np.float32)
FLOAT16: np.dtype[Any] = np.dtype(np.float16)
BFLOAT16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
DTYPES = {d.name: d for d in (FLOAT32, FLOAT64, FLOAT16, BFLOAT16)}

M32 = (1 << 32) - 1
M64 = (1 << 64) - 1

# --- section 1: words ----------------------------------------------------------------------------


def philox4x32(counter: Sequence[int], key: Sequence[int], rounds: int = 10) -> tuple[int, ...]:
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        low = 0xD2511F53 * c0
        high = 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (high >> 32) ^ c1 ^ k0, high & M32, (low >> 32) ^ c3 ^ k1, low & M32
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c0, c1, c2, c3


def inverse_philox4x32(words: Sequence[int], key: Sequence[int], rounds: int = 10) -> int:
    """The 128-bit counter whose block holds these words: so any words can be fed to a kernel."""
    c0, c1, c2, c3 = words
    n0, n1 = pow(0xD2511F53, -1, 1 << 32), pow(0xCD9E8D57, -1, 1 << 32)
    for r in reversed(range(rounds)):
        k0, k1 = (key[0] + r * 0x9E3779B9) & M32, (key[1] + r * 0xBB67AE85) & M32
        a0, a2 = c3 * n0 & M32, c1 * n1 & M32
        a1 = c0 ^ k0 ^ (0xCD9E8D57 * a2 >> 32)
        a3 = c2 ^ k1 ^ (0xD2511F53 * a0 >> 32)
        c0, c1, c2, c3 = a0, a1, a2, a3
    return c0 | c1 << 32 | c2 << 64 | c3 << 96


def block_words(key: Sequence[int], start: int, steps: Array) -> Array:
    """The words of counter blocks `start + steps`, a row of four uint32 for each of the steps."""
    u = np.uint64
    start %= 1 << 128
    low = u(start & M64) + steps.astype(u)  # wraps at 2**64 ...
    high = u(start >> 64) + (low < u(start & M64)).astype(u)  # ... and carries once
    mask, shift = u(M32), u(32)
    c0, c1, c2, c3 = low & mask, low >> shift, high & mask, high >> shift
    k0, k1 = key
    for _ in range(10):
        p0, p1 = u(0xD2511F53) * c0, u(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (
            (p1 >> shift) ^ c1 ^ u(k0),
            p1 & mask,
            (p0 >> shift) ^ c3 ^ u(k1),
            p0 & mask,
        )
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def words(key: Key, first: int, count: int) -> Array:
    """Words `first`, `first + 1`, ... of a stream, as uint32."""
    blocks = (first + count + 3) // 4 - first // 4
    rows = block_words(key.words, key.base + first // 4, np.arange(blocks))
    return rows.ravel()[first % 4 :][:count]


def pairs(stream: Array) -> Array:
    """Words 2i (low half) and 2i + 1 (high half) as one uint64."""
    wide = stream.astype(np.uint64)
    return wide[0::2] | wide[1::2] << np.uint64(32)


def key_of_seed(seed: int) -> Key:
    low = seed % (1 << 64)
    high = 0 if -(1 << 63) <= seed < 1 << 64 else (seed >> 64) % (1 << 64)
    counter = (low & M32, low >> 32, high & M32, high >> 32)
    mix = philox4x32(counter, (0x3EC8F720, 0x02461E29))
    return Key((mix[0], mix[1]), mix[2] << 64 | mix[3] << 96)


def fold_in(key: Key, data: int | str) -> Key:
    tagged = b"s" + data.encode("utf-8") if isinstance(data, str) else b"i" + str(data).encode()
    own = b"".join(w.to_bytes(4, "little") for w in key.words) + key.base.to_bytes(16, "little")
    digest = hashlib.blake2b(own + tagged, digest_size=16, person=b"philinit.fold_in").digest()
    w = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    return Key((w[0], w[1]), w[2] << 64 | w[3] << 96)


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


def standard_normal32(w: Array) -> Array:
    k = (w.astype(np.uint32) | np.uint32(1)).view(np.int32).astype(np.int64)
    f = k.astype(np.float32)
    q = ((1 << 31) - np.abs(k)).astype(np.float32)
    b = q.view(np.uint32)
    index = (b >> np.uint32(23)) % np.uint32(32)
    mantissa = (b & np.uint32(0x7FFFFF) | np.uint32(0x3F800000)).view(np.float32)
    return f * horner32(c.NORMAL_TABLE, index, mantissa - np.float32(1.5))


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
