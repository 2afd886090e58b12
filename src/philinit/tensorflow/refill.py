# SPDX-License-Identifier: Apache-2.0
"""A variable of this process, written again in the memory that it has."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from philinit import dtypes
from philinit.filling import memory
from philinit.parts import Shard
from philinit.tensorflow.devices import is_gpu
from philinit.tensorflow.memory import filled, view_of, written


class Part(NamedTuple):
    """A tf.Variable, the device that it is on, and which box of a tensor it is (None: all)."""

    variable: Any
    device: str
    box: Shard | None = None


def shape_now(variable: Any) -> tuple[int, ...]:
    """The shape that a variable has at the moment, where its static shape leaves that open."""
    if variable.shape.is_fully_defined():
        return tuple(variable.shape.as_list())
    found = tf.raw_ops.VariableShape(input=variable.handle, out_type=tf.int64)
    return tuple(found.numpy().tolist())


def refill(part: Part, init: Any, threads: int | None, progress: Any) -> None:
    """Write `init` into a variable on a device of this process, in place."""
    variable, device, box = part
    handle, shape = variable.handle, shape_now(variable)
    if math.prod(shape) == 0 or not shape:  # the op below needs an axis; nothing to save here
        whole, dtype = shape if box is None else box.global_shape, dtypes.as_dtype(variable.dtype)
        variable.assign(filled(init, whole, dtype, device, box, threads, progress))
        return
    keywords = {} if box is None else {"shard": box}
    with tf.device(None), tf.device(variable.device):
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
        where = _address(tensor, device)
        if _address_now(variable, device) == where:
            with written(tensor, device) as view:
                init.fill(view, **keywords, threads=threads, progress=progress)
            if _address_now(variable, device) == where:
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
    return int(view.data.ptr) if is_gpu(device) else memory.address(view)
