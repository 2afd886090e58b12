# SPDX-License-Identifier: Apache-2.0
"""Which of TensorFlow's devices a tensor is to be on, and whether it can be filled there."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def check_eager(function: str) -> None:
    """Refuse a call inside a graph."""
    if not tf.executing_eagerly():
        raise NotImplementedError(
            f"philinit.tensorflow.{function} must be called eagerly; got a call inside a "
            "tf.function or a tf.Graph: call it outside, or under tf.init_scope()"
        )


def check_strategy() -> None:
    """Refuse strategies that would copy the variable to somewhere else."""
    if not tf.distribute.has_strategy():
        return
    strategy = tf.distribute.get_strategy()
    local = isinstance(strategy, tf.distribute.OneDeviceStrategy | tf.distribute.MirroredStrategy)
    if not (local and tf.distribute.in_cross_replica_context()):
        raise NotImplementedError(
            "under a tf.distribute strategy a variable must be made in the scope() of a "
            f"MirroredStrategy or OneDeviceStrategy; got {type(strategy).__name__}"
            f"{', inside run()' if local else ''}: make it outside"
        )
    for device in strategy.extended.parameter_devices:
        if is_gpu(device_name(device)):
            raise NotImplementedError(
                "under a tf.distribute strategy the memory must be a CPU's for now; "
                f"got device={device!r}: make the variable outside of its scope()"
            )


def _scope() -> str:
    """Name of the device scope around the call; empty where there is none."""
    # Public functions tell only where an op went in the end, which is a CPU on a machine
    # without the GPU that the scope asks for.
    from tensorflow.python.eager import context

    return context.context().device_name or ""


def device_name(device: Any) -> str:
    """Name of the device that is meant, "CPU:0" or "GPU:1", or the error that says why not."""
    if device is None:
        name = _scope()
    elif isinstance(device, tf.DeviceSpec):
        name = device.to_string()
    else:
        name = getattr(device, "name", device)  # of a tf.config.LogicalDevice
    if not isinstance(name, str):
        raise TypeError(f"`device` must be a str such as 'CPU:0'; got device={device!r}")
    try:
        spec = tf.DeviceSpec.from_string(name)
    except ValueError:
        raise ValueError(f"`device` must be a CPU such as 'CPU:0'; got device={name!r}") from None
    kind = spec.device_type
    if kind is None:  # TensorFlow's own choice
        kind = "GPU" if device is None and tf.config.list_logical_devices("GPU") else "CPU"
    if spec.job not in (None, "localhost"):
        raise NotImplementedError(
            f"the memory must belong to this process; got device={name!r}: "
            "say device='CPU:0' to have it here"
        )
    if kind == "GPU":
        _check_cuda(name or "GPU:0")
    elif kind != "CPU":
        raise NotImplementedError(
            f"the memory must be a GPU's or a CPU's for now; got device={name!r}: "
            "say device='CPU:0' to have it in CPU memory"
        )
    index = spec.device_index or 0
    count = len(tf.config.list_logical_devices(kind))
    if index >= count:  # TensorFlow would take another one
        raise ValueError(f"`device` must be one of the {count} {kind} devices; got device={name!r}")
    return f"{kind}:{index}"


def _check_cuda(name: str) -> None:
    """Whether CUDA can be used at all; TensorFlow's numbers of GPUs need not be CUDA's."""
    from philinit.backends import cuda_memory

    try:
        cuda_memory.device_count()
    except (ImportError, RuntimeError) as error:
        kind = ImportError if isinstance(error, ImportError) else RuntimeError
        raise kind(
            f"the memory of a GPU is filled through CuPy; got device={name!r}: {error}, "
            "or say device='CPU:0' to have it in CPU memory"
        ) from error


def is_gpu(device: str) -> bool:
    """Whether a name that `device_name` gave is a GPU's."""
    return device.startswith("GPU")
