# SPDX-License-Identifier: Apache-2.0
"""Where runs of weights lie, one after another: a part of a tensor, or rows by number."""

from typing import NamedTuple

from numba import njit

from philinit.kernels.cpu.arguments import FIELDS
from philinit.kernels.cpu.simd.memory import load_int64, loader

load_layout = loader("Layout", integers=FIELDS)
AXES = 8 * len(FIELDS)  # bytes from the layout to its axes


class Inner(NamedTuple):
    """The innermost axis: until its end, the next run is one stride away."""

    size: int
    stride: int
    ids: int  # as `Layout.ids`, if this is axis 0


class Position(NamedTuple):
    """Where the loop is: in the run `run` of the innermost axis, behind `row` runs before."""

    row: int
    run: int
    start: int  # weights from index 0 of all axes to the run
    within: int  # weights of the run that are done


@njit
def start_of_run(run, axes, layout):
    """Weights from index 0 of all axes to the run of this number."""
    start = 0
    for axis in range(layout.rank - 1, -1, -1):
        count = load_int64(axes, 2 * axis)
        index = run % count
        run //= count
        if axis == 0 and layout.ids != 0:
            index = load_int64(layout.ids, index)
        start += index * load_int64(axes, 2 * axis + 1)
    return start


@njit
def position_of(weight, axes, layout, inner):
    """The position of a weight by its number in the order of the runs."""
    run, index = weight // layout.length, weight // layout.length % inner.size
    start = start_of_run(run, axes, layout)
    return Position(run - index, index, start, weight % layout.length)


@njit(forceinline=True)
def after(position, taken, times, axes, layout, inner):
    """The position behind a piece: `taken` weights, of so many runs if that ends them."""
    row, index, start, within = position
    within += taken
    if within == layout.length:
        within = 0
        index += times
        if index == inner.size:
            index = 0
            row += inner.size
            start = start_of_run(row, axes, layout)
        elif inner.ids != 0:
            start = load_int64(inner.ids, index) * inner.stride
        else:
            start += inner.stride * times
    return Position(row, index, start, within)
