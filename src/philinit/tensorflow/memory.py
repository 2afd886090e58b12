# SPDX-License-Identifier: Apache-2.0
"""Memory that TensorFlow allocates in this process, and that philinit writes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from philinit import dtypes
from philinit.checks import as_shape
from philinit.filling import dlpack
from philinit.parts import Shard
from philinit.tensorflow.devices import is_gpu

# tf.raw_ops.Empty takes its shape in int32.
_LARGEST_DIMENSION = 2**31 - 1

# No process has more. TensorFlow would try for ten seconds before it gives up.
_ADDRESS_SPACE = 2**47


def check_init(init: Any) -> None:
    """Refuse what cannot fill."""
    if isinstance(init, type) or not (callable(init) and callable(getattr(init, "fill", None))):
        raise TypeError(
            "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); "
            f"got init={init!r}"
        )


def check_progress(progress: Any) -> None:
    """Refuse what cannot be called, before anything is written."""
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` must be callable; got progress={progress!r}")


def static_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as ints; it may be a tf.TensorShape, or a tensor whose value the graph knows."""
    if isinstance(shape, tf.Tensor):
        value = tf.get_static_value(shape)
        if value is None:
            raise ValueError(
                f"`shape` must be known when the graph is built; got shape={shape}: "
                "pass the numbers themselves"
            )
        shape = value.tolist()
    elif isinstance(shape, tf.TensorShape):
        if not shape.is_fully_defined():
            raise ValueError(f"`shape` must be fully defined; got shape={shape}")
        shape = shape.as_list()
    return as_shape(shape)


def np_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype` as one that philinit fills; float32 for None."""
    return np.dtype(np.float32) if dtype is None else dtypes.as_dtype(dtype)


def filled(
    init: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: str,
    box: Shard | None,
    threads: int | None,
    progress: Any,
) -> Any:
    """tf.Tensor of `shape`, or of the `box` of it, on a device of this process."""
    tensor = empty(shape if box is None else box.shape, dtype, device)
    where = {} if box is None else {"shard": box}
    with written(tensor, device) as view:
        init.fill(view, **where, threads=threads, progress=progress)
    return tensor


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], device: str) -> Any:
    """tf.Tensor in memory that TensorFlow has allocated, and in all but odd cases not touched."""
    nbytes = math.prod(shape) * dtype.itemsize
    needs = f"a tensor of shape {shape} and dtype {dtype.name} needs {nbytes} bytes"
    if nbytes >= _ADDRESS_SPACE:
        raise MemoryError(f"{needs}; that much memory is not to be had")
    with tf.device(None), tf.device(device):
        try:
            if max(shape, default=0) <= _LARGEST_DIMENSION:
                return tf.raw_ops.Empty(shape=shape, dtype=tf.as_dtype(dtype), init=False)
            return _empty_long(shape, tf.as_dtype(dtype))
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(f"{needs}; TensorFlow cannot allocate that much") from error
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"`shape` must be one that TensorFlow can hold; got shape={shape}"
            ) from error


def _empty_long(shape: tuple[int, ...], dtype: Any) -> Any:
    """`empty` for dimensions that Empty's int32 cannot say: as several shorter ones, reshaped."""
    whole = tf.constant(shape, tf.int64)
    parts: list[int] = []
    for length in shape:
        if length <= _LARGEST_DIMENSION:
            parts.append(length)
            continue
        fewest = -(-length // _LARGEST_DIMENSION)
        rows = next((r for r in range(fewest, fewest + 4096) if length % r == 0), 0)
        if not rows or 0 in shape:
            # No such divisor, as for a prime. Fill takes int64, at the cost of writing zeros.
            return tf.raw_ops.Fill(dims=whole, value=tf.zeros([], dtype))
        parts += [rows, length // rows]
    return tf.reshape(tf.raw_ops.Empty(shape=parts, dtype=dtype, init=False), whole)


def view_of(tensor: Any, device: str = "CPU:0") -> Any:
    """Writable array over an eager tensor's memory: an ndarray, or a CuPy array on a GPU.

    TensorFlow has finished all that it had queued on the GPU when it hands out a capsule.
    """
    capsule = tf.experimental.dlpack.to_dlpack(tensor)
    if not is_gpu(device):
        return dlpack.from_capsule(capsule)
    from philinit.filling.cuda import memory as cuda_memory

    return cuda_memory.from_capsule(capsule)


@contextlib.contextmanager
def written(tensor: Any, device: str) -> Iterator[Any]:
    """A context that yields `view_of(tensor)` to write; TensorFlow may read the tensor after it.

    The view is dropped at the end: while it lives, the first update would copy the tensor.
    """
    if not is_gpu(device):
        yield view_of(tensor)
        return
    if math.prod(tensor.shape) == 0:  # no memory, but arguments to check
        yield np.empty(tuple(tensor.shape), tensor.dtype.as_numpy_dtype)
        return
    from philinit.filling.cuda import memory as cuda_memory

    with cuda_memory.opened(view_of(tensor, device), False) as view:
        yield view
