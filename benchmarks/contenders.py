# SPDX-License-Identifier: Apache-2.0
"""Who is timed: a registry of contenders, each with the distribution that its answer must have.

"resident" contenders write again into memory that they own and have written before; "fresh" ones
make a new tensor at each call, and their pages may have to come from the operating system.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

import philinit as pi
from philinit._demo import distribution
from philinit._measuring import Z_BOUND, cpus, statistics, verdict
from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.memory import empty

COLUMNS = 1024
UNIFORM = Uniform(-0.05, 0.05)
NORMAL = Normal(0.0, 0.05)
TRUNCATED = TruncatedNormal(0.0, 0.05)
DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": UNIFORM,
    "truncated": TRUNCATED,
    "normal": NORMAL,
}

Call = Callable[[], Any]  # one timed call; returns the weights


@dataclass(frozen=True)
class Contender:
    """`prepare(size, threads)` sets up and returns the call to time; only the call is timed."""

    name: str
    memory: str  # "resident" or "fresh"
    dtype: str
    prepare: Callable[[int, int | None], Call]
    answer: Distribution | str | None  # str: an initialiser of philinit._demo; None: memset
    slow: bool = False  # a peer that takes seconds: fewer rounds


CONTENDERS: dict[str, Contender] = {}


def _add(
    name: str,
    memory: str,
    dtype: str,
    answer: Distribution | str | None,
    prepare: Callable[[int, int | None], Call],
    slow: bool = False,
) -> None:
    assert name not in CONTENDERS, name
    CONTENDERS[name] = Contender(name, memory, dtype, prepare, answer, slow)


def shape_of(size: int) -> tuple[int, int]:
    """(rows, COLUMNS) of `size` weights."""
    return max(1, size // COLUMNS), COLUMNS


def weights_of(made: Any) -> np.ndarray[Any, Any]:
    """The result of a call as a flat ndarray, aliased: tensors, variables, arrays."""
    value = made.read_value() if hasattr(made, "read_value") else made
    return np.asarray(value.__array__()).reshape(-1)


# ---------------------------------------------------------------------------- resident memory


def _memset(size: int, threads: int | None) -> Call:
    out = np.ones(4 * size, np.uint8)
    count = cpus(threads)
    bounds = [out.size * i // count for i in range(count + 1)]
    pool = ThreadPoolExecutor(count)

    def part(i: int) -> None:
        # Not 0: see philinit._measuring.memset_rates.
        ctypes.memset(out.ctypes.data + bounds[i], 0x5A, bounds[i + 1] - bounds[i])

    def call() -> Any:
        list(pool.map(part, range(count)))
        return out

    return call


def _philinit_resident(distribution: Distribution, dtype: str, sampler: str) -> Any:
    def prepare(size: int, threads: int | None) -> Call:
        out = empty((size,), as_dtype(dtype))
        key = pi.Key.from_seed(42)
        return lambda: pi.fill(out, distribution, key, sampler=sampler, threads=threads)

    return prepare


def _numpy(bit_generator: Any, method: str) -> Any:
    def prepare(size: int, threads: int | None) -> Call:
        out = np.ones(size, np.float32)
        fill = getattr(np.random.Generator(bit_generator(42)), method)
        return lambda: fill(dtype=np.float32, out=out)

    return prepare


_add("memset", "resident", "float32", None, _memset)
for _name, _distribution in DISTRIBUTIONS.items():
    for _dtype in ("float32", "bfloat16", "float16", "float64"):
        _add(
            f"philinit {_name} {_dtype}",
            "resident",
            _dtype,
            _distribution,
            _philinit_resident(_distribution, _dtype, "native"),
        )
_add(
    "philinit uniform float32, TF's bits",
    "resident",
    "float32",
    UNIFORM,
    _philinit_resident(UNIFORM, "float32", "tensorflow"),
)
_unit = Uniform(0.0, 1.0)
_add("numpy SFC64 random", "resident", "float32", _unit, _numpy(np.random.SFC64, "random"), True)
_add("numpy Philox random", "resident", "float32", _unit, _numpy(np.random.Philox, "random"), True)
_add(
    "numpy SFC64 standard_normal",
    "resident",
    "float32",
    Normal(),
    _numpy(np.random.SFC64, "standard_normal"),
    True,
)


# ---------------------------------------------------------------------------- fresh tensors


def _philinit_variable(rule: Any) -> Any:
    def prepare(size: int, threads: int | None) -> Call:
        import philinit.tensorflow as pit

        return lambda: pit.variable(rule, shape_of(size), dtype="float32", threads=threads)

    return prepare


def _tensorflow(method: str, *parameters: float) -> Any:
    def prepare(size: int, threads: int | None) -> Call:
        import tensorflow as tf

        draw = getattr(tf.random, method)
        return lambda: draw(shape_of(size), *parameters)

    return prepare


def _keras(rule: str) -> Any:
    def prepare(size: int, threads: int | None) -> Call:
        import keras

        init = getattr(keras.initializers, rule)(seed=42)
        return lambda: init(shape_of(size), dtype="float32")

    return prepare


def _rule(name: str) -> Any:
    if name == "uniform":
        return pi.Uniform(-0.05, 0.05, seed=42)
    if name == "normal":
        return pi.Normal(0.0, 0.05, seed=42)
    return pi.TruncatedNormal(0.0, 0.05, seed=42)


for _name, _distribution in DISTRIBUTIONS.items():
    _add(
        f"philinit {_name} tf.Variable",
        "fresh",
        "float32",
        _distribution,
        _philinit_variable(_rule(_name)),
    )
_add("tf.random.uniform", "fresh", "float32", UNIFORM, _tensorflow("uniform", -0.05, 0.05), True)
_add("tf.random.normal", "fresh", "float32", NORMAL, _tensorflow("normal", 0.0, 0.05), True)
_add("keras GlorotUniform", "fresh", "float32", "glorot_uniform", _keras("GlorotUniform"), True)
_add("keras HeNormal", "fresh", "float32", "he_normal", _keras("HeNormal"), True)


# ---------------------------------------------------------------------------- the check


def check(contender: Contender, made: Any, size: int) -> None:
    """Mean, stddev, min and max of what a call made, against theory: before anything is timed."""
    if contender.answer is None:
        return
    weights = weights_of(made)
    answer = contender.answer
    wanted = distribution(answer, shape_of(size)) if isinstance(answer, str) else answer
    found = statistics(weights, None)
    if type(wanted) is Normal:  # no bounds to hold; the kurtosis is 3
        mean, stddev = wanted.moments()
        z_mean = (found["mean"] - mean) * math.sqrt(size) / stddev
        z_stddev = (found["stddev"] - stddev) * math.sqrt(2 * size) / stddev
        good = abs(z_mean) < Z_BOUND and abs(z_stddev) < Z_BOUND
    else:
        judged = verdict(found, wanted, size, weights.dtype.name)
        good = all(judged[key] for key in ("mean_ok", "stddev_ok", "min_ok", "max_ok"))
    if weights.size != size or not good:
        raise AssertionError(f"{contender.name}: {weights.size} weights, {found}; not {wanted}")
