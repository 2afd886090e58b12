# SPDX-License-Identifier: Apache-2.0
"""The loop over tiles that compares: weights are made in scratch and held against memory.

Making weights leaves the memory idle. So the memory of later tiles is fetched meanwhile.
"""

from typing import Any

from numba import njit

from philinit.kernels.cpu.kernels import TILES, load_libm, parameters_of
from philinit.kernels.cpu.simd.memory import (
    copy,
    load,
    prefetch_line,
    scratch,
    store,
    store_int64,
)
from philinit.kernels.cpu.simd.operators import any_lane
from philinit.kernels.cpu.simd.types import u32x16
from philinit.kernels.cpu.tiles import STEP_BLOCKS
from philinit.kernels.table import KERNELS

LINE = 64
AHEAD = 8192  # bytes: some tiles, so that a line is there when its tile is made


@njit
def differ(made, found, size):
    """Whether any bit differs; `made` and `size`, in bytes, are multiples of 64, size > 0."""
    unlike = load(u32x16, made) ^ load(u32x16, found)
    for i in range(64, size, 64):
        unlike = unlike | (load(u32x16, made + i) ^ load(u32x16, found + i))
    return any_lane(unlike > 0)


def entry(name: str) -> Any:
    """The function to compile for a kernel, of eleven 64-bit integers.

    They are those of `fill`, with two differences. ``found``: address of the first number, which is
    read only; ``equal``, the last one: address of an int64, which takes the number of weights
    before the first tile with a difference, or ``count``.
    """
    kernel, (transform, draw, tile_blocks) = KERNELS[name], TILES[name]
    size, words, reserved = kernel.itemsize, kernel.words, kernel.reserved
    draw_in_order, load_parameters = draw.in_order, parameters_of(kernel)
    tile = 4 * tile_blocks // words
    source_scratch, made_scratch = scratch(16 * tile_blocks), scratch(16 * tile_blocks)
    ragged_scratch = scratch(16 * tile_blocks)

    def verify(found, count, skip, c0, c1, c2, c3, k0, k1, parameters, equal):
        p, libm = load_parameters(parameters), load_libm(parameters)
        source, made, ragged = source_scratch(), made_scratch(), ragged_scratch()
        done = -skip
        while done < count:
            target = found + done * size
            for line in range(0, tile * size, LINE):
                prefetch_line(target + AHEAD + line)
            todo = min(tile, count - done)
            blocks = (todo * words + 4 * STEP_BLOCKS - 1) // (4 * STEP_BLOCKS) * STEP_BLOCKS
            draw_in_order(source, blocks, c0, c1, c2, c3, k0, k1, libm)
            transform(source, made, 4 * blocks, p, store)
            if done < 0 or todo < tile:  # what is missing in a ragged tile is no difference
                first = max(-done, 0)
                copy(ragged, made, tile * size)
                copy(ragged + first * size, target + first * size, (todo - first) * size)
                target = ragged
            if differ(made, target, tile * size):
                break
            done += tile
            c0 += tile_blocks * reserved
        store_int64(equal, 0, min(max(done, 0), count))

    return verify
