# SPDX-License-Identifier: Apache-2.0
"""Weights inside jax.jit, vmap, scan and eval_shape: an operation that XLA has philinit write."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.sharding import NamedSharding, PartitionSpec

from philinit.initializers.base import Initializer
from philinit.initializers.seeded import Seeded
from philinit.jax.callbacks import Callback
from philinit.jax.cuts import cut
from philinit.jax.handlers import TARGET, Source, name_of, platforms

Operation = Callable[..., jax.Array]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """`init` on the key that the words of a JAX key make of its own."""

    init: Initializer

    def __call__(self, words: Any) -> Initializer:
        """The initializer of these words."""
        init, words = self.init, [int(word) for word in words]
        if isinstance(init, Seeded) and type(init).named is Seeded.named:  # the same, sooner
            return replace(init, names=(*init.names, *words))
        return functools.reduce(lambda found, word: found.named(word), words, init)


def staged(
    source: Source, shape: Shape, dtype: np.dtype[Any], words: Any, sharding: Any
) -> jax.Array:
    """The weights as part of the program that is being traced.

    With a `sharding` each device of its mesh writes its own part. Without one XLA decides what
    part of them a device has, by where they go in the program.
    """
    weights = _Weights(source, shape, dtype)
    if sharding is None:
        return weights.staged(shape, weights.cut, words, np.zeros(len(shape), np.int32))
    if isinstance(sharding, PartitionSpec):
        sharding = NamedSharding(jax.sharding.get_abstract_mesh(), sharding)
    if not isinstance(sharding, NamedSharding):
        raise NotImplementedError(
            "while JAX traces, `sharding` must be a NamedSharding or a PartitionSpec; "
            f"got sharding={sharding!r}: call it outside of jax.jit and the like"
        )
    part, axes = sharding.shard_shape(shape), _by_axis(sharding.spec, len(shape))
    write = functools.partial(weights.written, part)
    return jax.shard_map(
        lambda words: weights.staged(part, write, words, _position(axes)),
        mesh=sharding.mesh,
        in_specs=PartitionSpec(),
        out_specs=sharding.spec,
        check_vma=False,
    )(words)


@dataclass(frozen=True)
class _Weights:
    """One tensor, as operations on the words of a key, or of a batch of keys, and a position.

    The position is the number, on each axis, of a part among parts of equal shape.
    """

    source: Source
    shape: Shape
    dtype: np.dtype[Any]

    def staged(self, part: Shape, write: Operation, words: Any, position: Any) -> jax.Array:
        """`write` where XLA can call philinit; elsewhere a callback of JAX's."""
        called_back = Callback(self.source, self.shape, part, self.dtype).staged
        if not platforms():
            return called_back(words, position)
        here = dict.fromkeys(platforms(), _batched(write))
        return jax.lax.platform_dependent(words, position, default=called_back, **here)

    def written(self, part: Shape, words: Any, position: Any) -> jax.Array:
        """What `philinit.jax.handlers` writes."""
        result = jax.ShapeDtypeStruct(words.shape[:-1] + part, self.dtype)
        name, shape = name_of(self.source), np.array(self.shape, np.int64)
        return jax.ffi.ffi_call(TARGET, result)(words, position, shape=shape, weights=name)

    def cut(self, words: Any, position: Any) -> jax.Array:
        """All of the tensor, in the parts into which XLA cuts it."""
        text = f"{name_of(self.source)} {self.shape}".encode()
        which = np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), np.uint32)
        return cut(self.written, self.shape, words, position, which)


def _batched(write: Operation) -> Operation:
    """`write`, of which jax.vmap makes one call for all keys of a batch."""
    operation: Any = custom_vmap(write)

    def of_batch(size: int, batched: Any, words: Any, position: Any) -> tuple[jax.Array, bool]:
        return operation(words, position), True

    operation.def_vmap(of_batch)
    found: Operation = operation
    return found


def _by_axis(spec: Any, rank: int) -> list[Any]:
    """The entries of a PartitionSpec: the names of a mesh's axes, for each axis of an array."""
    return [*spec, *[None] * (rank - len(spec))]


def _position(axes: list[Any]) -> jax.Array:
    """The number of this device's part on each axis of an array."""
    return jnp.array([jax.lax.axis_index(names) if names else 0 for names in axes], jnp.int32)
