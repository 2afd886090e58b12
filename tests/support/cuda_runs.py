# SPDX-License-Identifier: Apache-2.0
"""Launches of the CUDA kernels over runs of weights, on this machine."""

from typing import Any

import numpy as np

from philinit.kernels.cuda.arguments import argument
from philinit.keys import Key
from philinit.runs import Runs
from tests.support import cuda_host
from tests.support import reference as r
from tests.support.cuda_cases import KEY, Drawn, on_cpu, per_block

END = Key((5, 6), (1 << 128) - 256 * 7)  # the counter wraps within the first weights


def library(source: str | None = None) -> cuda_host.Library:
    return cuda_host.build(source, "runs")


def launch(
    into: cuda_host.Library,
    case: Drawn,
    runs: Runs,
    address: int,
    key: Key,
    resident: int,
    *grid: Any,
) -> int:
    """`resident` threads at once: the fewer, the more steps a thread takes."""
    p, ids = case.plan, 0 if runs.ids is None else runs.ids.ctypes.data
    extent = argument(runs, p.kernel, address, ids, resident)
    block, skip = divmod(runs.origin, per_block(case))
    counter = (key.base + block * p.kernel.reserved) % (1 << 128)
    return into.launch(
        p.kernel.name, address, extent, skip, counter, key.words, p.parameters, *grid
    )


def on_gpu(
    case: Drawn,
    runs: Runs,
    key: Key = KEY,
    grid: int = 3,
    block: int = 256,
    shift: int = 0,
    resident: int = 1,
    into: cuda_host.Library | None = None,
) -> r.Array:
    """`shift` is the number of weights from an aligned address; nothing around may change."""
    dtype, where = r.DTYPES[case.dtype], places(runs)
    memory = np.full(64 + (where[-1] + 1 + shift) * dtype.itemsize + 64, 0xA5, np.uint8)
    start = 64 - memory.ctypes.data % 64 % 64 + shift * dtype.itemsize
    address = memory.ctypes.data + start
    launch(into or library(), case, runs, address, key, resident, grid, block)
    view = np.ndarray(where[-1] + 1, dtype, memory, offset=start)
    out = view[where].copy()
    view.view(f"u{dtype.itemsize}")[where] = int.from_bytes(b"\xa5" * dtype.itemsize, "little")
    assert (memory == 0xA5).all(), "bytes before, between or behind were written"
    return out


def places(runs: Runs) -> r.Array:
    """Where each weight belongs in memory, in weights, in the order of the runs."""
    if runs.steps is None:
        return np.arange(runs.size)
    found = np.zeros(1, int)
    for (count, _), step in zip(runs.axes, runs.steps, strict=True):
        found = np.add.outer(found, step * np.arange(count)).reshape(-1)
    return np.add.outer(found, np.arange(runs.length)).reshape(-1)


def same(case: Drawn, runs: Runs, key: Key = KEY, **how: Any) -> None:
    """The runs, one by one, from the CPU's loop over consecutive weights."""
    want = np.concatenate([on_cpu(case, count, start, key) for start, count in runs])
    r.assert_same_bits(on_gpu(case, runs, key, **how), want, (runs, how))


def rows(length: int, stride: int, count: int, origin: int = 0, **more: Any) -> Runs:
    return Runs(origin, length, ((count, stride),), **more)
