# SPDX-License-Identifier: Apache-2.0
"""What TensorFlow's side of a call is refused for: where it is made, its shape and its dtype."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from philinit import dtypes
from philinit.checks import Progress, as_shape, check_progress, check_threads
from philinit.keyed import RowsByKey
from philinit.parts import Rows

DTYPES = {dtypes.as_dtype(name): tf.as_dtype(name) for name in dtypes.WIDER}


class Wanted(NamedTuple):
    """What is to be filled and how, checked."""

    shape: Any  # tuple of ints; or, in graphs only, a tensor that has them when they run
    dtype: np.dtype[Any]
    threads: int | None
    progress: Progress | None


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype that is named, float32 for None, if TensorFlow has memory to give of it."""
    found = dtypes.FLOAT32 if dtype is None else dtypes.as_dtype(dtype)
    if found not in DTYPES:
        raise ValueError(
            f"`dtype` must be one of {', '.join(dtypes.WIDER)}, in which TensorFlow has memory to "
            f"fill; got dtype={found.name}: pass an array, init(shape, dtype), to tf.Variable"
        )
    return found


def wanted(shape: Any, dtype: Any, threads: Any, progress: Any) -> Wanted:
    """The arguments that all functions share, or the error of the first that cannot be."""
    if type(shape) is tuple and tf.executing_eagerly():
        shape = as_shape(shape)
    else:
        shape = shape_in_graph(shape)
    found = as_dtype(dtype)
    if threads is not None or progress is not None:
        threads, progress = check_threads(threads), check_progress(progress)
    return Wanted(shape, found, threads, progress)


def static_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as ints; it may be a tf.TensorShape, or a tensor whose value the graph knows."""
    found = shape_in_graph(shape)
    if not isinstance(found, tuple):
        raise ValueError(
            f"`shape` must be known when the graph is built; got shape={shape}: "
            "pass the numbers themselves"
        )
    return found


def shape_in_graph(shape: Any) -> Any:
    """`shape` as ints; or, where only the run of a graph will know them, as a vector."""
    if isinstance(shape, tf.TensorShape):
        if not shape.is_fully_defined():
            raise ValueError(
                f"`shape` must be fully defined; got shape={shape}: inside a tf.function pass a "
                "tensor, such as tf.shape gives, for what is known only when it runs"
            )
        shape = shape.as_list()
    elif isinstance(shape, (list, tuple)):
        kinds = {size.dtype for size in shape if isinstance(size, tf.Tensor)}
        if len(kinds) > 1:
            shape = [tf.cast(size, tf.int64) for size in shape]
        if kinds:
            shape = tf.stack(shape)
    if isinstance(shape, tf.Tensor):
        if not shape.dtype.is_integer or (shape.shape.rank or 0) > 1:
            raise TypeError(f"`shape` must be a vector of ints; got shape={shape}")
        value = tf.get_static_value(shape)
        if value is None:
            if shape.dtype not in (tf.int32, tf.int64):  # TensorFlow sees less through a cast
                shape = tf.cast(shape, tf.int64)
            return tf.reshape(shape, [1]) if shape.shape.rank == 0 else shape
        shape = value.tolist()
    return as_shape(shape)


def ids_in_graph(ids: Any, shape: Any) -> Any:
    """Numbers of rows of a tensor of `shape` as a tensor of int64; checked where they are known."""
    ids, value = _dense("ids", ids)
    # Of a table of unknown shape, the largest that there can be.
    rows = Rows(shape if isinstance(shape, tuple) else (1 << 62,), [] if value is None else value)
    if value is not None:
        return tf.constant(rows.ids)
    if not ids.dtype.is_integer:
        raise TypeError(f"`ids` must be integers; got ids of dtype {ids.dtype.name}")
    return tf.cast(ids, tf.int64)


def keys_in_graph(keys: Any) -> Any:
    """Row keys as a tensor of int64, whose bits they are."""
    keys, value = _dense("keys", keys)
    if value is not None:
        return tf.constant(RowsByKey((1,), value).ids.view(np.int64))
    if not keys.dtype.is_integer:
        raise TypeError(f"`keys` must be integers; got keys of dtype {keys.dtype.name}")
    return tf.bitcast(keys, tf.int64) if keys.dtype == tf.uint64 else tf.cast(keys, tf.int64)


def _dense(name: str, numbers: Any) -> tuple[Any, Any]:
    """`numbers` as they came, or a variable's; and their values, where those are known."""
    if isinstance(numbers, (tf.RaggedTensor, tf.SparseTensor)):
        kind = type(numbers).__name__
        raise TypeError(
            f"`{name}` must be a dense tensor or an array; got a {kind}: pass its values"
        )
    if isinstance(numbers, tf.Variable):
        numbers = tf.convert_to_tensor(numbers)
    return numbers, tf.get_static_value(numbers) if isinstance(numbers, tf.Tensor) else numbers


def check_eager(function: str) -> None:
    """Refuse a call inside a graph."""
    if not tf.executing_eagerly():
        raise NotImplementedError(
            f"philinit.tensorflow.{function} must be called eagerly; got a call inside a "
            "tf.function or a tf.Graph: call it outside, or under tf.init_scope()"
        )
