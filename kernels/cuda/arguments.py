# SPDX-License-Identifier: Apache-2.0
"""What loops/runs.cuh takes for `philinit.runs.Runs`: a struct, with the loop's own numbers."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from philinit.kernels.cuda import group
from philinit.kernels.table import Kernel
from philinit.runs import Runs

LANES = 4  # threads side by side in a run: their 64 bytes are two whole sectors of memory
AXES = 8
_MOST = 16  # steps of a thread: leading it to its run is then a sixteenth of the work
_LIMIT = 1 << 31  # of all numbers in 32 bits

_DIVISOR = np.dtype([("value", np.uint32), ("factor", np.uint32), ("shift", np.uint32)])
_AXIS = np.dtype([("stride", np.uint64), ("step", np.uint64), ("count", _DIVISOR)], align=True)
RUNS = np.dtype(
    [
        ("ids", np.uint64),
        ("length", np.uint32),
        ("steps", np.uint32),
        ("steps_of_thread", np.uint32),
        ("threads", np.uint32),
        ("threads_of_run", _DIVISOR),
        ("inner", np.uint32),
        ("plain", np.uint32),
        ("keyed", np.uint32),
        ("axes", _AXIS, AXES),
    ],
    align=True,
)


def divisor(value: int) -> tuple[int, int, int]:
    """What divides numbers below 2**31 by `value`, 0 < value < 2**31.

    The factor is the least integer above ``2**(31 + shift) / value``. It is too large by at most
    ``2**shift`` parts of `value`, which is what a quotient of 31 bits can bear.
    """
    shift = (value - 1).bit_length()
    return value, (1 << 31 + shift) // value + 1, shift


def parts(runs: Runs, kernel: Kernel, most: int | None = None) -> Iterator[Runs]:
    """`runs`, cut along the outer axes to what one launch can fill, in order.

    A part without axes is one run, for the loop over consecutive weights. With `most`, no part
    has more weights than that, unless it is one run.
    """
    steps = runs.length // group(kernel) + 2  # of a run, at most
    limit = (_LIMIT - 1) // steps if runs.length < _LIMIT else 0
    return _cut(runs, limit if most is None else min(limit, most // runs.length))


def _cut(runs: Runs, most: int) -> Iterator[Runs]:
    """`runs` in parts of at most `most` runs; where that is none, in single runs."""
    if not runs.axes or (runs.count <= most and len(runs.axes) <= AXES):
        yield runs
        return
    (count, stride), *inner = runs.axes
    step, *steps = runs.all_steps
    indices = most // (runs.count // count)  # of the outermost axis in a part
    if indices and len(runs.axes) <= AXES:
        for index in range(0, count, indices):
            here = min(indices, count - index)
            ids = runs.ids if runs.ids is None else runs.ids[index : index + here]
            origin = runs.origin + (index * stride if ids is None else 0)
            axes, into = ((here, stride), *inner), runs.into + index * step
            yield replace(runs, origin=origin, axes=axes, ids=ids, into=into)
    else:
        for index in range(count):
            at = index if runs.ids is None else int(runs.ids[index])
            origin, into = runs.origin + at * stride, runs.into + index * step
            cut = Runs(origin, runs.length, tuple(inner), None, tuple(steps), into)
            yield from _cut(cut, most)


def steps_of_run(runs: Runs, kernel: Kernel, address: int) -> int:
    """Steps of 16 bytes that a run of `runs` takes at most, the first of them at `address`."""
    block = 4 // kernel.words  # weights of a counter block
    alike = math.gcd(block, *(stride for _, stride in runs.axes))
    lead = runs.origin % alike + block - alike  # weights of a block that come before a run
    if group(kernel) > block:
        aligned = (address - lead * kernel.itemsize) % 16 == 0
        evenly = all(step % group(kernel) == 0 for step in runs.all_steps)
        if not (aligned and alike == block and evenly):
            lead += group(kernel) - block  # a run may take blocks before it
    return -(-(lead + runs.length) // group(kernel))


def _threads_of_run(steps: int, steps_of_thread: int) -> int:
    whole, rest = divmod(steps, LANES * steps_of_thread)
    return LANES * whole + min(LANES, rest)


def argument(runs: Runs, kernel: Kernel, address: int, ids: int, resident: int) -> Any:
    """The struct for a launch on a part with axes, as an ndarray of one element.

    The first weight goes to `address`; `ids` is where the indices on the outermost axis are in the
    device's memory, or 0. The device holds `resident` threads at once: no thread takes a second
    step before there are as many.
    """
    steps = steps_of_run(runs, kernel, address)
    most = max(1, min(_MOST, runs.count * steps // resident))
    # What leads a thread to its run takes as long as a step.
    steps_of_thread = min(range(1, most + 1), key=lambda n: _threads_of_run(steps, n) * (n + 1))
    threads = _threads_of_run(steps, steps_of_thread)
    struct = np.zeros(1, RUNS)
    struct["ids"] = ids
    struct["length"], struct["steps"] = runs.length, steps
    struct["steps_of_thread"] = steps_of_thread
    struct["threads"] = runs.count * threads
    struct["threads_of_run"] = divisor(threads)
    struct["inner"], struct["keyed"] = len(runs.axes) - 1, runs.keyed
    struct["plain"] = runs.steps is None and not runs.keyed
    for index, ((count, stride), step) in enumerate(zip(runs.axes, runs.all_steps, strict=True)):
        struct["axes"]["stride"][0, index] = stride
        struct["axes"]["step"][0, index] = step
        struct["axes"]["count"][0, index] = divisor(count)
    return struct
