# SPDX-License-Identifier: Apache-2.0
"""jax.Arrays of any sharding, each shard filled in the memory of its device."""

from __future__ import annotations

from typing import Any

import jax

from philinit.checks import Progress, as_shape, check_progress, check_threads, progress_within
from philinit.initializers.base import Initializer, check_init
from philinit.jax.checks import as_dtype, check_concrete, check_device, in_cpu_memory
from philinit.jax.memory import filled
from philinit.jax.parts import concrete, parts
from philinit.parts import Shard
from philinit.targets import Target


def sharded(
    init: Initializer,
    shape: Any,
    sharding: Any,
    dtype: Any = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> jax.Array:
    """jax.Array of the given global shape and sharding, equal to ``init(shape, dtype)``.

    Peak memory of a process is its own shards: nobody makes the whole tensor, nothing is sent.
    Replicas are computed once a process and copied from device to device.

    Parameters
    ----------
    init : philinit initializer
        An object such as ``philinit.GlorotUniform(seed=42)``; fans come from `shape`.
    shape : sequence of int, or int
        The global shape.
    sharding : jax.sharding.Sharding
        Such as ``NamedSharding(mesh, PartitionSpec("x"))``, also over the devices of several
        processes, each of which must make the call and fills what it can address. Or a
        PartitionSpec, for the mesh of ``jax.set_mesh``. JAX wants shards of equal size.
    dtype : optional
        float32 (default), float16, bfloat16, float8; float64 with ``jax_enable_x64`` only.
    threads : int, optional
        How many threads fill. Default: all CPUs that the process may use.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements that this process computes.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind; a shape or dtype that cannot be, or that the sharding does
        not fit. All before anything is allocated.
    NotImplementedError
        The call is inside jax.jit or the like: see `initializer`.

    Examples
    --------
    >>> import jax, numpy as np, philinit as pi, philinit.jax as pij
    >>> mesh = jax.sharding.Mesh(np.array(jax.devices()), ("x",))
    >>> rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("x"))
    >>> table = pij.sharded(pi.GlorotUniform(seed=42), (4096, 64), rows)
    >>> table.shape
    (4096, 64)
    """
    check_init(init)
    shape, found = as_shape(shape), as_dtype(dtype)
    sharding = concrete(sharding, shape)
    held = parts(sharding, shape)
    threads, progress = check_threads(threads), check_progress(progress)
    init._check(shape, found)
    total = sum(part.size for part in set(held.values()))
    made: dict[Shard, jax.Array] = {}
    arrays = []
    for device, part in held.items():
        on = jax.sharding.SingleDeviceSharding(device, memory_kind=sharding.memory_kind)
        if part in made:
            arrays.append(jax.device_put(made[part], on))
            continue
        report = progress_within(progress, sum(p.size for p in made), total)
        made[part] = filled(init, Target(None, shape, part, threads, report), found, on)
        arrays.append(made[part])
    return jax.make_array_from_single_device_arrays(shape, sharding, arrays, dtype=found)


def array(
    init: Initializer,
    shape: Any,
    dtype: Any = None,
    *,
    device: jax.Device | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> jax.Array:
    """jax.Array equal to ``init(shape, dtype)`` on one device.

    Parameters
    ----------
    init, shape, dtype, threads, progress
        As in `sharded`, and so are errors.
    device : jax.Device, optional
        Left out, the array is on JAX's default device and, as those of ``jnp.zeros``, not
        committed to it: it follows what it is combined with.

    Examples
    --------
    >>> import philinit as pi, philinit.jax as pij
    >>> pij.array(pi.HeNormal(seed=42), (256, 128), "bfloat16").dtype
    dtype(bfloat16)
    """
    check_init(init)
    shape, found = as_shape(shape), as_dtype(dtype)
    check_device(device)
    if threads is not None or progress is not None:
        threads, progress = check_threads(threads), check_progress(progress)
    init._check(shape, found)
    return filled(init, Target(None, shape, None, threads, progress), found, device)


def rows_by_key(
    init: Initializer,
    width: Any,
    keys: Any,
    dtype: Any = None,
    *,
    global_shape: Any = None,
    device: jax.Device | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> jax.Array:
    """jax.Array of rows of a table without a size, equal to ``init.rows_by_key(width, keys)``.

    Parameters
    ----------
    init, width, keys, global_shape
        As in ``init.rows_by_key``: each row is a pure function of `init` and its key. Keys of 64
        bits are NumPy's or Python's, since JAX has none outside of its 64-bit mode. They lie in CPU
        memory, where the rows are made before they go to another device.
    dtype, device, threads, progress
        As in `array`, and so are errors.

    Examples
    --------
    >>> import philinit as pi, philinit.jax as pij
    >>> pij.rows_by_key(pi.Normal(stddev=0.02, seed=42), 64, [3, -7, 2**63]).shape
    (3, 64)
    """
    check_init(init)
    check_concrete("keys", keys)
    part = init._by_key(width, in_cpu_memory("keys", keys), global_shape)
    found = as_dtype(dtype)
    check_device(device)
    if threads is not None or progress is not None:
        threads, progress = check_threads(threads), check_progress(progress)
    init._check(part.global_shape, found)
    return filled(init, Target(None, part.global_shape, part, threads, progress), found, device)
