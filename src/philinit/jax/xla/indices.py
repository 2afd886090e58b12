# SPDX-License-Identifier: Apache-2.0
"""Global indices of the elements of a part of a tensor, or of rows of it, in two words each.

They are sums of one number for each axis, so that XLA can spread them as it spreads the array.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from philinit.jax.xla.arithmetic import ZERO, word
from philinit.jax.xla.words import Wide, plus, scaled


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Elements from one index of an axis to the next, of an array in C order."""
    return [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]


def wide(numbers: Any) -> Wide:
    """Integers that are not negative, as two words each."""
    if isinstance(numbers, int):
        return jnp.asarray(word(numbers)), jnp.asarray(word(numbers >> 32))
    low = numbers.astype(np.uint32)
    return low, (numbers >> 32).astype(np.uint32) if numbers.dtype.itemsize == 8 else ZERO


def first_of(shape: tuple[int, ...], starts: Sequence[Any]) -> Wide:
    """Index of the first element of a part; what is traced of `starts` is an integer array."""
    pairs = list(zip(_strides(shape), starts, strict=True))
    index = wide(sum(stride * start for stride, start in pairs if isinstance(start, int)))
    for stride, start in pairs:
        if not isinstance(start, int):
            index = plus(index, scaled(wide(start), stride))
    return index


def of_part(shape: tuple[int, ...], first: Wide, lengths: tuple[int, ...]) -> Wide:
    """Of the part of some lengths that begins at index `first`."""
    index = jnp.zeros(lengths, np.uint32) + first[0], first[1]
    for axis, stride in enumerate(_strides(shape)):
        if lengths[axis] > 1:
            position = lax.broadcasted_iota(np.uint32, lengths, axis)
            index = plus(index, scaled((position, ZERO), stride))
    return (index[0], ZERO) if math.prod(shape) <= 1 << 32 else index


def of_rows(shape: tuple[int, ...], ids: Wide) -> Wide:
    """Of the rows with some numbers."""
    row = shape[1:]
    low, high = scaled(ids, math.prod(row))
    spread = (..., *[None] * len(row))
    index = plus((low[spread], high[spread]), of_part(row, (ZERO, ZERO), row))
    return (index[0], ZERO) if math.prod(shape) <= 1 << 32 else index
