# SPDX-License-Identifier: Apache-2.0
"""The loop over tiles for weights that lie in runs: a part of a tensor, or rows by number.

Runs are short or long, and begin anywhere in a counter block. A tile takes counter blocks of as
many runs as it needs, so that the vectors of both phases are full whatever the length of a run. A
*piece* is what a tile has of a run, or of many runs that begin alike.
"""

from typing import Any, NamedTuple

from numba import njit

from philinit.kernels.cpu.arguments import FIELDS
from philinit.kernels.cpu.kernels import TILES, load_libm, parameters_of
from philinit.kernels.cpu.loops.fill import AHEAD, PAGE
from philinit.kernels.cpu.simd.memory import (
    copy_freely,
    copy_lines,
    fence,
    load_anywhere,
    load_int64,
    loader,
    prefetch_page,
    scratch,
    store,
    store_int64,
    store_streaming,
)
from philinit.kernels.cpu.simd.operators import constant
from philinit.kernels.cpu.simd.types import u8x64, u64x8
from philinit.kernels.cpu.tiles import STEP_BLOCKS
from philinit.kernels.cpu.words import LARGEST_TILE
from philinit.kernels.table import KERNELS, RESERVED_BLOCKS

eight = constant(u64x8, range(8))
load_layout = loader("Layout", integers=FIELDS)
AXES = 8 * len(FIELDS)  # bytes from the layout to its axes


# --- where runs are ------------------------------------------------------------------------------


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
def unsigned_less(a, b):
    return (a ^ -0x8000000000000000) < (b ^ -0x8000000000000000)


# --- pieces: their offset in scratch, their bytes, how many there are and how far apart ----------


@njit(forceinline=True)
def store_piece(pieces, number, offset, size, times, step):
    store_int64(pieces, 4 * number, offset)
    store_int64(pieces, 4 * number + 1, size)
    store_int64(pieces, 4 * number + 2, times)
    store_int64(pieces, 4 * number + 3, step)


@njit
def copy_pieces(target, spare, pieces, count, end):
    """The wanted numbers of a tile from scratch memory to where they belong, one after another."""
    for i in range(count):
        piece, size = spare + load_int64(pieces, 4 * i), load_int64(pieces, 4 * i + 1)
        step = load_int64(pieces, 4 * i + 3)
        for _ in range(load_int64(pieces, 4 * i + 2)):
            copy_freely(target, piece, size, end)
            piece += step
            target += size


# --- the loop ------------------------------------------------------------------------------------


