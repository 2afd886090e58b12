# SPDX-License-Identifier: Apache-2.0
"""Runs of elements: where a part lies in the stream, and where it belongs in memory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

# Kernels count elements from the first one of a part, in signed 64-bit integers.
SPAN_LIMIT = 1 << 62

Strides = Sequence[int] | None  # elements from one index of an axis to the next; None: C order


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
    ids : ndarray or cupy.ndarray of int64, optional
        Indices on the outermost axis, in order; 0, 1, ... otherwise. C-contiguous, none negative.
    steps : tuple of int, optional
        Where the runs go: element i of a run to ``sum(number[a] * steps[a]) + i`` of the memory,
        `number` being the place on the axis. None: each goes right behind the one before it.
    into : int
        Where index 0 of all axes goes: elements from where the memory begins.
    keyed : bool
        Whether `ids` are row keys in uint64, each 2**64 counters; the outermost stride is then 0.
    last : int, optional
        The largest of the ids, where somebody has looked.
    stream : optional
        Of CuPy, on which `ids` on a device come to be; False: their owner's, which is not known.
    """

    origin: int
    length: int
    axes: tuple[tuple[int, int], ...] = ()
    ids: Any = None
    steps: tuple[int, ...] | None = None
    into: int = 0
    keyed: bool = False
    last: int | None = None
    stream: Any = None

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
        if self.ids is not None and not self.keyed:  # the stride of keys is 0
            last[0] = int(self.ids.max()) if self.last is None else self.last
        return sum(p * stride for p, (_, stride) in zip(last, self.axes, strict=True)) + self.length

    @property
    def all_steps(self) -> tuple[int, ...]:
        """`steps`, where they are left out as well."""
        if self.steps is not None:
            return self.steps
        counts = [count for count, _ in self.axes[:0:-1]]
        return (*itertools.accumulate(counts, int.__mul__, initial=self.length),)[::-1]

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


def runs_of(
    shape: tuple[int, ...],
    starts: tuple[int, ...],
    lengths: tuple[int, ...],
    strides: Strides = None,
) -> Runs:
    """The part of `lengths` at `starts` of a C-ordered array, in as few runs as can be.

    With `strides`, runs that go to memory of these.
    """
    if 0 in lengths:
        return Runs(0, 0)
    origin, length, stride, size = 0, 1, 1, 1
    outer: list[tuple[int, int, int]] = []  # count, stride and step; the innermost first
    for axis in range(len(shape) - 1, -1, -1):
        origin += starts[axis] * stride
        taken = lengths[axis]
        step = size if strides is None else strides[axis]
        last = outer[-1] if outer else (length, 1, 1)
        if taken == 1:
            pass
        elif (stride, step) != (last[0] * last[1], last[0] * last[2]):
            outer.append((taken, stride, step))
        elif outer:  # the runs of two axes are as far apart
            outer[-1] = last[0] * taken, *last[1:]
        else:  # all axes inside this one are whole: runs touch
            length *= taken
        stride *= shape[axis]
        size *= taken
    axes = tuple((count, apart) for count, apart, _ in outer[::-1])
    steps = None if strides is None else tuple(step for *_, step in outer[::-1])
    return Runs(origin, length, axes, None, steps)
