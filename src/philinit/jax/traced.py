# SPDX-License-Identifier: Apache-2.0
"""Weights inside jax.jit, vmap, scan and eval_shape: an operation that XLA has philinit write."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_batching import custom_vmap
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from philinit.initializers.base import Initializer
from philinit.jax.callbacks import Callback
from philinit.jax.handlers import TARGET, Source, name_of, platforms

Operation = Callable[..., jax.Array]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Named:
    """`init` on the key that the words of a JAX key make of its own."""

    init: Initializer

    def __call__(self, words: Any) -> Initializer:
        return functools.reduce(lambda found, word: found.named(int(word)), words, self.init)


def traced(
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
        """All of the tensor, written in the parts into which XLA cuts it: nobody has the whole."""
        rank, batch = len(self.shape), words.ndim - 1
        if batch + rank == 0:
            return self.written(self.shape, words, position)

        def call(words: Any, position: Any, which: Any) -> jax.Array:
            return self.written(self.shape, words, position)

        def partition(mesh: Any, operands: Any, result: Any) -> Any:
            axes = _whole_parts(mesh, result.sharding, result.shape)
            cut = NamedSharding(mesh, PartitionSpec(*axes))
            part = cut.shard_shape(result.shape)[batch:]

            def lower(words: Any, position: Any, which: Any) -> jax.Array:
                return self.written(part, words, _position(axes[batch:]))

            keys = NamedSharding(mesh, PartitionSpec(*axes[:batch]))
            same = NamedSharding(mesh, PartitionSpec())
            return mesh, lower, cut, (keys, same, same)

        def of_keys(mesh: Any, operands: Any, result: Any) -> Any:
            axes = _by_axis(getattr(operands[0].sharding, "spec", ()), batch + 1)
            return NamedSharding(mesh, PartitionSpec(*axes[:batch]))

        keys, axes = ([f"{name}{i}" for i in range(n)] for name, n in (("k", batch), ("a", rank)))
        operation = custom_partitioning(call)
        operation.def_partition(
            partition,
            infer_sharding_from_operands=of_keys,  # for GSPMD
            sharding_rule=f"{' '.join(keys)} w, p, d -> {' '.join(keys + axes)}",  # for Shardy
            need_replication_factors=("w", "p", "d"),
        )
        return operation(words, position, self.which)

    @property
    def which(self) -> Any:
        """A digest of what is written, in JAX's persistent cache part of a cut program's name.

        With ``jax_remove_custom_partitioning_ptr_from_cache_key`` all else of a cut operation but
        its operands is left out of it: two initializers would have one program.
        """
        text = f"{name_of(self.source)} {self.shape}".encode()
        return np.frombuffer(hashlib.blake2b(text, digest_size=16).digest(), np.uint32)


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


def _whole_parts(mesh: Any, sharding: Any, shape: Shape) -> list[Any]:
    """The axes by which XLA wants an array cut, but for those that would cut it unequally."""
    axes = _by_axis(getattr(sharding, "spec", ()), len(shape))
    for axis, names in enumerate(axes):
        parts = math.prod(mesh.shape[name] for name in np.atleast_1d(names)) if names else 1
        if shape[axis] % parts:
            axes[axis] = None
    return axes


def _position(axes: list[Any]) -> jax.Array:
    """The number of this device's part on each axis of an array."""
    return jnp.array([jax.lax.axis_index(names) if names else 0 for names in axes], jnp.int32)
