# SPDX-License-Identifier: Apache-2.0
"""The initializers that draw nothing element by element: constants, identity, orthogonal."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from philinit.checks import Progress, check_threads, finite
from philinit.dtypes import at_least, at_most, largest
from philinit.initializers.base import Array, Initializer
from philinit.parts import Rows, Shard

_CHUNK = 1 << 24  # elements of a constant between two calls of `progress`


def _nearest(name: str, value: float, dtype: np.dtype[Any]) -> float:
    """`value` rounded once, to nearest even, to a number of `dtype`; no overflow, no underflow."""
    return _rounded(name, value, dtype) if value else value


@functools.lru_cache(maxsize=256)
def _rounded(name: str, value: float, dtype: np.dtype[Any]) -> float:
    low, high = at_most(value, dtype), at_least(value, dtype)
    if abs(value) > largest(dtype):
        raise ValueError(
            f"`{name}` must fit into {dtype.name}, which ends at {largest(dtype)}; "
            f"got {name}={value}"
        )
    if low != high:
        below, above = value - low, high - value  # exact: neighbors of far fewer bits
        even = (low / (high - low)) % 2 == 0
        low = low if below < above or (below == above and even) else high
    if low == 0.0:
        raise ValueError(f"`{name}` must not vanish in {dtype.name}; got {name}={value}")
    return low


def _check(threads: int | None, progress: Progress | None) -> None:
    if threads is not None:
        check_threads(threads)
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` must be callable; got progress={progress!r}")


def _as_bits(view: Any, value: float) -> tuple[Any, Any]:
    """`view`, flat, and `value` as what can be stored there.

    On a CUDA device both as unsigned integers of the same bits: CuPy stores those in every
    version, and bfloat16 in few.
    """
    flat = view.reshape(-1)
    if isinstance(view, np.ndarray):
        return flat, value
    kind = np.dtype(f"u{view.dtype.itemsize}")
    return flat.view(kind), np.array(value, view.dtype).view(kind)[()]


def _store(view: Array, value: float, progress: Progress | None) -> None:
    """`value` into every element: one thread, which saturates the memory of most machines."""
    flat, item = _as_bits(view, value)
    for start in range(0, flat.size, _CHUNK):
        flat[start : start + _CHUNK] = item
        if progress is not None:
            progress(min(start + _CHUNK, flat.size), flat.size)
    if progress is not None and flat.size == 0:
        progress(0, 0)


@dataclass(frozen=True, repr=False, eq=False)
class Constant(Initializer):
    """`value` everywhere, rounded once to nearest even.

    Raises
    ------
    TypeError, ValueError
        When made: `value` is no finite real number. When called: it overflows in the dtype asked
        for, or is not 0 and becomes 0 there.
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", finite("value", self.value))

    def _write(
        self,
        view: Array,
        shape: tuple[int, ...],
        box: Shard | Rows | None,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        _check(threads, progress)
        _store(view, _nearest("value", self.value, view.dtype), progress)


@dataclass(frozen=True, repr=False, eq=False)
class Zeros(Constant):
    """0 everywhere."""

    value: float = field(default=0.0, init=False)


@dataclass(frozen=True, repr=False, eq=False)
class Ones(Constant):
    """1 everywhere."""

    value: float = field(default=1.0, init=False)


@dataclass(frozen=True, repr=False, eq=False)
class Identity(Initializer):
    """`gain` on the main diagonal of a matrix, 0 elsewhere; the matrix need not be square.

    Raises
    ------
    TypeError, ValueError
        When made: `gain` is no finite real number. When called: a shape without exactly 2 axes; a
        gain that the dtype cannot hold.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", finite("gain", self.gain))

    def _write(
        self,
        view: Array,
        shape: tuple[int, ...],
        box: Shard | Rows | None,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        if len(shape) != 2:
            raise ValueError(f"`shape` must have 2 axes for an identity matrix; got shape={shape}")
        _check(threads, progress)
        gain = _nearest("gain", self.gain, view.dtype)
        if isinstance(box, Rows):
            _diagonal_rows(view, box, gain, progress)
            return
        (top, left), (height, width) = ((0, 0), shape) if box is None else (box.starts, box.lengths)
        _store(view, 0.0, progress)
        first, last = max(top, left), min(top + height, left + width)
        if first < last:
            start = (first - top) * width + (first - left)
            flat, item = _as_bits(view, gain)
            flat[start :: width + 1][: last - first] = item


def _diagonal_rows(view: Any, rows: Rows, gain: float, progress: Progress | None) -> None:
    if not isinstance(view, np.ndarray):
        raise NotImplementedError(
            "rows of an identity matrix are made in CPU memory; got the memory of a cuda device: "
            'pass device="cpu" and copy them to the device'
        )
    _store(view, 0.0, progress)
    ids, columns = rows.ids.reshape(-1), view.shape[-1]
    places = np.flatnonzero(ids < columns)
    view.reshape(-1, columns)[places, ids[places]] = gain
