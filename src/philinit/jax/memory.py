# SPDX-License-Identifier: Apache-2.0
"""One jax.Array on one device, filled in the memory that JAX will train in.

On a CPU JAX allocates and philinit writes there, before anybody else has seen the array. What JAX
has not allocated itself, such as NumPy's memory, the first step that donates it would copy.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from philinit.filling import memory, pages
from philinit.initializers.base import Array, Initializer
from philinit.jax.private import Tracer, placed, writable_view
from philinit.jax.unwritten import LEAST, unwritten
from philinit.targets import Target

_LARGEST_ROW = 1 << 24  # bytes of zeros that `_zeros` stores


def filled(init: Initializer, target: Target, dtype: np.dtype[Any], device: Any) -> jax.Array:
    """The weights of a target, whose memory is made here.

    `device` is a jax.Device or a Sharding over one of them. With None the array is on JAX's
    default device and, in JAX's word, not committed to it.
    """
    shape = target.shape if target.part is None else target.part.shape
    on_cpu = _on_cpu(device)
    result = None
    if on_cpu and math.prod(shape) * dtype.itemsize >= LEAST:
        result = unwritten(shape, dtype, device)
    if result is None:
        result = placed(_zeros(shape, dtype) if on_cpu else np.zeros((), dtype), device)
    if isinstance(result, Tracer):
        raise NotImplementedError(
            "philinit.jax.array, sharded and rows_by_key must be called outside of jax.jit and "
            "the like; got a call while JAX traces: use philinit.jax.initializer there"
        )
    view = writable_view(result.block_until_ready()) if on_cpu else memory.empty(shape, dtype)
    if on_cpu and view.nbytes >= pages.LEAST:
        pages.advise(memory.address(view), view.nbytes)
    init._write(Target(view, *target[1:]))
    # Waited for, so that no more than one shard is in host memory.
    return result if on_cpu else jax.device_put(view, device).block_until_ready()


def _on_cpu(device: Any) -> bool:
    if device is None:  # the default is a device, a platform, or left to JAX
        device = jax.config.jax_default_device or jax.default_backend()
    elif isinstance(device, jax.sharding.Sharding):
        (device,) = device.device_set
    return bool(getattr(device, "platform", device) == "cpu")


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that are stored once for many elements, so that JAX cannot share their memory.

    It has to allocate, and to copy row by row. ``jnp.empty`` and ``jnp.array`` write as well,
    compile a program for each shape, and have a second shard in memory meanwhile.
    """
    axis = 1  # behind the first that is longer than 1
    while axis <= len(shape) and shape[axis - 1] <= 1:
        axis += 1
    while math.prod(shape[axis:]) * dtype.itemsize > _LARGEST_ROW:
        axis += 1
    row = np.zeros(shape[axis:], dtype)
    return np.ndarray(shape, dtype, row, strides=(0,) * (len(shape) - row.ndim) + row.strides)
