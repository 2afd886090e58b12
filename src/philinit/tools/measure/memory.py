# SPDX-License-Identifier: Apache-2.0
"""The memory of a measurement: its peak, its pages, and the rate at which memset writes it."""

from __future__ import annotations

import ctypes
import functools
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from philinit.filling.memory import empty
from philinit.tools.measure.machine import HEADROOM, cpus, free_memory

ALONE = 1 << 21  # bytes: below it one thread of memset is done before a second one has woken up
# Not 0: some processors clear lines without sending the zeros to memory, at two or three times the
# rate of any other value, and that is no limit for weights.
BYTE = 0x5A


def _status(field: str) -> int | None:
    """Bytes of VmRSS or VmHWM of this process; None where there is no /proc."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    lines = (line.split() for line in text.splitlines() if line.startswith(field + ":"))
    return next((int(words[1]) * 1024 for words in lines), None)


class Peak:
    """Peak of resident memory inside a `with` block, beyond what was resident at its start."""

    extra: int | None = None

    def __enter__(self) -> Peak:
        """Forget earlier peaks; where the system refuses, `extra` stays None."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._start = _status("VmRSS")
        except OSError:
            self._start = None
        return self

    def __exit__(self, *_: object) -> None:
        """Read the peak."""
        end = _status("VmHWM")
        if self._start is not None and end is not None:
            self.extra = end - self._start


def huge_share(start: int, nbytes: int) -> float | None:
    """The share of a block of memory that is on huge pages; None where the system does not say."""
    try:
        lines = Path("/proc/self/smaps").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    huge, inside = 0, False
    for line in lines:
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            low, high = int(match[1], 16), int(match[2], 16)
            inside = low < start + nbytes and high > start
        elif inside and line.startswith("AnonHugePages:"):
            huge += int(line.split()[1]) << 10
    return min(1.0, huge / nbytes)


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def memset(memory: np.ndarray[Any, Any], threads: int) -> np.ndarray[Any, Any]:
    """Write bytes over an array, each of so many threads a piece of it; returns the array."""
    start, size = memory.ctypes.data, memory.nbytes
    if size < ALONE:
        ctypes.memset(start, BYTE, size)
        return memory
    bounds = [size * i // threads for i in range(threads + 1)]

    def write(i: int) -> None:
        ctypes.memset(start + bounds[i], BYTE, bounds[i + 1] - bounds[i])

    list(_pool(threads).map(write, range(threads)))
    return memory


def warm_pages(nbytes: int, threads: int | None = None) -> None:
    """Write so much new memory, as far as it is free, and give it back to the system.

    The host of a virtual machine may have taken its free pages, and hands them out again one by
    one, in seconds for a GiB: who came first would pay for all.
    """
    room = max(0, free_memory() - HEADROOM)
    memset(empty((min(room, nbytes),), np.dtype(np.uint8)), cpus(threads))
