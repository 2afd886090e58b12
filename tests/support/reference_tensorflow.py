# SPDX-License-Identifier: Apache-2.0
"""The oracle of sampler="tensorflow": TensorFlow's published algorithm in slow, obvious NumPy.

Words become numbers as in tsl/lib/random/random_distributions.h, numbers are laid out in a tensor
as in core/kernels/random_op_cpu.h, and scaled as in python/ops/stateless_random_ops.py. For float32
logf, sinf and cosf there are two oracles: "glibc" is Arm's algorithm, operation by operation in
float64; "rounded" is the exact value, rounded once. Only the coefficients of Arm's polynomials are
shared with the kernels. The float64 normals call the libm of this machine, as TensorFlow does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np

from philinit.distributions import Distribution, TruncatedNormal, Uniform
from philinit.kernels import constants as c
from philinit.keys import Key
from tests.support import reference as r
from tests.support import reference_words as rw
from tests.support.exact import fields_of, round_fraction

Array = np.ndarray[Any, Any]

KINDS = ("glibc", "rounded")
RESERVED_WORDS = 256  # for each truncated normal: kReservedSamplesPerOutput


# --- logf, sinf and cosf -------------------------------------------------------------------------


def log_glibc(x: Array) -> Array:
    """Arm's logf (glibc 2.27 and later) of positive normal float32 numbers below 1."""
    bits = x.view(np.uint32)
    above = bits - np.uint32(0x3F330000)  # x counts from 0x1.66p-1 on
    i = above >> np.uint32(19) & np.uint32(15)
    k = (above.view(np.int32) >> 23).astype(np.float64)
    z = (bits - (above & np.uint32(0xFF800000))).view(np.float32).astype(np.float64)
    r_ = z * np.array(c.LOG_INVERSE)[i] - 1.0
    y0 = np.array(c.LOG_CENTER)[i] + k * math.log(2.0)
    _, a2, a1, a0 = c.GLIBC_LOG1P
    r2 = r_ * r_
    y = a1 * r_ + a2
    y = a0 * r2 + y
    y = y * r2 + (y0 + r_)
    return y.astype(np.float32)


def quarters(x: Array) -> tuple[Array, Array]:
    """The nearest multiple of pi / 2, as a number from 0 to 4, and what is left of x."""
    n = ((x * float.fromhex("0x1.45F306DC9C883p+23")).astype(np.int32) + 0x800000) >> 24
    return n, x - n * (math.pi / 2)


def arm_sin(x: Array, x2: Array) -> Array:
    s1, s2, s3 = c.GLIBC_SIN
    x3 = x * x2
    high = s2 + x2 * s3
    x7 = x3 * x2
    return (x + x3 * s1) + x7 * high


def arm_cos(x2: Array, sign: Array) -> Array:
    c0, c1, c2, c3, c4 = (sign * v for v in c.GLIBC_COS)
    x4 = x2 * x2
    high = c3 + x2 * c4
    low = c0 + x2 * c1
    x6 = x4 * x2
    return (low + x4 * c2) + x6 * high


def sin_glibc(x: Array) -> Array:
    """Arm's sinf (glibc 2.28 and later) of float32 numbers from 0 to 2 pi."""
    n, rest = quarters(x.astype(np.float64))
    sign = np.array([1.0, -1.0, -1.0, 1.0])[n & 3]
    negative = np.where(n & 2, -1.0, 1.0)
    x2 = rest * rest
    y = np.where(n & 1, arm_cos(x2, negative), arm_sin(rest * sign, x2)).astype(np.float32)
    return np.where(x < 2.0**-12, x, y)


def cos_glibc(x: Array) -> Array:
    n, rest = quarters(x.astype(np.float64))
    sign = np.array([1.0, -1.0, -1.0, 1.0])[n & 3]
    negative = np.where(n & 2, -1.0, 1.0)
    x2 = rest * rest
    y = np.where(n & 1, arm_sin(rest * sign, x2), arm_cos(x2, negative)).astype(np.float32)
    return np.where(x < 2.0**-12, np.float32(1), y)


TIE = 1 << 28  # the 29 bits of float64 that float32 lacks, at a tie
CLOSE = 64  # units of float64: many times the error of NumPy's functions


def correctly_rounded(function: Any, exact: Any) -> Callable[[Array], Array]:
    """float64 rounded to float32; where a tie is within the error of float64, mpmath decides."""

    def computed(x: Array) -> Array:
        wide = np.asarray(function(x.astype(np.float64)))
        y = wide.astype(np.float32)
        dropped = (wide.view(np.uint64) & np.uint64(2 * TIE - 1)).astype(np.int64)
        for i in zip(*np.nonzero(np.abs(dropped - TIE) <= CLOSE), strict=True):
            with mpmath.workprec(200):
                value = r.as_fraction(exact(mpmath.mpf(float(x[i]))))
            y[i] = round_fraction(value, *fields_of(r.FLOAT32))
        return y

    return computed


log_rounded = correctly_rounded(np.log, mpmath.log)
sin_rounded = correctly_rounded(np.sin, mpmath.sin)
cos_rounded = correctly_rounded(np.cos, mpmath.cos)

FUNCTIONS = {
    "glibc": (log_glibc, sin_glibc, cos_glibc),
    "rounded": (log_rounded, sin_rounded, cos_rounded),
}


# --- words to uniform numbers in [0, 1) and to standard normals ----------------------------------


def uniform32(w: Array) -> Array:
    return (w & np.uint32(0x7FFFFF) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)


