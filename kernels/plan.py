# SPDX-License-Identifier: Apache-2.0
"""Which kernel draws a distribution in a dtype, and with which parameters; for all devices.

All arithmetic here is exact or IEEE double, so a plan has the same bits on every machine.
"""

from __future__ import annotations

import ctypes
import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform, describe
from philinit.dtypes import at_least, at_most, below, largest
from philinit.kernels.constants import NORMAL_LARGEST_32, RESERVED_BLOCKS, TENSORFLOW_LARGEST
from philinit.kernels.libm import libm
from philinit.kernels.tails import masses

FLOAT32: np.dtype[Any] = np.dtype(np.float32)


@dataclass(frozen=True)
class Plan:
    """A kernel's name, the random words that one weight takes, and the kernel's parameters."""

    kernel: str
    words: int
    parameters: Any  # eight float64, as a ctypes array: its address goes to the kernel
    reserved: int = 1  # counter blocks from the block of one group of weights to that of the next


@functools.lru_cache(maxsize=512)
def plan(distribution: Distribution, dtype: np.dtype[Any], sampler: str) -> Plan:
    """The plan for a distribution, or a ValueError or NotImplementedError that says why not.

    Raises
    ------
    ValueError
        `dtype` cannot hold what would be drawn: bounds without a number of `dtype` between them,
        numbers that would overflow, or a spread so small that its digits get lost.
    NotImplementedError
        `sampler` does not draw this distribution in this dtype.
    """
    if sampler == "tensorflow":
        return _tensorflow(distribution, dtype)
    if isinstance(distribution, Uniform):
        return _uniform(distribution, dtype)
    if isinstance(distribution, TruncatedNormal):
        return _truncated(distribution, dtype)
    if isinstance(distribution, Normal):
        return _normal(distribution, dtype)
    raise _unknown(distribution)


def _unknown(distribution: Any) -> TypeError:
    return TypeError(
        "`distribution` must be a Uniform, Normal or TruncatedNormal; "
        f"got distribution={distribution!r}"
    )


def _make(kernel: str, dtype: np.dtype[Any], *parameters: float, reserved: int = 1) -> Plan:
    values = (*parameters, *[0.0] * (8 - len(parameters)))
    return Plan(
        f"{kernel}_{dtype.name}",
        2 if dtype.itemsize == 8 else 1,
        (ctypes.c_double * 8)(*values),
        reserved,
    )


def _float32(value: float) -> float:
    """`value` rounded to what the kernels of the three smaller dtypes compute in."""
    return float(np.float32(value))


def _mean(d: Normal) -> float:
    """The mean without the sign of -0.0, lest it depend on which instruction clamps a zero."""
    return d.mean + 0.0


# Below these the digits of what is drawn would reach into the subnormal numbers: float32 loses
# them, and AVX512_BF16 takes such numbers for zeros. A mean of 0 or from LEAST_MEAN up keeps the
# sum a multiple of 2**-126 as well.
LEAST_SPREAD = {
    "float64": 2.0**-900,
    "float32": 2.0**-93,
    "float16": 2.0**-93,
    "bfloat16": 2.0**-40,
}
LEAST_MEAN = 2.0**-100


def _check_spread(spread: float, mean: float, dtype: np.dtype[Any], what: Any) -> None:
    least = LEAST_SPREAD[dtype.name]
    if 0.0 < spread < least:
        raise ValueError(
            f"the spread of the distribution must be 0 or at least {least:.3g} in {dtype.name}; "
            f"got {describe(what)}"
        )
    if dtype.name == "bfloat16" and 0.0 < abs(mean) < LEAST_MEAN:
        raise ValueError(
            f"the middle of the distribution must be 0 or at least {LEAST_MEAN:.3g} in bfloat16; "
            f"got {describe(what)}"
        )


def _check_overflow(reach: float, dtype: np.dtype[Any], what: Any) -> None:
    if reach > largest(dtype):
        raise ValueError(
            f"the numbers drawn must stay below {largest(dtype):.6g}, the largest {dtype.name}; "
            f"got {describe(what)}"
        )


def _bounds(low: float, high: float, dtype: np.dtype[Any], what: Any) -> tuple[float, float]:
    """The numbers of `dtype` next to the ends, inside them."""
    if low > high:
        raise ValueError(
            f"the bounds must hold at least one number of {dtype.name}; got {describe(what)}"
        )
    return low, high


def _towards_zero(value: Fraction, dtype: np.dtype[Any]) -> float:
    """The largest number of `dtype` that is <= a non-negative `value`."""
    nearest = float(value)
    return at_most(nearest if nearest <= value else math.nextafter(nearest, 0.0), dtype)


def _inside(
    low: float, high: float, middle: float, reach: int, dtype: np.dtype[Any]
) -> tuple[float, float]:
    """(scale, middle) with low <= middle +- reach * scale <= high, so that no clamp is needed.

    The scale is the largest such number of `dtype`; rounding middle +- reach * scale cannot leave
    [low, high] either, for both are numbers of `dtype`.
    """
    middle = min(max(middle, low), high)
    half = min(Fraction(high) - Fraction(middle), Fraction(middle) - Fraction(low))
    return _towards_zero(half / reach, dtype), middle


