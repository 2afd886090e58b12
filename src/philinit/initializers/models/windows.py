# SPDX-License-Identifier: Apache-2.0
"""A part of a tensor in memory of any strides; where its rows are short, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np

from philinit.checks import Progress, progress_within
from philinit.filling.devices import empty
from philinit.parts import Shard
from philinit.targets import Target

_BLOCK = 1 << 20  # elements that are computed elsewhere and copied, at a time
_ROW = 32  # elements of a row from which on it is written in place: shorter ones cost more


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
    rows = lengths and lengths[-1] >= _ROW and window.strides[-1] == window.dtype.itemsize
    if rows or window.flags.c_contiguous:
        part = None if lengths == shape else Shard(shape, index)
        init._write(Target(window, shape, part, threads, progress))
        return
    axis = next(a for a, length in enumerate(lengths) if length > 1)
    inner, step = window.size // lengths[axis], lengths[axis]
    scratch, alone = None, init.elementwise and inner > _BLOCK
    if init.elementwise:
        step = 1 if alone else min(step, _BLOCK // inner)
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
