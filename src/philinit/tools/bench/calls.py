# SPDX-License-Identifier: Apache-2.0
"""How each contender is called, as its users would; only a child process imports this.

A function here takes a `Task` and returns the call to time. Seeds are fixed, so that a check that
passes once passes always.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit import initializers
from philinit.checks import Progress
from philinit.distributions import Uniform
from philinit.dtypes import as_dtype
from philinit.filling.memory import empty
from philinit.tools.bench.contenders import Refused
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.clock import Call
from philinit.tools.measure.machine import cpus
from philinit.tools.measure.memory import memset as _memset

SEED = 42


@dataclass(frozen=True)
class Task:
    """What a contender is asked for.

    function: what it calls for this work.
    out: resident memory to write; None for a new tensor at each call, whose pages may have to come
        from the operating system.
    threads, progress: philinit's and memset's alone.
    """

    work: Work
    function: str
    out: np.ndarray[Any, Any] | None = None
    seed: int = SEED
    threads: int | None = None
    progress: Progress | None = None

    @property
    def last(self) -> str:
        """The name of the function without those of its modules."""
        return self.function.rpartition(".")[2]


# ---------------------------------------------------------------------------- memset, philinit


def memset(task: Task) -> Call:
    """All bytes of the tensor."""
    threads, nbytes = cpus(task.threads), task.work.nbytes
    if task.out is None:
        return lambda: _memset(empty((nbytes,), np.dtype(np.uint8)), threads)
    memory = task.out.reshape(-1).view(np.uint8)
    return lambda: _memset(memory, threads)


def initializer(task: Task, sampler: str = "native") -> Any:
    """philinit's initializer for this work."""
    kind = getattr(initializers, task.last)
    return kind(*task.work.arguments, seed=task.seed, sampler=sampler)


def philinit(task: Task, sampler: str = "native") -> Call:
    """An array, or resident memory."""
    init, work, out = initializer(task, sampler), task.work, task.out
    return (lambda: init(work.shape, work.dtype)) if out is None else (lambda: init.fill(out))


def variable(task: Task, sampler: str = "native") -> Call:
    """A tf.Variable."""
    import philinit.tensorflow as pit

    init, work = initializer(task, sampler), task.work
    return lambda: pit.variable(
        init, work.shape, dtype=work.dtype, threads=task.threads, progress=task.progress
    )


# ---------------------------------------------------------------------------- TensorFlow, Keras


def tensorflow(task: Task) -> Call:
    """tf.random, with TensorFlow's global seed."""
    import tensorflow as tf

    tf.random.set_seed(task.seed)
    draw, work = getattr(tf.random, task.last), task.work
    return lambda: draw(work.shape, *work.ends, dtype=work.dtype)


def stateless(task: Task) -> Call:
    """tf.random.stateless_*."""
    import tensorflow as tf

    draw, seed, work = getattr(tf.random, task.last), tf.constant([task.seed, 0]), task.work
    return lambda: draw(work.shape, seed, *work.ends, dtype=work.dtype)


def keras(task: Task) -> Call:
    """Keras's initializers."""
    from keras import initializers as theirs

    init = getattr(theirs, task.last)(*task.work.arguments, seed=task.seed)
    return lambda: init(task.work.shape, dtype=task.work.dtype)


# ---------------------------------------------------------------------------- torch, JAX


def torch(task: Task) -> Call:
    """torch.nn.init, which writes a tensor, new or not."""
    import torch as library

    library.manual_seed(task.seed)
    work = task.work
    draw, numbers = getattr(library.nn.init, task.last), work.ends
    if work.distribution_name == "truncated normal":  # its bounds are not in units of stddev
        numbers = (*numbers, *work.distribution.support())  # type: ignore[assignment]
    dtype = getattr(library, work.dtype)
    if task.out is None:
        return lambda: draw(library.empty(work.shape, dtype=dtype), *numbers)
    words = task.out.view(np.int16) if work.dtype == "bfloat16" else task.out  # not NumPy's own
    tensor = library.from_numpy(words).view(dtype)
    return lambda: draw(tensor, *numbers)


