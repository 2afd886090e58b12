# SPDX-License-Identifier: Apache-2.0
"""Keras initializers called inside a tf.function or jax.jit, and weights drawn when those run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from philinit.keras.checks import backend


def left_in_graph(*, for_xla: bool = False) -> bool:
    """Whether TensorFlow traces the call into a graph, other than as a variable's initial value.

    TensorFlow lifts initial values out of a tf.function and runs them before it. All else stays
    in the graph, where Python is a burden: XLA runs none, and a file can hold none.

    Parameters
    ----------
    for_xla : bool
        Only if XLA is to compile the graph.
    """
    if backend() != "tensorflow":
        return False
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    if graph.get_name_scope().rpartition("/")[2].startswith("Initializer"):
        return False
    if not for_xla:
        return True
    # No public function tells.
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return bool(GraphOrParentsInXlaContext(graph))


def tensorflow_tensor(
    draw: Callable[[Any], Any], words: Any, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> Any:
    """Symbolic tf.Tensor of ``draw(words)``; seed words in a tensor have values when it runs."""
    import tensorflow as tf

    if isinstance(words, tuple):
        tensor = tf.py_function(lambda: draw(words), [], tf.as_dtype(dtype))
    else:
        tensor = tf.py_function(draw, [words], tf.as_dtype(dtype))
    tensor.set_shape(shape)
    return tensor


def jax_array(
    draw: Callable[[Any], Any],
    words: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    sharding: Any,
) -> Any:
    """Traced jax.Array of ``draw(words)``, for the words of a SeedGenerator inside jax.jit."""
    import jax

    value = jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), words)
    return value if sharding is None else jax.lax.with_sharding_constraint(value, sharding)
