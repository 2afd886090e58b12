# SPDX-License-Identifier: Apache-2.0
"""Who fills a GPU's memory in bench_gpu.py: philinit, CuPy, cuRAND, torch, JAX, TensorFlow, memset.

Work on CuPy's current stream is timed by two events on it. TensorFlow and JAX have streams of their
own, where events of others measure nothing, and a whole call is more than its kernel: those have a
`wait`, and are timed by the host's clock until it returns.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import philinit as pi
from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform

KEY = pi.Key.from_seed(42)
DRAWN: dict[str, Distribution] = {
    "uniform": Uniform(-0.05, 0.05),
    "truncated normal": TruncatedNormal(0.0, 0.02),
    "normal": Normal(0.0, 0.02),
}
PHILOX4_32_10 = 161  # CURAND_RNG_PSEUDO_PHILOX4_32_10
TABLE = (1 << 25, 128)  # of which rows are taken by number

Call = Callable[[], Any]


class Contender(NamedTuple):
    """A call that fills one buffer, or one of its size."""

    name: str
    call: Call
    wait: Call | None = None  # for all calls, by the host; None: device events tell
    memory: str = "in place"


def memset(cupy: Any, out: Any) -> Call:
    """cudaMemsetAsync of the byte 0x5A: not of 0, which some devices write compressed."""
    stream, runtime = cupy.cuda.get_current_stream().ptr, cupy.cuda.runtime
    return lambda: runtime.memsetAsync(out.data.ptr, 0x5A, out.nbytes, stream)


def ours(cupy: Any, what: str, out: Any) -> Iterator[Contender]:
    """philinit: consecutive weights, boxes of a wide tensor, and rows by number."""
    drawn = DRAWN[what]
    yield Contender("philinit", lambda: pi.fill(out, drawn, KEY))
    for name, part in parts_of(cupy, out.size):
        call = functools.partial(pi.fill, out.reshape(part.shape), drawn, KEY, shard=part)
        yield Contender(f"philinit, {name}", call)
    ids, rows = _ids(out.size), out.reshape(-1, TABLE[1])

    def whole() -> None:
        pi.fill(rows, drawn, KEY, shard=pi.Rows(TABLE, ids))

    wait = cupy.cuda.Device().synchronize
    yield Contender("philinit, rows of 128, ids checked and copied", whole, wait)


def parts_of(cupy: Any, count: int) -> Iterator[tuple[str, Any]]:
    """Parts of `count` weights: columns of a table of 2^20, and rows of a table of 2^32 weights."""
    for width, first in ((16, 16), (128, 128), (128, 129), (1024, 1024)):
        box = pi.Shard((count // width, 1 << 20), (slice(None), slice(first, first + width)))
        odd = ", from an odd column on" if first % 4 else ""
        yield f"boxes {width} wide{odd}", box
    yield "rows of 128, ids there", pi.Rows(TABLE, cupy.asarray(_ids(count)))


def _ids(count: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).integers(0, TABLE[0], count // TABLE[1])


def cupy_calls(cupy: Any, what: str, out: Any) -> Iterator[Contender]:
    """CuPy's old interface (cuRAND's default generator) and its Generator over Philox."""
    if out.dtype.name not in ("float32", "float64") or what == "truncated normal":
        return
    size, dtype = out.shape, out.dtype
    philox = cupy.random.Generator(cupy.random.Philox4x3210(42))
    if what == "uniform":
        old, new = cupy.random.random_sample, philox.random
    else:
        old, new = cupy.random.standard_normal, philox.standard_normal
    yield Contender("cupy.random", lambda: old(size, dtype=dtype), memory="new")
    yield Contender("cupy.random.Generator", lambda: new(size, dtype=dtype, out=out))


def curand_calls(cupy: Any, what: str, out: Any) -> Iterator[Contender]:
    """cuRAND's host API with PHILOX4_32_10."""
    if out.dtype.name not in ("float32", "float64") or what == "truncated normal":
        return
    curand = cupy.cuda.curand
    generator = curand.createGenerator(PHILOX4_32_10)
    curand.setStream(generator, cupy.cuda.get_current_stream().ptr)
    curand.setPseudoRandomGeneratorSeed(generator, 42)
    double = "Double" if out.dtype.name == "float64" else ""
    name = f"generate{'Uniform' if what == 'uniform' else 'Normal'}{double}"
    moments = () if what == "uniform" else (0.0, 0.02)
    call = functools.partial(getattr(curand, name), generator, out.data.ptr, out.size, *moments)
    try:
        yield Contender("cuRAND PHILOX4_32_10", call)
    finally:
        curand.destroyGenerator(generator)


def torch_calls(cupy: Any, what: str, out: Any) -> Iterator[Contender]:
    """torch's in-place methods, on the same memory and stream."""
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return
    tensor = torch.from_dlpack(out)
    call = {
        "uniform": lambda: tensor.uniform_(-0.05, 0.05),
        "normal": lambda: tensor.normal_(0.0, 0.02),
        "truncated normal": lambda: torch.nn.init.trunc_normal_(tensor, 0.0, 0.02, -0.04, 0.04),
    }[what]
    yield Contender("torch", call)


def jax_calls(cupy: Any, what: str, out: Any) -> Iterator[Contender]:
    """JAX's functions, compiled, with its default generator (threefry) and with "rbg" (Philox)."""
    jax = importlib.import_module("jax")
    if jax.devices()[0].platform != "gpu" or out.dtype.name == "float64":  # needs another mode
        return
    shape, dtype, draw = out.shape, out.dtype, jax.random
    function = {
        "uniform": lambda key: draw.uniform(key, shape, dtype, -0.05, 0.05),
        "normal": lambda key: 0.02 * draw.normal(key, shape, dtype),
        "truncated normal": lambda key: 0.02 * draw.truncated_normal(key, -2.0, 2.0, shape, dtype),
    }[what]
    for generator in ("threefry2x32", "rbg"):
        made: list[Any] = []
        key, compiled = draw.key(42, impl=generator), jax.jit(function)

        def call(
            made: list[Any] = made, compiled: Any = compiled, key: Any = key
        ) -> None:  # of this turn of the loop
            made[:] = [compiled(key)]

        wait = functools.partial(jax.block_until_ready, made)
        yield Contender(f"JAX {generator}", call, wait, "new")


def tensorflow_calls(cupy: Any, what: str, out: Any) -> Iterator[Contender]:
    """TensorFlow's ops, which make new tensors."""
    tf = importlib.import_module("tensorflow")
    if not tf.config.list_logical_devices("GPU"):
        return
    op = {
        "uniform": tf.random.uniform,
        "normal": tf.random.normal,
        "truncated normal": tf.random.truncated_normal,
    }[what]
    shape, dtype = tuple(out.shape), tf.as_dtype(out.dtype)

    def call() -> None:
        with tf.device("GPU:0"):
            op(shape, dtype=dtype)

    yield Contender("TensorFlow", call, tf.test.experimental.sync_devices, "new")


PEERS = (cupy_calls, curand_calls, torch_calls, jax_calls, tensorflow_calls)


def contenders(
    cupy: Any, what: str, out: Any, peers: bool, say: Callable[[str], None]
) -> Iterator[Contender]:
    """All that can run here; one that cannot be had is a line, not the end."""
    yield from ours(cupy, what, out)
    for calls in PEERS if peers else ():
        try:
            yield from calls(cupy, what, out)
        except Exception as error:  # a library that is missing, or cannot be loaded
            said = str(error).partition("\n")[0]
            say(f"{calls.__name__.removesuffix('_calls')}: left out: {said}")
