# SPDX-License-Identifier: Apache-2.0
"""An operation that XLA cuts by itself, as it does its own: each device writes its own part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Shape = tuple[int, ...]
Write = Callable[[Shape, Any, Any], jax.Array]  # of a part, by its shape, keys and position


def cut(write: Write, shape: Shape, words: Any, position: Any, which: Any) -> jax.Array:
    """``write(shape, words, position)``, of which nobody has the whole where XLA cuts the result.

    `words` are those of a key, or of a batch of keys, whose axes the result has in front. `which`
    is a digest of what is written: with ``jax_remove_custom_partitioning_ptr_from_cache_key``
    JAX's persistent cache knows operations such as this one by their operands only.
    """
    batch = words.ndim - 1
    if batch + len(shape) == 0:
        return write(shape, words, position)

    def whole(words: Any, position: Any, which: Any) -> jax.Array:
        return write(shape, words, position)

    def partition(_: Any, operands: Any, result: Any) -> Any:
        keys, parts = _Parts.of(operands[0]), _Parts.of(result)
        apart = bool(batch) and not keys.same_batch(parts, batch)

        def one(words: Any, position: Any, which: Any) -> jax.Array:
            number = jnp.array(parts.numbers)[jax.lax.axis_index(_DEVICES)]
            if apart:  # every device has the keys of all
                first = [number[axis] * parts.shape[axis] for axis in range(batch)]
                taken = (*parts.shape[:batch], words.shape[-1])
                words = jax.lax.dynamic_slice(words, [*first, 0], taken)
            return write(parts.shape[batch:], words, number[batch:])

        same = NamedSharding(parts.mesh, PartitionSpec())
        own = same if apart or not batch else keys.sharding
        return parts.mesh, one, parts.sharding, (own, same, same)

    def of_result(mesh: Any, operands: Any, result: Any) -> Any:
        return NamedSharding(_Parts.of(operands[0]).mesh, PartitionSpec())

    keys, axes = ([f"{name}{i}" for i in range(n)] for name, n in (("k", batch), ("a", len(shape))))
    operation = custom_partitioning(whole)
    operation.def_partition(
        partition,
        infer_sharding_from_operands=of_result,  # asked by GSPMD
        decode_shardings=False,  # JAX cannot name all that XLA comes up with
        sharding_rule=f"{' '.join(keys)} w, p, d -> {' '.join(keys + axes)}",  # read by Shardy
        need_replication_factors=("w", "p", "d"),
    )
    result: jax.Array = operation(words, position, which)
    return result


_DEVICES = "devices"  # the only axis of the mesh of `_Parts`


@dataclass(frozen=True)
class _Parts:
    """The parts of an array that devices have: one shape, and each one's number on each axis."""

    mesh: Mesh
    sharding: Any
    shape: Shape
    numbers: Any  # by device, by axis

    @classmethod
    def of(cls, array: Any) -> _Parts:
        """As XLA wants it; the whole array for each device where parts would not be equal."""
        sharding = array.sharding
        # Asked for a shape that can be cut into as many parts as there are devices, on any axis.
        wide = tuple(max(n, 1) * len(sharding.device_set) for n in array.shape)
        lengths, indices = sharding.shard_shape(wide), sharding.devices_indices_map(wide)
        mesh = Mesh(np.array(list(indices)), (_DEVICES,))
        counts = [n // length for n, length in zip(wide, lengths, strict=True)]
        if any(n % count for n, count in zip(array.shape, counts, strict=True)):
            whole = NamedSharding(mesh, PartitionSpec())
            return cls(mesh, whole, array.shape, np.zeros((mesh.size, len(wide)), np.int32))
        starts = [[span.start or 0 for span in index] for index in indices.values()]
        numbers = np.array(starts, int).reshape(mesh.size, len(wide)) // np.array(lengths, int)
        shape = tuple(n // count for n, count in zip(array.shape, counts, strict=True))
        return cls(mesh, sharding, shape, numbers.astype(np.int32))

    def same_batch(self, other: _Parts, batch: int) -> bool:
        """Whether these are all words of the keys with which the parts of `other` are made."""
        same = self.shape[:batch] == other.shape[:batch] and not self.numbers[:, batch:].any()
        return same and np.array_equal(self.numbers[:, :batch], other.numbers[:, :batch])
