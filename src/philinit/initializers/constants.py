# SPDX-License-Identifier: Apache-2.0
"""Initializers that draw nothing: Constant, Zeros, Ones, Identity."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from philinit.checks import check_in_cpu_memory, finite
from philinit.dtypes import largest, rounded
from philinit.initializers.base import Initializer
from philinit.parts import Rows
from philinit.targets import Target

_CHUNK = 1 << 24  # elements of a constant between two calls of `progress`


def nearest(name: str, value: float, dtype: np.dtype[Any]) -> float:
    """`value` rounded once, to nearest even, to a number of `dtype`; no overflow, no underflow."""
    return _rounded(name, value, dtype) if value else value


@functools.lru_cache(maxsize=256)
def _rounded(name: str, value: float, dtype: np.dtype[Any]) -> float:
    if abs(value) > largest(dtype):
        raise ValueError(
            f"`{name}` must fit into {dtype.name}, which ends at {largest(dtype)}; "
            f"got {name}={value}"
        )
    found = rounded(value, dtype)
    if found == 0.0:
        raise ValueError(f"`{name}` must not vanish in {dtype.name}; got {name}={value}")
    return found


def _as_bits(view: Any, value: float) -> tuple[Any, Any]:
    """`view` and `value` as what can be stored there.

    On a CUDA device both as unsigned integers of the same bits: CuPy stores those in every
    version, and bfloat16 in few.
    """
    if isinstance(view, np.ndarray):
        return view, value
    kind = np.dtype(f"u{view.dtype.itemsize}")
    return view.view(kind), np.array(value, view.dtype).view(kind)[()]


def _store(target: Target, value: float) -> None:
    """`value` into every element, by one thread."""
    view, item = _as_bits(target.view, value)
    progress, total, done = target.progress, view.size, 0
    if view.flags.c_contiguous:
        view = view.reshape(-1)  # lest an element of the first axis be a chunk for minutes
    step = max(1, _CHUNK * len(view) // max(total, 1))
    for start in range(0, len(view), step):
        chunk = view[start : start + step]
        chunk[...] = item
        done += chunk.size
        if progress is not None:
            progress(done, total)
    if progress is not None and not total:
        progress(0, 0)


@dataclass(frozen=True, repr=False, eq=False)
class Constant(Initializer):
    """`value` everywhere, rounded once to nearest even.

    >>> pi.Constant(0.5)((2,)).tolist()
    [0.5, 0.5]

    Raises
    ------
    TypeError, ValueError
        When made: `value` is no finite real number. When called: it overflows in the dtype asked
        for, or is not 0 and becomes 0 there.
    """

    value: float = 0.0

    _keyed = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", finite("value", self.value))

    def _identity(self) -> tuple[Any, ...]:
        return *super()._identity(), math.copysign(1.0, self.value)  # -0.0 has bits of its own

    def _write(self, target: Target) -> None:
        _store(target, nearest("value", self.value, target.view.dtype))

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        nearest("value", self.value, dtype)


@dataclass(frozen=True, repr=False, eq=False)
class Zeros(Constant):
    """0 everywhere.

    >>> pi.Zeros()((2,)).tolist()
    [0.0, 0.0]
    """

    value: float = field(default=0.0, init=False)


@dataclass(frozen=True, repr=False, eq=False)
class Ones(Constant):
    """1 everywhere.

    >>> pi.Ones()((2,), "bfloat16").dtype.name
    'bfloat16'
    """

    value: float = field(default=1.0, init=False)


@dataclass(frozen=True, repr=False, eq=False)
class Identity(Initializer):
    """`gain` on the main diagonal of a matrix, 0 elsewhere; the matrix need not be square.

    >>> pi.Identity()((2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]

    Raises
    ------
    TypeError, ValueError
        When made: `gain` is no finite real number. When called: a shape without exactly 2 axes; a
        gain that the dtype cannot hold.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", finite("gain", self.gain))

    def _write(self, target: Target) -> None:
        view, shape, part = target.view, target.shape, target.part
        if len(shape) != 2:
            raise ValueError(f"`shape` must have 2 axes for an identity matrix; got shape={shape}")
        gain = nearest("gain", self.gain, view.dtype)
        if isinstance(part, Rows):
            _diagonal_of_rows(target, part, gain)
            return
        starts, (height, width) = ((0, 0), shape) if part is None else (part.starts, part.lengths)
        top, left = starts
        _store(target, 0.0)
        first, last = max(top, left), min(top + height, left + width)
        if first < last:
            bits, item = _as_bits(view.reshape(height, width), gain)
            if view.flags.c_contiguous:
                start = (first - top) * width + (first - left)
                bits.reshape(-1)[start :: width + 1][: last - first] = item
                return
            for i in range(first, last):
                bits[i - top, i - left] = item


def _diagonal_of_rows(target: Target, rows: Rows, gain: float) -> None:
    view = target.view
    check_in_cpu_memory("rows of an identity matrix are", view)
    ids = np.atleast_1d(rows.host_ids)
    _store(target, 0.0)
    view = np.atleast_2d(view)
    inside = np.nonzero(ids < view.shape[-1])
    view[(*inside, ids[inside])] = gain
