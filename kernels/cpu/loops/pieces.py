# SPDX-License-Identifier: Apache-2.0
"""Pieces of a tile, from scratch memory to where they belong.

Of each there are four integers: its offset in scratch, its bytes, how many there are of its kind,
and how far apart.
"""

from numba import njit

from philinit.kernels.cpu.simd.memory import (
    copy,
    load_anywhere,
    load_int64,
    store,
    store_int64,
    store_streaming,
)
from philinit.kernels.cpu.simd.types import u8x64


@njit(forceinline=True)
def store_piece(pieces, number, offset, size, times, step):
    store_int64(pieces, 4 * number, offset)
    store_int64(pieces, 4 * number + 1, size)
    store_int64(pieces, 4 * number + 2, times)
    store_int64(pieces, 4 * number + 3, step)


@njit
def copy_freely(target, source, size, end):
    """memcpy that may write up to 63 bytes more, before `end`: the next run will overwrite them."""
    if target + size + 63 < end:
        for i in range(0, size, 64):
            store(target + i, load_anywhere(u8x64, source + i))
    else:
        copy(target, source, size)


@njit
def copy_lines(target, source, size):
    """memcpy whose whole lines bypass the caches."""
    head = min(-target & 63, size)
    copy(target, source, head)
    for i in range(head, size - 63, 64):
        store_streaming(target + i, load_anywhere(u8x64, source + i))
    tail = (size - head) & 63
    copy(target + size - tail, source + size - tail, tail)


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
