# SPDX-License-Identifier: Apache-2.0
"""The unfinished file on its disk: opened and locked, given its room, written, and renamed."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from io import FileIO
from pathlib import Path

import numpy as np

from philinit.files.layouts import Layout, read
from philinit.files.resume import Record, difference, partial_of, sync_folder
from philinit.initializers.base import Array

try:
    import fcntl
except ImportError as error:  # Windows
    raise ImportError("files of weights need Linux, macOS or another POSIX system") from error

CHECKED = 1 << 20  # bytes before those that are missing, which are made again and compared
BLOCK = 4096  # O_DIRECT wants addresses, positions in the file and sizes to be multiples of this

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Unfinished:
    """``PATH.partial`` and its record, from the first byte, or where it stopped, to ``PATH``.

    A context manager, which closes the file and makes a sentence of what the disk complains of.

    Parameters
    ----------
    path : Path
        Without links.
    plan : Layout
        What it will hold.
    force, resume : bool
        As in `philinit.files.write.write_file`, which has the errors, too.
    """

    def __init__(self, path: Path, plan: Layout, *, force: bool, resume: bool) -> None:
        self.path = path
        self.plan = plan
        self.force = force
        self.direct = False  # whether bytes go straight to the disk, past the page cache
        self.record = self._checked(resume)
        self.start = 0  # where to go on
        self.opened = _open(path, create=not resume)
        self.fd = self.opened.fileno()
        try:
            if resume:
                self._check_there()
            else:
                self._begin()
            self.direct = self._switch_direct(on=True)
        except BaseException as error:
            self.__exit__(type(error), error)
            raise

    def __enter__(self) -> Unfinished:
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        """Close the file."""
        self.opened.close()
        if isinstance(error, OSError) and error.errno is not None:
            raise self._explained(error) from error

    def write(self, image: Array, start: int) -> None:
        """All bytes of `image` to byte `start` and after, multiples of `BLOCK`; for any thread."""
        left = image.data
        while left:
            direct = self.direct  # another thread may end that while this one writes
            try:
                count = os.pwrite(self.fd, left, start)
            except OSError as error:
                if error.errno != errno.EINVAL or not direct:
                    raise
                self._switch_direct(on=False)  # this disk wants blocks larger than BLOCK
                self.direct = False
                continue
            left, start = left[count:], start + count

    def checkpoint(self, done: int) -> None:
        """Flush the disk, then record that the first `done` bytes are there."""
        getattr(os, "fdatasync", os.fsync)(self.fd)
        with suppress(OSError):  # no room for a new record, and the last one still holds
            self.record.save(self.path, done)

    def finish(self) -> None:
        """Everything is written: give the file its name."""
        os.ftruncate(self.fd, self.plan.size)
        os.fsync(self.fd)
        if self.path.exists() and not self.force:
            raise _exists(self.path)
        partial_of(self.path).replace(self.path)
        sync_folder(self.path)
        Record.remove(self.path)

    def _checked(self, resume: bool) -> Record:
        """The record to begin or to go on with, if the arguments and what is there allow it."""
        path, partial = self.path, partial_of(self.path)
        if path.exists() and (path.is_dir() or not self.force):
            raise _exists(path)
        if not resume:
            if os.path.lexists(partial) and not self.force:
                raise FileExistsError(
                    f"there is an unfinished {partial.name}: continue it with --resume, or "
                    "start again with --force"
                )
            return Record(self.plan.tensors, self.plan.size)
        record = Record.load(path)
        changed = difference(record.tensors, self.plan.tensors)
        if changed is not None:
            raise ValueError(
                f"--resume continues what {path.name} was started with; {changed}: leave the "
                "options out, or start again with --force"
            )
        return record

    def _begin(self) -> None:
        """Give the whole file its room on the disk, so that a disk too small says so now."""
        path, size = self.path, self.plan.size
        try:
            Record.remove(path)  # or it would say, until the next line but one, what is no more
            os.ftruncate(self.fd, 0)
            self.record.save(path, 0)  # first: there may be room for the file alone
            _allocate(self.fd, path, size + -size % BLOCK)
        except (OSError, OverflowError) as error:
            os.ftruncate(self.fd, 0)
            partial_of(path).unlink()
            Record.remove(path)
            if isinstance(error, OverflowError) or error.errno == errno.EFBIG:
                raise OSError(
                    f"{path.name} needs {amount(size)}, more than the file system of "
                    f"{path.parent}, or the limit of this process (ulimit -f), allows in one file"
                ) from error
            if error.errno in _FULL:
                raise OSError(
                    f"{path.name} needs {amount(size)} on its disk; {amount(_free(path))} are free "
                    f"in {path.parent}: free some space, or choose another folder"
                ) from error
            raise

    def _check_there(self) -> None:
        """That the file has its size, and ends as the plan says where it is to go on."""
        size, found, plan = self.plan.size, os.fstat(self.fd).st_size, self.plan
        partial, again = partial_of(self.path).name, "start again with --force"
        if found not in (size, size + -size % BLOCK) or self.record.size != size:
            what = f"{size} bytes, and has {found}: it was changed"
            raise ValueError(f"{partial} must have {what}, {again}")
        start = plan.resumed(self.record.done)
        self.start = start - start % BLOCK
        wholes = zip(plan.starts, plan.tensors, strict=True)  # not to be made in part
        ends = [b + t.nbytes for b, t in wholes if not t.in_pieces and b < self.start]
        begin = max([0, self.start - CHECKED, *ends])
        begin = min(begin + -begin % BLOCK, self.start)
        made, there = (np.empty(self.start - begin, np.uint8) for _ in range(2))
        plan.write(made, begin)
        read(self.fd, there, begin)
        if not np.array_equal(made, there):
            what = f"its first {self.start} bytes, as its record says, and does not"
            raise ValueError(f"{partial} must hold {what}: {again}")

    def _switch_direct(self, on: bool) -> bool:
        """Whether the file now is as asked for."""
        try:
            flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
            flags = flags | os.O_DIRECT if on else flags & ~os.O_DIRECT
            fcntl.fcntl(self.fd, fcntl.F_SETFL, flags)
        except (OSError, AttributeError):  # the file system, or the operating system, cannot
            return False
        return True

    def _explained(self, error: OSError) -> OSError:
        """`error` as a sentence that says what was written and how to go on."""
        path, size = self.path, self.plan.size
        try:
            done = Record.load(path).done
        except (OSError, ValueError):
            return OSError(f"{path.name} cannot be written: {error.strerror}")
        state = f"{amount(done)} of {amount(size)} are safe in {partial_of(path).name}"
        if error.errno in _FULL:
            return OSError(
                f"the disk of {path.parent} is full ({amount(_free(path))} are free) and "
                f"{path.name} is not finished: {state}; free some space, and continue with --resume"
            )
        return OSError(
            f"{path.name} could not be completed: {error.strerror}; {state}: continue with --resume"
        )


def _open(path: Path, create: bool) -> FileIO:
    """The unfinished file, open and locked: two processes never write one.

    Never one that has other names too, by a link: what those name is not ours. An object, which
    closes it when an interrupt has come between two lines and nobody knows it any more; with no
    bytecode, where interrupts come, between the opening and the object.
    """
    partial = partial_of(path)
    new = create and not os.path.lexists(partial)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT | os.O_EXCL if new else 0)
    try:
        file = next(map(FileIO, map(os.open, [partial], [flags], [0o666]), ["r+"]))
        found = os.fstat(file.fileno())
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _foreign(partial) from error
        raise OSError(f"cannot write in {path.parent}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.path.samestat(found, partial.lstat())  # not one that was just finished
    except (BlockingIOError, FileNotFoundError):
        mine = False
    except OSError:  # a file system without locks
        mine = True
    if mine and stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return file
    file.close()
    if mine:
        raise _foreign(partial)
    raise FileExistsError(f"another process writes {partial.name}: wait for it, or end it")


def _foreign(partial: Path) -> FileExistsError:
    return FileExistsError(
        f"{partial.name} must be a file with one name, as philinit makes it; it is a link, or has "
        "other names: remove it"
    )


def _allocate(fd: int, path: Path, nbytes: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, nbytes)
    elif nbytes <= _free(path):  # macOS
        os.ftruncate(fd, nbytes)
    else:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _exists(path: Path) -> FileExistsError:
    hint = "it is a folder" if path.is_dir() else "--force replaces it"
    return FileExistsError(f"{path.name} exists already: {hint}")


def _free(path: Path) -> int:
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize


def amount(nbytes: int) -> str:
    """A number of bytes for people: 2.05 GB."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:,.2f} {unit}"
    return f"{nbytes} bytes"
