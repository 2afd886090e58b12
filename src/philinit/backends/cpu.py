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

from philinit.backends.base import Progress
from philinit.kernels.cpu.compiler import kernel
from philinit.kernels.plan import Plan
from philinit.keys import Key
from philinit.memory import address

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


class _Fill:
    """One call of `fill`: the memory, the stream, and where the chunks lie."""

    def __init__(self, view: np.ndarray[Any, Any], plan: Plan, key: Key, offset: int) -> None:
        self.view = view  # keeps the memory alive for the threads
        self.plan = plan
        self.call = kernel(plan.kernel)
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
        block, self.skip = divmod(offset, self.per_block)  # where element 0 stands
        self.first = (key.base + block * self.reserved) % _WRAP
        self.blocks = -(-(self.skip + self.count) // self.per_block)
        self.key = key.words
        self.parameters = ctypes.addressof(plan.parameters)
        self.streaming = int(self.count * self.itemsize >= STREAMING_BYTES)

    def run(self, threads: int | None, progress: Progress | None) -> None:
        counters = self.blocks * self.reserved
        if self.blocks <= SINGLE and (self.first & _MASK32) + counters <= 1 << 32:
            self.write(0, self.blocks)
        else:
            threads = default_threads() if threads is None else threads
            share = self.blocks // (4 * threads) if self.blocks > SINGLE else self.blocks
            size = min(max(1 << max(share, 1).bit_length(), SMALLEST_CHUNK), LARGEST_CHUNK)
            _run_chunks(self, size, threads, progress)
        if progress is not None:
            progress(self.count, self.count)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(start, stop) in counter blocks from the first one, cut at multiples of `size`."""
        start = 0
        while start < self.blocks:
            place = self.first // self.reserved + start
            stop = min(start + size - place % size, self.blocks)
            yield start, stop
            start = stop

    def write(self, start: int, stop: int) -> int:
        """Run the kernel on counter blocks [start, stop); return how many weights that were."""
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
        if status:  # no kernel can; a silent one would leave memory unwritten
            raise RuntimeError(f"kernel {self.plan.kernel} returned {status}")
        return end - begin


def _run_chunks(task: _Fill, size: int, threads: int, progress: Progress | None) -> None:
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
