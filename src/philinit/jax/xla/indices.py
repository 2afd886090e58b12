# SPDX-License-Identifier: Apache-2.0
"""Global indices of the elements of a part of a tensor, or of rows of it, modulo 2**64.

They are sums of one number for each axis, so that XLA can spread them as it spreads the array.
Call these in JAX's 64-bit mode.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Elements from one index of an axis to the next, of an array in C order."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def _kind(shape: tuple[int, ...]) -> Any:
    """Where the indices of a tensor fit into 32 bits, twice as many are computed at once."""
    return np.dtype(np.uint32 if math.prod(shape) <= 1 << 32 else np.uint64)


def first_of(shape: tuple[int, ...], starts: Sequence[Any]) -> Any:
    """Index of the first element of a part; a start is an int, or an array that is traced."""
    pairs = list(zip(_strides(shape), starts, strict=True))
    known = sum(stride * start for stride, start in pairs if isinstance(start, int))
    index = jnp.asarray(np.uint64(known % 2**64))
    for stride, start in pairs:
        if not isinstance(start, int):
            index += start.astype(jnp.uint64) * np.uint64(stride)
    return index


def of_part(shape: tuple[int, ...], first: Any, lengths: tuple[int, ...]) -> Any:
    """Of the part of some lengths that begins at index `first`."""
    kind = _kind(shape)
    index = jnp.broadcast_to(first.astype(kind), lengths)
    for axis, stride in enumerate(_strides(shape)):
        if lengths[axis] > 1:
            index += lax.broadcasted_iota(kind, lengths, axis) * kind.type(stride)
    return index


def of_rows(shape: tuple[int, ...], ids: Any) -> Any:
    """Of the rows with some numbers."""
    row, kind = shape[1:], _kind(shape)
    first = ids.astype(kind) * kind.type(math.prod(row))
    within = of_part(row, kind.type(0), row).astype(kind)
    return first[(..., *[None] * len(row))] + within
