# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's device strings and scopes -> the names of devices that can be filled."""

from __future__ import annotations

import contextlib
import functools
from typing import Any

import tensorflow as tf

from philinit.tensorflow.private import no_choice, scope_device, this_process


def on_servers() -> bool:
    """Whether a variable made here goes to parameter servers, as the strategy sees fit."""
    return (
        tf.distribute.has_strategy()
        and isinstance(tf.distribute.get_strategy(), tf.distribute.ParameterServerStrategy)
        and tf.distribute.in_cross_replica_context()
    )


def device_of_strategy(device: Any) -> Any:
    """Where the strategy around the call has the first replica, unless a `device` is given.

    Refuses strategies that would copy the variable to somewhere else.
    """
    strategy = tf.distribute.get_strategy()
    local = isinstance(strategy, tf.distribute.OneDeviceStrategy | tf.distribute.MirroredStrategy)
    if not (local and tf.distribute.in_cross_replica_context()):
        raise NotImplementedError(
            "under a tf.distribute strategy a variable must be made in the scope() of a Mirrored-, "
            f"OneDevice- or ParameterServerStrategy; got {type(strategy).__name__}"
            f"{', inside run()' if local else ''}: make it outside"
        )
    return strategy.extended.parameter_devices[0] if device is None else device


@functools.lru_cache(maxsize=1024)
def _spec(name: str) -> Any:
    try:
        return tf.DeviceSpec.from_string(name)
    except ValueError:
        raise ValueError(f"`device` must be a CPU such as 'CPU:0'; got device={name!r}") from None


def _is_here(spec: Any) -> bool:
    """Whether a device belongs to this process; in a cluster that has a job name of its own."""
    if spec.job in (None, "localhost"):
        return True
    here = _spec(this_process())
    return bool(spec.job == here.job and (spec.task or 0) == (here.task or 0))


def device_of_scope() -> str:
    """Where TensorFlow makes a variable, if that is memory that can be filled; else "CPU:0"."""
    if no_choice():
        return "CPU:0"
    spec = _spec(scope_device())
    kind = spec.device_type or ("GPU" if _count("GPU") else "CPU")
    if _is_here(spec) and (kind not in _KINDS or (spec.device_index or 0) >= _count(kind)):
        return "CPU:0"  # TensorFlow copies from there to a TPU, and has no such CPU
    return device_name(None)


_KINDS = ("CPU", "GPU")


def gpu_number(index: int) -> int:
    """TensorFlow's number of the GPU that CUDA calls `index`; of several virtual ones the first.

    TensorFlow counts the GPUs that it was told to see, each as often as it was told to divide it.
    Its names of physical devices have CUDA's numbers.
    """
    number, visible = 0, tf.config.get_visible_devices("GPU")
    for physical in tf.config.list_physical_devices("GPU"):
        if physical in visible:
            if physical.name == f"/physical_device:GPU:{index}":
                return number
            number += len(tf.config.get_logical_device_configuration(physical) or [None])
    seen = ", ".join(physical.name for physical in visible) or "none"
    raise ValueError(
        f"`array` must lie on a GPU that TensorFlow sees; got cuda:{index}, and TensorFlow sees "
        f"{seen}: see tf.config.set_visible_devices"
    )


def _count(kind: str) -> int:
    """How many devices of a kind this process has."""
    devices = tf.config.list_logical_devices(kind)  # in a cluster, those of all processes
    if not devices:
        return 0
    names, here = [getattr(device, "name", device) for device in devices], this_process() + "/"
    return sum(name.startswith(here) or not name.startswith("/job") for name in names)


def device_name(device: Any) -> str:
    """Name of the device that is meant, or the error that says why not.

    "CPU:0" or "GPU:1" in this process; the full name, "/job:ps/replica:0/task:3/device:CPU:0", in
    another one that TensorFlow is connected to.
    """
    if device is None:
        if no_choice():
            return "CPU:0"
        name = scope_device()
    elif isinstance(device, tf.DeviceSpec):
        name = device.to_string()
    else:
        name = getattr(device, "name", device)  # of a tf.config.LogicalDevice
    if not isinstance(name, str):
        raise TypeError(f"`device` must be a str such as 'CPU:0'; got device={device!r}")
    spec = _spec(name)
    kind, index = spec.device_type, spec.device_index or 0
    if spec.job and not _is_here(spec):
        return _elsewhere(name, spec)
    if kind is None:  # TensorFlow's own choice
        kind = "GPU" if device is None and _count("GPU") else "CPU"
    if kind == "GPU":
        _check_cuda(name or "GPU:0")
    elif kind != "CPU":
        raise NotImplementedError(
            f"the memory must be a GPU's or a CPU's for now; got device={name!r}: "
            "say device='CPU:0' to have it in CPU memory"
        )
    elif index == 0:  # which every process has
        return "CPU:0"
    count = _count(kind)
    if index >= count:  # TensorFlow would take another one
        raise ValueError(f"`device` must be one of the {count} {kind} devices; got device={name!r}")
    return f"{kind}:{index}"


def on(device: str) -> Any:
    """A context that puts eager work on a device of `device_name`, whatever scope is around it."""
    if no_choice():  # inside a scope, each operation takes some microseconds more
        return _NO_SCOPE
    return tf.device(device if is_remote(device) else f"{this_process()}/device:{device}")


_NO_SCOPE = contextlib.nullcontext()


def _elsewhere(name: str, spec: Any) -> str:
    if spec.device_type not in (None, "CPU"):
        raise NotImplementedError(
            f"in another process the memory must be a CPU's; got device={name!r}"
        )
    index = spec.device_index or 0
    found = f"/job:{spec.job}/replica:{spec.replica or 0}/task:{spec.task or 0}/device:CPU:{index}"
    if found not in (device.name for device in tf.config.list_logical_devices("CPU")):
        raise ValueError(
            "`device` must belong to this process, or to one that TensorFlow is connected to; "
            f"got device={name!r}: say device='CPU:0' to have the memory here"
        )
    return found


def _check_cuda(name: str) -> None:
    """Whether CUDA can be used at all; TensorFlow's numbers of GPUs need not be CUDA's."""
    from philinit.filling.cuda import memory as cuda_memory

    try:
        cuda_memory.device_count()
    except (ImportError, RuntimeError) as error:
        kind = ImportError if isinstance(error, ImportError) else RuntimeError
        raise kind(
            f"the memory of a GPU is filled through CuPy; got device={name!r}: {error}, "
            "or say device='CPU:0' to have it in CPU memory"
        ) from error


def memory_of(tensor: Any) -> str:
    """Where an eager tensor lies, such as "GPU:0"; int32 of a GPU's lies in CPU memory."""
    return str(tensor.backing_device.rpartition("device:")[2])


def is_gpu(device: str) -> bool:
    """Whether a name that `device_name` gave is a GPU's."""
    return device.startswith("GPU")


def is_remote(device: str) -> bool:
    """Whether a name that `device_name` gave is another process's."""
    return device.startswith("/job")
