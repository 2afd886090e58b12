# SPDX-License-Identifier: Apache-2.0
"""All that is taken from Keras beyond what it documents; a probe for each, and what is missing."""

from __future__ import annotations

import inspect
from typing import Any

import keras

OLDEST, NEWEST = "3.7", "3.15.1"  # the versions of Keras that are supported; the newest one tested


def _moved(name: str) -> RuntimeError:
    return RuntimeError(
        f"philinit.keras needs {name} of keras {OLDEST} to {NEWEST}, and keras "
        f"{keras.__version__} has another or none: install one of those, and please report it"
    )


def own_call(kind: type) -> Any:
    """The ``__call__`` of one of Keras's initializers, which `accelerate` replaces.

    Missing: a way to have Keras ask somebody else for its initial weights. That the class has a
    call of its own, rather than one that it inherits, is not documented.
    """
    if "__call__" not in vars(kind):
        raise _moved(f"keras.initializers.{kind.__name__}.__call__")
    return vars(kind)["__call__"]


def initializer_around(initial_value: Any) -> tuple[Any, Any] | None:
    """Initializer and keras.Variable, where this function is the initial value of a Keras variable.

    Missing: the shape, which Keras does not hand to tf.Variable. Both are in the closure.
    """
    if not (inspect.isfunction(initial_value) and initial_value.__module__.startswith("keras.")):
        return None
    names = inspect.getclosurevars(initial_value).nonlocals
    if not (names.keys() >= {"initializer", "self"} and isinstance(names["self"], keras.Variable)):
        raise _moved("`initializer` and `self` around a variable's initial value")
    return names["initializer"], names["self"]
