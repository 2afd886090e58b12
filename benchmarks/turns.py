# SPDX-License-Identifier: Apache-2.0
"""Calls of one process in turns, A B C A B C, so that a slow moment is nobody's alone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]
Times = dict[str, list[float]]


def in_turns(calls: dict[str, Call], rounds: int) -> Times:
    """Seconds of each call in each round."""
    times: Times = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, call in calls.items():
                start = time.perf_counter()
                made = call()
                times[name].append(time.perf_counter() - start)
                del made
    finally:
        gc.enable()
    return times
