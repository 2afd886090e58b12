# SPDX-License-Identifier: Apache-2.0
"""Keras initializers called inside a tf.function, under XLA, or inside jax.jit."""

from __future__ import annotations

from typing import Any

from philinit.keras.checks import backend

if backend() == "tensorflow":
    from philinit.tensorflow import traced


def left_in_graph(*, for_xla: bool = False) -> bool:
    """`philinit.tensorflow.traced.left_in_graph`; False on another backend."""
    return backend() == "tensorflow" and traced.left_in_graph(for_xla=for_xla)


def jax_array(draw: Any, words: Any, shape: Any, dtype: Any, layout: Any) -> Any:
    """Traced jax.Array of ``draw(words)``, for the words of a SeedGenerator inside jax.jit."""
    import jax

    value = jax.pure_callback(draw, jax.ShapeDtypeStruct(shape, dtype), words)
    return value if layout is None else jax.lax.with_sharding_constraint(value, layout)
