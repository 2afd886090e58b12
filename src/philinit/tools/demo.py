# SPDX-License-Identifier: Apache-2.0
"""The demo's measurements: each contender in a fresh process of its own, one after the other.

The parent (`run`) starts `python -m philinit.tools.demo SPEC`; the child writes JSON, a line each:
{"progress": [done, total]}, {"phase": text} and at last {"result": {...}}. A process for each
keeps peaks of memory and the state of the pages comparable, and gives the memory back.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from philinit.distributions import Distribution, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.tools.measure.measuring import Peak, memset_rates, statistics, verdict

COLUMNS = 1000
HEADROOM = 1 << 30  # Python, TensorFlow and the blocks of the checks
SLICE = 1 << 24  # elements: bits are compared this much at a time

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Spec:
    """One measurement: who, and what everybody is asked for."""

    contender: str
    init: str
    shape: tuple[int, int]
    dtype: str
    threads: int | None
    seed: int

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.size * as_dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Contender:
    """Who, under what title, for which initializers, and how many tensors' memory it takes."""

    title: str
    inits: tuple[str, ...]
    peak: int  # tensors alive at its peak
    build: Callable[[Spec, Progress], Any]  # a tf.Variable, or a tensor that becomes one
    tensor_title: str = ""  # title of the tensor alone, where that is a contender too
    dtypes: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")


def distribution(init: str, shape: tuple[int, int]) -> Distribution:
    """What theory says: Uniform(+-sqrt(6 / (in + out))), or a normal of variance 2 / in cut at +-2.

    From the formulas and not from the initializers, whose numbers are held against it.
    """
    fan_in, fan_out = shape
    if init == "glorot_uniform":
        limit = math.sqrt(6.0 / (fan_in + fan_out))
        return Uniform(-limit, limit)
    cut = TruncatedNormal().moments()[1]  # stddev of a standard normal cut at +-2: 0.8796
    return TruncatedNormal(0.0, math.sqrt(2.0 / fan_in) / cut)


# ---------------------------------------------------------------------------- contenders


def _philinit(spec: Spec, progress: Progress, sampler: str = "native") -> Any:
    import philinit as pi
    import philinit.tensorflow as pit

    rule = pi.GlorotUniform if spec.init == "glorot_uniform" else pi.HeNormal
    init = rule(seed=spec.seed, sampler=sampler)
    return pit.variable(init, spec.shape, dtype=spec.dtype, progress=progress, threads=spec.threads)


def _philinit_as_tensorflow(spec: Spec, progress: Progress) -> Any:
    return _philinit(spec, progress, sampler="tensorflow")


def _tf_uniform(spec: Spec, progress: Progress) -> Any:
    import tensorflow as tf

    wanted = distribution(spec.init, spec.shape)
    assert isinstance(wanted, Uniform)
    return tf.random.uniform(spec.shape, wanted.low, wanted.high, dtype=spec.dtype)


def _keras(spec: Spec, progress: Progress) -> Any:
    import keras

    rule = "GlorotUniform" if spec.init == "glorot_uniform" else "HeNormal"
    return getattr(keras.initializers, rule)(seed=spec.seed)(spec.shape, dtype=spec.dtype)


_UNIFORM, _NORMAL = ("glorot_uniform",), ("he_normal",)
CONTENDERS = {
    "philinit": Contender("philinit", _UNIFORM + _NORMAL, 1, _philinit),
    "philinit_tensorflow": Contender(
        "philinit, TF's bits", _UNIFORM, 1, _philinit_as_tensorflow, dtypes=("float32",)
    ),
    "tf_uniform": Contender(
        "tf.Variable(tf.random.uniform)", _UNIFORM, 3, _tf_uniform, "tf.random.uniform"
    ),
    "keras_uniform": Contender("keras GlorotUniform", _UNIFORM, 3, _keras),
    "keras_normal": Contender("keras HeNormal", _NORMAL, 3, _keras),
}


# ---------------------------------------------------------------------------- child


