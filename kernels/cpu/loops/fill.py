# SPDX-License-Identifier: Apache-2.0
"""The loop over tiles for consecutive weights."""

from typing import Any

from philinit.kernels.cpu.kernels import TILES, load_libm, parameters_of
from philinit.kernels.cpu.simd.memory import (
    copy,
    fence,
    prefetch_page,
    scratch,
    store,
    store_streaming,
)
from philinit.kernels.cpu.tiles import STEP_BLOCKS
from philinit.kernels.table import KERNELS

# Looking up a page takes the CPU as long as filling a quarter of it. Memory that is streamed to is
# looked up this many bytes ahead: 4 to 10 % where pages are small, as TensorFlow's are.
PAGE = 4096
AHEAD = 4 * PAGE


def entry(name: str) -> Any:
    """The function to compile for a kernel, of eleven 64-bit integers.

    ``out``: address of the first number; ``count``: numbers to write; ``skip``: numbers of the
    first counter block that come before it; ``c0 .. c3``: the counter of that block, c0 not
    wrapping within the call; ``k0, k1``: the key; ``parameters``: address of the struct in
    table.py; ``streaming``: whether whole lines may bypass the caches.
    """
    kernel, (transform, draw, tile_blocks) = KERNELS[name], TILES[name]
    size, words, reserved = kernel.itemsize, kernel.words, kernel.reserved
    draw_in_order, load_parameters = draw.in_order, parameters_of(kernel)
    tile = 4 * tile_blocks // words
    source_scratch, spare_scratch = scratch(16 * tile_blocks), scratch(16 * tile_blocks)

    def fill(out, count, skip, c0, c1, c2, c3, k0, k1, parameters, streaming):
        p, libm = load_parameters(parameters), load_libm(parameters)
        source, spare = source_scratch(), spare_scratch()
        done = -skip
        while done < count:
            todo = min(tile, count - done)
            blocks = (todo * words + 4 * STEP_BLOCKS - 1) // (4 * STEP_BLOCKS) * STEP_BLOCKS
            if streaming:
                for page in range(0, tile * size, PAGE):
                    prefetch_page(out + done * size + AHEAD + page)
            draw_in_order(source, blocks, c0, c1, c2, c3, k0, k1, libm)
            target = out + done * size
            whole = done >= 0 and todo == tile
            # A ragged head or tail becomes whole vectors in scratch; the wanted part is copied.
            if whole and streaming and target & 63 == 0:
                transform(source, target, 4 * blocks, p, store_streaming)
            else:
                transform(source, target if whole else spare, 4 * blocks, p, store)
            if not whole:
                first = max(-done, 0)
                copy(target + first * size, spare + first * size, (todo - first) * size)
            done += tile
            c0 += tile_blocks * reserved
        if streaming:
            fence()

    return fill