def jax(task: Task, generator: str) -> Call:
    """jax.random, compiled."""
    import jax as library

    (first, second), shape, dtype = task.work.ends, task.work.shape, task.work.dtype
    random = library.random
    if task.work.distribution_name == "uniform":
        draw = lambda key: random.uniform(key, shape, dtype, first, second)  # noqa: E731
    elif task.work.distribution_name == "normal":
        draw = lambda key: first + second * random.normal(key, shape, dtype)  # noqa: E731
    else:
        draw = lambda key: (  # noqa: E731
            first + second * random.truncated_normal(key, -2, 2, shape, dtype)
        )
    key, compiled = random.key(task.seed, impl=generator), library.jit(draw)
    return lambda: compiled(key).block_until_ready()


# ---------------------------------------------------------------------------- NumPy, CuPy


def _scaled(work: Work, out: Any) -> Any:
    """The work's distribution from the unit's, in place."""
    first, second = work.ends
    uniform = isinstance(work.distribution, Uniform)
    out *= second - first if uniform else second
    if first:
        out += first
    return out


def numpy(task: Task) -> Call:
    """NumPy's fastest generator of its own."""
    draw = getattr(np.random.Generator(np.random.SFC64(task.seed)), task.last)
    work, out = task.work, task.out
    if out is None:
        return lambda: _scaled(work, draw(work.shape, work.dtype))
    return lambda: _scaled(work, draw(dtype=work.dtype, out=out))


def cupy(task: Task) -> Call:
    """CuPy's Philox."""
    import cupy as library

    _need_device()
    generator = library.random.Generator(library.random.Philox4x3210(task.seed))
    draw, work = getattr(generator, task.last), task.work
    return _finished(lambda: _scaled(work, draw(work.shape, dtype=work.dtype)))


def cuda(task: Task) -> Call:
    """philinit on a GPU."""
    _need_device()
    init, work = initializer(task), task.work
    return _finished(lambda: init(work.shape, work.dtype, device="cuda"))


def _finished(call: Call) -> Call:
    """The call, and the end of what it has launched."""
    import cupy as library

    def finished() -> Any:
        made = call()
        library.cuda.get_current_stream().synchronize()
        return made

    return finished


def _need_device() -> None:
    from philinit.filling.cuda import memory

    try:
        memory.device_count()
    except (ImportError, RuntimeError) as error:
        raise Refused(f"no CUDA device: {error}") from error


# ---------------------------------------------------------------------------- the list

CALLS: dict[str, Callable[[Task], Call]] = {
    "memset": memset,
    "philinit": philinit,
    "philinit, TensorFlow's bits": functools.partial(philinit, sampler="tensorflow"),
    "philinit, tf.Variable": variable,
    "tf.random": tensorflow,
    "tf.random.stateless": stateless,
    "Keras": keras,
    "torch": torch,
    "JAX": functools.partial(jax, generator="threefry2x32"),
    "JAX, rbg": functools.partial(jax, generator="rbg"),
    "NumPy, SFC64": numpy,
    "philinit, CUDA": cuda,
    "CuPy, Philox": cupy,
}


def weights_of(made: Any) -> np.ndarray[Any, Any]:
    """The result of a call as a flat ndarray, aliased: arrays, tensors, variables."""
    if hasattr(made, "read_value"):
        made = made.read_value()
    if type(made).__module__.partition(".")[0] == "torch":
        import torch as library

        made = made.detach()
        if made.dtype is library.bfloat16:
            words = np.asarray(made.view(library.int16))
            return words.reshape(-1).view(as_dtype("bfloat16"))
        return np.asarray(made).reshape(-1)
    if hasattr(made, "get"):  # CuPy's: copied, where it is checked only
        made = made.get()
    return np.asarray(made.__array__()).reshape(-1)
