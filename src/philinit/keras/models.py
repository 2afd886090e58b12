# SPDX-License-Identifier: Apache-2.0
"""The weights of a Keras model, filled by a map of their names to initializers."""

from __future__ import annotations

from typing import Any

import keras

from philinit import dtypes
from philinit.checks import Progress, check_progress, check_threads
from philinit.initializers.base import Initializer
from philinit.initializers.models.adjusted import Keep
from philinit.initializers.models.maps import Planned, normalized
from philinit.initializers.models.plans import chosen, in_turn, naming, planned
from philinit.initializers.models.tables import Table
from philinit.keras.checks import backend, float_dtype


def initialize(
    model: Any,
    parameters: Any,
    seed: int,
    *,
    only: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Fill the weights of a built model, as a map of their names says; return the model.

    A weight gets the values of ``init.named(name)`` for its shape, on every backend the same. So a
    model that was trained is reset to its first weights; its optimizer is not. Weights that layers
    share are filled once. On the TensorFlow, torch and NumPy backends that is done in place, but
    for weights that lie transposed; on JAX, whose arrays never change, each weight gets a new
    array, spread as the old one.

    Parameters
    ----------
    model : keras.Model or keras.Layer
        Built: its weights have shapes.
    parameters : philinit.models.ParameterMap, or what makes one
        The name of a weight is its ``path`` without the model's own name, with dots:
        "encoder.dense.kernel". Give layers names, since Keras numbers those that have none. All of
        ``model.weights`` must be matched, moving averages too: ``("*.moving_variance",
        pi.Ones())``. Fans come from shapes as Keras's do, (..., in, out).
    seed : int
        Of all initializers that have none of their own.
    only : sequence of str, optional
        Names, or patterns of them: what else there is stays as it is, and need not be in the map.
    threads, progress
        As in ``init(shape)``; progress counts the elements of all weights that are filled.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before a byte is written: weights that the map does not match, all of them with their
        shapes; a weight that is no float; what filling refuses, with the name.

    Examples
    --------
    >>> import keras, philinit as pi, philinit.keras as pk
    >>> up, r = keras.layers.Dense(8, name="up"), keras.layers.LSTM(4, name="r")
    >>> model = keras.Sequential([up, r])
    >>> model.build((None, 5, 3))
    >>> parameters = {"*.bias": pi.Zeros(), "*.recurrent_kernel": pi.Orthogonal(),
    ...               "*": pi.GlorotUniform()}
    >>> model = pk.initialize(model, parameters, seed=42)
    >>> tuple(model.layers[0].kernel.shape)
    (3, 8)
    """
    threads, progress = check_threads(threads), check_progress(progress)
    named = _named(model, only)
    plan = _plan(named, parameters, seed)
    turns = in_turn(plan, [one.size for one in plan], progress)
    for (one, report), (_, variable) in zip(turns, named, strict=True):
        if not isinstance(one.init, Keep):
            _fill(variable, one.init, threads, report)
        elif report is not None:
            report(one.size, one.size)
    return model


def dry_run(model: Any, parameters: Any, seed: int, *, only: Any = None) -> Table:
    """What `initialize` would do, as a `philinit.models.Table`; writes nothing.

    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, name="up")])
    >>> table = pk.dry_run(model, {"*.bias": pi.Zeros(), "*": pi.HeNormal()}, seed=42)
    >>> [row["name"] for row in table.rows()]
    ['up.kernel', 'up.bias']
    """
    named = _named(model, only)
    plan = _plan(named, parameters, seed)
    variables = {one.name: variable for one, (_, variable) in zip(plan, named, strict=True)}
    return Table(plan, lambda name: keras.ops.convert_to_numpy(variables[name].value))


def _plan(named: list[tuple[str, Any]], parameters: Any, seed: Any) -> list[Planned]:
    described = []
    for name, variable in named:
        with naming(name):
            dtype = float_dtype(variable.dtype)
        described.append((name, tuple(variable.shape), dtype))
    return planned(parameters, described, seed)


def _named(model: Any, only: Any) -> list[tuple[str, Any]]:
    """Name and variable of each weight that is wanted, shared ones once."""
    if not isinstance(model, keras.Layer):  # a model is one
        raise TypeError(
            f"`model` must be a keras.Model or a keras.Layer; got {type(model).__name__}"
        )
    own, named, met = f"{model.name}/", [], set()
    for variable in model.weights:
        if id(variable) not in met:
            met.add(id(variable))
            named.append((normalized(variable.path.removeprefix(own)), variable))
    if not named:
        raise ValueError(
            f"`model` must have weights; got none in {model.name!r}: build it first, as "
            "model.build(input_shape) does, or call it once"
        )
    return chosen(named, only)


def _fill(variable: Any, init: Initializer, threads: int | None, progress: Progress | None) -> None:
    """The weights of `init` in a variable of Keras's backend."""
    name, shape = backend(), tuple(variable.shape)
    call: Any = {"threads": threads, "progress": progress}
    if name == "tensorflow":
        from philinit.tensorflow.variables import fill

        fill(variable, init, **call)
    elif name == "torch" and variable.value.is_contiguous():
        import torch

        init.fill(variable.value.detach(), **call)
        torch.autograd.graph.increment_version(variable.value)
    elif name == "jax":
        from philinit.jax.arrays import array, sharded

        value, dtype = variable.value, dtypes.as_dtype(variable.dtype)
        if getattr(value, "committed", True):
            variable.assign(sharded(init, shape, value.sharding, dtype, **call))
        else:
            variable.assign(array(init, shape, dtype, **call))
    elif name == "numpy" and variable.value.flags.c_contiguous and variable.value.flags.writeable:
        init.fill(variable.value, **call)
    else:  # what Keras transposed when it made it, as it does with Orthogonal
        variable.assign(init(shape, variable.dtype, **call))
