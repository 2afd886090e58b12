# SPDX-License-Identifier: Apache-2.0
"""All that is taken from TensorFlow's private parts, and which public thing each stands in for."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from philinit.filling import dlpack
from philinit.filling.memory import address

OLDEST, NEWEST = "2.18", "2.21"  # the versions of TensorFlow that are supported


def _moved(name: str) -> ImportError:
    return ImportError(
        f"philinit.tensorflow needs {name} of TensorFlow {OLDEST} to {NEWEST}, and TensorFlow "
        f"{tf.__version__} has another or none: install one of those, and please report it"
    )


@functools.cache
def _taken(module: str, name: str, *attributes: str) -> Any:
    """`name` of a module of tensorflow.python, which has these attributes."""
    try:
        found = getattr(importlib.import_module(f"tensorflow.python.{module}"), name)
    except (ImportError, AttributeError):
        raise _moved(f"tensorflow.python.{module}.{name}") from None
    for attribute in attributes:
        if not hasattr(found, attribute):
            raise _moved(f"{attribute} of tensorflow.python.{module}.{name}")
    return found


@functools.cache
def _context() -> Any:
    _taken("eager.context", "Context", "device_name", "host_address_space", "list_logical_devices")
    return _taken("eager.context", "context")


def scope_device() -> str:
    """The device scope around the call; "" where there is none.

    Missing: a public function that tells. One can see only where an op went in the end, which is
    a CPU on a machine without the GPU that the scope asks for.
    """
    return _context()().device_name or ""


def no_choice() -> bool:
    """Whether there is no scope around the call, and no device but one CPU.

    Missing: what `scope_device` misses.
    """
    context = _context()()
    return not context.device_name and len(context.list_logical_devices()) == 1


def this_process() -> str:
    """The name that all devices of this process begin with.

    Missing: a public way to tell which of a cluster's devices are this process's.
    """
    return str(_context()().host_address_space())


def array_over(tensor: Any, device: str) -> Any:
    """ndarray over the memory of an eager tensor on a CPU of this process, to be written.

    Missing: leave to write what TensorFlow has allocated. That ``__array__`` shares the memory is
    not documented; a DLPack capsule tells where it is too, at ten times the cost.
    """
    probe_memory()
    if tensor.backing_device.endswith(device):  # of memory elsewhere, an array is a copy
        array = tensor.__array__()
        if type(array) is np.ndarray:  # of a scalar it is one of NumPy's, which is a copy, too
            return array
    return dlpack.from_capsule(tf.experimental.dlpack.to_dlpack(tensor))


@functools.cache
def probe_memory() -> None:
    """Compare the two ways to the memory of one of TensorFlow's tensors: once a process."""
    with tf.device(f"{this_process()}/device:CPU:0"):
        tensor = tf.raw_ops.Empty(shape=[2, 3], dtype=tf.float32, init=True)
    shared = dlpack.from_capsule(tf.experimental.dlpack.to_dlpack(tensor))
    array = tensor.__array__()
    own = isinstance(array, np.ndarray) and array.flags.carray  # writable, and in C order
    if not (own and array.shape == (2, 3) and address(array) == address(shared)):
        raise _moved("tf.Tensor.__array__ over the tensor's own memory")


def is_sharded(variable: Any) -> bool:
    """Whether this is what ParameterServerStrategy makes with a `variable_partitioner`.

    Missing: a public name of that class.
    """
    return isinstance(variable, _taken("distribute.sharded_variable", "ShardedVariable"))


def in_xla_context(graph: Any) -> bool:
    """Whether XLA is to compile a graph, or one that it is inside of.

    Missing: a public function that tells.
    """
    return bool(_taken("ops.control_flow_util", "GraphOrParentsInXlaContext")(graph))


def leave_as_it_is(package: str) -> None:
    """Let AutoGraph call the functions of a package as they are, not rewrite them.

    Missing: what ``tf.autograph.experimental.do_not_convert`` says of one function, for all. It is
    the list of packages that AutoGraph asks, in which NumPy, pandas and Keras are.
    """
    config = _taken("autograph.core", "config", "CONVERSION_RULES", "DoNotConvert")
    config.CONVERSION_RULES = (*config.CONVERSION_RULES, config.DoNotConvert(package))


def put_up(name: str, function: Callable[..., Any]) -> Any:
    """Let the op EagerPyFunc, run in this process with `name` as its token, call `function`.

    Missing: a py_function with a name of one's own, not one that only its own process knows.
    TensorFlow holds what is returned weakly. It calls from threads of its own, which are not eager
    after ``tf.compat.v1.disable_v2_behavior``.
    """
    eager_mode = _taken("eager.context", "eager_mode")

    class Served(_taken("ops.script_ops", "EagerFunc")):  # type: ignore[misc]  # untyped base
        def __init__(self) -> None:
            pass

        def __call__(self, device: Any, token: Any, args: Any) -> Any:
            # The base class may keep the result for a gradient: then the first update would copy.
            with eager_mode(), tf.init_scope():
                return function(*args)

    served = Served()
    _taken("ops.script_ops", "_py_funcs", "_funcs")._funcs.update({name: served})
    return served
