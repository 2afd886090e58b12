# SPDX-License-Identifier: Apache-2.0
"""Which kernel draws a distribution in a dtype, and with which parameters; for all devices.

All arithmetic here is exact or IEEE double, so a plan has the same bits on every machine.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from philinit.distributions import (
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
    check_overflow,
    describe,
)
from philinit.dtypes import LEAST_EXPONENT, MANTISSA_BITS, at_least, at_most, below, rounded
from philinit.kernels.constants import NORMAL_LARGEST_32
from philinit.kernels.plan_tensorflow import tensorflow
from philinit.kernels.table import Plan, make
from philinit.kernels.tails import masses
from philinit.rounding import to_nearest

FLOAT32: np.dtype[Any] = np.dtype(np.float32)


@functools.lru_cache(maxsize=512)
@to_nearest()
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
    if not isinstance(distribution, (Uniform, Normal)):
        raise TypeError(
            "`distribution` must be a Uniform, Normal or TruncatedNormal; "
            f"got distribution={distribution!r}"
        )
    if sampler == "tensorflow":
        return tensorflow(distribution, dtype)
    if isinstance(distribution, Uniform):
        return _uniform(distribution, dtype)
    if isinstance(distribution, TruncatedNormal):
        return _truncated(distribution, dtype)
    return _normal(distribution, dtype)


def _float32(value: float) -> float:
    """`value` rounded to what the kernels of the three smaller dtypes compute in."""
    return float(np.float32(value))


def _mean(d: Normal) -> float:
    """The mean without the sign of -0.0, lest it depend on which instruction clamps a zero."""
    return d.mean + 0.0


# Below these the digits of what is drawn would reach into the subnormal numbers, which AVX512_BF16
# and the threads of some libraries, TensorFlow's too, take for zeros. A mean of 0 or from
# LEAST_MEAN up keeps the sum a multiple of the least normal number as well.
LEAST_SPREAD = {"float64": 2.0**-900, "bfloat16": 2.0**-40}  # 2**-93 in the other dtypes
LEAST_MEAN = {"float64": 2.0**-900}  # 2**-100 in the other dtypes, which compute in float32

# The least doubled probability of a tail that the normal map of 32-bit words has.
LEAST_MASS = 2.0**-31


def _check_spread(spread: float, mean: float, dtype: np.dtype[Any], what: Any) -> None:
    least = LEAST_SPREAD.get(dtype.name, 2.0**-93)
    if 0.0 < spread < least:
        raise ValueError(
            f"the spread of the distribution must be 0 or at least {least:.3g} in {dtype.name}; "
            f"got {describe(what)}"
        )
    least = LEAST_MEAN.get(dtype.name, 2.0**-100)
    if 0.0 < abs(mean) < least:
        raise ValueError(
            f"the middle of the distribution must be 0 or at least {least:.3g} in {dtype.name}; "
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


def _make(kernel: str, dtype: np.dtype[Any], **values: float) -> Plan:
    """The plan of a kernel in a dtype; one kernel draws all float8, whose format it takes."""
    if dtype.itemsize > 1:
        return make(f"{kernel}_{dtype.name}", **values)
    mantissa, exponent = MANTISSA_BITS[dtype.name], LEAST_EXPONENT[dtype.name]
    return make(
        f"{kernel}_float8",
        least=exponent + 127 << 23,  # the smallest normal number, as bits of float32
        shift=23 - mantissa,
        offset=(exponent + 150 - mantissa << mantissa) & 0xFF,
        negative=-128 + dtype.name.endswith("fnuz"),  # below this as int8: -0, where there is none
        **values,
    )


def _kept(kernel: str, low: float, high: float, dtype: np.dtype[Any], **values: float) -> Plan:
    """The plan for a smaller dtype, where numbers can still round past `low` and `high`."""
    if not low < 0.0 < high:
        return _make(f"{kernel}_clamped", dtype, low=low, high=high, **values)
    unsigned = np.array([low, high]).astype(dtype).view(f"u{dtype.itemsize}")
    low_bits, high_bits = map(int, unsigned)
    return _make(kernel, dtype, low_bits=low_bits, high_bits=high_bits, **values)


def _uniform(d: Uniform, dtype: np.dtype[Any]) -> Plan:
    check_overflow(max(-d.low, d.high), dtype, d)
    _check_spread(d.high - d.low, d.low / 2 + d.high / 2, dtype, d)
    low, high = _bounds(at_least(d.low, dtype), below(d.high, dtype), dtype, d)
    middle = d.low / 2 + d.high / 2
    if dtype.itemsize == 8:
        scale, middle = _inside(low, high, middle, 1 << 63, dtype)
        return make("uniform_float64", scale=scale, middle=middle)
    ends = at_least(d.low, FLOAT32), below(d.high, FLOAT32)
    scale, middle = _inside(*ends, _float32(middle), 1 << 31, FLOAT32)
    if dtype.itemsize == 4:
        return make("uniform_float32", scale=scale, middle=middle)
    return _kept("uniform", low, high, dtype, scale=scale, middle=middle)


def _normal(d: Normal, dtype: np.dtype[Any]) -> Plan:
    _check_spread(d.stddev, d.mean, dtype, d)
    if dtype.itemsize == 8:
        return _bounded64(d, -math.inf, math.inf, dtype)
    check_overflow(abs(d.mean) + NORMAL_LARGEST_32 * d.stddev, dtype, d)
    return _make("normal", dtype, stddev=_float32(d.stddev), mean=_float32(_mean(d)))


def _truncated(d: TruncatedNormal, dtype: np.dtype[Any]) -> Plan:
    _check_spread(d.stddev, d.mean, dtype, d)
    if dtype.itemsize == 8:
        return _bounded64(d, d.lower, d.upper, dtype)
    if (d.lower, d.upper) != (-2.0, 2.0):
        return _bounded32(d, dtype) if _near(d) else _bounded64(d, d.lower, d.upper, dtype)
    low, high = _support(d, -2.0, 2.0, dtype)
    stddev, mean = _inside(*_support(d, -2.0, 2.0, FLOAT32), _float32(_mean(d)), 2, FLOAT32)
    stddev = min(stddev, at_most(d.stddev, FLOAT32))
    if dtype.itemsize == 4:
        return make("truncated_float32", stddev=stddev, mean=mean)
    return _kept("truncated", low, high, dtype, stddev=stddev, mean=mean)


def _near(d: TruncatedNormal) -> bool:
    """Whether the float32 map draws 32-bit words: why these conditions, says kernels/README.md."""
    lower_mass, upper_mass, inside, _ = masses(d.lower, d.upper)
    ends = (d.mean + bound * d.stddev for bound in (d.lower, d.upper))
    return (
        (min(lower_mass, upper_mass) >= LEAST_MASS or inside >= 0.25)
        and d.upper - d.lower >= 0.125
        and 2.0**-64 <= d.stddev < 2.0**96
        and not any(0.0 < abs(end) < 2.0**-126 for end in ends)
    )


def _bounded32(d: TruncatedNormal, dtype: np.dtype[Any]) -> Plan:
    low, high = _support(d, d.lower, d.upper, dtype)
    lower_mass, upper_mass, inside, center = masses(d.lower, d.upper)
    spacing = _float32(inside / 2)
    least = at_least(1.0 - spacing, FLOAT32)  # so that q >= 1 in the outermost word
    return _make(
        "bounded",
        dtype,
        mean=_float32(_mean(d)),
        low=low + 0.0,  # no -0.0: zeros are alike to minimum and maximum
        high=high + 0.0,
        lower_mass=max(_float32(lower_mass / LEAST_MASS), least),
        upper_mass=max(_float32(upper_mass / LEAST_MASS), least),
        scale=_float32(inside / 2 * d.stddev),
        center=_float32(center / LEAST_MASS * d.stddev),
        spacing=spacing,
    )


def _bounded64(d: Normal, lower: float, upper: float, dtype: np.dtype[Any]) -> Plan:
    low, high = _support(d, lower, upper, dtype)
    lower_mass, upper_mass, inside, center = masses(lower, upper)
    return _make(
        "bounded" if dtype.itemsize == 8 else "bounded_far",
        dtype,
        stddev=d.stddev,
        mean=_mean(d),
        low=low,
        high=high,
        lower_mass=lower_mass,
        upper_mass=upper_mass,
        scale=inside * 2.0**-64,
        center=center,
    )


def _support(d: Normal, lower: float, upper: float, dtype: np.dtype[Any]) -> tuple[float, float]:
    """mean + lower stddev and mean + upper stddev, moved inside `dtype`.

    A bound further out than any number drawn counts as that: the tail beyond `a`, divided into
    2**64 parts, ends at sqrt(a**2 + 88.8) < a + 10.
    """
    reach = max(lower, min(upper, 0.0) - 10.0), min(upper, max(lower, 0.0) + 10.0)
    ends = [d.mean + bound * d.stddev for bound in reach]
    check_overflow(max(map(abs, ends)), dtype, d)
    if not d.stddev:  # everything is the mean, rounded
        only = rounded(d.mean, dtype)
        return only, only
    return _bounds(at_least(ends[0], dtype), at_most(ends[1], dtype), dtype, d)
