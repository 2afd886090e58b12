# SPDX-License-Identifier: Apache-2.0
"""Huge pages for memory that was just made to be filled: asked for before the first write."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from collections.abc import Callable

LEAST = 4 << 20  # bytes from which on the question pays; NumPy's own limit, too

_HUGE = 2 << 20  # bytes of a huge page of x86-64, and of AArch64 with base pages of 4 KiB


def advise(start: int, nbytes: int) -> None:
    """Ask the system to put the whole huge pages within a new block of memory on such.

    A new block has no pages yet: the first write to each is a fault, which costs more than the
    weights do. With 2 MiB for a page in place of 4 KiB a new tensor is there three times as soon,
    where the system has such pages free. NumPy asks for its own arrays; the allocators of
    TensorFlow and torch do not. A block that an allocator has kept, and hands out again, has its
    pages already: what is resident stays as it is, and the advice stands for pages to come.

    It is advice: without Linux, or where the system refuses, pages are as they would have been.
    Only for memory made in the call that fills it, never for what a user has passed: how that is
    paged is its owner's affair.

    Parameters
    ----------
    start, nbytes : int
        Address and size of the block. Below `LEAST` nothing is asked; nor is anything for the
        bytes before the first and behind the last whole huge page, whose pages others may share.

    Raises
    ------
    ValueError
        The environment variable PHILINIT_HUGE_PAGES, which turns this off, is neither 0 nor 1.
    """
    if nbytes < LEAST:
        return
    first, end = -(-start // _HUGE) * _HUGE, (start + nbytes) // _HUGE * _HUGE
    if wanted() and (madvise := _madvise()) is not None:
        madvise(first, end - first)  # non-zero where refused


def wanted() -> bool:
    """Whether huge pages are to be asked for: yes, unless PHILINIT_HUGE_PAGES=0 is set."""
    text = os.environ.get("PHILINIT_HUGE_PAGES", "1")
    if text not in ("0", "1"):
        raise ValueError(
            f"PHILINIT_HUGE_PAGES must be 0 or 1, or not set; got PHILINIT_HUGE_PAGES={text}"
        )
    return text == "1"


@functools.cache
def _madvise() -> Callable[[int, int], int] | None:
    """``madvise(start, nbytes, MADV_HUGEPAGE)`` of the C library; None where there is none."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:  # not Linux
        return None
    try:
        function = ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return None
    function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int), int
    return lambda start, nbytes: function(start, nbytes, advice)