def entry(name: str) -> Any:
    """The function to compile for a kernel, of eight 64-bit integers.

    ``out``: address of the first number; ``count``: numbers to write; ``first``: number, in the
    order of the runs, of the first one to write; ``runs``: address of what arguments.py makes of
    the runs; ``k0, k1``: the key; ``parameters``: address of the struct in table.py; ``streaming``:
    whether whole lines may bypass the caches.
    """
    kernel, (transform, draw, _) = KERNELS[name], TILES[name]
    tile_blocks = LARGEST_TILE  # a tile costs more here, beside its weights, than in `fill`
    size, reserved, per_block = kernel.itemsize, kernel.reserved, 4 // kernel.words
    (draw_in_order, draw_at), load_parameters = draw, parameters_of(kernel)
    block_shift, reserved_shift = per_block.bit_length() - 1, reserved.bit_length() - 1
    assert reserved == 1 << reserved_shift <= RESERVED_BLOCKS
    tile_bytes = tile_blocks * per_block * size
    high_bits = 64 - reserved_shift  # of a block's number that stay in the counter's low half
    source_scratch, spare_scratch = scratch(16 * tile_blocks), scratch(16 * tile_blocks + 64)
    counter_scratch = scratch(8 * tile_blocks + 64)  # eight are stored at a time
    piece_scratch = scratch(32 * tile_blocks)

    @njit
    def counter_of(block, low, high):
        """`low, high` plus the counters reserved for the blocks before `block`, in 128 bits."""
        more = block << reserved_shift
        high += (block >> high_bits if reserved_shift else 0) + unsigned_less(low + more, more)
        return low + more, high

    @njit(forceinline=True)
    def blocks_of_piece(lead, left, room, c_low):
        """Counter blocks of a piece of `left` weights behind `lead` others: as many as there are,
        as there is room for, and as come before the low half of their counter wraps.
        """
        need = min((lead + left + per_block - 1) >> block_shift, room)
        if -tile_blocks * reserved <= c_low < 0:
            need = min(need, -c_low >> reserved_shift)
        return need

    @njit(forceinline=True)
    def runs_alike(need, room, left, length, ahead):
        """How many whole runs of `need` blocks each, of `ahead` that begin alike, fit in the tile
        and in what is left to write.
        """
        times = min(tile_blocks * per_block // length, ahead)
        if times * need > room:
            times = room // need
        if times * length > left:
            times = 1
        return times

    @njit
    def list_counters(counters, times, blocks, c_low, hop, ids):
        """Of `blocks` blocks from each of `times` counters on: `hop` apart, or times ids."""
        for i in range(times):
            c = c_low + (load_int64(ids, i) if ids != 0 else i) * hop
            for b in range(0, blocks, 8):
                store(counters + 8 * b, eight() * reserved + (c + b * reserved))
            counters += 8 * blocks

    @njit(forceinline=True)
    def draw_tile(source, blocks, counters, straight, c_low, c_high, k0, k1, libm):
        """Words or numbers of counters that follow each other, or of those listed."""
        c2, c3 = c_high & 0xFFFFFFFF, (c_high >> 32) & 0xFFFFFFFF
        padded = (blocks + STEP_BLOCKS - 1) // STEP_BLOCKS * STEP_BLOCKS
        if straight:
            c0, c1 = c_low & 0xFFFFFFFF, (c_low >> 32) & 0xFFFFFFFF
            draw_in_order(source, padded, c0, c1, c2, c3, k0, k1, libm)
        else:
            for b in range(blocks, padded, 8):  # whatever: what comes out is not used
                store(counters + 8 * b, eight())
            draw_at(source, padded, counters, c2, c3, k0, k1, libm)
        return 4 * padded

    def fill_runs(out, count, first, runs, k0, k1, parameters, streaming):
        p, libm = load_parameters(parameters), load_libm(parameters)
        layout, axes = load_layout(runs), runs + AXES
        source, spare = source_scratch(), spare_scratch()
        counters, pieces = counter_scratch(), piece_scratch()
        last = 2 * layout.rank - 2
        inner = Inner(
            load_int64(axes, last),
            load_int64(axes, last + 1),
            layout.ids if layout.rank == 1 else 0,
        )
        position = position_of(first, axes, layout, inner)
        # Runs of such axes begin at the same index of a block: whole ones are taken many at a time.
        alike = layout.near != 0 and inner.stride & (per_block - 1) == 0
        hop = (inner.stride >> block_shift) << reserved_shift
        long = 2 * layout.length >= tile_blocks * per_block  # no tile has pieces of two such runs
        end = out + count * size
        done = 0
        while done < count:
            target = out + done * size
            blocks, parts = 0, 0
            whole = True  # no number of a block is left out
            straight = False  # one piece, of counters that follow each other
            tile_low, tile_high = 0, 0
            while not straight and blocks < tile_blocks and done < count:
                weight = layout.skip + position.start + position.within
                lead = weight & (per_block - 1)
                c_low, c_high = counter_of(weight >> block_shift, layout.low, layout.high)
                if blocks == 0:
                    tile_low, tile_high = c_low, c_high
                elif c_high != tile_high:
                    break
                room, left = tile_blocks - blocks, count - done
                in_run = min(layout.length - position.within, left)
                need = blocks_of_piece(lead, in_run, room, c_low)
                taken = min(need * per_block - lead, in_run)
                # Counters that follow each other cost less than what is left of the tile.
                alone = long and (c_low & 0xFFFFFFFF) + tile_blocks * reserved <= 1 << 32
                if alone and blocks != 0:
                    break
                straight = alone
                times = 1
                if alike and not straight and taken == layout.length and 2 * need <= room:
                    ahead = inner.size - position.run
                    times = runs_alike(need, room, left, taken, ahead)
                if not straight:
                    chosen, c = 0, c_low
                    if inner.ids != 0 and times > 1:
                        chosen, c = inner.ids + 8 * position.run, layout.low
                    list_counters(counters + 8 * blocks, times, need, c, hop, chosen)
                offset, step = (blocks * per_block + lead) * size, need * per_block * size
                store_piece(pieces, parts, offset, taken * size, times, step)
                parts += 1
                whole &= taken == need * per_block
                blocks += need * times
                done += taken * times
                position = after(position, taken, times, axes, layout, inner)
            if streaming:
                for page in range(0, tile_bytes, PAGE):
                    prefetch_page(target + AHEAD + page)
            words = draw_tile(source, blocks, counters, straight, tile_low, tile_high, k0, k1, libm)
            full = whole and words == 4 * blocks
            if full and streaming and target & 63 == 0:
                transform(source, target, words, p, store_streaming)
                continue
            # Memory that is too slow for stores of parts of lines takes longer than a copy.
            lines = streaming and straight
            # A piece that begins inside a block can be written where it belongs: what comes before
            # it is put back, and what comes after it will be overwritten.
            inside = straight and not lines and target - 64 >= out and target + tile_bytes <= end
            before = load_anywhere(u8x64, target - 64 if inside else source)
            direct = inside or (full and not lines)
            transform(source, target - load_int64(pieces, 0) if direct else spare, words, p, store)
            if lines:
                copy_lines(target, spare + load_int64(pieces, 0), load_int64(pieces, 1))
            elif not direct:
                copy_pieces(target, spare, pieces, parts, end)
            elif inside:
                store(target - 64, before)
        if streaming:
            fence()

    return fill_runs
