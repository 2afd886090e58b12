# SPDX-License-Identifier: Apache-2.0
"""`partitioned`: Keras's variables in parts on parameter servers, each part made where it stays."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from philinit.keras.memory import backend


@contextlib.contextmanager
def partitioned() -> Iterator[None]:
    """Let a ParameterServerStrategy's `variable_partitioner` cut Keras's variables before they are.

    Keras does not tell TensorFlow the shape of a variable to come. So with a partitioner the
    coordinator computes every variable, whole, and sends the parts. Inside this block TensorFlow
    is told, and asks the initializer for each part, which the part's server fills. That goes for
    initializers that take partition_shape and partition_offset: those of `philinit.keras`, and
    `philinit.tensorflow.initializer`. Others are left alone; so is everything without a
    partitioner.

    Raises
    ------
    NotImplementedError
        Keras runs on another backend than TensorFlow.

    Notes
    -----
    Keras 3 itself cannot train such variables: ``tape.gradient`` and its optimizers take their
    parts, ``variable.value.variables``, only in a loop of one's own.

    Examples
    --------
    >>> import keras, philinit.keras
    >>> with philinit.keras.partitioned():  # and strategy.scope(), before it
    ...     dense = keras.layers.Dense(8, kernel_initializer=philinit.keras.HeNormal(seed=1))
    ...     dense.build((None, 4))
    """
    if backend() != "tensorflow":
        raise NotImplementedError(
            "parts of variables are for Keras's tensorflow backend; "
            f"got keras.backend.backend()={backend()!r}"
        )
    import tensorflow as tf

    from philinit.tensorflow.devices import on_servers

    def create(next_creator: Any, **kwargs: Any) -> Any:
        return next_creator(**(_told(kwargs) if on_servers() else kwargs))

    with tf.variable_creator_scope(create):
        yield


def _told(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A variable creator's arguments, with the shape of a Keras variable where there is none."""
    initial = kwargs.get("initial_value")
    if not inspect.isfunction(initial) or kwargs.get("shape") is not None:
        return kwargs
    # Keras's lambda around its variable's initializer; without these names nothing changes.
    around: Any = inspect.getclosurevars(initial).nonlocals
    initializer, variable = around.get("initializer"), around.get("self")
    if not (isinstance(variable, keras.Variable) and _takes_parts(initializer)):
        return kwargs
    shape = tuple(variable.shape)
    value = functools.partial(initializer, shape, dtype=kwargs["dtype"])
    return {**kwargs, "initial_value": value, "shape": shape}


def _takes_parts(initializer: Any) -> bool:
    return callable(initializer) and "partition_shape" in inspect.signature(initializer).parameters
