# SPDX-License-Identifier: Apache-2.0
"""Who is timed: philinit, its peers and memset, each as a user would call it.

`new` makes a new tensor at each call, whose pages may have to come from the operating system;
`resident` writes again into memory that has been written before. Both return the call to time.
Seeds are fixed, so that a check that passes once passes always.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import philinit as pi
from philinit.distributions import Uniform
from philinit.filling.memory import empty
from philinit.tools.bench.workloads import Work
from philinit.tools.measure.measuring import cpus, split_memset

SEED = 42
ALONE = 1 << 21  # bytes: below it one thread of memset is done before a second one has woken up
FLOATS = ("float32", "float64", "float16", "bfloat16")
INSTALL = {"tensorflow": "tensorflow", "cupy": "philinit[cuda12]"}

Call = Callable[[], Any]  # makes the weights and returns them
New = Callable[[Work, str], Call]  # of a work and what its op is called
Resident = Callable[[Work, str, np.ndarray[Any, Any]], Call]  # also of the memory to write


class Refused(Exception):  # noqa: N818 - a reason why somebody is left out, not an error
    """A contender cannot do a work here; the message is the reason."""


class Failed(Refused):
    """It should have been able to: it raised, died, or made something else."""


@dataclass(frozen=True)
class Contender:
    """One way to make weights.

    ops: by the rule or the kind of a law, what is called; without an entry it has no such law.
    host: the process that it shares with others of its library.
    """

    name: str
    library: str
    host: str
    ops: Mapping[str, str]
    new: New
    resident: Resident | None = None
    needs: tuple[str, ...] = field(default=(), kw_only=True)
    dtypes: tuple[str, ...] = field(default=FLOATS, kw_only=True)

    @property
    def peer(self) -> bool:
        """Whether it is somebody else's."""
        return self.library not in ("philinit", "memset")

    @property
    def coarse(self) -> bool:
        """Whether it draws as few levels as the dtype has, so that the mean may be one off."""
        return self.peer or self.name == "philinit, TensorFlow's bits"

    @property
    def keeps(self) -> bool:
        """Whether its library keeps freed memory for itself."""
        return self.host in ("tensorflow", "jax")

    @property
    def peak(self) -> int:
        """Tensors in this machine's memory while it works, at most."""
        return {"tensorflow": 3, "keras": 3, "jax": 4, "cupy": 0}.get(self.library, 1)

    def op(self, work: Work) -> str:
        """What it calls for this work.

        Raises
        ------
        Refused
            It has no such law or dtype.
        """
        name = self.ops.get(work.rule) or self.ops.get(work.kind)
        if name is None:
            raise Refused(f"has no {work.kind}")
        if work.dtype not in self.dtypes:
            raise Refused(f"has no {work.dtype}")
        return name

    def title(self, work: Work) -> str:
        """What tables call it."""
        own = self.name.partition(", ")[2]
        return f"{self.op(work)}, {own}" if own else self.op(work)

    def missing(self) -> str | None:
        """What is not installed, with the line that mends it; None where all is there."""
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                return f'{module} is not installed: pip install "{INSTALL.get(module, module)}"'
        return None


def _last(op: str) -> str:
    return op.rpartition(".")[2]


# ---------------------------------------------------------------------------- memset, philinit


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cpus(None))


