# SPDX-License-Identifier: Apache-2.0
"""Which addresses of this process stand under MADV_HUGEPAGE, as the system itself tells."""

import mmap
import re
from pathlib import Path

import pytest

from philinit.filling import pages

HUGE = 2 << 20
SMAPS = Path("/proc/self/smaps")

needs_huge_pages = pytest.mark.skipif(
    not (SMAPS.exists() and Path("/sys/kernel/mm/transparent_hugepage/enabled").exists()),
    reason="needs Linux with transparent huge pages",
)


def advised(start, nbytes):
    """The ranges within the block that are advised: adjacent ones as one, relative to `start`."""
    found = []
    low = high = 0
    for line in SMAPS.read_text().splitlines():
        if match := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            low, high = (min(max(int(end, 16), start), start + nbytes) for end in match.groups())
        elif line.startswith("VmFlags:") and low < high and "hg" in line.split():
            if found and found[-1][1] == low - start:
                found[-1] = (found[-1][0], high - start)
            else:
                found.append((low - start, high - start))
    return found


def whole_pages(start, nbytes):
    """What should be advised of a block made by us: from the first whole huge page to the last."""
    first, last = -(-start // HUGE) * HUGE, (start + nbytes) // HUGE * HUGE
    return [(first - start, last - start)]


def watched(monkeypatch):
    """What the system is asked for from now on, as (start, nbytes) of whole huge pages.

    For memory of an allocator's, which may have been advised before under another owner.
    """
    asked, real = [], pages._madvise()

    def madvise(start, nbytes):
        asked.append((start, nbytes))
        return real(start, nbytes)

    monkeypatch.setattr(pages, "_madvise", lambda: madvise)
    return asked


def wanted_of(start, nbytes):
    """What `watched` should have of one block made by us."""
    ((low, high),) = whole_pages(start, nbytes)
    return [(start + low, high - low)]


def mapped(nbytes):
    """New memory that nobody has advised, as a user may have it."""
    return mmap.mmap(-1, nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
