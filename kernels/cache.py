# SPDX-License-Identifier: Apache-2.0
"""Machine code kept in files across processes, in a folder that nobody else may write.

What is loaded from there is run. So a file counts only if it, and the folder, belong to this user
or to root, and nobody else may write them; it is opened without following a link, and its checksum
covers its name, which tells kernel, loop, sources, compilers and CPU.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_POSIX = os.name == "posix"
_LARGEST = 1 << 26  # bytes; a kernel has some 50 kB


def cache_folder() -> Path | None:
    """Where compiled kernels are kept: $PHILINIT_CACHE_DIR, or philinit in the user's cache.

    None where the user has no folder of his own.
    """
    chosen = os.environ.get("PHILINIT_CACHE_DIR")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
    elif sys.platform == "darwin":
        base = os.path.expanduser("~/Library/Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the XDG Base Directory Specification: to be ignored
            base = os.path.expanduser("~/.cache")
    return Path(base, "philinit") if os.path.isabs(base) else None


def cached(name: str) -> bytes | None:
    """The code in a file of the cache, if it is there, undamaged, and to be trusted."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        with _opened(folder) as opened:
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            where = name if opened is not None else os.path.join(folder, name)
            file = os.open(where, flags | getattr(os, "O_BINARY", 0), dir_fd=opened)
            with os.fdopen(file, "rb") as stream:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST or _shared(found):
                    return None
                content = stream.read()
    except OSError:
        return None
    checksum, code = content[:32], content[32:]
    return code if checksum == _checksum(name, code) else None


def keep(name: str, code: bytes) -> None:
    """Put code into a file of the cache; other processes see all of it or nothing.

    Where that cannot be, or others may write there, nothing is kept: it costs time, no more.
    """
    folder = cache_folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if trouble():
            return
        descriptor, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(_checksum(name, code) + code)
                if _POSIX:
                    os.fchmod(file.fileno(), 0o644)  # root's may serve everybody
            os.replace(temporary, folder / name)
        except BaseException:
            os.unlink(temporary)
            raise


def trouble() -> str:
    """Why compiled kernels are not kept, in one sentence; "" where they are."""
    folder = cache_folder()
    if folder is None:
        return "there is no home folder: set PHILINIT_CACHE_DIR to an absolute path of your own"
    try:
        with _opened(folder):
            pass
    except FileNotFoundError:
        folder = next((parent for parent in folder.parents if parent.exists()), folder)
    except PermissionError as error:
        return str(error)
    except OSError as error:
        return f"{folder} cannot be opened: {error.strerror}"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not writable"


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    """A descriptor of the folder, of which nobody but this user and root may change the entries."""
    if not _POSIX:
        yield None  # a user's folders are his own there
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _shared(os.fstat(descriptor)):
            raise PermissionError(
                f"{folder} must belong to you or to root, and nobody else may write there: "
                f"chmod go-w {folder}, or set PHILINIT_CACHE_DIR to a folder of your own"
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _shared(found: os.stat_result) -> bool:
    """Whether somebody else may write it."""
    if not _POSIX:
        return False
    return found.st_uid not in (0, os.geteuid()) or bool(found.st_mode & 0o022)


def _checksum(name: str, code: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\0" + code).digest()
