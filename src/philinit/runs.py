# SPDX-License-Identifier: Apache-2.0
"""Where the elements of a part of a tensor lie: equal runs of consecutive global indices."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

# A backend counts elements from the first one of the tensor part, in signed 64-bit integers.
SPAN_LIMIT = 1 << 62


@dataclass(frozen=True, eq=False)
class Runs:
    """Elements ``origin + sum(place[a] * stride[a]) + i``, 0 <= i < length, in C order.

    Parameters
    ----------
    origin : int
        Global index of the element at place 0 of all axes; any size.
    length : int
        Elements of a run, at least 1 unless there are none at all.
    axes : tuple of (count, stride)
        The axes that runs are numbered by, the outermost first; none where there is one run.
    ids : ndarray of int64, optional
        ``ids[j]`` is place j of the outermost axis, which is j otherwise. C-contiguous, one axis,
        none negative.
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
        for place in range(count):
            if axis == 0 and self.ids is not None:
                place = int(self.ids[place])
            yield from self._starts(axis + 1, base + place * stride)


def box(shape: tuple[int, ...], starts: tuple[int, ...], lengths: tuple[int, ...]) -> Runs:
    """The box of `lengths` at `starts` of a C-ordered array, in as few runs as can be."""
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