def _tf_slices(spec: Spec) -> Iterator[np.ndarray[Any, Any]]:
    """`tf.random.stateless_uniform(shape, [seed, 0], low, high, alg="philox")`, slice by slice.

    The first slice is the public call itself; the next ones are its kernel with the counter moved
    on, so that no second tensor is needed.
    """
    import tensorflow as tf

    wanted = distribution(spec.init, spec.shape)
    assert isinstance(wanted, Uniform)
    seed = [spec.seed, 0]
    low, high = (tf.constant(end, tf.float32) for end in (wanted.low, wanted.high))
    state = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    for start in range(0, spec.size, SLICE):
        shape = [min(SLICE, spec.size - start)]
        if start == 0:
            yield tf.random.stateless_uniform(shape, seed, low, high, alg="philox").numpy()
            continue
        counter = state.counter.numpy() + np.array([start // 4, 0], np.uint64)
        unit = tf.raw_ops.StatelessRandomUniformV2(
            shape=shape, key=state.key, counter=counter, dtype=tf.float32, alg=1
        )
        yield (unit * (high - low) + low).numpy()


def _philinit_slices(spec: Spec) -> Iterator[np.ndarray[Any, Any]]:
    """philinit's "tensorflow" sampler, slice by slice through `fill(..., offset=)`."""
    import philinit as pi

    wanted, key = distribution(spec.init, spec.shape), pi.Key.from_seed(spec.seed)
    for start in range(0, spec.size, SLICE):
        out = np.empty(min(SLICE, spec.size - start), np.float32)
        pi.fill(out, wanted, key, start, sampler="tensorflow", threads=spec.threads)
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


def _first_step(variable: Any) -> None:
    """One step of SGD on 64 rows: look-up, gradient, sparse update, as an embedding trains."""
    import tensorflow as tf

    rows = tf.range(min(64, variable.shape[0]), dtype=tf.int64)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.nn.embedding_lookup(variable, rows) ** 2)
    gradient = tape.gradient(loss, variable)
    variable.scatter_sub(tf.IndexedSlices(0.1 * gradient.values, gradient.indices))


def measure(spec: Spec, emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Build, check and train one contender in this process; then the same again."""
    if spec.contender == "memset":
        return memset_rates(spec.nbytes, spec.threads)
    emit({"phase": "importing TensorFlow"})
    import tensorflow as tf

    if spec.threads is not None:
        tf.config.threading.set_intra_op_parallelism_threads(spec.threads)
    tf.random.set_seed(spec.seed)
    start = time.perf_counter()
    small = _timed_build(replace(spec, shape=(64, COLUMNS)), _ignore)[0]
    warm_up = time.perf_counter() - start
    _first_step(small)
    del small
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.perf_counter()
        if done == total or now - last > 0.05:
            last = now
            emit({"progress": [done, total]})

    emit({"phase": "initializing"})
    with Peak() as build:
        made, tensor_seconds, seconds = _timed_build(spec, progress)
    result: dict[str, Any] = {"seconds": seconds, "tensor_seconds": tensor_seconds}
    result["warm_up_seconds"] = warm_up
    result["build_extra"] = None if build.extra is None else build.extra - spec.nbytes

    emit({"phase": "checking"})
    tensor = made.read_value()
    weights = tensor.__array__().reshape(-1)  # an alias: no copy
    result |= statistics(weights, spec.threads)
    wanted = distribution(spec.init, spec.shape)
    result |= verdict(result, wanted, spec.size, spec.dtype)
    oracle = ORACLES.get(spec.contender)
    if oracle is not None and spec.dtype == "float32":
        result["different_bits"] = different_bits(weights, oracle(spec))
    del weights, tensor  # an alias that lives on would make the first step copy

    emit({"phase": "first step"})
    with Peak() as step:
        _first_step(made)
    result["step_extra"] = step.extra

    emit({"phase": "again"})
    if spec.contender.startswith("philinit"):
        result["again_rate"] = max(_refill_rate(made, spec) for _ in range(3))
    else:  # its pages come back from TensorFlow's pool
        del made
        part = replace(spec, shape=(max(1, spec.shape[0] // 8), COLUMNS))
        result["again_rate"] = max(part.nbytes / _timed_build(part, _ignore)[2] for _ in range(2))
    return result


def _ignore(done: int, total: int) -> None:
    """No progress to show."""


def _timed_build(spec: Spec, progress: Progress) -> tuple[Any, float, float]:
    """The contender's tf.Variable, and the seconds to its tensor and to the variable."""
    import tensorflow as tf

    start = time.perf_counter()
    made = CONTENDERS[spec.contender].build(spec, progress)
    middle = time.perf_counter()
    if not isinstance(made, tf.Variable):
        made = tf.Variable(made)
    return made, middle - start, time.perf_counter() - start


def _refill_rate(variable: Any, spec: Spec) -> float:
    """Bytes a second to fill the variable again: its pages are resident now, as memset's are."""
    import philinit as pi
    import philinit.tensorflow as pit

    rule = pi.GlorotUniform if spec.init == "glorot_uniform" else pi.HeNormal
    sampler = "tensorflow" if spec.contender == "philinit_tensorflow" else "native"
    start = time.perf_counter()
    pit.fill(variable, rule(seed=spec.seed, sampler=sampler), threads=spec.threads)
    return spec.nbytes / (time.perf_counter() - start)


# ---------------------------------------------------------------------------- parent


def rows_that_fit(rows: int, dtype: str, tensors: int, free: int) -> int:
    """As many of `rows` as leave room for `tensors` copies beside `HEADROOM`; 0 if none do."""
    row = COLUMNS * as_dtype(dtype).itemsize * tensors
    return max(0, min(rows, (free - HEADROOM) // row))


def run(spec: Spec, event: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """The result of one contender from a fresh process; `event` sees its progress and phases.

    Raises
    ------
    RuntimeError
        The child failed; the message is the last line that it wrote, or its signal.
    """
    environment = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # the demo compares CPUs
        "KERAS_BACKEND": "tensorflow",
    }
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "philinit.tools.demo", json.dumps(asdict(spec))],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, **environment},
        )
        result: dict[str, Any] | None = None
        try:
            assert child.stdout is not None
            for line in child.stdout:
                message = json.loads(line)
                result = message.get("result", result)
                event(message)
            code = child.wait()
        finally:
            child.kill()
            child.wait()
        if result is None or code != 0:
            log.seek(0)
            raise RuntimeError(_last_words(log.read(), code))
    return result


def _last_words(log: str, code: int) -> str:
    """Why a child ended: its last line but for TensorFlow's greetings, or the signal's name."""
    if code < 0:
        return f"ended by {signal.Signals(-code).name}"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    own = [line for line in lines if not line.startswith(("I0000", "W0000", "WARNING: All log"))]
    return f"exit code {code}: {own[-1] if own else 'no message'}"


def _child(text: str) -> None:
    """Measure one spec and write JSON lines to the real stdout, whatever else prints there."""
    raw = json.loads(text)
    spec = Spec(**{**raw, "shape": tuple(raw["shape"])})
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def emit(message: dict[str, Any]) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        emit({"result": measure(spec, emit)})


if __name__ == "__main__":
    _child(sys.argv[1])
