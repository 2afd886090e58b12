# SPDX-License-Identifier: Apache-2.0
"""Who is timed: philinit, its peers and memset. How they are called stands in `calls`."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field

from philinit.dtypes import NAMES, WIDER
from philinit.tools.bench.workloads import Work

INSTALL = {"tensorflow": "tensorflow", "cupy": "philinit[cuda12]"}


class Refused(Exception):  # noqa: N818 - a reason why somebody is left out, not an error
    """A contender cannot do a work here; the message is the reason."""


class Failed(Refused):
    """It should have been able to: it raised, died, or made something else."""


@dataclass(frozen=True)
class Contender:
    """One way to make weights.

    functions: by initializer or distribution, what is called; who has no entry cannot do it.
    host: the process that it shares with others of its library.
    writes: whether it can also write again into resident memory.
    """

    name: str
    library: str
    host: str
    functions: Mapping[str, str]
    writes: bool = False
    needs: tuple[str, ...] = field(default=(), kw_only=True)
    dtypes: tuple[str, ...] = field(default=WIDER, kw_only=True)

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

    def function(self, work: Work) -> str:
        """What it calls for this work.

        Raises
        ------
        Refused
            It has no such distribution or dtype.
        """
        name = self.functions.get(work.init) or self.functions.get(work.distribution_name)
        if name is None:
            raise Refused(f"has no {work.distribution_name}")
        if work.dtype not in self.dtypes:
            raise Refused(f"has no {work.dtype}")
        return name

    def title(self, work: Work) -> str:
        """What tables call it."""
        own = self.name.partition(", ")[2]
        return f"{self.function(work)}, {own}" if own else self.function(work)

    def missing(self) -> str | None:
        """What is not installed, with the command that installs it; None where all is there."""
        for module in self.needs:
            if importlib.util.find_spec(module) is None:
                return f'{module} is not installed: pip install "{INSTALL.get(module, module)}"'
        return None


def _functions(
    prefix: str, uniform: str, normal: str, truncated: str = "", **more: str
) -> dict[str, str]:
    found = {"uniform": uniform, "normal": normal, "truncated normal": truncated, **more}
    return {key: prefix + name for key, name in found.items() if name}


_BY_FANS = {"glorot_uniform": "GlorotUniform", "he_normal": "HeNormal"}
_OWN = _functions("philinit.", "Uniform", "Normal", "TruncatedNormal", **_BY_FANS)
_KERAS = _functions(
    "keras.initializers.", "RandomUniform", "RandomNormal", "TruncatedNormal", **_BY_FANS
)
_TF = _functions("tf.random.", "uniform", "normal", "truncated_normal")
_STATELESS = _functions(
    "tf.random.", "stateless_uniform", "stateless_normal", "stateless_truncated_normal"
)
_TORCH = _functions("torch.nn.init.", "uniform_", "normal_", "trunc_normal_")
_JAX = _functions("jax.random.", "uniform", "normal", "truncated_normal")
_NUMPY = _functions("numpy Generator.", "random", "standard_normal")
_CUPY = _functions("cupy Generator.", "random", "standard_normal")
_BYTES = dict.fromkeys(_OWN, "memset")
_NO_X64 = ("float32", "float16", "bfloat16")  # JAX has no float64 unless it is told to
_WIDE = ("float32", "float64")
_IN_TF, _IN_JAX, _IN_CUPY = ("tensorflow",), ("jax",), ("cupy",)
_TF_HOST = ("tensorflow", "tensorflow")

_LIST = (
    Contender("memset", "memset", "numpy", _BYTES, writes=True, dtypes=NAMES),
    Contender("philinit", "philinit", "numpy", _OWN, writes=True, dtypes=NAMES),
    Contender("philinit, TensorFlow's bits", "philinit", "numpy", _OWN, writes=True),
    Contender("philinit, tf.Variable", "philinit", "tensorflow", _OWN, needs=_IN_TF),
    Contender("tf.random", *_TF_HOST, _TF, needs=_IN_TF),
    Contender("tf.random.stateless", *_TF_HOST, _STATELESS, needs=_IN_TF),
    Contender("Keras", "keras", "tensorflow", _KERAS, needs=("keras", *_IN_TF)),
    Contender("torch", "torch", "torch", _TORCH, writes=True, needs=("torch",)),
    Contender("JAX", "jax", "jax", _JAX, needs=_IN_JAX, dtypes=_NO_X64),
    Contender("JAX, rbg", "jax", "jax", _JAX, needs=_IN_JAX, dtypes=_NO_X64),
    Contender("NumPy, SFC64", "numpy", "numpy", _NUMPY, writes=True, dtypes=_WIDE),
    Contender("philinit, CUDA", "philinit", "cupy", _OWN, needs=_IN_CUPY),
    Contender("CuPy, Philox", "cupy", "cupy", _CUPY, needs=_IN_CUPY, dtypes=_WIDE),
)
CONTENDERS = {contender.name: contender for contender in _LIST}
