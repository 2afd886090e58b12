# SPDX-License-Identifier: Apache-2.0
"""One jax.Array on one device, filled in the memory that JAX will train in.

On a CPU JAX allocates and philinit writes there, before anybody else has seen the array. What JAX
has not allocated itself, such as NumPy's memory, the first step that donates it would copy.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, SingleDeviceSharding

from philinit.filling import memory, pages
from philinit.initializers.base import Array, Initializer
from philinit.jax.handlers import TARGET, platforms
from philinit.jax.private import Tracer, placed, untraced, writable_view
from philinit.targets import Target

# Bytes from which on `unwritten` is asked for an array: for each new shape JAX compiles a program,
# which takes as long as storing this many zeros.
LEAST = 32 << 20

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


def unwritten(shape: tuple[int, ...], dtype: np.dtype[Any], device: Any) -> jax.Array | None:
    """An array on one CPU, whose elements are what its memory happens to hold; None: not to be had.

    JAX has none to give: even ``jnp.empty`` writes zeros, which costs four times what the weights
    do: one thread of JAX's stores them, on pages of 4 KiB. But the result of a foreign function it
    leaves to that function, which here writes nothing. Where JAX traces it is a tracer, or None.
    """
    if jax.config.jax_debug_nans or jax.config.jax_debug_infs:  # they look at every result
        return None
    if "cpu" not in platforms():
        return None
    if isinstance(device, jax.Device):
        device = SingleDeviceSharding(device)
    if device is not None:  # before JAX 0.10.1 a CPU's programs know one kind of memory only
        (one,) = device.device_set
        if device.memory_kind != one.default_memory().kind:
            return None
    program = _program(shape, dtype, device)
    if jax.sharding.get_abstract_mesh().empty:
        return program()
    # A program runs on all devices of the mesh that is set, unless that is of the one device.
    if device is None or not untraced():
        return None
    with jax.set_mesh(Mesh(np.array(list(device.device_set)), "x")):
        return program()


@functools.lru_cache(maxsize=256)
def _program(shape: tuple[int, ...], dtype: np.dtype[Any], sharding: Any) -> Any:
    result = jax.ShapeDtypeStruct(shape, dtype)
    return jax.jit(lambda: jax.ffi.ffi_call(TARGET, result)(), out_shardings=sharding)


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
