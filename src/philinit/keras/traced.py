# SPDX-License-Identifier: Apache-2.0
"""Keras initializers called inside a tf.function, or under XLA."""

from __future__ import annotations

from philinit.keras.checks import backend

if backend() == "tensorflow":
    from philinit.tensorflow import traced


def left_in_graph(*, for_xla: bool = False) -> bool:
    """`philinit.tensorflow.traced.left_in_graph`; False on another backend."""
    return backend() == "tensorflow" and traced.left_in_graph(for_xla=for_xla)
