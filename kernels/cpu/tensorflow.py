# SPDX-License-Identifier: Apache-2.0
"""A tile of TensorFlow's standard normals, truncated ones too, instead of random words.

Counter blocks become groups: four float32 or two float64, 16 bytes each.
"""

from typing import Any

from numba import njit, types

from philinit.kernels.constants import GLIBC, ROUNDED
from philinit.kernels.cpu import box_muller as bm
from philinit.kernels.cpu.simd.lanes import compress, mask16, mask_bits, popcount, shuffle
from philinit.kernels.cpu.simd.memory import (
    load,
    load_index,
    load_int64,
    scratch,
    store,
    store_index,
    store_int64,
)
from philinit.kernels.cpu.simd.operators import bits, constant, convert, sqrt
from philinit.kernels.cpu.simd.types import VectorType, u32x8, u32x16, u64x8
from philinit.kernels.cpu.words import (
    LARGEST_TILE,
    Draw,
    words_of_every,
    write_words,
    write_words_at,
)
from philinit.kernels.table import RESERVED_BLOCKS

square_scratch = scratch(8 * LARGEST_TILE)
list_scratch = scratch(4 * LARGEST_TILE + 64)  # sixteen are stored at a time
retry_scratch = scratch(16 * LARGEST_TILE)
again_scratch, high_scratch = scratch(8 * LARGEST_TILE), scratch(8 * LARGEST_TILE)


def squares_by(squared_radius: Any) -> Any:
    @njit
    def write_squares(squares, address, blocks, log):
        for i in range(0, 2 * blocks, bm.N):
            store(squares + 4 * i, squared_radius(load(bm.u64xN, address + 8 * i), log))

    return write_squares


def normals_by(direction: Any) -> Any:
    @njit
    def write_directions(squares, address, blocks, sin, cos):
        for i in range(0, 2 * blocks, bm.N):
            x = direction(load(bm.u64xN, address + 8 * i), sin, cos)
            r = sqrt(load(bm.f32xN, squares + 4 * i))
            store(address + 8 * i, x * bm.twice(r, r))

    return write_directions


glibc_squares, rounded_squares, called_squares = map(
    squares_by, (bm.glibc_squared_radius, bm.rounded_squared_radius, bm.called_squared_radius)
)
glibc_normals, rounded_normals, called_normals = map(
    normals_by, (bm.glibc_direction, bm.rounded_direction, bm.called_direction)
)


@njit
def to_normals32(address, blocks, libm):
    """Words to standard normals in place, four for each of `blocks` counter blocks."""
    squares = square_scratch()
    if libm.log_kind == GLIBC:
        glibc_squares(squares, address, blocks, libm.log)
    elif libm.log_kind == ROUNDED:
        rounded_squares(squares, address, blocks, libm.log)
    else:
        called_squares(squares, address, blocks, libm.log)
    if libm.trigonometry_kind == GLIBC:
        glibc_normals(squares, address, blocks, libm.sin, libm.cos)
    elif libm.trigonometry_kind == ROUNDED:
        rounded_normals(squares, address, blocks, libm.sin, libm.cos)
    else:
        called_normals(squares, address, blocks, libm.sin, libm.cos)


@njit
def to_normals64(address, blocks, libm):
    """Words to standard normals in place, two for each of `blocks` counter blocks."""
    for i in range(0, 2 * blocks, 8):
        w = load(bm.u64x8, address + 8 * i)
        store(address + 8 * i, bm.called_normal64(w, libm.log, libm.sin, libm.cos))


def normals(to_normals: Any) -> Draw:
    @njit
    def in_order(address, blocks, c0, c1, c2, c3, k0, k1, libm):
        write_words(address, blocks, c0, c1, c2, c3, k0, k1, libm)
        to_normals(address, blocks, libm)

    @njit
    def at(address, blocks, counters, highs, c2, c3, k0, k1, libm):
        write_words_at(address, blocks, counters, highs, c2, c3, k0, k1, libm)
        to_normals(address, blocks, libm)

    return Draw(in_order, at)


# --- truncated at +-2: what lies beyond is drawn again --------------------------------------------

u32x64 = VectorType(types.uint32, 64)
i32x64 = VectorType(types.int32, 64)
sixteen = constant(u32x16, range(16))

