# SPDX-License-Identifier: Apache-2.0
"""All that is taken from JAX beyond what it documents; a probe for each, and what is missing."""

from __future__ import annotations

import ctypes
import functools
import importlib
from typing import Any

import jax
import numpy as np

from philinit.filling.memory import address

OLDEST, NEWEST = "0.9.2", "0.10.2"  # the versions of JAX that are supported; the newest one tested


def _require(there: bool, name: str) -> None:
    if not there:
        raise ImportError(
            f"philinit.jax needs {name} of jax {OLDEST} to {NEWEST}; jax {jax.__version__} has "
            "another or none: please report it"
        )


# Missing: a documented way to ask whether JAX traces. What it makes meanwhile is one of these.
Tracer: Any = getattr(getattr(jax, "core", None), "Tracer", None)
_require(Tracer is not None, "jax.core.Tracer")


def _taken(module: str, name: str) -> Any:
    try:
        found = getattr(importlib.import_module(f"jax._src.{module}"), name, None)
    except ImportError:
        found = None
    _require(found is not None, f"jax._src.{module}.{name}")
    return found


untraced = _taken("core", "trace_state_clean")
_put = _taken("interpreters.pxla", "batched_device_put")


def placed(array: np.ndarray[Any, Any], device: Any) -> Any:
    """``jax.device_put(array, device)``, for an array whose memory JAX cannot share.

    Missing: a short way to the default device. device_put is made for trees of arrays, and takes
    six times as long as a small tensor's weights. What it comes down to is not documented, nor is
    how to ask beforehand whether JAX traces.
    """
    default = jax.config.jax_default_device  # a device, a platform, or None
    if device is not None or isinstance(default, str) or not untraced():
        return jax.device_put(array, device)
    probe_placing()
    return _placed(array, default or jax.local_devices()[0])


def _placed(array: np.ndarray[Any, Any], device: Any) -> Any:
    kind = jax.core.ShapedArray(array.shape, array.dtype)
    return _put(kind, jax.sharding.SingleDeviceSharding(device), [array], [device], False)


@functools.cache
def probe_placing() -> None:
    """Compare the two ways to place an array: once a process."""
    array = np.broadcast_to(np.float32(1), (2, 3))
    ways = _placed(array, jax.local_devices()[0]), jax.device_put(array)
    short, long = ((a.aval, a.committed, a.tolist()) for a in ways)
    _require(short == long, "jax._src.interpreters.pxla.batched_device_put")


def writable_view(array: Any) -> np.ndarray[Any, Any]:
    """The memory of an array on one CPU, for one that nobody has read yet and that outlives it.

    Missing: leave to write what JAX has allocated. The address is a method that ``jax.Array`` does
    not document; ``__dlpack__`` costs five times as much, and allows reading only as well.
    """
    probe_memory()
    buffer = (ctypes.c_char * array.nbytes).from_address(array.unsafe_buffer_pointer())
    return np.ndarray(array.shape, array.dtype, buffer)


@functools.cache
def probe_memory() -> None:
    """Compare the two ways to the memory of one of JAX's arrays: once a process."""
    cpu = jax.local_devices(backend="cpu")[0]
    array = jax.device_put(np.broadcast_to(np.float32(1), (2, 3)), cpu).block_until_ready()
    shared = np.from_dlpack(array)
    start = getattr(array, "unsafe_buffer_pointer", lambda: None)()
    same = start == address(shared) and shared.flags.c_contiguous
    _require(same, "jax.Array.unsafe_buffer_pointer")
