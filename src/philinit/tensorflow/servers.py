# SPDX-License-Identifier: Apache-2.0
"""Tensors and variables of parameter servers, which each of them fills in its own memory."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import numpy as np
import tensorflow as tf

from philinit import dtypes
from philinit._version import __version__
from philinit.checks import check_threads
from philinit.initializers.config import describe
from philinit.parts import Shard
from philinit.tensorflow.memory import check_progress
from philinit.tensorflow.refill import Part, shape_now
from philinit.tensorflow.serve import NAME

# What TensorFlow makes of the exceptions of Python.
_FROM_PYTHON = (
    tf.errors.InvalidArgumentError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnimplementedError,
    tf.errors.UnknownError,
)

# Servers that fill at the same time; each has a thread here, which waits.
_AT_ONCE = 128


def filled(
    init: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: str,
    box: Shard | None,
    threads: int | None,
    progress: Any,
) -> Any:
    """`_tensorflow_memory.filled` in the process of `device`; only its name comes back."""
    index = None
    if box is not None:
        index = [e if isinstance(e, int) else (e.start, e.stop) for e in box.index]
    check_progress(progress)
    request = {
        "init": describe(init),
        "shape": shape,
        "box": index,
        "dtype": dtype.name,
        "threads": check_threads(threads),
    }
    tensor = _ask(device, request, tf.as_dtype(dtype))
    if progress is not None:
        progress(math.prod(tensor.shape), math.prod(tensor.shape))
    return tensor


def check_served(device: str) -> None:
    """Refuse a device whose process does not serve."""
    _ask(device, {}, tf.bool)


def _ask(device: str, request: dict[str, Any], dtype: Any) -> Any:
    text = json.dumps({"philinit": __version__, **request})
    with tf.device(None), tf.device(device):
        try:
            # It returns when the server has answered.
            return tf.raw_ops.EagerPyFunc(input=[text], token=NAME, Tout=[dtype])[0]
        except _FROM_PYTHON as error:
            raise _translated(error, device) from error


def _translated(error: Exception, device: str) -> Exception:
    """A server's error, which TensorFlow makes its own, as the one that it was."""
    text = str(error).strip().partition("\n")[0]
    if f"callback with key={NAME}" in text:
        return RuntimeError(
            "the process of a parameter server must let philinit fill its memory; got "
            f"device={device!r}, where it does not: call philinit.tensorflow.serve() there, "
            "before server.join(), or say device='CPU:0' to have the weights made here and sent"
        )
    for kind in (ValueError, TypeError, NotImplementedError, MemoryError):
        _, raised, reason = text.partition(f"{kind.__name__}: ")
        if raised:
            return kind(f"{reason} ({device})")
    return RuntimeError(f"{device!r} cannot fill its memory: {text}")


def refill(parts: list[Part], init: Any, threads: int | None, progress: Any) -> None:
    """Give each part new memory with its values, on all servers at the same time."""
    queues = defaultdict(list)
    for part in parts:
        queues[part.device].append(part)
    check_progress(progress)
    done, total = 0, sum(math.prod(shape_now(part.variable)) for part in parts)
    with ThreadPoolExecutor(min(len(queues), _AT_ONCE)) as pool:
        waiting = [pool.submit(_refill_one, queue, init, threads) for queue in queues.values()]
        try:
            for written in as_completed(waiting):
                done += written.result()
                if progress is not None:
                    progress(done, total)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _refill_one(queue: list[Part], init: Any, threads: int | None) -> int:
    """The parts on one server, one after the other; the number of weights."""
    size = 0
    for variable, device, box in queue:
        shape = shape_now(variable) if box is None else box.global_shape
        dtype = dtypes.as_dtype(variable.dtype)
        tensor = filled(init, shape, dtype, device, box, threads, None)
        with tf.device(None), tf.device(device):
            tf.raw_ops.AssignVariableOp(resource=variable.handle, value=tensor)
        size += math.prod(tensor.shape)
    return size


def parts_of(sharded: Any) -> list[tuple[Any, Shard]]:
    """The variables that a ShardedVariable consists of, and which rows each of them has."""
    shape, stop, found = tuple(sharded.shape.as_list()), 0, []
    for variable in sharded.variables:
        start, stop = stop, stop + variable.shape[0]
        found.append((variable, Shard(shape, slice(start, stop))))
    return found


def is_sharded(variable: Any) -> bool:
    """Whether this is what ParameterServerStrategy makes with a `variable_partitioner`."""
    from tensorflow.python.distribute.sharded_variable import ShardedVariable  # not public

    return isinstance(variable, ShardedVariable)
