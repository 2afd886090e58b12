# SPDX-License-Identifier: Apache-2.0
"""What TensorFlow's side of a call is refused for: where it is made, its shape and its dtype."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from philinit import dtypes
from philinit.checks import Progress, as_shape, check_progress, check_threads

DTYPES = {dtypes.as_dtype(name): tf.as_dtype(name) for name in dtypes.NAMES}


class Wanted(NamedTuple):
    """What is to be filled and how, checked."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    threads: int | None
    progress: Progress | None


def wanted(shape: Any, dtype: Any, threads: Any, progress: Any) -> Wanted:
    """The arguments that all functions share, or the error of the first that cannot be."""
    shape = as_shape(shape) if type(shape) is tuple else static_shape(shape)
    found = dtypes.FLOAT32 if dtype is None else dtypes.as_dtype(dtype)
    if threads is not None or progress is not None:
        threads, progress = check_threads(threads), check_progress(progress)
    return Wanted(shape, found, threads, progress)


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


def check_eager(function: str) -> None:
    """Refuse a call inside a graph."""
    if not tf.executing_eagerly():
        raise NotImplementedError(
            f"philinit.tensorflow.{function} must be called eagerly; got a call inside a "
            "tf.function or a tf.Graph: call it outside, or under tf.init_scope()"
        )
