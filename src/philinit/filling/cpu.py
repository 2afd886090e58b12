# SPDX-License-Identifier: Apache-2.0
"""The CPU backend: cuts a fill into chunks and has threads run a kernel on each."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from philinit.checks import Progress
from philinit.filling.memory import address
from philinit.kernels.cpu.compiler import kernel
from philinit.kernels.plan import Plan
from philinit.keys import Key
from philinit.parts import Runs

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
_MASK64 = (1 << 64) - 1

_pool: ThreadPoolExecutor | None = None


def default_threads() -> int:
    """PHILINIT_NUM_THREADS, or the number of CPUs that this process may use."""
    text = os.environ.get("PHILINIT_NUM_THREADS")
    if text is not None:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(
                f"PHILINIT_NUM_THREADS must be a positive integer; got PHILINIT_NUM_THREADS={text}"
            )
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fill(
    view: np.ndarray[Any, Any],
    plan: Plan,
    key: Key,
    offset: int,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write weights `offset` .. `offset + view.size` of the stream into `view`, in C order."""
    if view.size:
        _Fill(view, plan, key, offset).run(threads, progress)
    elif progress is not None:
        progress(0, 0)


def fill_runs(
    view: np.ndarray[Any, Any],
    plan: Plan,
    key: Key,
    runs: Runs,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the weights of `runs`, one at least, into `view`, in the order of the runs."""
    _FillRuns(view, plan, key, runs).run(threads, progress)


class _Task:
    """One call: the memory, and the stream from the counter block of weight `origin` on."""

    loop: str

    def __init__(self, view: np.ndarray[Any, Any], plan: Plan, key: Key, origin: int) -> None:
        self.view = view  # keeps the memory alive for the threads
        self.plan = plan
        self.call = kernel(plan.kernel, self.loop)
        self.out = address(view)
        self.itemsize = view.itemsize
        self.count = view.size
        self.per_block = 4 // plan.words
        self.reserved = plan.reserved
        if key.base % self.reserved:  # else a retry could carry into the next counter word
            raise ValueError(
                f"`key.base` must be a multiple of {self.reserved}, the counter blocks that "
                f"TensorFlow reserves for a group of truncated normals; got base={key.base:#x}"
            )
        block, self.skip = divmod(origin, self.per_block)
        self.first = (key.base + block * self.reserved) % _WRAP
        self.blocks = -(-(self.skip + self.count) // self.per_block)
        self.key = key.words
        self.parameters = ctypes.addressof(plan.parameters)
        self.streaming = int(self.count * self.itemsize >= STREAMING_BYTES)

    def is_one_chunk(self) -> bool:
        """Whether one call of the kernel, by one thread, is the best that can be done."""
        return self.blocks <= SINGLE

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(start, stop) of the chunks of some `size` counter blocks that `write` takes."""
        raise NotImplementedError

    def write(self, start: int, stop: int) -> int:
        """Run the kernel on a chunk; return how many weights that were."""
        raise NotImplementedError

    def run(self, threads: int | None, progress: Progress | None) -> None:
        if self.is_one_chunk():
            self.write(0, self.blocks)
        else:
            threads = default_threads() if threads is None else threads
            share = self.blocks // (4 * threads) if self.blocks > SINGLE else self.blocks
            size = min(max(1 << max(share, 1).bit_length(), SMALLEST_CHUNK), LARGEST_CHUNK)
            _run_chunks(self, size, threads, progress)
        if progress is not None:
            progress(self.count, self.count)

    def check(self, status: int) -> None:
        if status:  # no kernel can; a silent one would leave memory unwritten
            raise RuntimeError(f"kernel {self.plan.kernel} returned {status}")


class _Fill(_Task):
    """Consecutive weights: a chunk is a window of counters."""

    loop = "fill"

    def is_one_chunk(self) -> bool:
        counters = self.blocks * self.reserved
        return super().is_one_chunk() and (self.first & _MASK32) + counters <= 1 << 32

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        start = 0
        while start < self.blocks:
            place = self.first // self.reserved + start
            stop = min(start + size - place % size, self.blocks)
            yield start, stop
            start = stop

    def write(self, start: int, stop: int) -> int:
        skip = self.skip if start == 0 else 0
        begin = start * self.per_block - self.skip + skip
        end = min(stop * self.per_block - self.skip, self.count)
        counter = (self.first + start * self.reserved) % _WRAP
        status = self.call(
            self.out + begin * self.itemsize,
            end - begin,
            skip,
            counter & _MASK32,
            counter >> 32 & _MASK32,
            counter >> 64 & _MASK32,
            counter >> 96,
            *self.key,
            self.parameters,
            self.streaming,
        )
        self.check(status)
        return end - begin


class _FillRuns(_Task):
    """Runs of weights: a chunk is as many weights as its counter blocks hold, of any runs."""

    loop = "runs"

    def __init__(self, view: np.ndarray[Any, Any], plan: Plan, key: Key, runs: Runs) -> None:
        super().__init__(view, plan, key, runs.origin)
        self.length = runs.length
        self.axes = np.array(runs.axes, np.int64)
        self.ids = runs.ids  # keeps them alive for the threads
        counters = -(-(self.skip + runs.span) // self.per_block) * self.reserved
        self.near = int((self.first & _MASK64) + counters <= 1 << 64)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        for start in range(0, self.blocks, size):
            yield start, min(start + size, self.blocks)

    def write(self, start: int, stop: int) -> int:
        begin = start * self.per_block
        end = min(stop * self.per_block, self.count)
        status = self.call(
            self.out + begin * self.itemsize,
            end - begin,
            begin,
            self.length,
            self.axes.ctypes.data,
            len(self.axes),
            0 if self.ids is None else self.ids.ctypes.data,
            self.skip,
            self.first & _MASK64,
            self.first >> 64,
            self.near,
            *self.key,
            self.parameters,
            self.streaming,
        )
        self.check(status)
        return end - begin


def _run_chunks(task: _Task, size: int, threads: int, progress: Progress | None) -> None:
    """Let the calling thread and `threads - 1` helpers take chunks until none is left.

    The caller works too, so a busy pool can delay but never block it; a KeyboardInterrupt reaches
    it between two of its chunks.
    """
    chunks = task.chunks(size)
    lock = threading.Lock()
    done = 0
    stopped = False

    def next_chunk() -> tuple[int, int] | None:
        with lock:
            return None if stopped else next(chunks, None)

    def work(report: Progress | None) -> None:
        nonlocal done
        while (chunk := next_chunk()) is not None:
            written = task.write(*chunk)
            with lock:
                done += written
            if report is not None and done < task.count:
                report(done, task.count)

    helpers: list[Future[None]] = []
    try:
        helpers = _submit(work, threads - 1)
        work(progress)
    finally:
        stopped = True
        for helper in helpers:
            helper.cancel()
        for helper in helpers:
            if not helper.cancelled():
                helper.result()


def _submit(work: Any, helpers: int) -> list[Future[None]]:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=256, thread_name_prefix="philinit")
    futures: list[Future[None]] = []
    # RuntimeError: the interpreter is shutting down, and the caller does it alone.
    with contextlib.suppress(RuntimeError):
        futures.extend(_pool.submit(work, None) for _ in range(helpers))
    return futures


def _after_fork_in_child() -> None:
    global _pool
    _pool = None  # its threads stayed in the parent


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
