# SPDX-License-Identifier: Apache-2.0
"""The CUDA backend: fills a CuPy array by one launch of a kernel.

A fill is asynchronous, as CuPy's own operations are: it is queued on the current stream of the
array's device, and whoever reads the array on that stream, or after it was synchronised, sees the
weights. Everything that can be wrong with the arguments is found before anything is queued.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from philinit.backends.base import Progress
from philinit.backends.cuda_compiler import Loaded, launch_geometry, loaded
from philinit.backends.cuda_memory import import_cupy
from philinit.kernels.libm import CALLED
from philinit.kernels.plan import Plan
from philinit.keys import Key

#: Weights of one launch where somebody wants to hear of progress: a millisecond or so.
PIECE = 1 << 28

_WRAP = 1 << 128
_MASK64 = (1 << 64) - 1

# How kernels take their parameters, by value: CuPy passes an ndarray of one element like that.
_PARAMETERS = np.dtype([("v", np.float64, 8)])


def fill(
    view: Any,
    plan: Plan,
    key: Key,
    offset: int,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Queue weights `offset` .. `offset + view.size` of the stream into `view`, in C order.

    With `progress` the fill is cut into launches of `PIECE` weights, each of which is waited for
    before it is reported, while the next one runs.
    """
    _check(plan, key)
    count = int(view.size)
    if count:
        cupy = import_cupy()
        with view.device:
            kernels = loaded(cupy, view.device.id)
            if progress is None:
                _launch(kernels, view.data.ptr, count, plan, key, offset)
            else:
                _launch_pieces(cupy, kernels, view, plan, key, offset, progress)
    if progress is not None:
        progress(count, count)


def _check(plan: Plan, key: Key) -> None:
    """Refuse what CUDA kernels cannot do, and what CPU kernels refuse."""
    from philinit.kernels.cuda import KERNELS

    # Parameters 2 and 3 of TensorFlow's normals are how log, sin and cos are computed.
    normal = plan.kernel.startswith(("tensorflow_normal", "tensorflow_truncated"))
    if plan.kernel not in KERNELS or (normal and CALLED in plan.parameters[2:4]):
        reason = "float64" if plan.kernel.endswith("float64") else "the libm of this system"
        raise NotImplementedError(
            'sampler="tensorflow" draws normals on a cuda device in float32, float16 and bfloat16 '
            f"only, and where logf, sinf and cosf are glibc's or correctly rounded; got {reason}: "
            'use sampler="native", or device="cpu"'
        )
    if key.base % plan.reserved:
        raise ValueError(
            f"`key.base` must be a multiple of {plan.reserved}, the counter blocks that "
            f"TensorFlow reserves for a group of truncated normals; got base={key.base:#x}"
        )


def _launch(kernels: Loaded, out: int, count: int, plan: Plan, key: Key, offset: int) -> None:
    from philinit.kernels.cuda import KERNELS

    block, skip = divmod(offset, 4 // plan.words)
    counter = (key.base + block * plan.reserved) % _WRAP
    name = plan.kernel
    grid, threads = launch_geometry(
        count, KERNELS[name].group, kernels.multiprocessors, kernels.resident[name]
    )
    arguments = (
        np.uint64(out),
        np.uint64(count),
        np.uint32(skip),
        np.uint64(counter & _MASK64),
        np.uint64(counter >> 64),
        np.uint32(key.words[0]),
        np.uint32(key.words[1]),
        np.frombuffer(plan.parameters, _PARAMETERS),
    )
    kernels.functions[name]((grid,), (threads,), arguments)


def _launch_pieces(
    cupy: Any, kernels: Loaded, view: Any, plan: Plan, key: Key, offset: int, progress: Progress
) -> None:
    count, before = int(view.size), None
    for start in range(0, count, PIECE):
        length = min(PIECE, count - start)
        _launch(
            kernels,
            view.data.ptr + start * view.dtype.itemsize,
            length,
            plan,
            key,
            offset + start,
        )
        event = cupy.cuda.Event(disable_timing=True)
        event.record()
        if before is not None:
            before.synchronize()
            progress(start, count)
        before = event
    if before is not None:
        before.synchronize()
