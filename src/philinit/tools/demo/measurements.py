# SPDX-License-Identifier: Apache-2.0
"""The demo's measurements; only a child process imports this.

A contender builds its variable, which is checked and trained for one step, and builds it again.
Before the result come events: {"progress": [done, total]} and {"phase": text}.
"""

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from philinit.filling.fill import fill
from philinit.filling.memory import empty
from philinit.keys import Key
from philinit.tools.bench import calls
from philinit.tools.bench.calls import Task, weights_of
from philinit.tools.demo.contenders import COLUMNS, CONTENDERS, TENSORS, Measurement
from philinit.tools.measure.child import Emit
from philinit.tools.measure.clock import Call, timed
from philinit.tools.measure.memory import Peak, warm_pages
from philinit.tools.measure.statistics import observed, verdict

SLICE = 1 << 24  # elements: bits are compared this much at a time
SAMPLERS = {"philinit": "native", "philinit_tensorflow": "tensorflow"}
CALLS: dict[str, Callable[[Task], Call]] = {
    name: functools.partial(calls.variable, sampler=SAMPLERS[name])
    if name in SAMPLERS
    else calls.CALLS[contender.bench.name]
    for name, contender in CONTENDERS.items()
}


def _tf_slices(asked: Measurement) -> Iterator[np.ndarray[Any, Any]]:
    """`tf.random.stateless_uniform(shape, [seed, 0], low, high, alg="philox")`, slice by slice.

    The first slice is the public call itself; the next ones are its kernel with the counter moved
    on, so that no second tensor is needed.
    """
    import tensorflow as tf

    seed = [asked.seed, 0]
    low, high = (tf.constant(end, tf.float32) for end in asked.work.ends)
    state = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    for start in range(0, asked.work.size, SLICE):
        shape = [min(SLICE, asked.work.size - start)]
        if start == 0:
            yield tf.random.stateless_uniform(shape, seed, low, high, alg="philox").numpy()
            continue
        counter = state.counter.numpy() + np.array([start // 4, 0], np.uint64)
        unit = tf.raw_ops.StatelessRandomUniformV2(
            shape=shape, key=state.key, counter=counter, dtype=tf.float32, alg=1
        )
        yield (unit * (high - low) + low).numpy()


def _philinit_slices(asked: Measurement) -> Iterator[np.ndarray[Any, Any]]:
    """philinit's "tensorflow" sampler, slice by slice through `fill(..., offset=)`."""
    wanted, key = asked.work.distribution, Key.from_seed(asked.seed)
    for start in range(0, asked.work.size, SLICE):
        out = np.empty(min(SLICE, asked.work.size - start), np.float32)
        fill(out, wanted, key, start, sampler="tensorflow", threads=asked.threads)
        yield out


ORACLES = {"philinit_tensorflow": _tf_slices, "keras_uniform": _philinit_slices}


def different_bits(weights: np.ndarray[Any, Any], slices: Iterator[np.ndarray[Any, Any]]) -> int:
    """How many of the float32 weights differ in any bit from those of the oracle."""
    start = wrong = 0
    for oracle in slices:
        part = weights[start : start + oracle.size].view(np.uint32)
        wrong += int(np.count_nonzero(part != oracle.view(np.uint32)))
        start += oracle.size
    return wrong + weights.size - start


def first_step(variable: Any) -> None:
    """One step of SGD on 64 rows: look-up, gradient, sparse update, as an embedding trains."""
    import tensorflow as tf

    rows = tf.range(min(64, variable.shape[0]), dtype=tf.int64)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.nn.embedding_lookup(variable, rows) ** 2)
    gradient = tape.gradient(loss, variable)
    variable.scatter_sub(tf.IndexedSlices(0.1 * gradient.values, gradient.indices))


class Build:
    """The contender's tf.Variable."""

    def __init__(self, asked: Measurement, **more: Any) -> None:
        self.task = task_of(asked, **more)
        self._make = CALLS[asked.contender](self.task)

    def __call__(self) -> Any:
        """Make the variable."""
        import tensorflow as tf

        made = self._make()
        return made if isinstance(made, tf.Variable) else tf.Variable(made)


def task_of(asked: Measurement, **more: Any) -> Task:
    """What the contender is asked for, as the benchmark's calls take it."""
    function = CONTENDERS[asked.contender].bench.function(asked.work)
    return Task(asked.work, function, seed=asked.seed, threads=asked.threads, **more)


def answer(request: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """Build, check and train one contender in this process; then the same again."""
    asked = Measurement.from_json(request)
    if asked.contender == "memset":
        return _memset_rates(asked)
    emit({"phase": "importing TensorFlow"})
    import tensorflow as tf

    if asked.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(asked.threads)
    tf.random.set_seed(asked.seed)
    start = time.perf_counter()
    small = Build(replace(asked, shape=(64, COLUMNS)))()
    warm_up = time.perf_counter() - start
    first_step(small)
    del small
    build = Build(asked, progress=_shown(emit))

    emit({"phase": "warming the system's pages"})
    warm_pages(asked.work.nbytes * TENSORS, asked.threads)
    emit({"phase": "initializing"})
    with Peak() as peak:
        seconds, made = timed(build)
    result: dict[str, Any] = {"seconds": seconds}
    result["warm_up_seconds"] = warm_up
    result["build_extra"] = None if peak.extra is None else peak.extra - asked.work.nbytes

    emit({"phase": "checking"})
    weights = weights_of(made)
    found = observed(weights, asked.threads, order=2)
    result |= verdict(found, asked.work.distribution, asked.dtype)
    oracle = ORACLES.get(asked.contender)
    if oracle is not None and asked.dtype == "float32":
        result["different_bits"] = different_bits(weights, oracle(asked))
    del weights  # an alias that lives on would make the first step copy

    emit({"phase": "first step"})
    with Peak() as peak:
        first_step(made)
    result["step_extra"] = peak.extra

    emit({"phase": "again"})
    if asked.contender in SAMPLERS:  # its pages are resident now, as memset's are
        refill, nbytes, rounds = _refill(made, asked), asked.work.nbytes, 3
    else:  # its pages come back from TensorFlow's pool
        del made
        refill = Build(replace(asked, shape=(max(1, asked.shape[0] // 8), COLUMNS)))
        nbytes, rounds = refill.task.work.nbytes, 2
    result["again_rate"] = nbytes / min(timed(refill)[0] for _ in range(rounds))
    return result


def _memset_rates(asked: Measurement) -> dict[str, Any]:
    """Bytes a second of memset: new pages, then resident ones."""
    work = asked.work
    task = Task(work, "memset", threads=asked.threads)
    warm_pages(asked.work.nbytes * TENSORS, asked.threads)
    new = sorted(timed(calls.memset(task))[0] for _ in range(5))[2]
    again = calls.memset(replace(task, out=empty((work.nbytes,), np.dtype(np.uint8))))
    resident = min(timed(again)[0] for _ in range(7))
    return {"new": work.nbytes / new, "resident": work.nbytes / resident}


def _shown(emit: Emit) -> Callable[[int, int], None]:
    """Progress as events, twenty a second at most."""
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if done == total or now - last > 0.05:
            last = now
            emit({"progress": [done, total]})

    return progress


def _refill(variable: Any, asked: Measurement) -> Call:
    """Fill the variable again."""
    import philinit.tensorflow as pit

    init = calls.initializer(task_of(asked), SAMPLERS[asked.contender])
    return lambda: pit.fill(variable, init, threads=asked.threads)
