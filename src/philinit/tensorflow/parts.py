# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's partitions, layouts and variables in parts -> which Shard of the whole each is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from philinit.checks import as_shape
from philinit.keyed import RowsByKey
from philinit.parts import Rows, Shard
from philinit.tensorflow.checks import as_dtype, static_shape
from philinit.tensorflow.devices import device_name
from philinit.tensorflow.private import is_sharded

Requested = tuple[tuple[int, ...], Shard | None]  # None: all of it

# In the place of an index: rows whose numbers, or keys, come along as a tensor.
ROWS, ROWS_BY_KEY = "rows", "rows by key"


class Late(NamedTuple):
    """A part of which a graph learns when it runs."""

    kind: str  # ROWS or ROWS_BY_KEY
    ids: Any  # tensor of int64


def requested_part(shape: Any, info: Any = None, part: Any = None, offset: Any = None) -> Requested:
    """Shape of the whole variable, and which part of it is wanted.

    Parameters
    ----------
    shape : sequence of int, tf.TensorShape, or constant tensor
        Of what is wanted where there is `info`, of the whole variable otherwise.
    info : object with `full_shape` and `var_offset`, optional
        A `partition_info`, as tf.compat.v1's partitioners pass it.
    part, offset : sequence of int, optional
        `partition_shape` and `partition_offset`, as tf.distribute passes them.
    """
    sizes = static_shape(shape)
    if (part is None) != (offset is None):
        raise ValueError(
            "`partition_shape` and `partition_offset` must be given together; "
            f"got partition_shape={part} and partition_offset={offset}"
        )
    if info is not None:
        if part is not None:
            raise ValueError(
                "a part must be described by `partition_info`, or by `partition_shape` and "
                f"`partition_offset`; got both, partition_shape={part} and partition_info={info}"
            )
        whole = _ints("full_shape", info.full_shape)
        starts = _ints("var_offset", info.var_offset)
        told = f"got full_shape={whole}, var_offset={starts} and shape={sizes}"
        return whole, _shard("`partition_info`", whole, sizes, starts, told)
    if part is None:
        return sizes, None
    wanted, starts = _ints("partition_shape", part), _ints("partition_offset", offset)
    told = f"got shape={sizes}, partition_shape={wanted} and partition_offset={starts}"
    return sizes, _shard("the part", sizes, wanted, starts, told)


def _ints(name: str, value: Any) -> tuple[int, ...]:
    try:
        return static_shape(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{name}` must hold ints >= 0; got {name}={value!r}") from None


def _shard(
    what: str, whole: tuple[int, ...], sizes: tuple[int, ...], starts: tuple[int, ...], told: str
) -> Shard:
    if not len(whole) == len(sizes) == len(starts):
        raise ValueError(f"{what} must have as many axes as `shape`; {told}")
    index = tuple(slice(a, a + n) for a, n in zip(starts, sizes, strict=True))
    if any(e.stop > n for e, n in zip(index, whole, strict=True)):
        raise ValueError(f"{what} must stay inside the global shape; {told}")
    return Shard(whole, index)


def tensors_in(shape: Any, part: Any) -> list[Any]:
    """What of shape and part comes as a tensor: a shape that a graph does not know, then ids."""
    shapes = [] if isinstance(shape, tuple) else [shape]
    if part is None or isinstance(part, Shard):
        return shapes
    return [*shapes, part.ids if isinstance(part, Late) else part.host_ids]


def index_of(part: Shard | Rows | Late | None) -> Any:
    """What `at_run` takes for a part."""
    if part is None or isinstance(part, Shard):
        return part if part is None else part.index
    if isinstance(part, Late):
        return part.kind
    return ROWS_BY_KEY if isinstance(part, RowsByKey) else ROWS


def at_run(
    shape: tuple[int, ...] | None, index: Any, told: Sequence[Any]
) -> tuple[tuple[int, ...], Shard | Rows | None]:
    """Shape (where it is None) and part, once the tensors of `tensors_in` have values."""
    whole = as_shape(told[0].numpy()) if shape is None else shape
    if index is None:
        return whole, None
    if index in (ROWS, ROWS_BY_KEY):
        kind = Rows if index == ROWS else RowsByKey
        return whole, kind(whole, told[-1], copy=False)
    return whole, Shard(whole, index)


def shards_of(shape: tuple[int, ...], layout: Any) -> list[Shard]:
    """What each local device of the mesh of a DTensor layout has of a tensor of `shape`."""
    if not isinstance(layout, tf.experimental.dtensor.Layout):
        raise TypeError(f"`layout` must be a tf.experimental.dtensor.Layout; got layout={layout!r}")
    specs, mesh = layout.sharding_specs, layout.mesh
    if len(specs) != len(shape):
        raise ValueError(
            f"`layout` must have as many axes as `shape`; got specs={specs} and shape={shape}"
        )
    counts = [1 if s == tf.experimental.dtensor.UNSHARDED else mesh.dim_size(s) for s in specs]
    for axis, (length, count) in enumerate(zip(shape, counts, strict=True)):
        if length % count:
            raise ValueError(
                "`layout` must cut each axis into equal parts; "
                f"got {count} parts of axis {axis} of shape={shape}"
            )
    shards = []
    for position in mesh.local_device_locations():
        index = []
        for length, count, spec in zip(shape, counts, specs, strict=True):
            start = length // count * position.get(spec, 0)
            index.append(slice(start, start + length // count))
        shards.append(Shard(shape, tuple(index)))
    return shards


class Held(NamedTuple):
    """A tf.Variable, the device that holds it, and which part of a tensor it is (None: all)."""

    variable: Any
    device: str
    part: Shard | None = None


def held(variable: Any) -> list[Held]:
    """The tf.Variables that hold the values: one, or one a replica, or one a shard."""
    found = variable
    if not isinstance(found, tf.Variable) and not is_sharded(found):
        found = getattr(variable, "value", None)  # keras.Variable
    if is_sharded(found):
        as_dtype(found.dtype)
        return _held_by_shards(found)
    if not isinstance(found, tf.Variable):
        hint = ""
        if isinstance(variable, tf.Tensor):
            hint = ": tensors are immutable, make a new one with philinit.tensorflow.to_tensor"
        elif isinstance(variable, np.ndarray):
            hint = ": fill arrays with the initializer's own fill"
        raise TypeError(f"`variable` must be a tf.Variable; got {type(variable).__name__}{hint}")
    replicas: tuple[Any, ...] = (found,)
    if isinstance(found, tf.distribute.DistributedValues):
        if found.synchronization == tf.VariableSynchronization.ON_READ:
            raise NotImplementedError(
                "`variable` must hold the same value on each replica; got one that is "
                "aggregated when it is read: fill its replicas one by one"
            )
        replicas = tuple(found.distribute_strategy.experimental_local_results(found))
    as_dtype(found.dtype)
    return [Held(replica, device_name(replica.device)) for replica in replicas]


def _held_by_shards(sharded: Any) -> list[Held]:
    shape, stop, found = tuple(sharded.shape.as_list()), 0, []
    for variable in sharded.variables:
        start, stop = stop, stop + variable.shape[0]
        shard = Shard(shape, slice(start, stop))
        found.append(Held(variable, device_name(variable.device), shard))
    return found
