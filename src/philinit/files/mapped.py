# SPDX-License-Identifier: Apache-2.0
"""Reads pieces of a file where the page cache holds them, without a copy and without SIGBUS."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import sys
from pathlib import Path

import numpy as np

from philinit.filling.memory import address
from philinit.initializers.base import Array

_POPULATE_READ = 22  # MADV_POPULATE_READ of Linux 5.14, which Python's mmap has no name for


class Mapped:
    """The bytes of a file. Copying them out of the page cache takes as long as making weights.

    A page that cannot be read, of a bad disk or a file cut short, would end the process with
    SIGBUS when it is read. So the system is first asked to bring a piece (MADV_POPULATE_READ),
    and answers with an error; where it knows no such thing, pieces are copied by `os.preadv`.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._fd).st_size
        self._map = mmap.mmap(self._fd, 0, prot=mmap.PROT_READ) if self.size else None
        self._bytes = np.frombuffer(self._map or b"", np.uint8)
        self._madvise = ctypes.CDLL(None, use_errno=True).madvise
        self._madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self._copied = not sys.platform.startswith("linux") or self._advise(
            0, min(self.size, mmap.PAGESIZE), _POPULATE_READ
        ) in (errno.EINVAL, errno.ENOSYS)

    def __enter__(self) -> Mapped:
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file; the mapping goes when the last piece of it does."""
        os.close(self._fd)

    def piece(self, start: int, nbytes: int, buffer: Array) -> Array:
        """Bytes [start, start + nbytes) as uint8, valid until `drop`; perhaps in `buffer`.

        Raises
        ------
        OSError
            The file is shorter, or its disk cannot read them.
        """
        if self._copied:
            found = buffer[:nbytes]
            if os.preadv(self._fd, [found.data], start) != nbytes:
                raise _unreadable(errno.EIO, start)
            return found
        failed = self._advise(start, nbytes, _POPULATE_READ)
        if failed:
            raise _unreadable(failed, start)
        return self._bytes[start : start + nbytes]

    def drop(self, start: int, nbytes: int) -> None:
        """Take the piece out of this process's memory; it stays in the page cache."""
        if not self._copied:
            self._advise(start, nbytes, mmap.MADV_DONTNEED)

    def _advise(self, start: int, nbytes: int, advice: int) -> int:
        """0, or the errno of a refusal. Unlike Python's own mmap.madvise it lets threads run."""
        page = start - start % mmap.PAGESIZE
        where = address(self._bytes) + page
        return ctypes.get_errno() if self._madvise(where, start + nbytes - page, advice) else 0


def _unreadable(number: int, start: int) -> OSError:
    why = "the file ends there" if number == errno.EFAULT else os.strerror(number)
    return OSError(f"the file cannot be read at byte {start}: {why}")
