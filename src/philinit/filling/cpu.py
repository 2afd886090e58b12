# SPDX-License-Identifier: Apache-2.0
"""The CPU backend: cuts a fill into chunks and has threads run a kernel on each."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from philinit.filling.memory import address
from philinit.filling.threads import default_threads, run
from philinit.kernels.cpu.arguments import argument
from philinit.kernels.cpu.compiler import kernel
from philinit.kernels.table import Plan
from philinit.keys import Key
from philinit.runs import Runs
from philinit.targets import Target

# A chunk is a window of counters that starts at a multiple of its size, a power of two: so counter
# word 0 never wraps inside one, and the other three are constant.
SMALLEST_CHUNK = 1 << 13  # counter blocks: 32 768 words, some 10 microseconds
LARGEST_CHUNK = 1 << 18  # 4 MiB of float32, some 0.4 ms: progress and Ctrl-C come that often
SINGLE = 1 << 16  # up to here (0.1 ms) one thread is done before a second one has woken up

# From this size on, lines go past the caches: they would push out everything else, and reading a
# line before overwriting it would cost as much as writing it.
STREAMING_BYTES = 16 << 20

_WRAP = 1 << 128
_MASK32 = (1 << 32) - 1


def fill(target: Target, plan: Plan, key: Key, start: int) -> None:
    """Write weights `start`, `start + 1`, ... of the stream into the target, in C order."""
    view = target.view
    if view.size:
        streaming = view.nbytes >= STREAMING_BYTES
        task = Windows(kernel(plan.kernel.name), view, address(view), plan, key, start, streaming)
        if task.single and target.progress is None:  # as `_run` does, a call sooner
            task.write(0, task.blocks)
        else:
            _run(task, target)
    elif target.progress is not None:
        target.progress(0, 0)


def fill_runs(target: Target, plan: Plan, key: Key, runs: Runs) -> None:
    """Write the weights of `runs`, one at least, into the target, in the order of the runs."""
    _run(_Runs(kernel(plan.kernel.name, "runs"), target.view, plan, key, runs), target)


class Windows:
    """Consecutive weights, cut into chunks of counter blocks in which counter word 0 never wraps.

    `out` is the address of `view`; `last` is the last argument of the kernel: for the loop "fill"
    whether lines may bypass the caches.
    """

    def __init__(
        self,
        call: Callable[..., int],
        view: np.ndarray[Any, Any],
        out: int,
        plan: Plan,
        key: Key,
        start: int,
        last: int,
    ) -> None:
        self.call, self.plan, self.key, self.last = call, plan, key.words, last
        self.view, self.out, self.count = view, out, view.size  # the view keeps its memory alive
        kernel = plan.kernel
        self.per_block, self.reserved = 4 // kernel.words, kernel.reserved
        block, self.skip = divmod(start, self.per_block)
        self.first = (key.base + block * self.reserved) % _WRAP
        self.blocks = -(-(self.skip + self.count) // self.per_block)
        # Whether one call of the kernel can do it all, before a second thread would have woken up.
        counters = (self.first & _MASK32) + self.blocks * self.reserved
        self.single = self.blocks <= SINGLE and counters <= 1 << 32

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(first, end) of chunks of some `size` counter blocks, as `write` takes them."""
        begin = 0
        while begin < self.blocks:
            index = self.first // self.reserved + begin
            end = min(begin + size - index % size, self.blocks)
            yield begin, end
            begin = end

    def write(self, begin: int, end: int) -> int:
        """Run the kernel on a chunk; return how many weights that were."""
        counter = self.first + begin * self.reserved
        skip = 0 if begin else self.skip
        index = begin * self.per_block - self.skip + skip
        count = min(end * self.per_block - self.skip, self.count) - index
        status = self.call(
            self.out + index * self.view.itemsize,
            count,
            skip,
            counter & _MASK32,
            counter >> 32 & _MASK32,
            counter >> 64 & _MASK32,
            counter >> 96 & _MASK32,
            *self.key,
            self.plan.address,
            self.last,
        )
        if status:
            raise _unwritten(self.plan, status)
        return count


class _Runs:
    """Runs of weights: a chunk is as many weights as its counter blocks hold, of any runs."""

    def __init__(
        self, call: Callable[..., int], view: np.ndarray[Any, Any], plan: Plan, key: Key, runs: Runs
    ) -> None:
        self.call, self.plan, self.key = call, plan, key.words
        self.view, self.out, self.count = view, address(view), view.size
        self.per_block = 4 // plan.kernel.words
        block, skip = divmod(runs.origin, self.per_block)
        first = (key.base + block * plan.kernel.reserved) % _WRAP
        self.blocks = -(-(skip + self.count) // self.per_block)
        self.single = self.blocks <= SINGLE
        self.runs, self.layout = runs, argument(runs, plan.kernel, skip, first)  # keeps ids alive
        self.streaming = int(view.nbytes >= STREAMING_BYTES)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(first, end) of chunks of `size` counter blocks, as `write` takes them."""
        for begin in range(0, self.blocks, size):
            yield begin, min(begin + size, self.blocks)

    def write(self, begin: int, end: int) -> int:
        """Run the kernel on a chunk; return how many weights that were."""
        index = begin * self.per_block
        count = min(end * self.per_block, self.count) - index
        status = self.call(
            self.out,
            count,
            index,
            ctypes.addressof(self.layout),
            *self.key,
            self.plan.address,
            self.streaming,
        )
        if status:
            raise _unwritten(self.plan, status)
        return count


def _unwritten(plan: Plan, status: int) -> RuntimeError:
    """For a kernel that reports failure: none can, but a silent one would leave memory as it is."""
    return RuntimeError(f"kernel {plan.kernel.name} returned {status}")


def _run(task: Windows | _Runs, target: Target) -> None:
    """All of a task: by one thread where a second one would come too late, else in chunks."""
    if task.single:
        task.write(0, task.blocks)
    else:
        threads = default_threads() if target.threads is None else target.threads
        share = task.blocks // (4 * threads) if task.blocks > SINGLE else task.blocks
        size = min(max(1 << max(share, 1).bit_length(), SMALLEST_CHUNK), LARGEST_CHUNK)
        run(task, size, threads, target.progress)
    if target.progress is not None:
        target.progress(task.count, task.count)
