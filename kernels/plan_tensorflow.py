# SPDX-License-Identifier: Apache-2.0
"""Plans for sampler "tensorflow": TensorFlow rounds parameters to the dtype and computes in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from philinit.distributions import Normal, TruncatedNormal, Uniform, check_overflow, describe
from philinit.kernels.constants import TENSORFLOW_LARGEST
from philinit.kernels.libm import libm
from philinit.kernels.table import Plan, make

# TensorFlow's threads take subnormal numbers for zeros. The smallest normals are 2**-37.3 stddev,
# the smallest uniform numbers 2**-23 (2**-52) of the range; numbers from LEAST_TERM up are
# multiples of the least normal number, and so are their sums.
LEAST_STDDEV = {"float64": 2.0**-900, "float32": 2.0**-88, "bfloat16": 2.0**-40}
LEAST_RANGE = {"float64": 2.0**-900, "float32": 2.0**-103, "bfloat16": 2.0**-103}
LEAST_TERM = {"float64": 2.0**-900, "float32": 2.0**-100, "bfloat16": 2.0**-100}


def _check_subnormal(
    name: str, value: float, limits: dict[str, float], dtype: np.dtype[Any], what: Any
) -> None:
    least = limits.get(dtype.name, 0.0)  # float16 is computed in float32: none of it is subnormal
    if 0.0 < abs(value) < least:
        raise ValueError(
            f"`{name}` must be 0 or at least {least:.3g} in {dtype.name} for "
            f'sampler="tensorflow"; got {describe(what)}'
        )


def tensorflow(d: Uniform | Normal, dtype: np.dtype[Any]) -> Plan:
    """The plan for TensorFlow's numbers; errors as in `philinit.kernels.plan.plan`."""
    if dtype.itemsize == 1:
        raise NotImplementedError(
            f'sampler="tensorflow" draws no {dtype.name}, as TensorFlow does not: '
            'use sampler="native"'
        )

    def rounded(value: float) -> float:
        """By way of float32 to 16 bits, as TensorFlow takes a Python float; -0.0 becomes 0.0."""
        with np.errstate(over="ignore"):
            wide = np.asarray(value + 0.0, np.float64)
            return float((wide if dtype.itemsize > 2 else wide.astype(np.float32)).astype(dtype))

    if isinstance(d, Uniform):
        check_overflow(max(-d.low, d.high), dtype, d)
        _check_subnormal("high - low", d.high - d.low, LEAST_RANGE, dtype, d)
        _check_subnormal("low", d.low, LEAST_TERM, dtype, d)
        low, high = rounded(d.low), rounded(d.high)
        check_overflow(high - low, dtype, d)  # TensorFlow multiplies by it
        return make(f"tensorflow_uniform_{dtype.name}", span=rounded(high - low), minimum=low)
    truncated = isinstance(d, TruncatedNormal)
    if isinstance(d, TruncatedNormal) and (d.lower, d.upper) != (-2.0, 2.0):
        raise NotImplementedError(
            'sampler="tensorflow" truncates at lower=-2, upper=2 only, as TensorFlow does; '
            f'got {describe(d)}: use sampler="native"'
        )
    _check_subnormal("stddev", d.stddev, LEAST_STDDEV, dtype, d)
    _check_subnormal("mean", d.mean, LEAST_TERM, dtype, d)
    stddev, mean = rounded(d.stddev), rounded(d.mean)
    reach = rounded(2.0 if truncated else TENSORFLOW_LARGEST)
    check_overflow(
        max(abs(d.mean), d.stddev, rounded(rounded(reach * stddev) + abs(mean))), dtype, d
    )
    found = libm()
    log, sin, cos = found.addresses64 if dtype.itemsize == 8 else found.addresses32
    return make(
        f"tensorflow_{'truncated' if truncated else 'normal'}_{dtype.name}",
        stddev=stddev,
        mean=mean,
        log_kind=found.log,
        trigonometry_kind=found.trigonometry,
        log=log,
        sin=sin,
        cos=cos,
    )
