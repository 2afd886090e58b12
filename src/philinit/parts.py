# SPDX-License-Identifier: Apache-2.0
"""Parts of a global array that need not exist: a shard of it, or rows of it by number."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np

from philinit.checks import as_shape, check_bool, is_bool
from philinit.ids import Ids, numbers_of_rows
from philinit.runs import SPAN_LIMIT, Runs, Strides, runs_of


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
    def as_runs(self) -> Runs:
        """Where the elements lie, in C order or in that of `ids`."""
        return self.runs_into(None)

    def runs_into(self, strides: Strides) -> Runs:
        """The runs, and where they go in memory of these strides."""
        raise NotImplementedError

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

    def runs_into(self, strides: Strides) -> Runs:
        """The runs, in C order, and where they go in memory of these strides."""
        if strides is not None:  # an axis that an int has dropped may have any
            kept = iter(strides)
            strides = tuple(next(kept) if isinstance(e, slice) else 0 for e in self.index)
        return runs_of(self.global_shape, self.starts, self.lengths, strides)

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
        Checked here, once. Those on a CUDA device, of CuPy, torch, TensorFlow or any with a
        ``__dlpack__`` or a ``__cuda_array_interface__``, stay there: they can fill memory of that
        device, with nothing to be copied to it.
    copy : bool
        True, so that nobody changes them afterwards. False: `ids` of 64 bits are used where they
        are, if contiguous, and must stay as they are as long as the part is used.

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
    _named = "ids"
    copy: InitVar[bool] = field(default=True, kw_only=True)
    last: int | None = field(default=None, init=False, repr=False)  # the largest of them
    stream: Any = field(default=None, init=False, repr=False)  # as `philinit.ids.Ids` says

    def __post_init__(self, copy: bool) -> None:
        check_bool("copy", copy)
        shape = as_shape(self.global_shape)
        object.__setattr__(self, "global_shape", shape)
        if not shape:
            raise ValueError("`global_shape` must have at least one axis; got global_shape=()")
        if math.prod(shape) > SPAN_LIMIT:
            raise ValueError(
                f"`global_shape` must hold at most 2**62 elements; got global_shape={shape}"
            )
        self._take(numbers_of_rows(self.ids, shape[0], copy=copy))

    def _take(self, found: Ids) -> None:
        object.__setattr__(self, "ids", found.array)
        object.__setattr__(self, "last", found.last)
        object.__setattr__(self, "stream", found.stream)

    @property
    def host_ids(self) -> np.ndarray[Any, Any]:
        """The ids, for those who can read CPU memory only."""
        if not isinstance(self.ids, np.ndarray):
            device = f"cuda:{self.ids.device.id}"
            raise TypeError(
                f"`{self._named}` must be in CPU memory, but where a distribution is drawn into "
                f"memory of their own device; got {self._named} on {device}: have the rows there "
                f'(device="{device}", or `out`), or pass cupy.asnumpy({self._named}) or its like'
            )
        return self.ids

    @property
    def index(self) -> Any:
        """What indexes the whole array: the ids."""
        return self.ids

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the part: that of `ids`, then that of a row."""
        return (*self.ids.shape, *self.global_shape[1:])

    def runs_into(self, strides: Strides) -> Runs:
        """The runs, in the order of `ids`, and where they go in memory of these strides."""
        if self.size == 0:
            return Runs(0, 0)
        rank, row = self.ids.ndim, self.global_shape[1:]
        outer, inner = (None, None) if strides is None else (strides[:rank], strides[rank:])
        found = runs_of(row, (0,) * len(row), row, inner)
        axes, steps = ((self.ids.size, math.prod(row)), *found.axes), None
        if outer is not None:
            among = runs_of(self.ids.shape, (0,) * rank, self.ids.shape, outer)
            if len(among.axes) > 1:
                raise NotImplementedError(
                    "the rows of `out` must be equally far apart where `ids` have several axes; "
                    f"got strides {strides}: fill them for one index of the first axis at a time"
                )
            steps = (*(among.steps or (1,)), *(found.steps or ()))
        return Runs(
            0, found.length, axes, self.ids.reshape(-1), steps, last=self.last, stream=self.stream
        )
