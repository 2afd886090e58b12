# SPDX-License-Identifier: Apache-2.0
"""Weights inside compiled programs by a callback of JAX's, where XLA cannot call us itself."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from philinit.initializers.base import Array
from philinit.jax.handlers import Source


@dataclass(frozen=True)
class Callback:
    """The function that JAX calls back; equal ones are one to its caches.

    The weights travel as unsigned integers: where XLA spreads them over devices by adding zeros
    to them, floating point would make 0.0 of -0.0. Two of 32 bits make a float64, since the thread
    that calls back need not be in the 64-bit mode of the one that traces.
    """

    source: Source
    shape: tuple[int, ...]
    part: tuple[int, ...]  # the shape of each part; the shape itself where there is one
    dtype: np.dtype[Any]

    @functools.cached_property
    def result(self) -> jax.ShapeDtypeStruct:
        """What it returns."""
        size, pair = self.dtype.itemsize, (2,) if self.dtype.itemsize == 8 else ()
        return jax.ShapeDtypeStruct(self.part + pair, np.dtype(f"u{min(size, 4)}"))

    def __call__(self, words: Any, position: Any) -> Array:
        """The part that is number ``position[axis]`` on each axis."""
        index = None
        if self.part != self.shape:
            first = [int(p) * n for p, n in zip(np.asarray(position), self.part, strict=True)]
            index = tuple(slice(s, s + n) for s, n in zip(first, self.part, strict=True))
        init = self.source(np.asarray(words).tolist())
        weights = init(self.shape, self.dtype, shard=index).reshape(-1)
        bits: Array = weights.view(self.result.dtype).reshape(self.result.shape)
        return bits

    def staged(self, words: Any, position: Any) -> jax.Array:
        """The call as an operation of JAX."""
        bits = jax.pure_callback(self, self.result, words, position, vmap_method="sequential")
        return jax.lax.bitcast_convert_type(bits, self.dtype)
