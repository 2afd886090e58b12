# SPDX-License-Identifier: Apache-2.0
"""Random orthogonal matrices, as products of Householder reflections of normal vectors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from philinit.checks import Progress
from philinit.distributions import Normal
from philinit.filling.fill import draw
from philinit.filling.memory import address, empty
from philinit.filling.threads import default_threads, run
from philinit.kernels.constants import REFLECTORS, REFLECTORS_AT_ONCE
from philinit.kernels.cpu.compiler import kernel
from philinit.keys import Key
from philinit.parts import Shard
from philinit.rounding import to_nearest
from philinit.targets import Target

Array = np.ndarray[Any, Any]

STRIP = 48  # columns of a chunk: whole strips of any CPU's kernel, and half a panel


def orthonormal_columns(
    matrix: Array,
    gain: float,
    key: Key,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write `gain` times a random matrix with orthonormal columns: kernels/README.md, section 5.

    `matrix` is C-contiguous, of float32 or float64, and has at least one column and as many rows
    as columns. `progress` is told how much of the work is done, as a share of the weights, but not
    of the end.
    """
    rows, columns = matrix.shape
    panels = range(0, columns, REFLECTORS)
    work = [(rows - first) * (columns - first) for first in panels]
    task = _Panel(matrix, gain, key, default_threads() if threads is None else threads)
    process = 0
    while process != os.getpid():  # in a child that was forked meanwhile: all of it again
        process = os.getpid()
        for i, first in reversed([*enumerate(panels)]):
            task.reflect(first)
            if progress is not None and first:
                progress(matrix.size * sum(work[i:]) // sum(work), matrix.size)


class _Panel:
    """The reflections of one panel after the other, in chunks of columns of the matrix."""

    def __init__(self, matrix: Array, gain: float, key: Key, threads: int) -> None:
        rows, columns = matrix.shape
        width = -(-min(columns, REFLECTORS) // REFLECTORS_AT_ONCE) * REFLECTORS_AT_ONCE
        self.matrix, self.key, self.threads = matrix, key, threads
        name = matrix.dtype.name
        self.prepare, self.apply = kernel(name, "reflectors"), kernel(name, "reflect")
        self.vectors = empty((rows + REFLECTORS_AT_ONCE, REFLECTORS), matrix.dtype)
        self.factor = np.zeros((width, REFLECTORS), matrix.dtype)
        self.signs = np.empty(width, matrix.dtype)
        self.sums = empty((2 * width, REFLECTORS), np.dtype(np.float64))
        with to_nearest():
            self.gains = np.array([1.0, gain], matrix.dtype)
        self.made = address(self.vectors), address(self.factor), address(self.signs)

    def reflect(self, first: int) -> None:
        """Apply the reflections of the columns from `first` on to these and all further ones."""
        rows, columns = self.matrix.shape
        self.first, self.rows, self.count = first, rows - first, columns - first
        self.width = min(REFLECTORS, self.count)
        normals = self.vectors[: self.rows, : self.width]
        part = Shard(self.matrix.shape, (slice(first, rows), slice(first, first + self.width)))
        draw(Target(normals, part.global_shape, part, self.threads), Normal(), self.key)
        vectors, factor, signs = self.made
        self.prepare(vectors, self.rows, self.width, factor, signs, address(self.sums))
        run(self, STRIP, self.threads, None)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(first, end) of columns, counted from the panel's own first."""
        for begin in range(0, self.count, size):
            yield begin, min(begin + size, self.count)

    def write(self, begin: int, end: int) -> int:
        """Apply the panel to some columns."""
        size, stride = self.matrix.dtype.itemsize, self.matrix.strides[0]
        corner = address(self.matrix) + self.first * (stride + size)
        gain = address(self.gains) + (0 if self.first else size)  # once, with the last panel
        self.apply(corner, stride, self.rows, self.width, begin, end, *self.made, gain)
        return end - begin
