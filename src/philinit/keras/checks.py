# SPDX-License-Identifier: Apache-2.0
"""What `philinit.keras` refuses, and what it leaves to Keras: shapes, dtypes, seeds, numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from philinit import dtypes
from philinit.checks import as_shape


class KerasOnlyError(ValueError):
    """A call that makes sense to Keras, but that philinit has no numbers for."""


#: The name of the backend that Keras runs on.
backend: Callable[[], str] = keras.backend.backend


def no_layouts(layout: Any, name: str) -> NotImplementedError:
    """The error for a layout on a backend that has none."""
    return NotImplementedError(
        f"`layout` must be None on Keras's {name} backend, which has no layouts; "
        f"got layout={layout!r}"
    )


def check_seed(seed: Any) -> None:
    """Refuse what is no integer of 64 bits, the largest that Keras can hand to TensorFlow."""
    if type(seed) is not int or not -(2**63) <= seed < 2**63:
        raise KerasOnlyError(f"`seed` must be an int in [-2**63, 2**63); got seed={seed!r}")


def static_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as ints."""
    try:
        return as_shape(tuple(shape))
    except Exception:  # what a tensor raises when it has no value yet is the backend's choice
        raise KerasOnlyError(f"`shape` must be a tuple of ints >= 0; got shape={shape!r}") from None


def float_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype`, by default Keras's floatx, as one that philinit fills."""
    try:
        found = dtypes.as_dtype(keras.backend.standardize_dtype(dtype))
        if found.name not in dtypes.WIDER:  # Keras's backends draw none of them
            raise ValueError
    except (TypeError, ValueError):
        raise KerasOnlyError(
            f"`dtype` must be one of {', '.join(dtypes.WIDER)}; got dtype={dtype!r}"
        ) from None
    if backend() == "jax" and found.itemsize == 8:
        from philinit.jax.checks import as_dtype

        try:
            return as_dtype(found)
        except ValueError as error:  # without JAX's 64-bit mode; Keras gives float32
            raise KerasOnlyError(str(error)) from None
    return found


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy that float64 holds exactly."""
    if type(value) is int or isinstance(value, np.integer):
        return abs(int(value)) <= 2**53
    return type(value) is float or isinstance(value, (np.float64, np.float32, np.float16))


def number(name: str, value: Any) -> Any:
    """`value`, if it is a number."""
    if type(value) is not float and not is_number(value):
        raise KerasOnlyError(f"`{name}` must be a number of Python or NumPy; got {name}={value!r}")
    return value


def check_parameters(initializer: Any) -> None:
    """Refuse a new initializer's numbers that Keras would let through."""
    if type(seed := getattr(initializer, "seed", None)) is int:
        check_seed(seed)
    names = ("minval", "maxval", "mean", "stddev", "scale", "gain")
    given = [name for name in names if is_number(getattr(initializer, name, None))]
    numbers = {name: getattr(initializer, name) for name in given}
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise ValueError(f"`{name}` must be finite; got {name}={value}")
    if numbers.get("stddev", 0) < 0:
        raise ValueError(f"`stddev` must not be negative; got stddev={initializer.stddev}")
    if {"minval", "maxval"} <= numbers.keys() and initializer.minval > initializer.maxval:
        raise ValueError(
            "`minval` must not be above `maxval`; "
            f"got minval={initializer.minval}, maxval={initializer.maxval}"
        )
