# SPDX-License-Identifier: Apache-2.0
"""Shardings -> which part of the global array each device of this process holds."""

from __future__ import annotations

from typing import Any

import jax

from philinit.jax.checks import check_sharding
from philinit.parts import Shard


def parts(sharding: Any, shape: tuple[int, ...]) -> dict[jax.Device, Shard]:
    """By device, the parts that this process holds; equal ones are replicas."""
    return {d: Shard(shape, i) for d, i in sharding.addressable_devices_indices_map(shape).items()}


def current_mesh() -> Any:
    """The mesh of ``jax.set_mesh``; None where there is none, and while JAX traces."""
    try:
        found = jax.sharding.get_mesh()
    except ValueError:  # as vmap and grad do even of a key that is no tracer
        return None
    return None if found.empty else found


def concrete(sharding: Any, shape: tuple[int, ...]) -> Any:
    """`sharding` over devices that exist, if it fits `shape`; those of the mesh that is set."""
    check_sharding(sharding, shape)
    alone = isinstance(sharding, jax.sharding.PartitionSpec)
    mesh = None if alone else getattr(sharding, "mesh", None)
    if not (alone or isinstance(mesh, jax.sharding.AbstractMesh)):
        return sharding
    found = current_mesh()
    if found is None or (mesh is not None and mesh.shape != found.shape):
        raise ValueError(
            "`sharding` must name its devices, or jax.set_mesh must have set a mesh that does; "
            f"got sharding={sharding!r}"
        )
    if mesh is None:
        return jax.sharding.NamedSharding(found, sharding)
    # The axes of the same mesh may be explicit here and automatic there.
    devices = jax.sharding.Mesh(found.devices, mesh.axis_names, axis_types=mesh.axis_types)
    return jax.sharding.NamedSharding(devices, sharding.spec)