def _memset(memory: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if memory.nbytes < ALONE:
        ctypes.memset(memory.ctypes.data, 0x5A, memory.nbytes)
        return memory
    return split_memset(memory, _pool(), cpus(None))


def _memset_new(work: Work, op: str) -> Call:
    return lambda: _memset(empty((work.nbytes,), np.dtype(np.uint8)))


def _memset_resident(work: Work, op: str, out: np.ndarray[Any, Any]) -> Call:
    memory = out.reshape(-1).view(np.uint8)
    return lambda: _memset(memory)


def rule(work: Work, op: str, sampler: str = "native") -> Any:
    """philinit's initializer for this work."""
    numbers = () if work.rule in ("glorot_uniform", "he_normal") else work.numbers
    return getattr(pi, _last(op))(*numbers, seed=SEED, sampler=sampler)


def _philinit(sampler: str) -> tuple[New, Resident]:
    def new(work: Work, op: str) -> Call:
        init = rule(work, op, sampler)
        return lambda: init(work.shape, work.dtype)

    def resident(work: Work, op: str, out: np.ndarray[Any, Any]) -> Call:
        init = rule(work, op, sampler)
        return lambda: init.fill(out)

    return new, resident


def _philinit_variable(work: Work, op: str) -> Call:
    import philinit.tensorflow as pit

    init = rule(work, op)
    return lambda: pit.variable(init, work.shape, dtype=work.dtype)


# ---------------------------------------------------------------------------- TensorFlow, Keras


def _tensorflow(work: Work, op: str) -> Call:
    import tensorflow as tf

    tf.random.set_seed(SEED)
    draw = getattr(tf.random, _last(op))
    return lambda: draw(work.shape, *work.ends, dtype=work.dtype)


def _tensorflow_stateless(work: Work, op: str) -> Call:
    import tensorflow as tf

    draw, seed = getattr(tf.random, _last(op)), tf.constant([SEED, 0])
    return lambda: draw(work.shape, seed, *work.ends, dtype=work.dtype)


def _keras(work: Work, op: str) -> Call:
    import keras

    numbers = () if work.rule in ("glorot_uniform", "he_normal") else work.numbers
    init = getattr(keras.initializers, _last(op))(*numbers, seed=SEED)
    return lambda: init(work.shape, dtype=work.dtype)


# ---------------------------------------------------------------------------- torch, JAX


def _torch_draw(work: Work, op: str) -> Callable[[Any], Any]:
    import torch

    torch.manual_seed(SEED)
    draw, numbers = getattr(torch.nn.init, _last(op)), work.ends
    if work.kind == "truncated normal":  # torch's bounds are not in units of stddev
        numbers = (*numbers, *work.law.support())  # type: ignore[assignment]
    return lambda tensor: draw(tensor, *numbers)


def _torch_new(work: Work, op: str) -> Call:
    import torch

    draw, dtype = _torch_draw(work, op), getattr(torch, work.dtype)
    return lambda: draw(torch.empty(work.shape, dtype=dtype))


def _torch_resident(work: Work, op: str, out: np.ndarray[Any, Any]) -> Call:
    import torch

    draw = _torch_draw(work, op)
    words = out.view(np.int16) if work.dtype == "bfloat16" else out  # NumPy has no bfloat16
    tensor = torch.from_numpy(words).view(getattr(torch, work.dtype))
    return lambda: draw(tensor)


def _jax(kind: str) -> New:
    def new(work: Work, op: str) -> Call:
        import jax

        first, second = work.ends
        shape, dtype = work.shape, work.dtype
        if work.kind == "uniform":
            draw = lambda key: jax.random.uniform(key, shape, dtype, first, second)  # noqa: E731
        elif work.kind == "normal":
            draw = lambda key: first + second * jax.random.normal(key, shape, dtype)  # noqa: E731
        else:
            draw = lambda key: (  # noqa: E731
                first + second * jax.random.truncated_normal(key, -2, 2, shape, dtype)
            )
        key, compiled = jax.random.key(SEED, impl=kind), jax.jit(draw)
        return lambda: compiled(key).block_until_ready()

    return new


# ---------------------------------------------------------------------------- NumPy, CuPy


def _numpy_scale(work: Work, out: Any) -> Any:
    """The work's law from the unit's, in place."""
    if isinstance(work.law, Uniform):
        low, high = work.ends
        out *= high - low
        out += low
        return out
    mean, stddev = work.ends
    out *= stddev
    if mean:
        out += mean
    return out


def _numpy_new(work: Work, op: str) -> Call:
    draw = getattr(np.random.Generator(np.random.SFC64(SEED)), _last(op))
    return lambda: _numpy_scale(work, draw(work.shape, work.dtype))


def _numpy_resident(work: Work, op: str, out: np.ndarray[Any, Any]) -> Call:
    draw = getattr(np.random.Generator(np.random.SFC64(SEED)), _last(op))
    return lambda: _numpy_scale(work, draw(dtype=work.dtype, out=out))


def _cupy(work: Work, op: str) -> Call:
    import cupy

    _need_device()
    draw = getattr(cupy.random.Generator(cupy.random.Philox4x3210(SEED)), _last(op))

    def call() -> Any:
        made = _numpy_scale(work, draw(work.shape, dtype=work.dtype))
        cupy.cuda.get_current_stream().synchronize()
        return made

    return call


def _philinit_cuda(work: Work, op: str) -> Call:
    import cupy

    _need_device()
    init = rule(work, op)

    def call() -> Any:
        made = init(work.shape, work.dtype, device="cuda")
        cupy.cuda.get_current_stream().synchronize()
        return made

    return call


def _need_device() -> None:
    from philinit.tools.selftest import cases as _selftest

    devices, why = _selftest.devices()
    if "cuda:0" not in devices:
        raise Refused(f"no CUDA device: {why}")


# ---------------------------------------------------------------------------- the list


def _ops(
    prefix: str, uniform: str, normal: str, truncated: str = "", **more: str
) -> dict[str, str]:
    found = {"uniform": uniform, "normal": normal, "truncated normal": truncated, **more}
    return {kind: prefix + name for kind, name in found.items() if name}


_RULES = {"glorot_uniform": "GlorotUniform", "he_normal": "HeNormal"}
_OWN = _ops("philinit.", "Uniform", "Normal", "TruncatedNormal", **_RULES)
_KERAS = _ops("keras.initializers.", "RandomUniform", "RandomNormal", "TruncatedNormal", **_RULES)
_TF = _ops("tf.random.", "uniform", "normal", "truncated_normal")
_STATELESS = _ops(
    "tf.random.", "stateless_uniform", "stateless_normal", "stateless_truncated_normal"
)
_TORCH = _ops("torch.nn.init.", "uniform_", "normal_", "trunc_normal_")
_JAX = _ops("jax.random.", "uniform", "normal", "truncated_normal")
_NUMPY = _ops("numpy Generator.", "random", "standard_normal")
_CUPY = _ops("cupy Generator.", "random", "standard_normal")
_BYTES = dict.fromkeys(_OWN, "memset")
_NO_X64 = ("float32", "float16", "bfloat16")  # JAX has no float64 unless it is told to
_WIDE = ("float32", "float64")
_IN_TF, _IN_JAX, _IN_CUPY = ("tensorflow",), ("jax",), ("cupy",)

_LIST = (
    Contender("memset", "memset", "numpy", _BYTES, _memset_new, _memset_resident),
    Contender("philinit", "philinit", "numpy", _OWN, *_philinit("native")),
    Contender("philinit, TensorFlow's bits", "philinit", "numpy", _OWN, *_philinit("tensorflow")),
    Contender(
        "philinit, tf.Variable", "philinit", "tensorflow", _OWN, _philinit_variable, needs=_IN_TF
    ),
    Contender("tf.random", "tensorflow", "tensorflow", _TF, _tensorflow, needs=_IN_TF),
    Contender(
        "tf.random.stateless",
        "tensorflow",
        "tensorflow",
        _STATELESS,
        _tensorflow_stateless,
        needs=_IN_TF,
    ),
    Contender("Keras", "keras", "tensorflow", _KERAS, _keras, needs=("keras", *_IN_TF)),
    Contender("torch", "torch", "torch", _TORCH, _torch_new, _torch_resident, needs=("torch",)),
    Contender("JAX", "jax", "jax", _JAX, _jax("threefry2x32"), needs=_IN_JAX, dtypes=_NO_X64),
    Contender("JAX, rbg", "jax", "jax", _JAX, _jax("rbg"), needs=_IN_JAX, dtypes=_NO_X64),
    Contender("NumPy, SFC64", "numpy", "numpy", _NUMPY, _numpy_new, _numpy_resident, dtypes=_WIDE),
    Contender("philinit, CUDA", "philinit", "cupy", _OWN, _philinit_cuda, needs=_IN_CUPY),
    Contender("CuPy, Philox", "cupy", "cupy", _CUPY, _cupy, needs=_IN_CUPY, dtypes=_WIDE),
)
CONTENDERS = {contender.name: contender for contender in _LIST}


def weights_of(made: Any) -> np.ndarray[Any, Any]:
    """The result of a call as a flat ndarray, aliased: arrays, tensors, variables."""
    if hasattr(made, "read_value"):
        made = made.read_value()
    if type(made).__module__.partition(".")[0] == "torch":
        import torch

        plain = made.detach()
        if plain.dtype is torch.bfloat16:
            from philinit.dtypes import as_dtype

            return np.asarray(plain.view(torch.int16)).reshape(-1).view(as_dtype("bfloat16"))
        return np.asarray(plain).reshape(-1)
    if hasattr(made, "get"):  # CuPy's: copied, where it is checked only
        made = made.get()
    return np.asarray(made.__array__()).reshape(-1)
