# SPDX-License-Identifier: Apache-2.0
"""Where runs of weights lie, one after another, and where rows that are apart are written."""

from typing import NamedTuple

from numba import njit

from philinit.kernels.cpu.arguments import FIELDS
from philinit.kernels.cpu.simd.memory import (
    copy,
    load,
    load_int64,
    loader,
    store,
    store_streaming,
)
from philinit.kernels.cpu.simd.types import u8x64

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


@njit
def place_of_row(number, axes, rank):
    """Bytes from where the first row is written to where the row of this number is."""
    place = 0
    for axis in range(rank - 1, -1, -1):
        count = load_int64(axes, 2 * axis)
        place += number % count * load_int64(axes, 2 * axis + 1)
        number //= count
    return place


@njit
def write_rows(out, source, size, done, streaming, axes, layout):
    """Bytes of scratch memory to where they belong, behind `done` bytes of rows.

    Nothing is written beyond the end of a row: what lies there is nobody's.
    """
    axes += 16 * layout.rank
    inner = load_int64(axes, 2 * layout.row_rank - 2)
    step = load_int64(axes, 2 * layout.row_rank - 1)
    number, within = done // layout.row, done % layout.row
    index, place = number % inner, place_of_row(number, axes, layout.row_rank)
    while size > 0:
        target, some = out + place + within, min(layout.row - within, size)
        if some & 63 != 0:
            copy(target, source, some)
        elif streaming and target & 63 == 0:
            for i in range(0, some, 64):
                store_streaming(target + i, load(u8x64, source + i))
        else:
            for i in range(0, some, 64):
                store(target + i, load(u8x64, source + i))
        source += some
        size -= some
        number, index, within = number + 1, index + 1, 0
        place += step
        if index == inner:
            index, place = 0, place_of_row(number, axes, layout.row_rank)
