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
from philinit.kernels.constants import REFLECTORS
from philinit.kernels.cpu.compiler import kernel
from philinit.keys import Key
from philinit.parts import Shard
from philinit.targets import Target

Array = np.ndarray[Any, Any]

STRIP = 48  # columns of a chunk, what any CPU's kernel can work on at once
_ROWS = 24  # what kernels may read beyond the last row of a panel, and one more


def orthonormal_columns(
    matrix: Array, gain: float, key: Key, threads: int | None, progress: Progress | None
) -> None:
    """Write `gain` times a random matrix with orthonormal columns, by kernels/README.md.

    `matrix` is C-contiguous, of float32 or float64, and has no more columns than rows, one at
    least. `progress` is told the share of the work that is done, in weights.
    """
    task = _Panels(matrix, gain, key, default_threads() if threads is None else threads)
    while task.process != os.getpid():  # in a child process that was forked meanwhile: all again
        task.process = os.getpid()
        for first in reversed(range(0, matrix.shape[1], REFLECTORS)):
            task.reflect(first)
            if progress is not None:
                progress(task.count_done(first), matrix.size)


class _Panels:
    """The reflections of one panel, in chunks of columns of the matrix."""

    def __init__(self, matrix: Array, gain: float, key: Key, threads: int) -> None:
        rows, columns = matrix.shape
        width = -(-min(columns, REFLECTORS) // _ROWS) * _ROWS
        dtype, name = matrix.dtype, matrix.dtype.name
        self.matrix, self.key, self.threads, self.process = matrix, key, threads, 0
        self.prepare, self.apply = kernel(name, "reflectors"), kernel(name, "reflect")
        self.panel = empty((rows + _ROWS, REFLECTORS), dtype)
        self.factor = np.zeros((width, REFLECTORS), dtype)
        self.signs = np.zeros(REFLECTORS, dtype)
        self.scratch = empty((2 * width, REFLECTORS), np.dtype(np.float64))
        self.gains = np.array([1.0, gain], dtype)

    def reflect(self, first: int) -> None:
        """Apply the reflections of the panel whose first column is `first`."""
        rows, columns = self.matrix.shape
        self.first, self.count = first, columns - first
        self.width = min(REFLECTORS, self.count)
        self.rows = rows - first
        normals = self.panel[: self.rows, : self.width]
        part = Shard(self.matrix.shape, (slice(first, rows), slice(first, first + self.width)))
        draw(Target(normals, part.global_shape, part, self.threads), Normal(), self.key)
        where = [address(a) for a in (self.panel, self.factor, self.signs)]
        self.prepare(where[0], self.rows, self.width, *where[1:], address(self.scratch))
        run(self, STRIP, self.threads, None)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(first, end) of the columns from the panel's on."""
        for begin in range(0, self.count, size):
            yield begin, min(begin + size, self.count)

    def write(self, begin: int, end: int) -> int:
        """Apply the panel to some columns."""
        size, stride = self.matrix.itemsize, self.matrix.strides[0]
        self.apply(
            address(self.matrix) + self.first * (stride + size),
            stride,
            self.rows,
            self.width,
            begin,
            end,
            address(self.panel),
            address(self.factor),
            address(self.signs),
            address(self.gains) + size * (self.first == 0),
        )
        return end - begin

    def count_done(self, first): return self.matrix.size
