# SPDX-License-Identifier: Apache-2.0
"""Parts of variables: those of TensorFlow's parameter servers, and the layouts of Keras and JAX."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import keras

from philinit.keras.checks import backend
from philinit.keras.private import initializer_around
from philinit.parts import Shard


def requested_part(initializer: Any, shape: Any, part: Any, offset: Any) -> Shard | None:
    """The part of a variable of this shape that TensorFlow's partition arguments describe.

    What has no parts raises NotImplementedError: after a TypeError or ValueError TensorFlow would
    ask for the whole, once for each part.
    """
    if backend() != "tensorflow":
        raise NotImplementedError(
            f"`partition_shape` must be None on Keras's {backend()} backend, which has no parts; "
            f"got partition_shape={part!r} and partition_offset={offset!r}"
        )
    if isinstance(getattr(initializer, "seed", None), keras.random.SeedGenerator):
        raise NotImplementedError(
            "`seed` must be an int for a variable in parts, since a SeedGenerator has another seed "
            f"for each of them; got seed={initializer.seed!r}"
        )
    from philinit.tensorflow import parts

    return parts.requested_part(shape, None, part, offset)[1]


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
        return next_creator(**(_with_shape(kwargs) if on_servers() else kwargs))

    with tf.variable_creator_scope(create):
        yield


def _with_shape(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A variable creator's arguments, with the shape of a Keras variable where there is none."""
    found = initializer_around(kwargs.get("initial_value"))
    if found is None or kwargs.get("shape") is not None or not _takes_parts(found[0]):
        return kwargs
    initializer, shape = found[0], tuple(found[1].shape)
    value = functools.partial(initializer, shape, dtype=kwargs["dtype"])
    return {**kwargs, "initial_value": value, "shape": shape}


def _takes_parts(initializer: Any) -> bool:
    return callable(initializer) and "partition_shape" in inspect.signature(initializer).parameters


# --- JAX -----------------------------------------------------------------------------------------


def sharding_of(layout: Any, shape: tuple[int, ...]) -> Any:
    """A layout of Keras or JAX as a sharding of `shape` over devices that exist."""
    from philinit.jax.parts import concrete

    return concrete(getattr(layout, "backend_layout", layout), shape)  # of a Keras TensorLayout


def own_axes(layout: Any) -> Any:
    """A context with the axes of the mesh that was set, which values made before have.

    Keras passes the abstract mesh, with explicit axes, of the one that it has set.
    """
    import jax

    if not isinstance(getattr(layout, "mesh", None), jax.sharding.AbstractMesh):
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(jax.sharding.get_mesh().abstract_mesh)
