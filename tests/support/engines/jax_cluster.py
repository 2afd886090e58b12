# SPDX-License-Identifier: Apache-2.0
"""One of two processes with four CPU devices each.

Each checks the shards that it can address, its own peak memory, and a training step for which the
processes talk to each other.
"""

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

from tests.support.engines.jax_cases import check_shards, mesh, peak

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import philinit as pi
import philinit.jax as pij


def start(rank, port):
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"127.0.0.1:{port}", 2, rank, initialization_timeout=60)
    assert jax.device_count() == 8 and jax.local_device_count() == 4
    return ()


def every_mesh():
    """Shards of this process, replicas here and there, meshes that leave this process out."""
    init, shape = pi.HeNormal(seed=1), (16, 24)
    whole = init(shape)
    meshes = {(8,): [P("x"), P(None, "x"), P()], (2, 4): [P("y"), P("x", "y"), P(None, "x")]}
    meshes[2, 2, 2] = [P("z", "y"), P(("x", "z")), P("x")]
    for sizes, specs in meshes.items():
        for spec in specs:
            tensor = pij.sharded(init, shape, NamedSharding(mesh(*sizes), spec))
            assert len(tensor.addressable_shards) == 4
            check_shards(tensor, whole)
            reread = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh(8), P()))(tensor)
            assert np.asarray(reread).tobytes() == whole.tobytes()
    for count in (1, 2, 3, 4):
        tensor = pij.sharded(init, (24, 8), NamedSharding(mesh(count), P("x")))
        assert len(tensor.addressable_shards) == (count if jax.process_index() == 0 else 0)
        check_shards(tensor, init((24, 8)))


def traced():
    init, shape = pi.HeNormal(seed=1), (16, 24)
    key = jax.random.key(7)
    want = init.named(0).named(7)(shape)
    kernel = pij.initializer(init, NamedSharding(mesh(2, 4), P("y", "x")))
    check_shards(kernel(key, shape), want)
    check_shards(jax.jit(lambda k: kernel(k, shape))(key), want)
    where = NamedSharding(mesh(2, 4), P("y", "x"))  # without a name XLA cuts it, for both processes
    program = jax.jit(lambda k: pij.initializer(init)(k, shape), out_shardings=where)
    compiled = program.lower(key).compile()
    check_shards(compiled(key), want)
    assert "all-" not in compiled.as_text() and "[16,24]" not in compiled.as_text()


def training():
    init, shape = pi.GlorotUniform(seed=2), (64, 32)
    rows, batch = NamedSharding(mesh(8), P("x")), NamedSharding(mesh(8), P())
    x = jax.device_put(np.linspace(-1, 1, 16 * shape[0], dtype=np.float32).reshape(16, -1), batch)

    def step(w, x):
        return w - 0.1 * jax.grad(lambda w: jnp.mean(jnp.square(x @ w - 1)))(w)

    w = init(shape).astype(np.float64)
    data = np.asarray(x).astype(np.float64)
    want = w - 0.1 * 2 * data.T @ (data @ w - 1) / (16 * shape[1])
    trained = jax.jit(step, donate_argnums=0)(pij.sharded(init, shape, rows), x)
    for shard in trained.addressable_shards:
        np.testing.assert_allclose(np.asarray(shard.data), want[shard.index], rtol=1e-4, atol=1e-5)


def memory():
    """A table of 192 MiB, of which this process has half; a step needs no more."""
    init = pi.HeNormal(seed=3)
    shape, rows = (8 * 6144, 1024), NamedSharding(mesh(8), P("x"))
    step = jax.jit(lambda w: w - 0.5 * w, donate_argnums=0)
    step(pij.sharded(init, shape, rows)).block_until_ready()
    with peak() as making:
        table = pij.sharded(init, shape, rows)
    assert making.mib < 96 + 16, making.mib
    addresses = [shard.data.unsafe_buffer_pointer() for shard in table.addressable_shards]
    with peak() as stepping:
        table = step(table).block_until_ready()
    assert stepping.mib < 16, stepping.mib
    assert [s.data.unsafe_buffer_pointer() for s in table.addressable_shards] == addresses
