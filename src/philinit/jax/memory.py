# SPDX-License-Identifier: Apache-2.0
"""One jax.Array on one device, filled in the memory that JAX will train in.

On a CPU JAX allocates and philinit writes there, before anybody else has seen the array. JAX would
take NumPy's memory without a copy as well, but what it has not allocated itself it never gives
away to be overwritten: the first step that donates such an array copies it.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from philinit.checks import Progress
from philinit.filling import dlpack, memory
from philinit.initializers.base import Array, Initializer
from philinit.parts import Shard

_LARGEST_ROW = 1 << 24  # bytes of zeros that `_zeros` stores


def filled(
    init: Initializer,
    box: Shard,
    dtype: np.dtype[Any],
    where: Any,
    threads: int | None,
    progress: Progress | None,
) -> jax.Array:
    """The weights of `box` on the device `where`, a jax.Device or a Sharding over one of them.

    With None the array is on JAX's default device and, in JAX's word, not committed to it.

    Raises
    ------
    NotImplementedError
        The call is inside a JAX transformation.
    """
    probe = jax.device_put(np.zeros((), dtype), where)
    if isinstance(probe, jax.core.Tracer):
        raise NotImplementedError(
            "philinit.jax.array and sharded must be called outside of jax.jit and the like; got a "
            "call while JAX traces: use philinit.jax.initializer there"
        )
    if _on_cpu(probe):
        return _in_place(init, box, dtype, where, threads, progress)
    host = memory.empty(box.shape, dtype)
    init.fill(host, shard=box, threads=threads, progress=progress)
    # Waited for, so that no more than one shard is in host memory.
    return jax.device_put(host, where).block_until_ready()


def _on_cpu(array: jax.Array) -> bool:
    return all(device.platform == "cpu" for device in array.devices())


def _in_place(
    init: Initializer,
    box: Shard,
    dtype: np.dtype[Any],
    where: Any,
    threads: int | None,
    progress: Progress | None,
) -> jax.Array:
    result = jax.device_put(_zeros(box.shape, dtype), where)
    view = _view(result.block_until_ready())
    init.fill(view, shard=box, threads=threads, progress=progress)
    return result


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Zeros that are stored once for many places, so that JAX cannot share their memory.

    It has to allocate, and to copy row by row. ``jnp.empty`` writes zeros as well, compiles a
    program for each shape, and has a second shard in memory meanwhile.
    """
    axis = next((a for a, length in enumerate(shape) if length > 1), 0) + 1
    while math.prod(shape[axis:]) * dtype.itemsize > _LARGEST_ROW:
        axis += 1
    return np.broadcast_to(np.zeros(shape[axis:], dtype), shape)


def _view(array: jax.Array) -> Array:
    """Writable view of the memory of an array on a CPU, for an array that nobody has read yet.

    It must be dropped before the array is donated.
    """
    view = dlpack.from_capsule(array.__dlpack__())
    if view.size and memory.address(view) != array.unsafe_buffer_pointer():
        raise RuntimeError(
            "JAX must give out the memory of an array through `__dlpack__`; it gave a copy, "
            f"by jax {jax.__version__}: please report it"
        )
    return view
