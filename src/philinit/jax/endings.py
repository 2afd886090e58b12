# SPDX-License-Identifier: Apache-2.0
"""The end of a process in which compiled programs may still be running.

JAX ends its backend without letting go of the interpreter, and waits there for threads that run
programs. One that waits for the interpreter itself, to have philinit write, would keep it forever.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import time
from types import TracebackType

import jax

_QUIET = 0.02  # seconds in which nothing happens, if programs have come to their ends
_LONGEST = 10.0  # seconds that are waited for programs whose results nobody has


class _Running:
    """A context that counts those inside it, of all threads."""

    def __init__(self) -> None:
        self.calls: list[None] = []  # a list's methods are whole, whoever calls them at once

    def __enter__(self) -> None:
        self.calls.append(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.calls.pop()


running = _Running()  # calls of XLA's


@functools.cache
def wait_at_exit() -> None:
    """Have the interpreter's end wait for programs: before JAX's own end, being asked for later."""
    atexit.register(_wait)
    if hasattr(os, "register_at_fork"):  # a child has no threads that run programs
        os.register_at_fork(after_in_child=lambda: atexit.unregister(_wait))


def _arrays() -> list[jax.Array]:
    """Those of the default platform and of CPUs."""
    found = list(jax.live_arrays())
    with contextlib.suppress(RuntimeError):  # without CPUs, by JAX_PLATFORMS
        found += jax.live_arrays("cpu")
    return found


def _wait() -> None:
    for array in _arrays():
        with contextlib.suppress(Exception):  # a program's error, or an array that was deleted
            array.block_until_ready()
    # Of results that are gone nothing tells: then somebody computes, or is in a call.
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end:
        before = time.process_time()
        time.sleep(_QUIET)
        if not running.calls and time.process_time() - before < _QUIET / 4:
            return
