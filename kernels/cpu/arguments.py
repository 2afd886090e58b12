# SPDX-License-Identifier: Apache-2.0
"""What loops/runs.py takes for `philinit.runs.Runs`: int64 numbers behind each other."""

import ctypes
from typing import Any

from philinit.kernels.table import Kernel
from philinit.runs import Runs

# Numbers by name; behind them the axes that runs are numbered by, each a count and a stride, and
# those of rows that are written apart, each a count and the bytes from one row to the next.
FIELDS = (
    "length",  # weights of a run
    "skip",  # weights of the first counter block that come before index 0 of all axes
    "low",  # the counter of that block,
    "high",  # 64 bits each
    "near",  # whether all counters have the same high
    "ids",  # address of the indices on axis 0, or 0: they are 0, 1, ...
    "keyed",  # whether the ids are row keys, which add to the high half of the counter
    "rank",  # number of axes
    "row",  # bytes of a row that is written apart from the next one, or 0: all are side by side
    "row_rank",  # number of their axes
)

_MASK64 = (1 << 64) - 1


def argument(runs: Runs, kernel: Kernel, skip: int, counter: int) -> Any:
    """The numbers for runs whose origin is `skip` weights behind the block with this counter."""
    low = counter & _MASK64
    blocks = -(-(skip + runs.span) // (4 // kernel.words))
    near = low + blocks * kernel.reserved <= 1 << 64
    ids = 0 if runs.ids is None else runs.ids.ctypes.data
    length, axes, row, row_axes = runs.length, list(runs.axes), 0, []
    if runs.steps is not None:
        row = runs.length * kernel.itemsize
        steps = [step * kernel.itemsize for step in runs.steps]
        row_axes = [(count, step) for (count, _), step in zip(runs.axes, steps, strict=True)]
        if runs.ids is None and runs.span == runs.size:  # one run of the stream, in many rows
            length, axes = runs.size, [(1, 0)]
    numbers = [
        length,
        skip,
        low,
        counter >> 64,
        near,
        ids,
        runs.keyed,
        len(axes),
        row,
        len(row_axes),
    ]
    numbers += [number for axis in axes + row_axes for number in axis]
    return (ctypes.c_int64 * len(numbers))(*numbers)
