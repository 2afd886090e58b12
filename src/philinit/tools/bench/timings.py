# SPDX-License-Identifier: Apache-2.0
"""The child's side of `workers`: prepares, times and checks calls; only a child imports this.

Contenders of one library live in one child, so that no library's threads or memory pools disturb
another's. What was prepared for a work is kept until {"forget": true}; resident memory is one
buffer, which all contenders of the child write in turns.
"""

import contextlib
import gc
from typing import Any

import numpy as np

from philinit.distributions import Uniform
from philinit.dtypes import FLOAT8, MANTISSA_BITS, as_dtype
from philinit.filling.memory import empty
from philinit.tools.bench.calls import CALLS, Task, weights_of
from philinit.tools.bench.contenders import CONTENDERS, Contender, Refused
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.child import Emit
from philinit.tools.measure.clock import Call, timed
from philinit.tools.measure.memory import Peak
from philinit.tools.measure.statistics import BLOCK, observed, verdict

READ = 64 * BLOCK  # weights of a tensor that a check reads: evenly spread blocks of a larger one


def check(contender: Contender, work: Work, made: Any) -> None:
    """Hold mean, stddev, min and max of what a call made against theory.

    One level of the dtype is granted to who is `coarse`: to all but philinit's own sampler; and in
    float8, whose rounding shows in the stddev, to everybody.

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
    if contender.coarse or work.dtype in FLOAT8:
        first, second = work.ends
        slack = second - first if isinstance(work.distribution, Uniform) else 8 * second
        slack *= 2.0 ** -MANTISSA_BITS[work.dtype]
    step = max(1, weights.size // READ)
    step += step > 1 and step % 2 == 0  # no multiple of what rows or chunks may be
    found = observed(weights, step=step, order=2)
    judged = verdict(found, work.distribution, work.dtype, slack)
    off = [name for name in ("mean", "stddev", "min", "max") if not judged[name + "_ok"]]
    if off:
        figures = ", ".join(f"{name}={judged[name]:.6g}" for name in off)
        raise ValueError(f"wrong numbers: {figures} for {work.distribution}")


class Prepared:
    """What one child keeps: prepared calls, and the buffer of those that write again."""

    calls: dict[tuple[str, str, Work], Call]
    buffer: np.ndarray[Any, Any]

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Let go of everything."""
        self.calls, self.buffer = {}, np.empty(0, np.uint8)
        gc.collect()

    def call(self, contender: Contender, work: Work, memory: str) -> Call:
        """The call that makes the work, into "new" or "resident" memory."""
        key = contender.name, memory, work
        if key not in self.calls:
            out = self._resident(work) if memory == "resident" else None
            self.calls[key] = CALLS[contender.name](Task(work, contender.function(work), out))
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


PREPARED = Prepared()


def answer(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """The reply to one request: seconds a call, or why there are none."""
    if "forget" in request:
        PREPARED.forget()
        return {}
    contender, raw = CONTENDERS[request["contender"]], request["work"]
    raw |= {"shape": tuple(raw["shape"]), "numbers": tuple(raw["numbers"])}
    work = Work(**raw)
    try:
        call = PREPARED.call(contender, work, request["memory"])
        with Peak() if request["peak"] else contextlib.nullcontext() as peak:
            seconds, made = timed(call, request["repeats"])
        if request["check"]:
            check(contender, work, made)
    except Refused as reason:
        return {"refused": str(reason)}
    except Exception as error:  # whatever a library raises: its words are the result
        words = str(error).strip().partition("\n")[0]
        return {"failed": f"{type(error).__name__}: {words}"}
    return {"seconds": seconds, "peak": None if peak is None else peak.extra}
