# SPDX-License-Identifier: Apache-2.0
"""The dtypes of weights, and the numbers each of them can hold."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
WIDER = ("float32", "float64", "float16", "bfloat16")
NAMES = (*WIDER, *FLOAT8)
#: Those that are stored; the leading 1 of a normal number is not.
MANTISSA_BITS = {"float32": 23, "float64": 52, "float16": 10, "bfloat16": 7}
MANTISSA_BITS |= zip(FLOAT8, (3, 2, 3, 2), strict=True)
#: Of the smallest normal number, a power of two.
LEAST_EXPONENT = {"float32": -126, "float64": -1022, "float16": -14, "bfloat16": -126}
LEAST_EXPONENT |= zip(FLOAT8, (-6, -14, -7, -15), strict=True)
_LARGEST = {
    "float32": float.fromhex("0x1.fffffep+127"),
    "float64": float.fromhex("0x1.fffffffffffffp+1023"),
    "float16": 65504.0,
    "bfloat16": float.fromhex("0x1.fep+127"),
}
_LARGEST |= zip(FLOAT8, (448.0, 57344.0, 240.0, 57344.0), strict=True)
FLOAT32: np.dtype[Any] = np.dtype(np.float32)
FLOAT64: np.dtype[Any] = np.dtype(np.float64)
#: Those that NumPy has of its own; the others are those of ml_dtypes.
PLAIN = frozenset({FLOAT32, FLOAT64, np.dtype(np.float16)})


@functools.cache
def extended(name: str) -> np.dtype[Any]:
    """NumPy's dtype for bfloat16 or a float8; the import of ml_dtypes waits until then."""
    import ml_dtypes

    found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
    return found


@functools.lru_cache(maxsize=64)
def _from_name(name: str) -> np.dtype[Any] | None:
    if name == "bfloat16" or name in FLOAT8:
        return extended(name)
    try:
        return np.dtype(name)
    except (TypeError, ValueError, SyntaxError, KeyError):  # NumPy parses lists, and what not
        return None


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype that `dtype` names.

    Parameters
    ----------
    dtype : str, numpy dtype or scalar type, one of ml_dtypes, or tf.DType
        One of `NAMES`, in native byte order.

    Raises
    ------
    TypeError
        `dtype` is no dtype at all.
    ValueError
        `dtype` is a dtype, but not one of those.
    """
    found: np.dtype[Any] | None
    if isinstance(dtype, np.dtype):
        found = dtype
    elif isinstance(dtype, str):
        found = _from_name(dtype)
    elif dtype is None:
        found = None
    else:
        try:
            found = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
        except (TypeError, ValueError, SyntaxError, KeyError):
            found = None
    if found is None:
        kind = ValueError if isinstance(dtype, str) else TypeError
        raise kind(f"`dtype` must be one of {', '.join(NAMES)}; got dtype={dtype!r}")
    if found in PLAIN:  # a dtype works its name out anew whenever it is asked
        return found
    if found.name not in NAMES or not found.isnative:
        came = found.name if found.isnative else found.str
        raise ValueError(f"`dtype` must be one of {', '.join(NAMES)}; got dtype={came}")
    return found


def largest(dtype: np.dtype[Any]) -> float:
    """The largest finite number of `dtype`."""
    return _LARGEST[dtype.name]


def at_least(value: float, dtype: np.dtype[Any]) -> float:
    """The smallest number of `dtype` that is >= `value`; exact, and inf where there is none."""
    return 0.0 - at_most(-value, dtype)  # no -0.0


def at_most(value: float, dtype: np.dtype[Any]) -> float:
    """The largest number of `dtype` that is <= `value`; exact, and -inf where there is none."""
    if dtype.name == "float64" or math.isinf(value):
        return value
    if abs(value) > largest(dtype):
        return largest(dtype) if value > 0 else -math.inf
    return _in_steps(value, dtype, math.floor)


def rounded(value: float, dtype: np.dtype[Any]) -> float:
    """The number of `dtype` nearest to a `value` that it can hold, ties to even, no -0.0."""
    return _in_steps(value, dtype, round)


def _in_steps(value: float, dtype: np.dtype[Any], to_integer: Callable[[float], int]) -> float:
    exponent = math.frexp(value)[1] - 1 if value else LEAST_EXPONENT[dtype.name]
    step = max(exponent, LEAST_EXPONENT[dtype.name]) - MANTISSA_BITS[dtype.name]
    return math.ldexp(to_integer(math.ldexp(value, -step)), step)


def below(value: float, dtype: np.dtype[Any]) -> float:
    """The largest number of `dtype` that is < `value`."""
    return at_most(math.nextafter(value, -math.inf), dtype)


def in_c_order(shape: Sequence[int], strides: Sequence[int], unit: int = 1) -> bool:
    """Whether elements of `unit` lie in C order, with or without gaps, and none of them twice."""
    span = unit
    for length, stride in zip(reversed(shape), reversed(strides), strict=True):
        if length > 1:
            if stride < span:
                return False
            span += stride * (length - 1)
    return True


def check_view(view: Any, name: str) -> None:
    """Refuse an array, of NumPy or CuPy, of another dtype, or not of contiguous rows in C order."""
    dtype = view.dtype
    if dtype.name not in NAMES:
        hint = ": pass np.frombuffer(..., dtype=...) of it" if dtype.name == "uint8" else ""
        raise ValueError(f"`{name}` must hold {', '.join(NAMES)}; got dtype={dtype.name}{hint}")
    if not dtype.isnative:
        raise ValueError(
            f"`{name}` must be in native byte order; got dtype={dtype.str}: "
            "fill a native array and convert it with .astype"
        )
    if not view.flags.c_contiguous:
        shape, strides, size = view.shape, view.strides, dtype.itemsize
        rows = shape[-1] == 1 or strides[-1] == size
        if not rows or any(n % size for n in strides) or not in_c_order(shape, strides, size):
            raise not_contiguous(view, name)


def not_contiguous(view: Any, name: str) -> ValueError:
    """The error for an array, of NumPy or CuPy, whose elements are not where they must be."""
    return ValueError(
        f"`{name}` must be C-contiguous; got shape {view.shape} with strides {view.strides} "
        "bytes: pass a whole array, or one of which only rows are left out"
    )
