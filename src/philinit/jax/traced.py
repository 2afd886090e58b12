# SPDX-License-Identifier: Apache-2.0
"""Weights inside jax.jit, vmap and eval_shape: a callback to this process, with the same bits."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from philinit.initializers.base import Array, Initializer


def named(init: Initializer, words: Any) -> Initializer:
    """`init` on the key that the words of a JAX key make of its own."""
    return functools.reduce(lambda found, word: found.named(int(word)), np.asarray(words), init)


@dataclass(frozen=True)
class _Callback:
    """The function that JAX calls back; equal ones are one to its caches.

    The weights travel as unsigned integers: where XLA spreads them over devices by adding zeros
    to them, floating point would make 0.0 of -0.0. Two of 32 bits make a float64, since the thread
    that calls back need not be in the 64-bit mode of the one that traces.
    """

    init: Initializer
    shape: tuple[int, ...]
    part: tuple[int, ...]  # the shape of each part; the shape itself where there is one
    dtype: np.dtype[Any]

    @functools.cached_property
    def result(self) -> jax.ShapeDtypeStruct:
        size, pair = self.dtype.itemsize, (2,) if self.dtype.itemsize == 8 else ()
        return jax.ShapeDtypeStruct(self.part + pair, np.dtype(f"u{min(size, 4)}"))

    def __call__(self, words: Any, position: Any) -> Array:
        """The part that is number ``position[axis]`` on each axis."""
        index = None
        if self.part != self.shape:
            first = [int(p) * n for p, n in zip(np.asarray(position), self.part, strict=True)]
            index = tuple(slice(s, s + n) for s, n in zip(first, self.part, strict=True))
        weights = named(self.init, words)(self.shape, self.dtype, shard=index).reshape(-1)
        bits: Array = weights.view(self.result.dtype).reshape(self.result.shape)
        return bits

    def staged(self, words: Any, position: Any) -> jax.Array:
        """The call as an operation of JAX."""
        bits = jax.pure_callback(self, self.result, words, position, vmap_method="sequential")
        return jax.lax.bitcast_convert_type(bits, self.dtype)


def traced(
    init: Initializer, shape: tuple[int, ...], dtype: np.dtype[Any], words: Any, sharding: Any
) -> jax.Array:
    """The weights as part of the program that is being traced.

    With a `sharding` each device of its mesh calls back for its own part. Without one it is one
    call for all, made by one device.
    """
    if sharding is None:
        return _Callback(init, shape, shape, dtype).staged(words, np.zeros(len(shape), np.int32))
    if isinstance(sharding, PartitionSpec):
        sharding = NamedSharding(jax.sharding.get_abstract_mesh(), sharding)
    if not isinstance(sharding, NamedSharding):
        raise NotImplementedError(
            "while JAX traces, `sharding` must be a NamedSharding or a PartitionSpec; "
            f"got sharding={sharding!r}: call it outside of jax.jit and the like"
        )
    callback = _Callback(init, shape, sharding.shard_shape(shape), dtype)
    split = [*sharding.spec, *[None] * (len(shape) - len(sharding.spec))]

    def of_one_device(words: Any) -> jax.Array:
        position = [jax.lax.axis_index(names) if names else 0 for names in split]
        return callback.staged(words, jnp.array(position, np.int32))

    return jax.shard_map(
        of_one_device,
        mesh=sharding.mesh,
        in_specs=PartitionSpec(),
        out_specs=sharding.spec,
        check_vma=False,
    )(words)
