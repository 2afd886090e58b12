# SPDX-License-Identifier: Apache-2.0
"""Writes files of weights larger than memory: a few buffers go round between kernel and disk.

Pieces are made in one buffer while others are on their way to the disk, past the page cache where
the system allows (O_DIRECT). A memmap would do with less code, at half the rate and less: the
system writes its dirty pages back when it must, and meanwhile stops whoever makes more of them.
"""

import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from philinit.checks import Progress, check_threads
from philinit.files.layouts import Layout, layout
from philinit.files.tensors import Tensor
from philinit.files.unfinished import BLOCK, Unfinished
from philinit.filling.threads import run

PIECE = 8 << 20  # bytes made and written at once, a multiple of BLOCK
BUFFERS = 4  # all the memory that a file takes, 32 MiB: one is made, the others are being written
CHECKPOINT = 2.0  # seconds between two records of how far a file is


@dataclass(frozen=True)
class Written:
    """What became of a file."""

    size: int  # bytes
    resumed_at: int  # bytes that were there already
    direct: bool  # past the page cache, to the last byte


def write_file(
    path: Path,
    tensors: Sequence[Tensor],
    *,
    force: bool = False,
    resume: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write `tensors` to `path`, which appears when it is complete.

    Until then the bytes are in a ``.partial`` file beside it, and a record of them in a
    ``.partial.json``. Both stay when the writing is interrupted or fails.

    Parameters
    ----------
    path : Path
        Ends in .npy (one tensor) or .safetensors. A link stays one: what it names is written.
    tensors : sequence of Tensor
        What it will hold.
    force : bool
        Replace a file of that name, at the end, and an unfinished one, at once.
    resume : bool
        Go on with the unfinished file, which must be of the same `tensors`.
    threads : int, optional
        Of the kernel; as in `philinit.fill`.
    progress : callable(done, total), optional
        Called with bytes on the disk and bytes to write.

    Raises
    ------
    ValueError, TypeError, FileExistsError
        The arguments cannot be; nothing was written.
    OSError
        The disk: one sentence with what is needed, what is free and how to go on.
    RuntimeError
        In a child process that was forked in `progress`: the file is its parent's.
    """
    check_threads(threads)
    path = Path(os.path.realpath(path))
    plan = layout(path, tensors)
    with Unfinished(path, plan, force=force, resume=resume) as file:
        pieces = _Pieces(file, plan, threads)

        def report(*_: int) -> None:
            if progress is not None:
                progress(pieces.done, plan.size)

        try:
            report()
            run(pieces, PIECE, BUFFERS, report)
            report()
            pieces.check_process()
        except BaseException:
            if os.getpid() == pieces.process:
                with suppress(OSError):  # whoever calls has an exception to raise already
                    file.checkpoint(pieces.done)
            raise
        file.finish()
    return Written(plan.size, file.start, file.direct)


class _Pieces:
    """The bytes of a file from where it goes on: a task for the threads, counted in bytes.

    Whoever asks for the next piece makes it, while nobody else can ask, and then writes it.
    """

    def __init__(self, file: Unfinished, plan: Layout, threads: int | None) -> None:
        self.file = file
        self.plan = plan
        self.threads = threads
        self.count = plan.size - file.start
        self.process = os.getpid()
        self.free = [np.frombuffer(mmap.mmap(-1, PIECE), np.uint8) for _ in range(BUFFERS)]
        self.made: dict[int, np.ndarray[Any, Any]] = {}  # the buffer of a piece, by its first byte
        self.done = file.start  # all bytes before this one are written
        self.ends: dict[int, int] = {}  # of written pieces beyond it, by their first bytes
        self.lock = threading.Lock()
        self.saving = threading.Lock()
        self.saved_at = time.monotonic()

    def check_process(self) -> None:
        """Refuse to go on in a child process: its parent does."""
        if os.getpid() != self.process:
            raise RuntimeError(
                "a file must be written by the process that began it; got a child of it, forked in "
                "`progress`: let the child write files of its own"
            )

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(first, end) of pieces of so many bytes, or less at the end, each of them made."""
        self.check_process()
        for begin in range(self.file.start, self.plan.size, size):
            end = min(begin + size, self.plan.size)
            buffer = self.free.pop()
            self.plan.write(buffer[: end - begin], begin, self.threads)
            buffer[end - begin :] = 0
            self.made[begin] = buffer
            yield begin, end

    def write(self, begin: int, end: int) -> int:
        """Write a piece, and record how far the file is when it is time to; return its size."""
        buffer = self.made.pop(begin)
        self.file.write(buffer[: end - begin + -(end - begin) % BLOCK], begin)
        self.free.append(buffer)
        with self.lock:
            self.ends[begin] = end
            while self.done in self.ends:
                self.done = self.ends.pop(self.done)
            due = time.monotonic() >= self.saved_at + CHECKPOINT
            if due:
                self.saved_at = time.monotonic()
        if due:
            with self.saving:  # or an older record could replace a newer one
                self.file.checkpoint(self.done)
        return end - begin
