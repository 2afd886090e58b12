# SPDX-License-Identifier: Apache-2.0
"""One tensor of a file of weights: any run of its elements, made from its description alone."""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from philinit.checks import as_shape, one_of, shown
from philinit.distributions import Distribution
from philinit.dtypes import NAMES, as_dtype
from philinit.filling.fill import draw
from philinit.initializers.base import Array, Initializer
from philinit.initializers.config import describe, described
from philinit.keys import Key
from philinit.parts import Shard
from philinit.targets import Target


class Stored(NamedTuple):
    """A tensor of a file that exists, and where it lies."""

    name: str  # "" in .npy
    shape: tuple[int, ...]
    dtype: str  # as philinit calls it; what philinit has not, as the file calls it
    start: int  # byte in the file
    nbytes: int


def indices(shape: tuple[int, ...], start: int, stop: int) -> Iterator[tuple[int | slice, ...]]:
    """Parts that hold, one after the other, elements [start, stop) of an array in C order."""
    if len(shape) < 2:
        yield (slice(start, stop),) if shape else ()
        return
    inner = math.prod(shape[1:])
    (first, skip), (last, rest) = divmod(start, inner), divmod(stop, inner)
    if first == last:
        yield from ((first, *index) for index in indices(shape[1:], skip, rest))
        return
    if skip:
        yield from ((first, *index) for index in indices(shape[1:], skip, inner))
        first += 1
    if first < last:
        yield (slice(first, last),)
    if rest:
        yield from ((last, *index) for index in indices(shape[1:], 0, rest))


@dataclass(frozen=True)
class Tensor:
    """One tensor of a file: its name there ("" in .npy), who draws it, its shape and dtype.

    Raises
    ------
    TypeError, ValueError
        When made: whatever the initializer would refuse to fill.
    """

    name: str
    init: Initializer
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", as_shape(self.shape))
        object.__setattr__(self, "dtype", as_dtype(self.dtype))
        if self.nbytes >= 1 << 63:
            raise ValueError(
                f"a file must hold less than 2**63 bytes; got shape={shown(self.shape)}"
            )
        self.init._check(self.shape, self.dtype)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.size * self.dtype.itemsize

    @property
    def in_pieces(self) -> bool:
        """Whether a piece can be made without the whole."""
        return self.init.elementwise

    def stream(self) -> tuple[Distribution, Key, str] | None:
        """(distribution, key, sampler) of which the elements are the weights; None for others."""
        distribution, key = self.init.distribution_for(self.shape), self.init.key
        if distribution is None or key is None:
            return None
        return distribution, key, getattr(self.init, "sampler", "native")

    def write(self, out: Array, offset: int, threads: int | None = None) -> None:
        """Elements `offset`, `offset + 1`, ... in C order into `out`, an array of one axis."""
        stream = self.stream()
        if stream is not None:
            draw(Target(out, out.shape, None, threads), *stream, offset)
        elif self.in_pieces:
            done = 0
            for index in indices(self.shape, offset, offset + out.size):
                part = Shard(self.shape, index)
                view = out[done : done + part.size].reshape(part.shape)
                self.init._write(Target(view, self.shape, part, threads))
                done += part.size
        else:
            with _whole_lock:  # else each thread of a verification would make its own
                whole = _whole(self)
            out[:] = whole[offset : offset + out.size]

    def describe(self) -> dict[str, Any]:
        """Everything about the tensor, for JSON; `from_description` makes it again."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
            **describe(self.init),
        }

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> Tensor:
        """The tensor that `describe` described."""
        config = dict(description)
        name, shape, dtype = (config.pop(key) for key in ("name", "shape", "dtype"))
        return cls(
            name, described(config), as_shape(shape), as_dtype(one_of("dtype", dtype, NAMES))
        )


_whole_lock = threading.Lock()


@functools.lru_cache(maxsize=1)
def _whole(tensor: Tensor) -> Array:
    weights: Array = tensor.init(tensor.shape, tensor.dtype)
    return weights.reshape(-1)
