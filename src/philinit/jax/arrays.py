# SPDX-License-Identifier: Apache-2.0
"""jax.Arrays of any sharding, each shard filled in the memory of its device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from philinit.checks import Progress, as_shape
from philinit.dtypes import as_dtype
from philinit.initializers.base import Initializer
from philinit.jax.memory import filled
from philinit.jax.traced import named, traced
from philinit.parts import Shard


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
        float32 (default), float16, bfloat16; float64 with ``jax_enable_x64`` only.
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
    _check_init(init)
    shape, found = as_shape(shape), _dtype(dtype)
    sharding = _concrete(sharding, shape)
    boxes = {d: Shard(shape, i) for d, i in sharding.addressable_devices_indices_map(shape).items()}
    _check_call(init, shape, found, threads, progress)
    total = sum(box.size for box in set(boxes.values()))
    made: dict[Shard, jax.Array] = {}
    arrays, done = [], 0
    for device, box in boxes.items():
        where = jax.sharding.SingleDeviceSharding(device, memory_kind=sharding.memory_kind)
        if box in made:
            arrays.append(jax.device_put(made[box], where))
            continue
        report = None if progress is None else _from(progress, done, total)
        made[box] = filled(init, box, found, where, threads, report)
        arrays.append(made[box])
        done += box.size
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
    _check_init(init)
    shape, found = as_shape(shape), _dtype(dtype)
    if device is not None and not isinstance(device, jax.Device):
        raise TypeError(
            "`device` must be a jax.Device such as jax.devices()[0], or None; "
            f"got device={device!r}: with a Sharding call philinit.jax.sharded"
        )
    _check_call(init, shape, found, threads, progress)
    return filled(init, Shard(shape, ...), found, device, threads, progress)


def initializer(init: Initializer, sharding: Any = None) -> Callable[..., jax.Array]:
    """`init` as a function ``(key, shape, dtype=None, out_sharding=None)``, as Flax calls it.

    It stands wherever one of jax.nn.initializers does: ``kernel_init=`` of Flax's linen and NNX
    layers, with or without jax.jit, vmap and eval_shape. Its weights are those of
    ``init.named(w0).named(w1)...``, where w0, w1, ... are the words of ``jax.random.key_data(key)``
    (two for JAX's default keys): another key, another stream, and other weights for another `init`
    on the same key. With None for a key they are those of `init` itself.

    Parameters
    ----------
    init : philinit initializer
        As in `sharded`.
    sharding : jax.sharding.Sharding or PartitionSpec, optional
        How the weights are spread, unless the call names an `out_sharding`: each device then
        computes its own shard. Flax names none, not even where its metadata does.

    Returns
    -------
    callable
        Hashable, picklable, equal to that of an equal `init` and sharding. Its dtype is, as in
        JAX, that of ``jnp.result_type(float)`` unless the call names one.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        When called: as `sharded`; a batch of keys.

    Notes
    -----
    Under jax.jit the weights come through ``jax.pure_callback``, with the same bits, and twice
    their memory for a moment. There a `sharding` must be a NamedSharding or PartitionSpec; without
    one a single device makes the whole tensor, and jax.jit's `out_shardings` spread it only after
    that: name it, or make the weights outside of jax.jit.

    Examples
    --------
    >>> import jax, philinit as pi, philinit.jax as pij
    >>> kernel_init = pij.initializer(pi.HeNormal(seed=42))
    >>> kernel_init(jax.random.key(0), (256, 128)).shape
    (256, 128)
    """
    _check_init(init)
    if sharding is not None:
        _check_sharding(sharding)
    return _Initializer(init, sharding)


@dataclass(frozen=True, repr=False)
class _Initializer:
    """What `initializer` returns."""

    init: Initializer
    sharding: Any

    def __repr__(self) -> str:
        sharding = "" if self.sharding is None else f", {self.sharding!r}"
        return f"initializer({self.init!r}{sharding})"

    def __call__(self, key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        shape = as_shape(shape)
        found = _dtype(jax.numpy.result_type(float) if dtype is None else dtype)
        sharding = self.sharding if out_sharding is None else out_sharding
        words = _words(key)
        if not isinstance(words, jax.core.Tracer):
            init = named(self.init, words)
            if sharding is None:
                return array(init, shape, found)
            return sharded(init, shape, sharding, found)
        _check_call(self.init, shape, found)
        if sharding is not None:
            _check_sharding(sharding)
            _check_rank(sharding, shape)
        return traced(self.init, shape, found, words, sharding)


def _words(key: Any) -> Any:
    """The words of a JAX key; a Tracer wherever JAX traces, even if the key itself is none."""
    if key is None:
        return jax.device_put(np.zeros(0, np.uint32))
    if not isinstance(key, (jax.Array, np.ndarray)):
        raise TypeError(f"`key` must be a key such as jax.random.key(0), or None; got key={key!r}")
    if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key):
        batch, words = key.shape, None if key.shape else jax.random.key_data(key)
    else:
        batch, words = key.shape[1:], key
    if batch or words is None or words.dtype != np.uint32 or words.ndim != 1:
        raise ValueError(
            "`key` must be one key, as jax.random.key(0) or jax.random.PRNGKey(0) gives it; "
            f"got shape {key.shape} and dtype {key.dtype}: use jax.vmap for a batch"
        )
    return jax.device_put(words)


# --- checks --------------------------------------------------------------------------------------


def _check_init(init: Any) -> None:
    if not isinstance(init, Initializer):
        raise TypeError(
            "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); "
            f"got init={init!r}"
        )


def _dtype(dtype: Any) -> np.dtype[Any]:
    found = as_dtype(np.float32 if dtype is None else dtype)
    if jax.dtypes.canonicalize_dtype(found) != found:  # JAX would make it float32
        raise ValueError(
            "`dtype` float64 needs JAX's 64-bit mode; got dtype=float64 with jax_enable_x64 off: "
            'call jax.config.update("jax_enable_x64", True), or ask for float32'
        )
    return found


def _check_call(
    init: Initializer,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    threads: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Raise what filling would raise, at the price of no element."""
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` must be callable or None; got progress={progress!r}")
    if shape:  # a scalar has no empty part, but costs nothing either
        init.shard(shape, (slice(0, 0),), dtype, threads=threads)


def _check_sharding(sharding: Any) -> None:
    if not isinstance(sharding, (jax.sharding.Sharding, jax.sharding.PartitionSpec)):
        raise TypeError(
            "`sharding` must be a jax.sharding.Sharding, or a PartitionSpec for the mesh of "
            f"jax.set_mesh; got sharding={sharding!r}"
        )


def _check_rank(sharding: Any, shape: tuple[int, ...]) -> None:
    spec = getattr(sharding, "spec", sharding)  # other shardings have none
    if isinstance(spec, jax.sharding.PartitionSpec) and len(spec) > len(shape):
        raise ValueError(
            "`sharding` must have at most one entry for each axis of `shape`; "
            f"got {spec} for shape={shape}"
        )


def _concrete(sharding: Any, shape: tuple[int, ...]) -> Any:
    """`sharding` over devices that exist, if it fits `shape`; those of the mesh that is set."""
    _check_sharding(sharding)
    _check_rank(sharding, shape)
    alone = isinstance(sharding, jax.sharding.PartitionSpec)
    mesh = None if alone else getattr(sharding, "mesh", None)
    if not (alone or isinstance(mesh, jax.sharding.AbstractMesh)):
        return sharding
    found = jax.sharding.get_mesh() if hasattr(jax.sharding, "get_mesh") else None  # from 0.9 on
    if found is None or found.empty or (mesh is not None and mesh.shape != found.shape):
        raise ValueError(
            "`sharding` must name its devices, or jax.set_mesh must have set a mesh that does; "
            f"got sharding={sharding!r}"
        )
    if mesh is None:
        return jax.sharding.NamedSharding(found, sharding)
    # The axes of the same mesh may be explicit here and automatic there.
    devices = jax.sharding.Mesh(found.devices, mesh.axis_names, axis_types=mesh.axis_types)
    return jax.sharding.NamedSharding(devices, sharding.spec)


def _from(progress: Progress, before: int, total: int) -> Progress:
    """`progress` of one shard as progress of all of them."""
    return lambda done, _: progress(before + done, total)
