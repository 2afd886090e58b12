# SPDX-License-Identifier: Apache-2.0
"""Memory of TensorFlow's own in this process: made, viewed, written, and written again in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from philinit import dtypes
from philinit.checks import Progress
from philinit.cuda_views import from_capsule
from philinit.filling import memory as host_memory
from philinit.filling import pages
from philinit.parts import Rows, Shard
from philinit.targets import Target
from philinit.tensorflow.checks import DTYPES
from philinit.tensorflow.devices import is_gpu, memory_of, on
from philinit.tensorflow.private import array_over

# tf.raw_ops.Empty takes its shape in int32.
_LARGEST_DIMENSION = 2**31 - 1

# No process has more. TensorFlow would try for ten seconds before it gives up.
_ADDRESS_SPACE = 2**47


def filled(
    init: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: str,
    part: Shard | Rows | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """tf.Tensor of `shape`, or of a `part` of it, on a device of this process."""
    tensor = empty(shape if part is None else part.shape, dtype, device)
    if is_gpu(device):
        _write(init, tensor, device, shape, part, threads, progress)
    else:  # as there, some calls nearer to the kernel
        view = array_over(tensor, device)
        if view.nbytes >= pages.LEAST:
            pages.advise(host_memory.address(view), view.nbytes)
        init._write(Target(view, shape, part, threads, progress))
    return tensor


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], device: str) -> Any:
    """tf.Tensor in memory that TensorFlow has allocated, and that nobody has written.

    Only dimensions above 2**31 - 1 that are primes, or stand beside a 0, come as zeros.
    """
    if math.prod(shape) * dtype.itemsize >= _ADDRESS_SPACE:
        raise _too_large(shape, dtype, "there is not that much memory")
    with on(device):
        try:
            if max(shape, default=0) <= _LARGEST_DIMENSION:
                sizes = np.array(shape, np.int32)  # TensorFlow takes twice as long over a tuple
                return tf.raw_ops.Empty(shape=sizes, dtype=DTYPES[dtype], init=False)
            return _empty_long(shape, DTYPES[dtype])
        except tf.errors.ResourceExhaustedError as error:
            raise _too_large(shape, dtype, "TensorFlow cannot allocate that much") from error
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"`shape` must be one that TensorFlow can hold; got shape={shape}"
            ) from error


def _too_large(shape: tuple[int, ...], dtype: np.dtype[Any], reason: str) -> MemoryError:
    needs = f"needs {math.prod(shape) * dtype.itemsize} bytes; {reason}"
    return MemoryError(f"a tensor of shape {shape} and dtype {dtype.name} {needs}")


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


def view_of(tensor: Any, device: str) -> Any:
    """Writable array over an eager tensor's memory: an ndarray, or a CuPy array on a GPU.

    Drop it soon: while it lives, an update of the tensor's variable copies.
    """
    if is_gpu(device):
        return from_capsule(tf.experimental.dlpack.to_dlpack(tensor))
    return array_over(tensor, device)


def ids_now(ids: Any) -> Any:
    """Ids of an eager call, of a variable too; those in a GPU's memory as a CuPy array over it."""
    if isinstance(ids, tf.Variable):
        ids = tf.convert_to_tensor(ids)
    if isinstance(ids, tf.Tensor) and is_gpu(memory_of(ids)):
        return view_of(ids, memory_of(ids))
    return ids


def _write(init: Any, tensor: Any, device: str, *rest: Any) -> None:
    """Write a tensor, which TensorFlow may read afterwards; `rest` is what Target takes more."""
    if not is_gpu(device):
        init._write(Target(view_of(tensor, device), *rest))
    elif 0 in tensor.shape:  # no memory, but arguments to refuse
        nothing = np.empty(tuple(tensor.shape), tensor.dtype.as_numpy_dtype)
        init._write(Target(nothing, *rest))
    else:
        from philinit.filling.cuda import memory as cuda_memory

        with cuda_memory.opened(view_of(tensor, device), False) as view:
            init._write(Target(view, *rest))


def shape_now(variable: Any) -> tuple[int, ...]:
    """The shape that a variable has at the moment, where its static shape leaves that open."""
    if variable.shape.is_fully_defined():
        return tuple(variable.shape.as_list())
    found = tf.raw_ops.VariableShape(input=variable.handle, out_type=tf.int64)
    return tuple(found.numpy().tolist())


def refill(
    variable: Any,
    device: str,
    part: Shard | None,
    init: Any,
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Write `init` into a variable on a device of this process, in the memory that it has."""
    handle, shape = variable.handle, shape_now(variable)
    whole = shape if part is None else part.global_shape
    if math.prod(shape) == 0 or not shape:  # the op below needs an axis; nothing to save here
        dtype = dtypes.as_dtype(variable.dtype)
        variable.assign(filled(init, whole, dtype, device, part, threads, progress))
        return
    with on(device):
        # A scatter of no rows makes TensorFlow do what it does before any sparse update: give the
        # variable memory that it owns alone, by a copy unless it does already. It leaves the
        # variable in copy-on-read mode, in which a read is a copy: what we wrote there were lost.
        tf.raw_ops.ResourceScatterUpdate(
            resource=handle,
            indices=tf.zeros([0], tf.int64),
            updates=tf.zeros([0, *shape[1:]], variable.dtype),
        )
        tf.raw_ops.DisableCopyOnRead(resource=handle)
        tensor = tf.raw_ops.ReadVariableOp(resource=handle, dtype=variable.dtype)
        address = _address(tensor, device)
        if _address_now(variable, device) == address:
            _write(init, tensor, device, whole, part, threads, progress)
            if _address_now(variable, device) == address:
                return
    raise RuntimeError(
        f"nothing else may use the variable while it is filled; {variable.name!r} was moved "
        "in memory by another thread: fill it again"
    )


def _address_now(variable: Any, device: str) -> int:
    value = tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
    return _address(value, device)


def _address(tensor: Any, device: str) -> int:
    view = view_of(tensor, device)
    return int(view.data.ptr) if is_gpu(device) else host_memory.address(view)