def _kernel16(name: str, low: float, high: float, dtype: np.dtype[Any], *parameters: float) -> Plan:
    """The plan for a 16-bit dtype, where numbers can still round past `low` and `high`."""
    if not low < 0.0 < high:
        return _make(f"{name}_clamped", dtype, *parameters, low, high)
    patterns = np.array([low, high]).astype(dtype).view(np.uint16)
    return _make(name, dtype, *parameters, low, high, *map(float, patterns))


def _uniform(d: Uniform, dtype: np.dtype[Any]) -> Plan:
    _check_overflow(max(-d.low, d.high), dtype, d)
    _check_spread(d.high - d.low, d.low / 2 + d.high / 2, dtype, d)
    low, high = _bounds(at_least(d.low, dtype), below(d.high, dtype), dtype, d)
    middle = d.low / 2 + d.high / 2
    if dtype.itemsize == 8:
        return _make("uniform", dtype, *_inside(low, high, middle, 1 << 63, dtype))
    ends = at_least(d.low, FLOAT32), below(d.high, FLOAT32)
    parameters = _inside(*ends, _float32(middle), 1 << 31, FLOAT32)
    if dtype.itemsize == 4:
        return _make("uniform", dtype, *parameters)
    return _kernel16("uniform", low, high, dtype, *parameters)


def _normal(d: Normal, dtype: np.dtype[Any]) -> Plan:
    _check_spread(d.stddev, d.mean, dtype, d)
    if dtype.itemsize == 8:
        return _bounded(d, -math.inf, math.inf, dtype)
    _check_overflow(abs(d.mean) + NORMAL_LARGEST_32 * d.stddev, dtype, d)
    return _make("normal", dtype, _float32(d.stddev), _float32(_mean(d)))


def _truncated(d: TruncatedNormal, dtype: np.dtype[Any]) -> Plan:
    _check_spread(d.stddev, d.mean, dtype, d)
    if dtype.itemsize == 8 or (d.lower, d.upper) != (-2.0, 2.0):
        return _bounded(d, d.lower, d.upper, dtype)
    low, high = _support(d, -2.0, 2.0, dtype)
    stddev, mean = _inside(*_support(d, -2.0, 2.0, FLOAT32), _float32(_mean(d)), 2, FLOAT32)
    parameters = min(stddev, at_most(d.stddev, FLOAT32)), mean
    if dtype.itemsize == 4:
        return _make("truncated", dtype, *parameters)
    return _kernel16("truncated", low, high, dtype, *parameters)


def _bounded(d: Normal, lower: float, upper: float, dtype: np.dtype[Any]) -> Plan:
    low, high = _support(d, lower, upper, dtype)
    below_, above, inside, centre = masses(lower, upper)
    return _make(
        "bounded",
        dtype,
        d.stddev,
        _mean(d),
        low,
        high,
        below_,
        above,
        inside * 2.0**-64,
        centre,
    )


def _support(d: Normal, lower: float, upper: float, dtype: np.dtype[Any]) -> tuple[float, float]:
    """mean + lower stddev and mean + upper stddev, moved inside `dtype`.

    A bound further out than any number drawn counts as that: the tail beyond `a`, divided into
    2**64 parts, ends at sqrt(a**2 + 88.8) < a + 10.
    """
    nearest = max(lower, min(upper, 0.0) - 10.0), min(upper, max(lower, 0.0) + 10.0)
    ends = [d.mean + bound * d.stddev for bound in nearest]
    _check_overflow(max(map(abs, ends)), dtype, d)
    if not d.stddev:  # everything is the mean, rounded
        rounded = float(np.asarray(_mean(d), np.float64).astype(dtype))
        return rounded, rounded
    return _bounds(at_least(ends[0], dtype), at_most(ends[1], dtype), dtype, d)


def _tensorflow(d: Distribution, dtype: np.dtype[Any]) -> Plan:
    """TensorFlow rounds the parameters to the dtype and computes in it."""

    def rounded(value: float) -> float:
        return float(np.asarray(value, np.float64).astype(dtype)) + 0.0

    if isinstance(d, Uniform):
        _check_overflow(max(-d.low, d.high), dtype, d)
        low, high = rounded(d.low), rounded(d.high)
        _check_overflow(high - low, dtype, d)  # TensorFlow multiplies by it
        return _make("tensorflow_uniform", dtype, rounded(high - low), low)
    if not isinstance(d, Normal):
        raise _unknown(d)
    if isinstance(d, TruncatedNormal) and (d.lower, d.upper) != (-2.0, 2.0):
        raise NotImplementedError(
            'sampler="tensorflow" truncates at lower=-2, upper=2 only, as TensorFlow does; '
            f'got {describe(d)}: use sampler="native"'
        )
    _check_spread(d.stddev, d.mean, dtype, d)
    _check_overflow(abs(d.mean) + TENSORFLOW_LARGEST * d.stddev, dtype, d)
    found = libm()
    addresses = found.addresses64 if dtype.itemsize == 8 else found.addresses32
    parameters = rounded(d.stddev), rounded(d.mean), found.log, found.trigonometry, *addresses
    if not isinstance(d, TruncatedNormal):
        return _make("tensorflow_normal", dtype, *parameters)
    reserved = RESERVED_BLOCKS if dtype.itemsize < 8 else RESERVED_BLOCKS // 2
    return _make("tensorflow_truncated", dtype, *parameters, reserved=reserved)