# 2.0 and everything beyond has the bit below the sign set, everything nearer to 0 has not: numbers
# are handled as integers. What is missing in a group is marked by an integer with that bit.
MISSING = -1


@njit
def every_fourth(flags):
    """Bits 0, 4, 8, ... 60 next to each other."""
    flags &= 0x1111111111111111
    flags = (flags | (flags >> 3)) & 0x0303030303030303
    flags = (flags | (flags >> 6)) & 0x000F000F000F000F
    flags = (flags | (flags >> 12)) & 0x000000FF000000FF
    return (flags | (flags >> 24)) & 0xFFFF


def list_incomplete(size: int) -> Any:
    """Numbers of the groups that hold a number of `size` bytes beyond +-2; returns how many."""
    upper_halves = -1 if size == 4 else 0xAAAAAAAAAAAAAAAA - (1 << 64)

    @njit
    def list_groups(address, blocks, groups):
        count = 0
        for b in range(0, blocks, 16):
            halves = load(u32x64, address + 16 * b)
            beyond = mask_bits(bits(i32x64, halves << 1) < 0) & upper_halves
            beyond |= beyond >> 1
            beyond = every_fourth(beyond | (beyond >> 2))
            store(groups + 4 * count, compress(sixteen() + b, mask16(beyond), 0))
            count += popcount(beyond)
        return count

    return list_groups


def truncated(to_normals: Any, integer: Any) -> Draw:
    """Each group keeps the first numbers within (-2, 2) of the blocks that are reserved for it."""
    size, lanes = integer.bitwidth // 8, 128 // integer.bitwidth
    group, two_groups = VectorType(integer, lanes), VectorType(integer, 2 * lanes)
    join, first = shuffle(two_groups, range(2 * lanes)), shuffle(group, range(lanes))
    reserved = RESERVED_BLOCKS * lanes // 4
    write_first = words_of_every(reserved)
    list_groups = list_incomplete(size)

    @njit
    def keep_first(address, groups, fresh, waiting):
        """Complete the groups that wait from fresh numbers; returns how many wait on."""
        left = 0
        for i in range(waiting):
            n = load_index(groups, i)
            target = address + 16 * n
            x = join(load(group, target), load(group, fresh + 16 * i))
            x = compress(x, (x << 1) > -1, MISSING)
            x = first(x, x)
            store(target, x)
            store_index(groups, left, n)
            left += mask_bits((x << 1) < 0) != 0
        return left

    @njit
    def in_order(address, blocks, c0, c1, c2, c3, k0, k1, libm):
        write_first(address, blocks, c0, c1, c2, c3, k0, k1, libm)
        to_normals(address, blocks, libm)
        groups, fresh, again = list_scratch(), retry_scratch(), again_scratch()
        waiting = list_groups(address, blocks, groups)
        attempt = 1
        while waiting > 0 and attempt < reserved:
            c = (c1 << 32) + c0 + attempt
            for i in range(0, waiting, 8):
                g = convert(u64x8, load(u32x8, groups + 4 * i))
                store(again + 8 * i, g * reserved + c)
            write_words_at(fresh, waiting, again, 0, c2, c3, k0, k1, libm)
            to_normals(fresh, waiting, libm)
            waiting = keep_first(address, groups, fresh, waiting)
            attempt += 1

    @njit
    def at(address, blocks, counters, highs, c2, c3, k0, k1, libm):
        write_words_at(address, blocks, counters, highs, c2, c3, k0, k1, libm)
        to_normals(address, blocks, libm)
        groups, fresh, again = list_scratch(), retry_scratch(), again_scratch()
        again_highs = high_scratch() if highs != 0 else 0
        waiting = list_groups(address, blocks, groups)
        attempt = 1
        while waiting > 0 and attempt < reserved:
            for i in range(waiting):
                g = load_index(groups, i)
                store_int64(again, i, load_int64(counters, g) + attempt)
                if highs != 0:
                    store_int64(again_highs, i, load_int64(highs, g))
            write_words_at(fresh, waiting, again, again_highs, c2, c3, k0, k1, libm)
            to_normals(fresh, waiting, libm)
            waiting = keep_first(address, groups, fresh, waiting)
            attempt += 1

    return Draw(in_order, at)


normals32 = normals(to_normals32)
normals64 = normals(to_normals64)
truncated32 = truncated(to_normals32, types.int32)
truncated64 = truncated(to_normals64, types.int64)
