# SPDX-License-Identifier: Apache-2.0
"""Parts of a global array that need not exist: a shard of it, or rows of it by number."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from philinit.checks import as_shape, is_bool

# Kernels count elements from the first one of a part, in signed 64-bit integers.
SPAN_LIMIT = 1 << 62


@dataclass(frozen=True, eq=False)
class Runs:
    """Elements ``origin + sum(index[a] * stride[a]) + i``, 0 <= i < length, in C order.

    Parameters
    ----------
    origin : int
        Global index of the element at index 0 of all axes; any size.
    length : int
        Elements of a run, at least 1 unless there are none at all.
    axes : tuple of (count, stride)
        The axes that runs are numbered by, the outermost first; none where there is one run.
    ids : ndarray of int64, optional
        Indices on the outermost axis, in order; 0, 1, ... otherwise. C-contiguous, none negative.
    """

    origin: int
    length: int
    axes: tuple[tuple[int, int], ...] = ()
    ids: Any = None

    @property
    def count(self) -> int:
        """Number of runs."""
        return math.prod(count for count, _ in self.axes)

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.count * self.length

    @property
    def span(self) -> int:
        """Global index after the last element, counted from `origin`."""
        if self.size == 0:
            return 0
        last = [count - 1 for count, _ in self.axes]
        if self.ids is not None:
            last[0] = int(self.ids.max())
        return sum(p * stride for p, (_, stride) in zip(last, self.axes, strict=True)) + self.length

    def after(self, offset: int) -> Runs:
        """The same elements of a tensor that begins at `offset` of a stream."""
        return replace(self, origin=self.origin + offset)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(global index, length) of each run; none is stored."""
        if self.size:
            for start in self._starts(0, self.origin):
                yield start, self.length

    def _starts(self, axis: int, base: int) -> Iterator[int]:
        if axis == len(self.axes):
            yield base
            return
        count, stride = self.axes[axis]
        indices = range(count) if axis or self.ids is None else self.ids.tolist()
        for index in indices:
            yield from self._starts(axis + 1, base + index * stride)


def runs_of(shape: tuple[int, ...], starts: tuple[int, ...], lengths: tuple[int, ...]) -> Runs:
    """The part of `lengths` at `starts` of a C-ordered array, in as few runs as can be."""
    if 0 in lengths:
        return Runs(0, 0)
    origin, length, stride = 0, 1, 1
    outer: list[tuple[int, int]] = []  # the innermost first
    for extent, start, taken in zip(shape[::-1], starts[::-1], lengths[::-1], strict=True):
        origin += start * stride
        if not outer and stride == length:  # all axes inside this one are whole: runs touch
            length *= taken
        elif outer and outer[-1][0] * outer[-1][1] == stride:  # so do the runs of two axes
            outer[-1] = outer[-1][0] * taken, outer[-1][1]
        elif taken > 1:
            outer.append((taken, stride))
        stride *= extent
    return Runs(origin, length, tuple(outer[::-1]))


def _position(value: Any, length: int, axis: int, index: Any, last: int) -> int:
    """A position in [0, last] on an axis; negative ones count from the end."""
    try:
        if is_bool(value):
            raise TypeError
        found = operator.index(value)
    except TypeError:
        raise TypeError(
            f"`index` must hold ints, slices of ints, and at most one Ellipsis; got index={index!r}"
        ) from None
    if not -length <= found <= last:
        where = f"got {found} on axis {axis} of length {length}"
        raise ValueError(f"`index` must stay inside the global shape; {where}")
    return found + length if found < 0 else found


def _entry(entry: Any, length: int, axis: int, index: Any) -> slice | int:
    """One entry of an index as a slice with both ends written out, or as an int >= 0."""
    if not isinstance(entry, slice):
        return _position(entry, length, axis, index, length - 1)
    start = 0 if entry.start is None else _position(entry.start, length, axis, index, length)
    stop = length if entry.stop is None else _position(entry.stop, length, axis, index, length)
    where = f"got {entry!r} on axis {axis} of length {length}"
    if entry.step is not None and (is_bool(entry.step) or entry.step != 1):
        raise ValueError(
            f"`index` must hold slices of step 1; {where}: fill the shard around it and slice that"
        )
    if start > stop:
        raise ValueError(f"`index` must hold slices with start <= stop; {where}")
    return slice(start, stop)


def _normalized(index: Any, shape: tuple[int, ...]) -> tuple[slice | int, ...]:
    """`index` with one entry for each axis of `shape`."""
    entries = index if isinstance(index, tuple) else (index,)
    dots = [at for at, entry in enumerate(entries) if entry is Ellipsis]
    if len(dots) > 1:
        raise ValueError(f"`index` must hold at most one Ellipsis; got index={index!r}")
    given = len(entries) - len(dots)
    if given > len(shape):
        raise ValueError(
            f"`index` must have at most one entry an axis; got {given} entries for "
            f"global_shape={shape}"
        )
    at = dots[0] if dots else len(entries)
    rest = (slice(None),) * (len(shape) - given)
    entries = entries[:at] + rest + entries[at + 1 :]
    return tuple(
        _entry(entry, length, axis, index)
        for axis, (entry, length) in enumerate(zip(entries, shape, strict=True))
    )


