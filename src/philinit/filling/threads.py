# SPDX-License-Identifier: Apache-2.0
"""Threads of one call: they work from its beginning on, and none does when it returns or raises.

The calling thread works too. Each helper calls the next one while there is work left, and waits for
it before it is done, so that whoever waits for the first helper has waited for all. Helpers that
are done park: waking one takes 10 microseconds, starting a thread 30.

A KeyboardInterrupt comes between two bytecodes of the main thread, also while it waits for a lock
of Python, and a second one while the first is handled. So what must not be torn apart is one call
of C, with nothing before it where Python looks for signals: calling a helper, and waiting for it.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from _thread import start_new_thread
from collections.abc import Iterator
from typing import Any, Protocol

from philinit.checks import Progress
from philinit.filling.quota import available_cpus

# A lock of C, which no signal interrupts; waiting for it lets other threads run.
_allocate = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", ctypes.pythonapi))
_free = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("PyThread_free_lock", ctypes.pythonapi))
_wait = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(
    ("PyThread_acquire_lock", ctypes.pythonapi)
)
_open = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(("PyThread_release_lock", ctypes.pythonapi))

LIMIT = 256  # threads of a call, unless there are more CPUs

_running: weakref.WeakSet[_Call] = weakref.WeakSet()
_parked: list[_Helper] = []


def default_threads() -> int:
    """PHILINIT_NUM_THREADS, or the number of CPUs that this process may use."""
    text = os.environ.get("PHILINIT_NUM_THREADS")
    if text is not None:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(
                f"PHILINIT_NUM_THREADS must be a positive integer; got PHILINIT_NUM_THREADS={text}"
            )
        return int(text)
    return available_cpus()


class Task(Protocol):
    """Work that is cut into chunks, which any threads may do in any order."""

    count: int

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """All chunks, of some `size`."""

    def write(self, begin: int, end: int) -> int:
        """Do one chunk; return how much of `count` that is."""


class _Gate:
    """A closed gate, which one thread opens and one waits for."""

    def __init__(self) -> None:
        self.lock = _allocate()
        if not self.lock:
            raise MemoryError("the system has no lock left")
        _wait(self.lock, 1)

    def __del__(self) -> None:
        _free(self.lock)


class _Call:
    """What the threads of one call share: chunks that are left, and what became of the others."""

    def __init__(self, task: Task, size: int) -> None:
        self.task = task
        self.size = size
        self.left = task.chunks(size)
        self.lock = threading.Lock()
        self.done = 0
        self.stopped = False
        self.error: BaseException | None = None
        self.gates: list[_Gate] = []
        self.forked = False

    def next(self) -> tuple[int, int] | None:
        """A chunk for whoever asks; None where there is no more to do."""
        with self.lock:
            return None if self.stopped else next(self.left, None)

    def add(self, written: int) -> int:
        """Count what was written; return how much that is in all."""
        with self.lock:
            self.done += written
            return self.done


def run(task: Task, size: int, threads: int, progress: Progress | None) -> None:
    """Do all chunks of a task; an exception of `progress`, or a signal's, stops it.

    When this returns or raises, no other thread works on the task any more. `progress` is called
    on the calling thread, after its own chunks but the last.
    """
    call = _Call(task, size)
    _running.add(call)
    _work(call, min(threads, max(LIMIT, os.cpu_count() or 1)) - 1, progress)
    if call.forked:  # in a child process, in which no helper lives on: all of it again, alone
        for begin, end in task.chunks(size):
            task.write(begin, end)
    if call.error is not None:
        raise call.error


def _work(call: _Call, helpers: int, progress: Progress | None = None) -> None:
    """Take chunks until none is left, with the help of up to `helpers` threads."""
    chunk = call.next()
    if chunk is None:
        return
    gate = _Gate() if helpers > 0 else None
    if gate is not None:
        call.gates.append(gate)
    lock = None if gate is None else gate.lock
    helper, parked = (None, False) if gate is None else _a_helper()
    wake, wait, start, job = _open, _wait, start_new_thread, (call, helpers - 1, gate)
    try:
        if helper is not None:
            helper.job = job
            if parked:
                wake(helper.lock)
            else:
                try:
                    start(_serve, (helper,))
                except RuntimeError:  # no thread is to be had, or the interpreter is shutting down
                    wake(lock)
        while chunk is not None:
            done = call.add(call.task.write(*chunk))
            if progress is not None and done < call.task.count:
                progress(done, call.task.count)
            chunk = call.next()
    finally:
        call.stopped = True
        if lock is not None:
            wait(lock, 1)


class _Helper(_Gate):
    """A thread that waits at its own gate for the next call."""

    job: Any = None


def _a_helper() -> tuple[_Helper, bool]:
    """A helper, and whether it has a thread, which is parked."""
    try:
        return _parked.pop(), True
    except IndexError:
        return _Helper(), False


def _serve(helper: _Helper) -> None:
    """Help one call after the other."""
    while True:
        _help(helper)
        _wait(helper.lock, 1)


def _help(helper: _Helper) -> None:
    (call, helpers, gate), helper.job = helper.job, None
    try:
        _work(call, helpers)
    except BaseException as error:
        call.error = error
    finally:
        _parked.append(helper)  # first: the next call may come as soon as this one is told
        _open(gate.lock)


def _after_fork_in_child() -> None:
    """Nobody waits for helpers, or for locks of theirs, that stayed in the parent."""
    _parked.clear()
    for call in list(_running):
        call.forked, call.lock, call.left = True, threading.Lock(), iter(())
        for gate in call.gates:
            _open(gate.lock)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
