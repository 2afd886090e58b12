# SPDX-License-Identifier: Apache-2.0
"""A part of a tensor that does not lie in one stretch of memory, written block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from philinit.checks import Progress, progress_within
from philinit.filling.devices import empty
from philinit.parts import Shard
from philinit.targets import Target

_BLOCK = 1 << 20  # elements that are computed elsewhere and copied, at a time
_LONG = 1 << 16  # elements of a row from which on it is worth a call of its own


def write_window(
    init: Any,
    window: Any,
    shape: tuple[int, ...],
    index: tuple[slice, ...],
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write part `index` of a tensor of `shape` into a window of an array, of the part's shape."""
    lengths = window.shape
    if window.flags.c_contiguous or not window.size:
        part = None if lengths == shape else Shard(shape, index)
        init._write(Target(window, shape, part, threads, progress))
        return
    axis = next(a for a, length in enumerate(lengths) if length > 1)
    inner, step = window.size // lengths[axis], lengths[axis]
    scratch = None
    if init.elementwise:
        row = window[(slice(None),) * axis + (slice(0, 1),)]
        alone = inner > _BLOCK or (inner >= _LONG and row.flags.c_contiguous)
        step = 1 if alone else min(step, _BLOCK // inner)
    else:
        alone = False
    for start in range(0, lengths[axis], step):
        stop = min(start + step, lengths[axis])
        block = window[(slice(None),) * axis + (slice(start, stop),)]
        first = index[axis].start
        of_block = (*index[:axis], slice(first + start, first + stop), *index[axis + 1 :])
        report = progress_within(progress, start * inner, window.size)
        if alone:
            write_window(init, block, shape, of_block, threads, report)
            continue
        if scratch is None:
            scratch = _like(block)
        filled = scratch[(slice(None),) * axis + (slice(0, stop - start),)]
        part = None if filled.shape == shape else Shard(shape, of_block)
        init._write(Target(filled, shape, part, threads, report))
        bits = np.dtype(f"u{block.dtype.itemsize}")  # CuPy copies those of every dtype
        block.view(bits)[...] = filled.view(bits)


def _like(block: Any) -> Any:
    """Contiguous memory of the shape, dtype and device of a block."""
    device = "cpu" if isinstance(block, np.ndarray) else f"cuda:{block.device.id}"
    return empty(block.shape, block.dtype, device)
