# SPDX-License-Identifier: Apache-2.0
"""Tensors of eager code and of graphs; in a graph they are filled whenever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from philinit.checks import Progress
from philinit.initializers.config import is_own
from philinit.parts import Shard
from philinit.tensorflow import memory
from philinit.tensorflow.devices import device_name, is_gpu, is_remote
from philinit.tensorflow.private import leave_as_it_is
from philinit.tensorflow.servers import filled_anywhere, filled_by_graph

leave_as_it_is("philinit")


def symbolic(
    make: Callable[..., Any],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: Sequence[Any] = (),
) -> Any:
    """The tensor of a graph that is `make`, of the eager `inputs`, called when the graph runs."""
    tensor = tf.py_function(make, list(inputs), tf.as_dtype(dtype))
    tensor.set_shape(shape)
    return tensor


def made(
    init: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: Any = None,
    part: Shard | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """tf.Tensor of `shape`, or of a `part` of it: eager, or symbolic inside a graph."""
    if tf.executing_eagerly():
        name = device_name(device)
        return filled_anywhere(init, shape, dtype, name, part, threads, progress)
    name = device_name("CPU:0" if device is None else device)
    if is_gpu(name) or is_remote(name):
        where = "CPU memory" if is_gpu(name) else "this process's memory"
        raise NotImplementedError(
            f"a tensor inside a tf.function or a tf.Graph must be in {where}; "
            f"got device={name!r}: say device='CPU:0', or call it outside"
        )
    init._check(shape, dtype)
    if progress is None and is_own(init):
        return filled_by_graph(init, shape, dtype, part, threads)
    return symbolic(
        lambda: memory.filled(init, shape, dtype, name, part, threads, progress),
        shape if part is None else part.shape,
        dtype,
    )
