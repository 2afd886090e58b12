# SPDX-License-Identifier: Apache-2.0
"""JAX arrays of weights, made shard by shard on the devices that will train them.

Each shard is computed by itself, from the positions of its weights in the whole tensor. So the
values depend neither on the mesh nor on the number of processes, and no process holds more than its
own shards. On CPUs the arrays are in JAX's own memory, which a training step that donates them
updates in place. On GPUs and TPUs, shards are computed in host memory, one at a time, and copied to
their device.

`philinit.jax.nn.initializers` has the names and signatures of ``jax.nn.initializers``.
"""

from __future__ import annotations

from philinit.checks import missing_extra

try:
    import jax  # noqa: F401  (first: where JAX is missing it names the extra)
except ModuleNotFoundError as error:
    if error.name != "jax":
        raise  # JAX is here, but lacks something: its own message is the right one
    raise missing_extra("philinit.jax", "JAX", "jax") from error

from philinit.jax.arrays import array, rows_by_key, sharded
from philinit.jax.initializers import initializer
from philinit.jax.programs import traced
from philinit.jax.trees import dry_run, initialize

__all__ = ["array", "dry_run", "initialize", "initializer", "rows_by_key", "sharded", "traced"]
