# SPDX-License-Identifier: Apache-2.0
"""All that is taken from TensorFlow's private parts; each use says which public thing is missing."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf

OLDEST, NEWEST = "2.16", "2.21"  # the versions of TensorFlow that are supported

# What is looked up, by module; nothing is before it is needed.
TAKEN = {
    "context": ("tensorflow.python.eager.context", "context"),
    "eager function": ("tensorflow.python.ops.script_ops", "EagerFunc"),
    "functions": ("tensorflow.python.ops.script_ops", "_py_funcs"),
    "sharded": ("tensorflow.python.distribute.sharded_variable", "ShardedVariable"),
    "xla": ("tensorflow.python.ops.control_flow_util", "GraphOrParentsInXlaContext"),
}


def _moved(name: str) -> ImportError:
    return ImportError(
        f"philinit.tensorflow needs {name} of TensorFlow {OLDEST} to {NEWEST}, and TensorFlow "
        f"{tf.__version__} has another or none: install one of those, and please report it"
    )


@functools.cache
def _taken(use: str) -> Any:
    module, name = TAKEN[use]
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError):
        raise _moved(f"{module}.{name}") from None


def scope_device() -> str:
    """The device scope around the call; "" where there is none.

    Missing: a public function that tells. One can see only where an op went in the end, which is
    a CPU on a machine without the GPU that the scope asks for.
    """
    try:
        return _taken("context")().device_name or ""
    except AttributeError:
        raise _moved("tensorflow.python.eager.context.Context.device_name") from None


def this_process() -> str:
    """The name that all devices of this process begin with.

    Missing: a public way to tell which of a cluster's devices are this process's.
    """
    try:
        return str(_taken("context")().host_address_space())
    except AttributeError:
        raise _moved("tensorflow.python.eager.context.Context.host_address_space") from None


def is_sharded(variable: Any) -> bool:
    """Whether this is what ParameterServerStrategy makes with a `variable_partitioner`.

    Missing: a public name of that class.
    """
    return isinstance(variable, _taken("sharded"))


def in_xla_context(graph: Any) -> bool:
    """Whether XLA is to compile a graph, or one that it is inside of.

    Missing: a public function that tells.
    """
    return bool(_taken("xla")(graph))


def put_up(name: str, function: Callable[[Any], Any]) -> Any:
    """Let the op EagerPyFunc, run in this process with `name` as its token, call `function`.

    Missing: a name of one's own for a py_function, whose made-up one only its own process knows.
    TensorFlow holds what is returned weakly.
    """

    class Served(_taken("eager function")):  # type: ignore[misc]  # untyped base
        def __init__(self) -> None:
            pass

        def __call__(self, device: Any, token: Any, args: Any) -> Any:
            # The base class may keep the result for a gradient: then the first update would copy.
            with tf.init_scope():
                return function(args[0])

    served = Served()
    try:
        _taken("functions")._funcs[name] = served
    except (AttributeError, TypeError):
        raise _moved("tensorflow.python.ops.script_ops._py_funcs._funcs") from None
    return served
