# SPDX-License-Identifier: Apache-2.0
"""The clock of all benchmarks: seconds of a call, and of calls of one process in turns."""

import contextlib
import gc
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Call = Callable[[], Any]  # makes the weights and returns them
Times = dict[str, list[float]]


@contextlib.contextmanager
def _no_collector() -> Iterator[None]:
    """Garbage is collected before, and not inside: it is nobody's time."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def timed(call: Call, repeats: int = 1) -> tuple[float, Any]:
    """Seconds a call, and what the last call made."""
    with _no_collector():
        start = time.perf_counter()
        for _ in itertools.repeat(None, repeats - 1):
            call()
        made = call()
        return (time.perf_counter() - start) / repeats, made


def in_turns(
    calls: Mapping[str, Call], rounds: int, *, before: Callable[[], object] | None = None
) -> Times:
    """Seconds of each call in each round, A B C A B C: a slow moment is nobody's alone.

    before: called before each of them, untimed; `gc.collect` where what is made is freed by the
    collector alone, as Keras's models are.
    """
    times: Times = {name: [] for name in calls}
    with _no_collector():
        for _ in range(rounds):
            for name, call in calls.items():
                if before is not None:
                    before()
                start = time.perf_counter()
                made = call()
                times[name].append(time.perf_counter() - start)
                del made
    return times
