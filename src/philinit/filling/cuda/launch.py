# SPDX-License-Identifier: Apache-2.0
"""The CUDA backend: fills a CuPy array by one launch of a kernel.

A fill is asynchronous, as CuPy's own operations are: it is queued on the current stream of the
array's device, and whoever reads the array on that stream, or after it was synchronized, sees the
weights. Everything that can be wrong with the arguments is found before anything is queued.

While that stream is captured into a CUDA graph the launches go into the graph, which writes the
same weights whenever it is replayed. What a graph cannot hold is refused before it breaks the
capture: a kernel that is not loaded yet, ids that must be copied there, and waiting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from philinit.checks import Progress
from philinit.cuda_views import check_not_captured, import_cupy
from philinit.filling.cuda.compiler import THREADS, Loaded, launch_geometry, loaded
from philinit.filling.cuda.memory import between
from philinit.kernels.constants import CALLED
from philinit.kernels.table import Parameters, Plan
from philinit.keys import Key
from philinit.runs import Runs
from philinit.targets import Target

#: Weights of one launch where somebody wants to hear of progress: a millisecond or so.
PIECE = 1 << 28

_WRAP = 1 << 128
_MASK64 = (1 << 64) - 1

# How kernels take their parameters, by value: CuPy passes an ndarray of one element like that.
_PARAMETERS = np.dtype(Parameters)


def fill(target: Target, plan: Plan, key: Key, start: int) -> None:
    """Queue weights `start`, `start + 1`, ... of the stream into the target, in C order.

    With `progress` the fill is cut into launches of `PIECE` weights, each of which is waited for
    before it is reported, while the next one runs.
    """
    check(plan)
    view, progress = target.view, target.progress
    count = int(view.size)
    if count:
        cupy = import_cupy()
        with view.device:
            kernel = loaded(cupy, view.device.id, plan.kernel.name)
            size = count if progress is None else PIECE
            launches = _fill(kernel, view.data.ptr, count, plan, key, start, size)
            _queue(cupy, launches, count, progress)
    if progress is not None:
        progress(count, count)


def fill_runs(target: Target, plan: Plan, key: Key, runs: Runs) -> None:
    """Queue the weights of `runs`, one at least, into the target, in the order of the runs.

    That is one launch, unless there are more than 8 axes, or 2**31 steps of up to 16 bytes: 32 GiB
    of long runs, 4 GiB of single float32 weights. With `progress` as in `fill`.
    """
    check(plan)
    view, progress = target.view, target.progress
    cupy, count = import_cupy(), int(view.size)
    if isinstance(runs.ids, cupy.ndarray) and runs.ids.device.id != view.device.id:
        raise ValueError(
            "`ids` must lie on the device that is filled, or in CPU memory; got ids on "
            f"cuda:{runs.ids.device.id} for cuda:{view.device.id}: copy them to one of the two"
        )
    with view.device, between(runs.stream, looked_at=runs.last is not None):
        launches = _fill_runs(cupy, view, plan, key, runs, None if progress is None else PIECE)
        _queue(cupy, launches, count, progress)
    if progress is not None:
        progress(count, count)


def load(plan: Plan, index: int) -> None:
    """Have the kernels of a plan, of both loops, on CUDA device `index`."""
    from philinit.kernels.cuda import LOOPS

    check(plan)
    cupy = import_cupy()
    with cupy.cuda.Device(index):
        for loop in LOOPS:
            loaded(cupy, index, plan.kernel.name, loop)


def check(plan: Plan) -> None:
    """Refuse what CUDA kernels cannot do."""
    from philinit.kernels.cuda import KERNELS

    name, values = plan.kernel.name, plan.values()
    if name not in KERNELS or CALLED in (values.get("log_kind"), values.get("trigonometry_kind")):
        reason = "float64" if name.endswith("float64") else "the libm of this system"
        raise NotImplementedError(
            'sampler="tensorflow" draws normals on a cuda device in float32, float16 and bfloat16 '
            f"only, and where logf, sinf and cosf are glibc's or correctly rounded; got {reason}: "
            'use sampler="native", or device="cpu"'
        )


# --- launches: generators that queue one a step, and give how many weights are queued by then ----


def _fill(
    kernel: Loaded, out: int, count: int, plan: Plan, key: Key, offset: int, size: int
) -> Iterator[int]:
    """Consecutive weights, `size` a launch."""
    for start in range(0, count, size):
        here = min(size, count - start)
        _launch(kernel, out + start * plan.kernel.itemsize, here, plan, key, offset + start)
        yield start + here


def _fill_runs(
    cupy: Any, view: Any, plan: Plan, key: Key, runs: Runs, most: int | None
) -> Iterator[int]:
    """Runs of weights, at most `most` weights a launch."""
    from philinit.kernels.cuda.arguments import parts

    done = 0
    loop = "runs" if next(parts(runs, plan.kernel, most)).axes else "fill"
    kernel = loaded(cupy, view.device.id, plan.kernel.name, loop)
    if loop == "runs" and isinstance(runs.ids, np.ndarray):
        check_not_captured("must find the ids of rows on the device: pass a CuPy array of them")
        # Copied on the current stream, through pinned memory of a pool of CuPy's, which takes it
        # back when that is done. The copy may go when all is queued: CuPy gives its memory to later
        # work of this stream.
        runs = replace(runs, ids=cupy.asarray(runs.ids))
    for part in parts(runs, plan.kernel, most):
        out = view.data.ptr + part.into * plan.kernel.itemsize
        if part.axes:
            _launch_runs(kernel, out, part, plan, key)
            yield done + part.size
        else:
            for queued in _fill(kernel, out, part.size, plan, key, part.origin, most or part.size):
                yield done + queued
        done += part.size


def _launch(kernel: Loaded, out: int, count: int, plan: Plan, key: Key, offset: int) -> None:
    from philinit.kernels.cuda import group

    threads = -(-count // group(plan.kernel))
    _call(kernel, threads, out, np.uint64(count), plan, key, offset)


def _launch_runs(kernel: Loaded, out: int, runs: Runs, plan: Plan, key: Key) -> None:
    from philinit.kernels.cuda.arguments import argument

    resident = kernel.multiprocessors * max(kernel.resident, 1) * THREADS
    ids = 0 if runs.ids is None else runs.ids.data.ptr
    extent = argument(runs, plan.kernel, out, ids, resident)
    _call(kernel, int(extent["threads"][0]), out, extent, plan, key, runs.origin)


def _call(
    kernel: Loaded, threads: int, out: int, extent: Any, plan: Plan, key: Key, origin: int
) -> None:
    """One launch; `origin` is the weight whose counter block is the first one."""
    block, skip = divmod(origin, 4 // plan.kernel.words)
    counter = (key.base + block * plan.kernel.reserved) % _WRAP
    grid, block_size = launch_geometry(threads, kernel.multiprocessors, kernel.resident)
    arguments = (
        np.uint64(out),
        extent,
        np.uint32(skip),
        np.uint64(counter & _MASK64),
        np.uint64(counter >> 64),
        np.uint32(key.words[0]),
        np.uint32(key.words[1]),
        np.frombuffer(bytes(plan.parameters), _PARAMETERS),
    )
    kernel.function((grid,), (block_size,), arguments)


def _queue(cupy: Any, launches: Iterator[int], count: int, progress: Progress | None) -> None:
    """Take all launches; with `progress`, report each as it is done, while the next one runs."""
    if progress is not None:
        check_not_captured("cannot wait to report its `progress`: leave that out")
    before, done = None, 0
    for queued in launches:
        if progress is None:
            continue
        event = cupy.cuda.Event(disable_timing=True)
        event.record()
        if before is not None:
            before.synchronize()
            progress(done, count)
        before, done = event, queued
    if before is not None:
        before.synchronize()
