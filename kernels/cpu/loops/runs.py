# SPDX-License-Identifier: Apache-2.0
"""The loop over tiles for weights that lie in runs: a part of a tensor, or rows by number or key.

Runs are short or long, and begin anywhere in a counter block. A tile takes counter blocks of as
many runs as it needs, and of their words those that are wanted are put behind each other: so the
vectors of both phases are full whatever the length of a run, and memory is written in whole lines.
A *piece* is what a tile has of a run, or of many runs that begin alike. Pieces and rows of pairs of
vectors become weights where they lie, and those go straight to where they belong.
"""

from typing import Any

from numba import njit

from philinit.kernels.cpu.kernels import TILES, load_libm, parameters_of
from philinit.kernels.cpu.loops.fill import AHEAD, PAGE
from philinit.kernels.cpu.positions import (
    AXES,
    Inner,
    after,
    copy_pieces,
    left_in_row,
    load_layout,
    place_after,
    place_of,
    position_of,
    store_piece,
    write_rows,
)
from philinit.kernels.cpu.simd.memory import (
    copy,
    copy_freely,
    fence,
    load,
    load_int64,
    prefetch_page,
    scratch,
    store,
    store_streaming,
)
from philinit.kernels.cpu.simd.operators import constant
from philinit.kernels.cpu.simd.types import u8x64, u64x8
from philinit.kernels.cpu.tiles import PAIR, STEP_BLOCKS
from philinit.kernels.cpu.words import LARGEST_TILE, list_highs
from philinit.kernels.table import KERNELS, RESERVED_BLOCKS

eight = constant(u64x8, range(8))

# Of a run that is as long, the counters follow each other: no list of them is made, and its words
# are written where they belong. The last step is then not full, which costs less.
LONG_BLOCKS = 2 * STEP_BLOCKS


@njit
def unsigned_less(a, b):
    return (a ^ -0x8000000000000000) < (b ^ -0x8000000000000000)


# --- the loop ------------------------------------------------------------------------------------


