# SPDX-License-Identifier: Apache-2.0
"""The door to the kernels: `fill` checks and opens memory, `draw` trusts what it is given."""

from __future__ import annotations

import functools
import operator
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from philinit import forks
from philinit.checks import Progress, check_progress, check_sampler, check_threads
from philinit.distributions import Distribution, Normal, Uniform
from philinit.filling.devices import opened
from philinit.keyed import ROWS_BY_KEY
from philinit.keys import Key
from philinit.parts import Rows, Shard
from philinit.runs import SPAN_LIMIT, runs_of
from philinit.targets import Target

T = TypeVar("T")

# Counter blocks are numbered in 128 bits and hold four weights.
OFFSET_LIMIT = 1 << 126


def fill(
    out: T,
    distribution: Distribution,
    key: Key,
    offset: int = 0,
    *,
    shard: Shard | Rows | None = None,
    sampler: str = "native",
    threads: int | None = None,
    progress: Progress | None = None,
) -> T:
    """Write weights `offset`, `offset + 1`, ... of a stream into `out`, in place and in C order.

    weight i = f(sampler, distribution, key, dtype, i): not of the number of threads, the
    alignment, the device, or how a tensor is cut into calls.

    >>> out = np.empty((2, 3), np.float32)
    >>> uniform = pi.distributions.Uniform(-1.0, 1.0)
    >>> pi.fill(out, uniform, pi.Key.from_seed(42), offset=2**40) is out
    True

    Parameters
    ----------
    out : ndarray, np.memmap, memoryview, or an object with a writable buffer or CPU ``__dlpack__``
        C-contiguous memory of float32, float64, float16, bfloat16 or float8 (e4m3fn, e5m2,
        e4m3fnuz, e5m2fnuz), at any alignment, or rows of such memory that lie apart, as in
        ``wide[:, :128]``: each contiguous, none twice, in C order, by one call and without a copy.
        Also the memory of a CUDA device: a CuPy array, a
        torch tensor, anything with a ``__dlpack__`` or a ``__cuda_array_interface__``. A CuPy array
        is filled on CuPy's current stream, a torch tensor on torch's, other objects on the stream
        that they name: the call returns while the device works, as CuPy's and torch's own
        operations do. Where an object names no stream, or with `progress`, the weights are there
        when the call returns.
    distribution : Uniform, Normal or TruncatedNormal
        What to draw; see `philinit.distributions` for the intervals.
    key : Key
        Which stream.
    offset : int
        Index in the global tensor of the first weight written, in weights; the last one written
        must lie below 2**126.
    shard : Shard or Rows, optional
        The part of a tensor that `out`, of its shape, is; `offset` is then the index of the
        tensor's own first weight. A part that is not one run must span less than 2**62 weights.
    sampler : {"native", "tensorflow"}
        "tensorflow": the numbers of ``tf.random.stateless_{uniform,normal,truncated_normal}(...,
        alg="philox")`` on a CPU; there ``high`` itself can be drawn, and truncation is at +-2.
    threads : int, optional
        At least 1; default: PHILINIT_NUM_THREADS, or the CPUs this process may use. Without
        meaning on a CUDA device.
    progress : callable, optional
        Called as ``progress(done, total)``, in weights, on the calling thread after its chunks;
        the last call has ``done == total``. An exception in it stops the fill.

    Returns
    -------
    The object passed as `out`.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before the first byte is written: arguments of the wrong type; memory that is read-only,
        not as said above or of another dtype; a distribution that the dtype cannot hold.
    ImportError, RuntimeError
        CUDA memory, but no CuPy, or no device that works.
    """
    if not isinstance(distribution, (Uniform, Normal)):
        raise TypeError(
            "`distribution` must be a Uniform, Normal or TruncatedNormal; "
            f"got distribution={distribution!r}"
        )
    if not isinstance(key, Key):
        raise TypeError(f"`key` must be a Key, as Key.from_seed(42) makes; got key={key!r}")
    check_sampler(sampler)
    threads, progress = check_threads(threads), check_progress(progress)
    if isinstance(offset, bool) or not hasattr(offset, "__index__"):
        raise TypeError(f"`offset` must be an int; got offset={offset!r}")
    with opened(out) as view:
        if shard is not None:
            check_part(view, shard)
        target = Target(view, view.shape, shard, threads, progress)
        draw(target, distribution, key, sampler, operator.index(offset))
    return out


def check_part(view: Any, part: Any) -> None:
    """Refuse a `part` that is none, or not of the shape of `view`."""
    if not isinstance(part, (Shard, Rows)):
        raise TypeError(
            "`shard` must be a Shard(global_shape, index) or Rows(global_shape, ids), since `out` "
            f"has the shape of the part only; got shard={part!r}"
        )
    if view.shape != part.shape:
        raise ValueError(
            f"`out` must have the shape of the shard; got out of shape {view.shape} for "
            f"{part.shape}"
        )


def draw(
    target: Target,
    distribution: Distribution,
    key: Key,
    sampler: str = "native",
    offset: int = 0,
) -> None:
    """Write weights of a stream into a target; the tensor's own first weight has index `offset`.

    Raises
    ------
    ValueError, NotImplementedError
        Before a byte is written: what `philinit.kernels.plan.plan` refuses; weights beyond 2**126;
        a part of several runs that spans more than 2**62 weights; for truncated normals of sampler
        "tensorflow" a key whose base is not a multiple of the counter blocks of a group.
    """
    view, part = target.view, target.part
    plan = _planner()(distribution, view.dtype, sampler)
    reserved = plan.kernel.reserved
    if key.base % reserved:  # else a retry could carry into the next counter word
        raise ValueError(
            f"`key.base` must be a multiple of {reserved}, the counter blocks that "
            f"TensorFlow reserves for a group of truncated normals; got base={key.base:#x}"
        )
    backend = _cpu() if type(view) is np.ndarray else _cuda()
    strides = None if view.flags.c_contiguous else [n // view.dtype.itemsize for n in view.strides]
    runs = None if part is None else part.runs_into(strides)
    if strides is not None and part is None:
        runs = runs_of(view.shape, (0,) * len(view.shape), view.shape, strides)
    size = view.size if runs is None else runs.origin + runs.span
    if not 0 <= offset <= OFFSET_LIMIT - size:
        raise ValueError(
            "`offset` must not be negative, and all weights must end at 2**126; "
            f"got offset={offset} for {size} weights"
        )
    if runs is None or not runs.axes:
        backend.fill(target, plan, key, offset if runs is None else offset + runs.origin)
        return
    if isinstance(part, Rows) and type(view) is np.ndarray:
        part.host_ids  # noqa: B018 - refuses those on a device
    if runs.span > SPAN_LIMIT:
        raise ValueError(
            "`shard` must span at most 2**62 weights where it is not one run of them; got "
            f"{runs.span} from first to last: cut it along the outer axes"
        )
    if runs.keyed:
        key = replace(key, base=(key.base + ROWS_BY_KEY) % (1 << 128))
    backend.fill_runs(target, plan, key, runs.after(offset))


# Looked up once, and late: `import philinit` stays light.


@functools.cache
def _planner() -> Any:
    with forks.lock:
        from philinit.kernels.plan import plan

    return plan


@functools.cache
def _cpu() -> Any:
    with forks.lock:
        from philinit.filling import cpu

    return cpu


@functools.cache
def _cuda() -> Any:
    with forks.lock:
        from philinit.filling.cuda import launch

    return launch
