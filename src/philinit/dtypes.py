# SPDX-License-Identifier: Apache-2.0
"""The four dtypes of weights, and the numbers each of them can hold."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

NAMES = ("float32", "float64", "float16", "bfloat16")
#: Those that are stored; the leading 1 of a normal number is not.
MANTISSA_BITS = {"float32": 23, "float64": 52, "float16": 10, "bfloat16": 7}
FLOAT32: np.dtype[Any] = np.dtype(np.float32)
#: Those that NumPy has of its own.
PLAIN = frozenset({FLOAT32, np.dtype(np.float64), np.dtype(np.float16)})


@functools.cache
def BFLOAT16() -> np.dtype[Any]:
    """NumPy's dtype for bfloat16; the import of ml_dtypes waits until somebody needs it."""
    import ml_dtypes

    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


@functools.lru_cache(maxsize=64)
def _from_name(name: str) -> np.dtype[Any] | None:
    if name == "bfloat16":
        return BFLOAT16()
    try:
        return np.dtype(name)
    except (TypeError, ValueError, SyntaxError, KeyError):  # NumPy parses lists, and what not
        return None


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """The NumPy dtype that `dtype` names.

    Parameters
    ----------
    dtype : str, numpy dtype or scalar type, ml_dtypes.bfloat16, or tf.DType
        One of float32, float64, float16, bfloat16, in native byte order.

    Raises
    ------
    TypeError
        `dtype` is no dtype at all.
    ValueError
        `dtype` is a dtype, but not one of the four.
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
    return {
        "float64": float(np.finfo(np.float64).max),
        "float32": float(np.finfo(np.float32).max),
        "float16": 65504.0,
        "bfloat16": float.fromhex("0x1.fep+127"),
    }[dtype.name]


def at_least(value: float, dtype: np.dtype[Any]) -> float:
    """The smallest number of `dtype` that is >= `value`; exact, and inf where there is none."""
    return 0.0 - at_most(-value, dtype)  # no -0.0


def at_most(value: float, dtype: np.dtype[Any]) -> float:
    """The largest number of `dtype` that is <= `value`; exact, and -inf where there is none."""
    if dtype.name == "float64" or math.isinf(value):
        return value
    if abs(value) > largest(dtype):
        return largest(dtype) if value > 0 else -math.inf
    least = {"float32": -149, "float16": -24, "bfloat16": -133}[dtype.name]
    step = max(math.frexp(value)[1] - MANTISSA_BITS[dtype.name] - 1, least) if value else least
    return math.ldexp(math.floor(math.ldexp(value, -step)), step)


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
