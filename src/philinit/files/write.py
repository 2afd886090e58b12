# SPDX-License-Identifier: Apache-2.0
"""Writes files of weights larger than memory: a few buffers go round between kernel and disk.

Pieces are made in one buffer while others are on their way to the disk, past the page cache where
the system allows (O_DIRECT). A memmap would do with less code, at half the rate and less: the
system writes its dirty pages back when it must, and meanwhile stops whoever makes more of them.
"""

import mmap
import os
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from philinit.checks import Progress, check_threads
from philinit.files.layouts import Layout, layout
from philinit.files.tensors import Tensor
from philinit.files.unfinished import BLOCK, Unfinished

PIECE = 8 << 20  # bytes made and written at once, a multiple of BLOCK
BUFFERS = 4  # all the memory that a file takes: 32 MiB
WRITERS = 2  # pieces on their way to the disk: it finds the next one when it is done with one
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
    """
    check_threads(threads)
    path = Path(os.path.realpath(path))
    plan = layout(path, tensors)
    with Unfinished(path, plan, force=force, resume=resume) as file:
        _Stream(file, plan, threads, progress).run(file.start)
        file.finish()
    return Written(plan.size, file.start, file.direct)


class _Stream:
    """The way of all pieces from the kernel to the disk, and how far they are."""

    def __init__(
        self, file: Unfinished, plan: Layout, threads: int | None, progress: Progress | None
    ) -> None:
        self.file = file
        self.plan = plan
        self.threads = threads
        self.progress = progress
        self.done = 0  # all bytes before this one are written
        self.writes: deque[tuple[Future[None], int]] = deque()  # and where each ends; oldest first
        self.saving: Future[None] | None = None
        self.saved_at = time.monotonic()

    def run(self, start: int) -> None:
        """Write all bytes from `start` on; after an exception, record those that are written."""
        self._report(start)
        size = self.plan.size
        buffers = [np.frombuffer(mmap.mmap(-1, PIECE), np.uint8) for _ in range(BUFFERS)]
        with ThreadPoolExecutor(WRITERS + 1, thread_name_prefix="philinit-file") as pool:
            try:
                for number, begin in enumerate(range(start, size, PIECE)):
                    if len(self.writes) == BUFFERS:
                        self._settle(pool)
                    end = min(begin + PIECE, size)
                    image = buffers[number % BUFFERS][: end - begin + -(end - begin) % BLOCK]
                    image[end - begin :] = 0
                    self.plan.write(image[: end - begin], begin, self.threads)
                    self.writes.append((pool.submit(self.file.write, image, begin), end))
                while self.writes:
                    self._settle(pool)
            except BaseException:
                self._rescue()
                raise

    def _report(self, done: int) -> None:
        self.done = done
        if self.progress is not None:
            self.progress(done, self.plan.size)

    def _settle(self, pool: ThreadPoolExecutor) -> None:
        """Wait for the oldest write, report it, and record it when it is time to."""
        write, end = self.writes[0]
        write.result()
        self.writes.popleft()
        self._report(end)
        if time.monotonic() >= self.saved_at + CHECKPOINT:
            if self.saving is not None:
                self.saving.result()
            self.saving = pool.submit(self.file.checkpoint, self.done)
            self.saved_at = time.monotonic()

    def _rescue(self) -> None:
        """Wait for what is under way, and record all that came before the first failure."""
        while self.writes and self.writes[0][0].exception() is None:
            self.done = self.writes.popleft()[1]
        if self.saving is not None:
            self.saving.exception()  # else an older record could replace the one below
        with suppress(OSError):  # whoever calls has an exception to raise already
            self.file.checkpoint(self.done)
