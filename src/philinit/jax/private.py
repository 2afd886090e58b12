# SPDX-License-Identifier: Apache-2.0
"""All that is taken from JAX beyond what it documents; a probe for each, and what is missing."""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import jax
import numpy as np

from philinit.filling.memory import address

OLDEST, NEWEST = "0.8", "0.10.2"  # the versions of JAX that are supported; the newest one tested


def _require(there: bool, name: str) -> None:
    if not there:
        raise ImportError(
            f"philinit.jax needs {name} of jax {OLDEST} to {NEWEST}; jax {jax.__version__} has "
            "another or none: please report it"
        )


# Missing: a documented way to ask whether JAX traces. What it makes meanwhile is one of these.
Tracer: Any = getattr(getattr(jax, "core", None), "Tracer", None)
_require(Tracer is not None, "jax.core.Tracer")


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
