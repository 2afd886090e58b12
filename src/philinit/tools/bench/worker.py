# SPDX-License-Identifier: Apache-2.0
"""The child process of a benchmark: answers requests of `crew`, one JSON a line.

Contenders of one library live in one child, so that no library's threads or memory pools disturb
another's. What was prepared for a work is kept until {"forget": true}; resident memory is one
buffer, which all contenders of the child write in turns.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import signal
import sys
import time
from typing import Any

import numpy as np

from philinit.distributions import Uniform
from philinit.dtypes import as_dtype
from philinit.filling.memory import empty
from philinit.tools.bench.contenders import CONTENDERS, Call, Contender, Refused, weights_of
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.measuring import Peak, read_by, statistics, verdict

READ = 1 << 26  # weights of a tensor that a check reads: evenly spread blocks of a larger one
LEVELS = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}  # bits of precision


def check(contender: Contender, work: Work, made: Any) -> None:
    """Hold mean, stddev, min and max of what a call made against theory.

    One level of the dtype is granted to who is `coarse`: to all but philinit's own sampler.

    Raises
    ------
    ValueError
        It is not what was asked for.
    """
    if contender.library == "memset":
        return
    weights = weights_of(made)
    if weights.size != work.size or weights.dtype != as_dtype(work.dtype):
        raise ValueError(f"made {weights.size:,} {weights.dtype}, not {work.size:,} {work.dtype}")
    slack = 0.0
    if contender.coarse:
        first, second = work.ends
        slack = second - first if isinstance(work.law, Uniform) else 8 * second
        slack *= 2.0 ** -LEVELS[work.dtype]
    step = max(1, weights.size // READ)
    step += step > 1 and step % 2 == 0  # no multiple of what rows or chunks may be
    found = statistics(weights, None, step)
    size = read_by(weights.size, step)
    judged = verdict(found, work.law, size, work.dtype, slack)
    off = [name for name in ("mean", "stddev", "min", "max") if not judged[name + "_ok"]]
    if off:
        figures = ", ".join(f"{name}={found[name]:.6g}" for name in off)
        raise ValueError(f"wrong numbers: {figures} for {work.law}")


class Worker:
    """What one child knows: prepared calls, and the buffer of those that write again."""

    def __init__(self) -> None:
        self.calls: dict[tuple[str, str, Work], Call] = {}
        self.buffer = np.empty(0, np.uint8)

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to one request: seconds a call, or why there are none."""
        if "forget" in request:
            self.calls.clear()
            self.buffer = np.empty(0, np.uint8)
            gc.collect()
            return {}
        contender, raw = CONTENDERS[request["contender"]], request["work"]
        raw |= {"shape": tuple(raw["shape"]), "numbers": tuple(raw["numbers"])}
        work = Work(**raw)
        try:
            call = self._call(contender, work, request["memory"])
            reply, made = timed(call, request["repeats"], request["peak"])
            if request["check"]:
                check(contender, work, made)
        except Refused as reason:
            return {"refused": str(reason)}
        except Exception as error:  # whatever a library raises: its words are the result
            words = str(error).strip().partition("\n")[0]
            return {"failed": f"{type(error).__name__}: {words}"}
        return reply

    def _call(self, contender: Contender, work: Work, memory: str) -> Call:
        key = contender.name, memory, work
        if key not in self.calls:
            op = contender.op(work)
            if memory == "resident":
                assert contender.resident is not None
                self.calls[key] = contender.resident(work, op, self._resident(work))
            else:
                self.calls[key] = contender.new(work, op)
            gc.freeze()  # thousands of modules' objects need no look at each collection
        return self.calls[key]

    def _resident(self, work: Work) -> np.ndarray[Any, Any]:
        """The buffer, as large as it need be; who held a smaller one is prepared again."""
        if self.buffer.nbytes < work.nbytes:
            self.calls = {key: call for key, call in self.calls.items() if key[1] != "resident"}
            self.buffer = np.empty(0, np.uint8)
            self.buffer = empty((work.nbytes,), np.dtype(np.uint8))
        out: np.ndarray[Any, Any] = self.buffer[: work.nbytes].view(as_dtype(work.dtype))
        return out.reshape(work.shape)


def timed(call: Call, repeats: int, peak: bool) -> tuple[dict[str, Any], Any]:
    """Seconds a call, with `peak` the bytes at their peak; and what the last call made."""
    gc.collect()
    gc.disable()
    try:
        with Peak() if peak else contextlib.nullcontext() as memory:
            start = time.perf_counter()
            for _ in itertools.repeat(None, repeats - 1):
                call()
            made = call()
            seconds = (time.perf_counter() - start) / repeats
    finally:
        gc.enable()
    return {"seconds": seconds, "peak": None if memory is None else memory.extra}, made


def _serve() -> None:
    """Answer until stdin ends; the real stdout is for replies, whatever else prints there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it ends its children
    worker = Worker()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        for line in sys.stdin:
            out.write(json.dumps(worker.answer(json.loads(line))) + "\n")
            out.flush()


if __name__ == "__main__":
    _serve()