def entry(name: str) -> Any:
    """The function to compile for a kernel, of eight 64-bit integers.

    ``out``: address of the first number of the first run; ``count``: numbers to write; ``first``:
    number, in the order of the runs, of the first one to write; ``runs``: address of what
    arguments.py makes of the runs; ``k0, k1``: the key; ``parameters``: address of the struct in
    table.py; ``streaming``: whether whole lines may bypass the caches.
    """
    kernel, (transform, draw, small_tile) = KERNELS[name], TILES[name]
    tile_blocks = LARGEST_TILE  # a tile costs more here, beside its weights, than in `fill`
    size, reserved, per_block = kernel.itemsize, kernel.reserved, 4 // kernel.words
    width = 4 * kernel.words  # bytes of a weight's words
    unit = STEP_BLOCKS * per_block  # weights of a step: whole lines of memory
    pair = max(PAIR // kernel.words, 64 // size)  # weights: the least that can be made; whole lines
    (draw_in_order, draw_at), load_parameters = draw, parameters_of(kernel)
    block_shift, reserved_shift = per_block.bit_length() - 1, reserved.bit_length() - 1
    assert reserved == 1 << reserved_shift <= RESERVED_BLOCKS
    high_bits = 64 - reserved_shift  # of a block's number that stay in the counter's low half
    source_scratch, spare_scratch = scratch(16 * tile_blocks + 64), scratch(16 * STEP_BLOCKS)
    # A line before it, what is held, a tile, and what is drawn or copied beyond it.
    ready_scratch = scratch(64 + 16 * (STEP_BLOCKS + tile_blocks + STEP_BLOCKS) + 64)
    highs = 8 * tile_blocks + 64  # bytes from a list to the high halves; eight are stored at a time
    counter_scratch = scratch(2 * highs)
    piece_scratch = scratch(32 * tile_blocks)

    @njit
    def up_to_step(blocks):
        return (blocks + STEP_BLOCKS - 1) // STEP_BLOCKS * STEP_BLOCKS

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
        times = min(room // need, ahead)
        return times if times * length <= left else 1

    @njit
    def list_counters(counters, times, blocks, c_low, hop, ids):
        """Of `blocks` blocks from each of `times` counters on: `hop` apart, or times ids."""
        one = eight() * reserved
        if blocks <= 8 and ids == 0:  # one loop, and no multiplication
            for _ in range(times):
                store(counters, one + c_low)
                counters += 8 * blocks
                c_low += hop
        else:
            for i in range(times):
                c = c_low + (load_int64(ids, i) if ids != 0 else i) * hop
                for b in range(0, blocks, 8):
                    store(counters + 8 * b, one + (c + b * reserved))
                counters += 8 * blocks

    @njit
    def write_some(words, spare, target, first, last, p):
        """Weights `first` to `last` of the next step, where memory is not to be written whole."""
        transform(words, spare, 4 * STEP_BLOCKS, p, store)
        copy(target + first * size, spare + first * size, (last - first) * size)

    @njit(forceinline=True)
    def write_pieces(out, source, pieces, count, place, streaming, p, axes, layout):
        """The weights of pieces of whole pairs to where they belong; the place behind them."""
        for i in range(count):
            words, left = source + load_int64(pieces, 4 * i), load_int64(pieces, 4 * i + 1)
            times, step = load_int64(pieces, 4 * i + 2), load_int64(pieces, 4 * i + 3)
            for _ in range(times):
                at, todo = words, left // width * size
                while todo > 0:
                    target, some = (
                        out + place.start + place.within,
                        left_in_row(place, todo, layout),
                    )
                    if streaming and target & 63 == 0:
                        transform(at, target, some // size * kernel.words, p, store_streaming)
                    else:
                        transform(at, target, some // size * kernel.words, p, store)
                    at += some // size * width
                    todo -= some
                    place = place_after(place, some, axes, layout)
                words += step
        return place

    def fill_runs(out, count, first, runs, k0, k1, parameters, streaming):
        p, libm = load_parameters(parameters), load_libm(parameters)
        layout, axes = load_layout(runs), runs + AXES
        keyed = layout.keyed != 0
        source, spare, ready = source_scratch(), spare_scratch(), ready_scratch() + 64
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
        long = layout.length >= LONG_BLOCKS * per_block
        # Where rows are apart, `begin` is where weights would go if they were not.
        begin = out + first * size
        lines = streaming != 0 and layout.row == 0 and begin % size == 0
        # The first line begins before `begin`, with weights that are not written.
        head = (begin & 63) // size if lines else 0
        place, held, done, steady = place_of((first - head) * size, axes, layout), head, 0, 0
        # Rows, and runs, of whole pairs of vectors need no detour through scratch memory.
        even = first % pair == 0 and layout.row % (pair * size) == 0
        even_runs = even and layout.length % pair == 0
        while done < count:
            blocks, parts, todo = 0, 0, 0
            whole = True  # no word of a block is left out
            straight = False  # one piece, of counters that follow each other
            skipped, tile_low, tile_high = 0, 0, 0
            pairs = even_runs and held == 0  # whether pieces are of whole pairs
            while not straight and blocks < tile_blocks and done < count:
                weight = layout.skip + position.start + position.within
                lead = weight & (per_block - 1)
                c_low, c_high = counter_of(weight >> block_shift, layout.low, layout.high)
                if blocks == 0:
                    skipped, tile_low, tile_high = lead, c_low, c_high
                elif c_high != tile_high:
                    break
                room, left = tile_blocks - blocks, count - done
                in_run = min(layout.length - position.within, left)
                need = blocks_of_piece(lead, in_run, room, c_low)
                taken = min(need * per_block - lead, in_run)
                alone = long and (c_low & 0xFFFFFFFF) + tile_blocks * reserved <= 1 << 32
                if blocks != 0 and (alone or (pairs and not whole and taken != in_run)):
                    break
                straight = alone
                times = 1
                if alike and not straight and taken == layout.length and 2 * need <= room:
                    ahead = inner.size - position.run
                    times = runs_alike(need, room, left, taken, ahead)
                ids = inner.ids + 8 * position.run if inner.ids != 0 else 0
                index = load_int64(ids, 0) if ids != 0 else 0
                if straight and keyed:
                    tile_high += index
                if not straight:
                    c, listed = c_low - index * hop, counters + 8 * blocks
                    if keyed:
                        list_highs(listed + highs, times, need, c_high, ids)
                    # Whole runs have the same halves in every tile: they are listed once.
                    many = keyed and blocks == 0 and times > 1
                    if not many or need * times > steady:
                        list_counters(listed, times, need, c, hop, ids)
                        steady = need * times if many else min(steady, blocks)
                    offset = 16 * blocks + lead * width
                    store_piece(pieces, parts, offset, taken * width, times, 16 * need)
                    parts += 1
                    whole &= taken == need * per_block
                    pairs &= taken % pair == 0
                blocks += need * times
                todo += taken * times
                done += taken * times
                position = after(position, taken, times, axes, layout, inner)
            for b in range(blocks, 0 if straight else up_to_step(blocks), 8):  # whatever: not used
                store(counters + 8 * b, eight())
            steady = min(steady, blocks)
            c0, c1 = tile_low & 0xFFFFFFFF, (tile_low >> 32) & 0xFFFFFFFF
            c2, c3 = tile_high & 0xFFFFFFFF, (tile_high >> 32) & 0xFFFFFFFF
            words = ready  # of what is held
            direct = pairs and not (straight or whole)
            while todo > 0:
                end = words + held * width
                if straight:
                    # What comes before a run in its first block covers the end of the run before.
                    drawn = min(small_tile, blocks)
                    before = load(u8x64, end - 64)
                    start = end - skipped * width
                    draw_in_order(start, up_to_step(drawn), c0, c1, c2, c3, k0, k1, libm)
                    store(end - 64, before)
                    new = min(drawn * per_block - skipped, todo)
                    skipped = 0
                    c0 += drawn * reserved
                    blocks -= drawn
                else:
                    to = end if whole else source
                    high = counters + highs if keyed else 0
                    draw_at(to, up_to_step(blocks), counters, high, c2, c3, k0, k1, libm)
                    if not (whole or direct):
                        copy_pieces(end, source, pieces, parts)
                    new = todo
                todo -= new
                held += new
                if head != 0 and held >= unit:
                    write_some(words, spare, out + place.within, head, unit, p)
                    place = place_after(place, unit * size, axes, layout)
                    words, held, head = words + unit * width, held - unit, 0
                now = held if direct else held // unit * unit
                if lines:
                    for page in range(0, now * size, PAGE):
                        prefetch_page(out + place.within + AHEAD + page)
                if direct or (layout.row != 0 and even):
                    if not direct:
                        store_piece(pieces, 0, words - source, now * width, 1, 0)
                    number = parts if direct else 1
                    place = write_pieces(
                        out, source, pieces, number, place, streaming, p, axes, layout
                    )
                elif layout.row != 0:  # made in the place of the words, which take no less
                    transform(words, words, now * kernel.words, p, store)
                    place = write_rows(out, words, now * size, place, streaming, axes, layout)
                else:
                    target = out + place.within
                    if lines:
                        transform(words, target, now * kernel.words, p, store_streaming)
                    else:
                        transform(words, target, now * kernel.words, p, store)
                    place = place_after(place, now * size, axes, layout)
                words, held = words + now * width, held - now
            copy_freely(ready, words, held * width)
        if layout.row != 0:
            transform(ready, spare, 4 * STEP_BLOCKS, p, store)
            write_rows(out, spare, held * size, place, streaming, axes, layout)
        elif held > head:
            write_some(ready, spare, out + place.within, head, held, p)
        if streaming:
            fence()

    return fill_runs
