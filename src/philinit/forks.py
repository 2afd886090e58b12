# SPDX-License-Identifier: Apache-2.0
"""The lock under which modules are imported late and kernels compiled: a fork waits for it.

A child has only the thread that forked: what another one held at that moment stays locked in it.
"""

import functools
import os
import threading

lock = threading.RLock()
_taken: list[None] = []  # once for each hook that took the lock for the fork under way


def _before() -> None:
    lock.acquire()
    _taken.append(None)


def _after() -> None:
    if _taken:  # hooks registered while a fork waited have not been called before it
        _taken.pop()
        lock.release()


def _register() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)


@functools.cache
def wait_before_logging() -> None:
    """Let forks from now on take `lock` before logging's, which an import of Numba needs.

    What is registered last is called first. Call it without the lock: a fork that has logging's
    lock already, and waits for ours, must come to its end first; `getLogger` waits for it.
    """
    with lock:
        import logging
    _register()
    logging.getLogger("philinit")


_register()
