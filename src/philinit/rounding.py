# SPDX-License-Identifier: Apache-2.0
"""Arithmetic of Python that rounds to nearest, whatever mode the process has set (`fesetround`).

Kernels set the modes themselves; this is for the numbers that they get as parameters.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
from collections.abc import Iterator
from typing import Any

_TO_NEAREST = 0  # FE_TONEAREST of x86-64 and AArch64


@functools.cache
def _functions() -> tuple[Any, Any] | None:
    for library in ("libm.so.6", None):  # None: whatever this process has loaded
        try:
            found = ctypes.CDLL(library)
            return found.fegetround, found.fesetround
        except (OSError, AttributeError, TypeError):
            continue
    return None


@contextlib.contextmanager
def to_nearest() -> Iterator[None]:
    """A block in which float64 arithmetic rounds to nearest, ties to even."""
    functions = _functions()
    mode = _TO_NEAREST if functions is None else functions[0]()
    if functions is None or mode == _TO_NEAREST:
        yield
        return
    functions[1](_TO_NEAREST)
    try:
        yield
    finally:
        functions[1](mode)
