# SPDX-License-Identifier: Apache-2.0
"""What is made in a benchmark: tensors of real models by name, each with its distribution."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype

PLAIN: dict[str, type[Distribution]] = {
    "uniform": Uniform,
    "normal": Normal,
    "truncated_normal": TruncatedNormal,
}


@dataclass(frozen=True)
class Work:
    """One tensor that everybody is asked for.

    `init` is "glorot_uniform" or "he_normal", whose distribution follows from the fans, or
    "uniform" (low, high), "normal" or "truncated_normal" (mean, stddev; cut at +-2), whose
    distribution is `numbers`.
    """

    init: str
    shape: tuple[int, ...]
    numbers: tuple[float, float] = (0.0, 1.0)
    dtype: str = "float32"

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor."""
        return self.size * as_dtype(self.dtype).itemsize

    @functools.cached_property
    def distribution(self) -> Distribution:
        """What theory says of the weights; not taken from the initializers that are held to it.

        Uniform(+-sqrt(6 / (in + out))), or a normal of variance 2 / in cut at +-2.
        """
        if self.init in PLAIN:
            return PLAIN[self.init](*self.numbers)
        field = math.prod(self.shape[:-2])
        fan_in, fan_out = (length * field for length in self.shape[-2:])
        if self.init == "glorot_uniform":
            limit = math.sqrt(6.0 / (fan_in + fan_out))
            return Uniform(-limit, limit)
        cut = TruncatedNormal().moments()[1]  # stddev of a standard normal cut at +-2: 0.8796
        return TruncatedNormal(0.0, math.sqrt(2.0 / fan_in) / cut)

    @property
    def distribution_name(self) -> str:
        """One of "uniform", "normal" and "truncated normal"."""
        names = {type_: name.replace("_", " ") for name, type_ in PLAIN.items()}
        return names[type(self.distribution)]

    @property
    def arguments(self) -> tuple[float, ...]:
        """What its initializer takes beside the seed."""
        return self.numbers if self.init in PLAIN else ()

    @property
    def ends(self) -> tuple[float, float]:
        """The distribution's numbers as other libraries take them: (low, high), (mean, stddev)."""
        if isinstance(self.distribution, Uniform):
            return self.distribution.low, self.distribution.high
        return self.distribution.mean, self.distribution.stddev

    def part(self, share: int) -> Work:
        """A tensor of a `share`-th of the weights: its longest axis is cut."""
        axis = self.shape.index(max(self.shape))
        cut = max(1, self.shape[axis] // share)
        return replace(self, shape=(*self.shape[:axis], cut, *self.shape[axis + 1 :]))

    def at_most(self, weights: int) -> Work:
        """The tensor, or a part of it of at most `weights` weights, as far as one axis goes."""
        return self.part(max(1, math.ceil(self.size / weights)))


@dataclass(frozen=True)
class Workload:
    """A tensor with a name; `also` are dtypes in which philinit alone makes it as well."""

    name: str
    work: Work
    origin: str
    also: tuple[str, ...] = ()

    def at_most(self, weights: int) -> Workload:
        """The same, of at most `weights` weights."""
        return replace(self, work=self.work.at_most(weights))


# The first three are what G5 speaks of: 1 GiB of each distribution, beyond every cache.
SIDE = 1 << 14
OTHERS = ("bfloat16", "float16", "float64", "float8_e4m3fn")
DLRM_ROWS = 40_000_000
WORKLOADS = [
    Workload("1 GiB uniform", Work("glorot_uniform", (SIDE, SIDE)), "2^28 weights", OTHERS),
    Workload("1 GiB truncated normal", Work("he_normal", (SIDE, SIDE)), "2^28 weights", OTHERS),
    Workload("1 GiB normal", Work("normal", (SIDE, SIDE), (0.0, 0.02)), "2^28 weights", OTHERS),
    Workload("dense 64", Work("glorot_uniform", (64, 64)), "a small layer: the cost of a call"),
    Workload("dense 512", Work("glorot_uniform", (512, 512)), "a layer of 1 MiB"),
    Workload("ResNet conv", Work("he_normal", (3, 3, 512, 512)), "ResNet's last stage"),
    Workload(
        "Llama-3-8B attention",
        Work("truncated_normal", (4096, 4096), (0.0, 0.02)),
        "a query or output projection",
        ("bfloat16",),
    ),
    Workload(
        "Llama-3-8B MLP",
        Work("normal", (4096, 14336), (0.0, 0.02)),
        "a gate or up projection",
        ("bfloat16",),
    ),
    Workload(
        "word embedding",
        Work("uniform", (1_000_000, 1000), (-0.05, 0.05)),
        "a vocabulary of a million, Keras's Embedding",
    ),
    Workload(
        "DLRM table",
        Work("uniform", (DLRM_ROWS, 64), (-(DLRM_ROWS**-0.5), DLRM_ROWS**-0.5)),
        "the largest table of the Criteo models",
    ),
]
