# SPDX-License-Identifier: Apache-2.0
"""Where runs of weights and pieces of them lie, and where rows that are apart are written."""

from typing import NamedTuple

from numba import njit

from philinit.kernels.cpu.arguments import FIELDS
from philinit.kernels.cpu.simd.memory import (
    copy,
    copy_freely,
    load,
    load_int64,
    loader,
    store,
    store_int64,
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
def start_of_row(number, axes, rank):
    """Bytes from where the first row is written to where the row of this number is."""
    start = 0
    for axis in range(rank - 1, -1, -1):
        count = load_int64(axes, 2 * axis)
        start += number % count * load_int64(axes, 2 * axis + 1)
        number //= count
    return start


class Place(NamedTuple):
    """Where the next weight is written, `within` bytes behind the first of its row."""

    number: int  # of the row
    along: int  # rows before it on the innermost axis
    start: int  # bytes from where the first row is written to this one
    within: int


@njit
def place_of(done, axes, layout):
    """Behind `done` bytes of rows, or of what is one row of any length."""
    if layout.row == 0:
        return Place(0, 0, 0, done)
    axes += 16 * layout.rank
    inner = load_int64(axes, 2 * layout.row_rank - 2)
    number = done // layout.row
    start = start_of_row(number, axes, layout.row_rank)
    return Place(number, number % inner, start, done % layout.row)


@njit(forceinline=True)
def left_in_row(place, size, layout):
    """Of `size` bytes those that go to the row; nothing may be written beyond its end."""
    return size if layout.row == 0 else min(layout.row - place.within, size)


@njit(forceinline=True)
def place_after(place, some, axes, layout):
    """The place behind `some` bytes more of a row."""
    number, along, start, within = place
    within += some
    if within == layout.row != 0:
        axes += 16 * layout.rank
        number, along, within = number + 1, along + 1, 0
        start += load_int64(axes, 2 * layout.row_rank - 1)
        if along == load_int64(axes, 2 * layout.row_rank - 2):
            along, start = 0, start_of_row(number, axes, layout.row_rank)
    return Place(number, along, start, within)


@njit
def write_rows(out, source, size, place, streaming, axes, layout):
    """Bytes of scratch memory to where they belong; the place behind them."""
    while size > 0:
        target, some = out + place.start + place.within, left_in_row(place, size, layout)
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
        place = place_after(place, some, axes, layout)
    return place


# --- pieces: their offset in scratch, their bytes, how many there are and how far apart ----------


@njit(forceinline=True)
def store_piece(pieces, number, offset, size, times, step):
    store_int64(pieces, 4 * number, offset)
    store_int64(pieces, 4 * number + 1, size)
    store_int64(pieces, 4 * number + 2, times)
    store_int64(pieces, 4 * number + 3, step)


@njit
def copy_pieces(target, source, pieces, count):
    """The words of a tile that are wanted, one piece behind another."""
    for i in range(count):
        piece, size = source + load_int64(pieces, 4 * i), load_int64(pieces, 4 * i + 1)
        times, step = load_int64(pieces, 4 * i + 2), load_int64(pieces, 4 * i + 3)
        if size <= 64:  # without a second loop, which would take longer than the copy
            for _ in range(times):
                store(target, load(u8x64, piece))
                piece += step
                target += size
        else:
            for _ in range(times):
                copy_freely(target, piece, size)
                piece += step
                target += size
