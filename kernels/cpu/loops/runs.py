# SPDX-License-Identifier: Apache-2.0
"""The loop over tiles for weights that lie in runs: a box of a tensor, or rows by number.

Runs are short or long, and begin anywhere in a counter block. A tile takes counter blocks of as
many runs as it needs, so that the vectors of both phases are full whatever the length of a run.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from philinit.kernels.constants import RESERVED_BLOCKS
from philinit.kernels.cpu.loops.fill import AHEAD, KERNELS, PAGE, STEP_BLOCKS
from philinit.kernels.cpu.simd.memory import (
    copy,
    fence,
    load_anywhere,
    load_int64,
    load_parameters,
    scratch,
    store,
    store_int64,
    store_streaming,
    touch,
)
from philinit.kernels.cpu.simd.types import constant, u8x64, u64x8

eight = constant(u64x8, range(8))


@njit
def start_of_run(run, axes, rank, ids):
    """Where the run of a number is, by axes of (count, stride); `ids` are the places on axis 0."""
    start = 0
    for axis in range(rank - 1, -1, -1):
        count = load_int64(axes, 2 * axis)
        place = run % count
        run //= count
        if axis == 0 and ids != 0:
            place = load_int64(ids, place)
        start += place * load_int64(axes, 2 * axis + 1)
    return start


@njit
def copy_freely(target, source, size, end):
    """memcpy that may write up to 63 bytes more, before `end`: the next run will overwrite them."""
    if target + size + 63 < end:
        for i in range(0, size, 64):
            store(target + i, load_anywhere(u8x64, source + i))
    else:
        copy(target, source, size)


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


@njit
def unsigned_less(a, b):
    return (a ^ -0x8000000000000000) < (b ^ -0x8000000000000000)


def entry(name: str) -> Any:
    """The function to compile for a kernel, of fifteen 64-bit integers.

    ``out``: address of the first number; ``count``: numbers to write; ``first``: number, in the
    order of the runs, of the first one to write; ``length``: numbers of a run; ``axes, rank``:
    address and number of the axes that runs are numbered by, each a count and a stride, in int64;
    ``ids``: address of the places on axis 0, or 0; ``skip``: numbers of the first counter block
    that come before place 0 of all axes; ``low, high``: the counter of that block; ``near``:
    whether all counters have the same high; ``k0, k1``: the key; ``parameters``: address of eight
    float64; ``streaming``: whether whole lines may bypass the caches.
    """
    transform, size, words, draw, reserved, tile_blocks = KERNELS[name]
    draw_in_order, draw_at = draw
    per_block = 4 // words
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

    @njit
    def list_counters(counters, times, blocks, c_low, hop, ids):
        """Of `blocks` blocks from each of `times` counters on: `hop` apart, or times ids."""
        for i in range(times):
            c = c_low + (load_int64(ids, i) if ids != 0 else i) * hop
            for b in range(0, blocks, 8):
                store(counters + 8 * b, eight() * reserved + (c + b * reserved))
            counters += 8 * blocks

    def fill_runs(
        out,
        count,
        first,
        length,
        axes,
        rank,
        ids,
        skip,
        low,
        high,
        near,
        k0,
        k1,
        parameters,
        streaming,
    ):
        p = load_parameters(parameters)
        source, spare = source_scratch(), spare_scratch()
        counters, pieces = counter_scratch(), piece_scratch()
        run, within = first // length, first % length
        start = start_of_run(run, axes, rank, ids)
        # Until the innermost axis is at its end, the next run is one stride away.
        inner_count, inner_stride = load_int64(axes, 2 * rank - 2), load_int64(axes, 2 * rank - 1)
        inner_ids = ids if rank == 1 else 0
        # Such runs begin at the same place of a block: whole ones are taken many at a time.
        alike = near != 0 and inner_stride & (per_block - 1) == 0
        many = tile_blocks * per_block // length
        hop = (inner_stride >> block_shift) << reserved_shift
        inner = run % inner_count
        run -= inner
        end = out + count * size
        done = 0
        while done < count:
            target = out + done * size
            blocks, parts = 0, 0
            whole = True  # no number of a block is left out
            straight = False  # one piece, whose counters follow each other
            tile_high = 0
            while blocks < tile_blocks and done < count:
                place = skip + start + within
                lead = place & (per_block - 1)
                c_low, c_high = counter_of(place >> block_shift, low, high)
                if blocks == 0:
                    tile_high = c_high
                elif c_high != tile_high:
                    break
                left = min(length - within, count - done)
                need = min((lead + left + per_block - 1) >> block_shift, tile_blocks - blocks)
                if -tile_blocks * reserved <= c_low < 0:  # at most a tile before it wraps
                    need = min(need, -c_low >> reserved_shift)
                taken = min(need * per_block - lead, left)
                if need == tile_blocks:
                    straight = (c_low & 0xFFFFFFFF) + tile_blocks * reserved <= 1 << 32
                    c0, c1 = c_low & 0xFFFFFFFF, (c_low >> 32) & 0xFFFFFFFF
                times = 1
                if alike and taken == length and 2 * need <= tile_blocks - blocks:
                    times = min(many, inner_count - inner)
                    if times * need > tile_blocks - blocks:
                        times = (tile_blocks - blocks) // need
                    if times * length > count - done:
                        times = 1
                if not straight:
                    chosen = inner_ids + 8 * inner if inner_ids != 0 and times > 1 else 0
                    first_low = low if chosen != 0 else c_low
                    list_counters(counters + 8 * blocks, times, need, first_low, hop, chosen)
                store_int64(pieces, 4 * parts, (blocks * per_block + lead) * size)
                store_int64(pieces, 4 * parts + 1, taken * size)
                store_int64(pieces, 4 * parts + 2, times)
                store_int64(pieces, 4 * parts + 3, need * per_block * size)
                parts += 1
                whole &= taken == need * per_block
                blocks += need * times
                done += taken * times
                within += taken
                if within == length:
                    within = 0
                    inner += times
                    if inner == inner_count:
                        inner = 0
                        run += inner_count
                        start = start_of_run(run, axes, rank, ids)
                    elif inner_ids != 0:
                        start = load_int64(inner_ids, inner) * inner_stride
                    else:
                        start += inner_stride * times
            if streaming:
                for page in range(0, tile_bytes, PAGE):
                    touch(target + AHEAD + page)
            c2, c3 = tile_high & 0xFFFFFFFF, (tile_high >> 32) & 0xFFFFFFFF
            padded = (blocks + STEP_BLOCKS - 1) // STEP_BLOCKS * STEP_BLOCKS
            if straight:
                draw_in_order(source, padded, c0, c1, c2, c3, k0, k1, p)
            else:
                for b in range(blocks, padded, 8):  # whatever: what comes out is not used
                    store(counters + 8 * b, eight())
                draw_at(source, padded, counters, c2, c3, k0, k1, p)
            full = whole and blocks == tile_blocks
            if full and streaming and target & 63 == 0:
                transform(source, target, 4 * padded, p, store_streaming)
                continue
            # A piece that begins inside a block can be written in its place: what comes before it
            # is put back, and what comes after it will be overwritten.
            inside = straight and target - 64 >= out and target + tile_bytes <= end
            before = load_anywhere(u8x64, target - 64 if inside else source)
            place = spare
            if full or inside:
                place = target - load_int64(pieces, 0)
            transform(source, place, 4 * padded, p, store)
            if place == spare:
                copy_pieces(target, spare, pieces, parts, end)
            elif inside:
                store(target - 64, before)
        if streaming:
            fence()

    return fill_runs