def uniform64(w: Array) -> Array:
    """Of pairs of words: 20 bits of the first, then the second."""
    first, second = w[..., 0::2].astype(np.uint64), w[..., 1::2].astype(np.uint64)
    mantissa = (first & np.uint64(0xFFFFF)) << np.uint64(32) | second
    return (mantissa | np.uint64(0x3FF << 52)).view(np.float64) - 1.0


def uniform16(w: Array, dtype: np.dtype[Any]) -> Array:
    one, mantissa = (0x3C00, 0x3FF) if dtype == r.FLOAT16 else (0x3F80, 0x7F)
    bits = (w & np.uint32(mantissa) | np.uint32(one)).astype(np.uint16)
    return np.asarray(bits.view(dtype) - dtype.type(1))


def radius32(w: Array, kind: str = "glibc") -> Array:
    log = FUNCTIONS[kind][0]
    u = np.maximum(uniform32(w), np.float32(1e-7))
    return np.sqrt(np.float32(-2) * log(u))


def direction32(w: Array, kind: str = "glibc") -> tuple[Array, Array]:
    _, sin, cos = FUNCTIONS[kind]
    angle = (2 * math.pi * uniform32(w).astype(np.float64)).astype(np.float32)
    return sin(angle), cos(angle)


def box_muller32(w: Array, kind: str) -> Array:
    """Rows of four words to rows of four normals."""
    radius = radius32(w[:, 0::2], kind)
    sin, cos = direction32(w[:, 1::2], kind)
    return np.stack([sin * radius, cos * radius], axis=-1).reshape(w.shape)


def each(function: Callable[[float], float], x: Array) -> Array:
    return np.array([function(v) for v in x.ravel().tolist()], np.float64).reshape(x.shape)


def box_muller64(w: Array, kind: str = "") -> Array:
    """Rows of four words to rows of two normals, by the libm that Python calls."""
    u = uniform64(w)
    radius = np.sqrt(-2.0 * each(math.log, np.maximum(u[:, 0], 1e-7)))
    angle = 2 * math.pi * u[:, 1]
    return np.stack([each(math.sin, angle) * radius, each(math.cos, angle) * radius], axis=-1)


# --- the layout of a tensor ----------------------------------------------------------------------


def standard_normals(key: Key, first: int, groups: int, wide: bool, kind: str) -> Array:
    rows = rw.block_words(key.words, key.base + first, np.arange(groups))
    return (box_muller64 if wide else box_muller32)(rows, kind)


def standard_truncated(key: Key, first: int, groups: int, wide: bool, kind: str) -> Array:
    """Each group takes numbers within (-2, 2) from its own counter blocks until it is full."""
    numbers = box_muller64 if wide else box_muller32
    size = 2 if wide else 4
    reserved = size * RESERVED_WORDS // 4
    result = np.empty((groups, size), r.FLOAT64 if wide else r.FLOAT32)
    held = np.zeros(groups, np.int64)
    open_ = np.arange(groups)
    attempt = 0
    while open_.size:
        steps = open_ * reserved + attempt
        candidates = numbers(rw.block_words(key.words, key.base + first * reserved, steps), kind)
        for column in candidates.T:
            taken = (np.abs(column) < 2) & (held[open_] < size)
            group = open_[taken]
            result[group, held[group]] = column[taken]
            held[group] += 1
        open_ = open_[held[open_] < size]
        attempt += 1
    return result


# --- weights -------------------------------------------------------------------------------------


def parameter(value: float, dtype: np.dtype[Any]) -> Any:
    """As TensorFlow takes a Python float: by way of float32 to the 16-bit dtypes.

    -0.0 counts as 0.0: which of the two TensorFlow takes depends on which it has seen first.
    """
    wide = np.float64(value + 0.0)
    return dtype.type(wide if dtype.itemsize > 2 else np.float32(wide))


def scaled(x: Array, factor: Any, term: Any) -> Array:
    """NumPy computes in the dtype of its operands and rounds after each operation."""
    assert x.dtype == factor.dtype == term.dtype
    return np.asarray(x * factor + term)


def from_uniform(w: Array, d: Uniform, dtype: np.dtype[Any]) -> Array:
    """Words, or pairs of them for float64, to weights."""
    low, high = parameter(d.low, dtype), parameter(d.high, dtype)
    if dtype == r.FLOAT64:
        u = uniform64(w)
    else:
        u = uniform32(w) if dtype == r.FLOAT32 else uniform16(w, dtype)
    return scaled(u, high - low, low)


def from_normal(z: Array, d: Any, dtype: np.dtype[Any]) -> Array:
    """Standard normals, float64 or float32, to weights."""
    return scaled(z.astype(dtype), parameter(d.stddev, dtype), parameter(d.mean, dtype))


def weights(
    distribution: Distribution,
    dtype: np.dtype[Any],
    key: Key,
    offset: int,
    count: int,
    kind: str = "glibc",
) -> Array:
    """Weights `offset`, `offset + 1`, ... of a stream; `kind` of logf, sinf and cosf."""
    wide = dtype == r.FLOAT64
    if isinstance(distribution, Uniform):
        factor = 2 if wide else 1
        w = rw.words(key, factor * offset, factor * count)
        return from_uniform(w, distribution, dtype)
    size = 2 if wide else 4
    first, skip = divmod(offset, size)
    groups = -(-(skip + count) // size)
    cut = isinstance(distribution, TruncatedNormal)
    draw = standard_truncated if cut else standard_normals
    z = draw(key, first, groups, wide, kind).ravel()[skip:][:count]
    return from_normal(z, distribution, dtype)