class _Part:
    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)  # type: ignore[attr-defined]  # of each subclass


@dataclass(frozen=True)
class Shard(_Part):
    """The part ``global_array[index]`` of a global array that need not exist.

    Parameters
    ----------
    global_shape : sequence of int
        Shape of the whole array, of any size: offsets are Python ints.
    index : tuple of slice, int and Ellipsis, or one of them
        As in NumPy's basic indexing: negative numbers count from the end, missing axes are whole,
        an int drops its axis. Unlike NumPy, a slice that leaves the array is an error (it is not
        clipped), and so are steps other than 1.

    Raises
    ------
    TypeError
        An entry is something else (an array, a bool, None, a list).
    ValueError
        An entry leaves the array, a step is not 1, start > stop, or there are too many entries.

    Notes
    -----
    Both fields are stored in one normal form, all ends written out: equal shards compare equal.

    Examples
    --------
    >>> shard = Shard((1_000_000_000, 128), (slice(5, 9), slice(0, 64)))
    >>> shard.shape, shard.size
    ((4, 64), 256)
    >>> list(shard.runs())
    [(640, 64), (768, 64), (896, 64), (1024, 64)]
    """

    global_shape: tuple[int, ...]
    index: Any

    def __post_init__(self) -> None:
        shape = as_shape(self.global_shape)
        object.__setattr__(self, "global_shape", shape)
        object.__setattr__(self, "index", _normalized(self.index, shape))

    def __hash__(self) -> int:  # slices cannot be hashed before Python 3.12
        return hash((self.global_shape, self.starts, self.lengths, self.shape))

    @property
    def starts(self) -> tuple[int, ...]:
        """First global position on each axis, dropped axes included."""
        return tuple(e.start if isinstance(e, slice) else e for e in self.index)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Extent on each axis; 1 where an int dropped the axis."""
        return tuple(e.stop - e.start if isinstance(e, slice) else 1 for e in self.index)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the shard: one length for each slice."""
        return tuple(e.stop - e.start for e in self.index if isinstance(e, slice))

    @property
    def as_runs(self) -> Runs:
        """Where the elements lie, in C order."""
        return runs_of(self.global_shape, self.starts, self.lengths)

    def runs(self) -> Iterator[tuple[int, int]]:
        """The shard in C order as (global offset, length) pairs, as few as can be, in elements."""
        return iter(self.as_runs)


@dataclass(frozen=True, eq=False)
class Rows(_Part):
    """Rows of a global array by number: ``global_array[ids]``, in the order of `ids`.

    Parameters
    ----------
    global_shape : sequence of int
        Shape of the whole array, with one axis at least. ``prod(global_shape) <= 2**62``.
    ids : int, or array of ints of any shape
        Numbers of rows, in [0, global_shape[0]); duplicates are allowed, and give equal rows.

    Raises
    ------
    TypeError, ValueError
        `ids` holds no integers, or one outside of the array; no axis; more than 2**62 elements.

    Examples
    --------
    >>> Rows((10**12, 64), [7, 10**11, 7]).shape
    (3, 64)
    """

    global_shape: tuple[int, ...]
    ids: Any

    def __post_init__(self) -> None:
        shape = as_shape(self.global_shape)
        object.__setattr__(self, "global_shape", shape)
        if not shape:
            raise ValueError("`global_shape` must have at least one axis; got global_shape=()")
        if math.prod(shape) > SPAN_LIMIT:
            raise ValueError(
                f"`global_shape` must hold at most 2**62 elements; got global_shape={shape}"
            )
        object.__setattr__(self, "ids", _as_ids(self.ids, shape[0]))

    @property
    def index(self) -> Any:
        """What indexes the whole array: the ids."""
        return self.ids

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part: that of `ids`, then that of a row."""
        return (*self.ids.shape, *self.global_shape[1:])

    @property
    def as_runs(self) -> Runs:
        """Where the elements lie, in the order of `ids`."""
        row = math.prod(self.global_shape[1:])
        if self.size == 0:
            return Runs(0, 0)
        return Runs(0, row, ((self.ids.size, row),), self.ids.reshape(-1))


def _as_ids(ids: Any, rows: int) -> Any:
    """`ids` as a C-contiguous array of int64, each in [0, rows)."""
    found = np.asarray(ids)
    if found.size == 0 and found.dtype == np.float64:  # what NumPy makes of []
        found = found.astype(np.int64)
    if found.dtype.kind not in "iu":
        raise TypeError(f"`ids` must be integers; got ids of dtype {found.dtype}")
    if found.size:
        least, most = int(found.min()), int(found.max())
        if least < 0 or most >= rows:
            raise ValueError(
                f"`ids` must lie in [0, {rows}), the rows that there are; "
                f"got {least if least < 0 else most}"
            )
    # A copy, so that nobody changes it afterwards, and of one kind.
    found = np.array(found, np.int64, order="C")
    found.flags.writeable = False
    return found
