# SPDX-License-Identifier: Apache-2.0
"""Keras initializers called inside a tf.function, under XLA, or inside jax.jit."""

from __future__ import annotations

from typing import Any

from philinit.keras.checks import backend

if backend() == "tensorflow":
    import tensorflow as tf

    from philinit.tensorflow.private import in_xla_context


def left_in_graph(*, for_xla: bool = False) -> bool:
    """Whether TensorFlow traces the call into a graph, other than as a variable's initial value.

    TensorFlow lifts initial values out of a tf.function and runs them before it. All else stays
    in the graph, where Python is a burden: XLA runs none, and a file can hold none. With `for_xla`
    it counts only if XLA is to compile the graph.
    """
    if backend() != "tensorflow":
        return False
    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    if graph.get_name_scope().rpartition("/")[2].startswith("Initializer"):
        return False
    return not for_xla or in_xla_context(graph)


def jax_array(draw: Any, words: Any, shape: Any, dtype: Any, layout: Any) -> Any:
    """Traced jax.Array of ``draw(words)``, for the words of a SeedGenerator inside jax.jit."""
    import jax

    value = jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), words)
    return value if layout is None else jax.lax.with_sharding_constraint(value, layout)
