# SPDX-License-Identifier: Apache-2.0
"""The variables of a tf.Module, refilled by a map of their names to initializers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from philinit import dtypes
from philinit.checks import Progress, check_progress, check_threads
from philinit.initializers.models.maps import Planned, normalized
from philinit.initializers.models.plans import chosen, in_turn, naming, planned
from philinit.initializers.models.tables import Table
from philinit.tensorflow import memory
from philinit.tensorflow.checks import check_eager
from philinit.tensorflow.parts import held
from philinit.tensorflow.variables import fill

_LARGEST_COPY = 1 << 22  # elements of a variable's rows that are read at a time


def initialize(
    model: Any,
    parameters: Any,
    seed: int,
    *,
    only: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Refill the variables of a model in place, as a map of their names says; return the model.

    A variable gets the weights of ``init.named(name)`` for its shape; called again, the model is
    back at its first weights. A variable that is met twice is filled once, by the first of its
    names.

    Parameters
    ----------
    model : tf.Module, mapping of str to variable, or iterable of variables
        The name of a variable in a tf.Module is the way to it, by attributes, keys and positions:
        "layers.0.w"; in an iterable its own. For Keras's models see `philinit.keras.initialize`.
    parameters : philinit.models.ParameterMap, or what makes one
        Fans come from shapes as Keras's do, (..., in, out).
    seed : int
        Of all initializers that have none of their own.
    only : sequence of str, optional
        Names, or patterns of them: what else there is stays as it is, and need not be in the map.
    threads, progress
        As in `fill`; progress counts the elements of all variables that are filled.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before a byte is written: variables that the map does not match, all of them with their
        shapes; what `fill` refuses, with the name.

    Examples
    --------
    >>> import tensorflow as tf, philinit as pi, philinit.tensorflow as pit
    >>> class Dense(tf.Module):
    ...     def __init__(self):
    ...         self.w = tf.Variable(tf.zeros([64, 256]))
    ...         self.b = tf.Variable(tf.zeros([256]))
    >>> model = pit.initialize(Dense(), {"b": pi.Zeros(), "w": pi.HeNormal()}, seed=42)
    >>> bool(tf.reduce_all(model.w == pi.HeNormal(seed=42).named("w")((64, 256))))
    True
    """
    check_eager("initialize")
    threads, progress = check_threads(threads), check_progress(progress)
    named = _named(model, only)
    plan = _plan(named, parameters, seed)
    turns = in_turn(plan, [one.size for one in plan], progress)
    for (one, report), (_, variable) in zip(turns, named, strict=True):
        fill(variable, one.init, threads=threads, progress=report)
    return model


def dry_run(model: Any, parameters: Any, seed: int, *, only: Any = None) -> Table:
    """What `initialize` would do, as a `philinit.models.Table`; writes nothing.

    >>> variables = {"b": tf.Variable(tf.ones([16]))}
    >>> pit.dry_run(variables, {"b": pi.Zeros()}, seed=42).rows()[0]["name"]
    'b'
    """
    check_eager("dry_run")
    named = _named(model, only)
    plan = _plan(named, parameters, seed)
    variables = {one.name: variable for one, (_, variable) in zip(plan, named, strict=True)}
    return Table(plan, lambda name: _chunks(variables[name]))


def _plan(named: list[tuple[str, Any]], parameters: Any, seed: Any) -> list[Planned]:
    described = []
    for name, variable in named:
        with naming(name):
            first = held(variable)[0]
        part, dtype = first.part, dtypes.as_dtype(first.variable.dtype)
        shape = memory.shape_now(first.variable) if part is None else part.global_shape
        described.append((name, shape, dtype))
    return planned(parameters, described, seed)


def _named(model: Any, only: Any) -> list[tuple[str, Any]]:
    """Name and variable of each one that is wanted, those that are met again once."""
    if isinstance(model, tf.Module):
        pairs: Iterable[tuple[str, Any]] = _walk(model, "", set())
    elif isinstance(model, Mapping):
        pairs = model.items()
    elif isinstance(model, Iterable) and not isinstance(model, (str, tf.Tensor, tf.Variable)):
        pairs = ((getattr(variable, "name", ""), variable) for variable in model)
    else:
        raise TypeError(
            "`model` must be a tf.Module, a mapping of names to variables, or an iterable of "
            f"variables; got {type(model).__name__}"
        )
    named, met = [], set()
    for name, variable in pairs:
        if id(variable) not in met:
            met.add(id(variable))
            named.append((normalized(name), variable))
    if not named:
        raise ValueError("`model` must have variables; got none")
    return chosen(named, only)


def _walk(value: Any, name: str, above: set[int]) -> Iterator[tuple[str, Any]]:
    """The variables under a value by their ways, in the order of tf.Module: attributes sorted."""
    if isinstance(value, tf.Variable):
        yield name, value
        return
    if isinstance(value, tf.Module):
        # What begins with _self_ is TensorFlow's own record of what it tracks in the module.
        children: Any = sorted(i for i in vars(value).items() if not i[0].startswith("_self_"))
    elif isinstance(value, Mapping):
        children = value.items()
    elif isinstance(value, (list, tuple)):
        children = enumerate(value)
    else:
        return
    if id(value) in above:  # a module may hold the one that holds it
        return
    for key, child in children:
        yield from _walk(child, f"{name}.{key}" if name else str(key), {*above, id(value)})


def _chunks(variable: Any) -> Iterator[Any]:
    """The elements of a variable as arrays of rows."""
    for one in held(variable):
        shape = memory.shape_now(one.variable)
        if not shape:
            yield one.variable.numpy().reshape(1)
            continue
        row = max(1, one.variable.shape.num_elements() // max(shape[0], 1))
        step = max(1, _LARGEST_COPY // row)
        for start in range(0, shape[0], step):
            yield one.variable[start : start + step].numpy()
