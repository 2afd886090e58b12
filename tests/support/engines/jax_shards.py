# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.sharded and array over eight CPU devices.

Expected values are ``init(shape)``'s: a tensor must be the same for every mesh.
"""

import doctest
from dataclasses import dataclass, field
from unittest import mock

from tests.support.engines.jax_cases import (
    check,
    mesh,
    peak,
    refused,
)  # first: it sets the number of devices

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Format
from jax.sharding import NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

import philinit as pi
import philinit.jax as pij
from philinit.filling import cpu
from philinit.jax import arrays, handlers, initializers, private
from philinit.jax import memory as _jax_memory
from tests.support.pages import advised, whole_pages

DEVICES = jax.devices()


def every_axis():
    """1, 2, 3, 4 and 8 shards on every axis."""
    shape = (24, 48, 24)
    for init in (pi.HeNormal(seed=1), pi.GlorotUniform(seed=2, sampler="tensorflow")):
        whole = init(shape)
        for axis in range(3):
            for count in (1, 2, 3, 4, 8):
                spec = P(*[None] * axis, "x")
                tensor = pij.sharded(init, shape, NamedSharding(mesh(count), spec))
                assert len(tensor.addressable_shards) == count
                assert tensor.addressable_shards[0].data.size == whole.size // count
                check(tensor, whole)


def meshes():
    """Products of axes, partial and full replication, other shardings, empty and tiny tensors."""
    init, shape = pi.TruncatedNormal(seed=3), (8, 16, 8)
    whole = init(shape)
    specs = {
        (8,): [P(), P("x"), P(None, "x")],
        (2, 4): [P(), P("x"), P(None, "y"), P("y", "x"), P(("x", "y")), P(None, None, ("y", "x"))],
        (2, 2, 2): [P("x", "y", "z"), P("z"), P(("z", "x"), None, "y"), P(None, ("y", "z"))],
    }
    for sizes, layouts in specs.items():
        for spec in layouts:
            sharding = NamedSharding(mesh(*sizes), spec)
            tensor = pij.sharded(init, shape, sharding)
            assert tensor.sharding == sharding and tensor.committed
            check(tensor, whole)
    check(pij.sharded(init, shape, SingleDeviceSharding(DEVICES[5])), whole)
    jitted = jax.jit(lambda x: x, out_shardings=NamedSharding(mesh(8), P("x")))(whole)
    check(pij.sharded(init, shape, jitted.sharding), whole)
    for small in ((), (1,), (1, 1, 1), (0,), (0, 3), (8, 0)):
        check(pij.sharded(init, small, NamedSharding(mesh(8), P())), init(small))
    check(pij.sharded(init, (0, 3), NamedSharding(mesh(8), P("x"))), init((0, 3)))
    abstract = NamedSharding(mesh(2, 4).abstract_mesh, P("y"))
    with jax.set_mesh(mesh(2, 4)):
        check(pij.sharded(init, shape, P("y")), whole)
        check(pij.sharded(init, shape, abstract), whole)
    kinds = NamedSharding(mesh(8), P("x"), memory_kind="pinned_host")
    check(pij.sharded(init, shape, kinds), whole)
    assert pij.sharded(init, shape, kinds).sharding.memory_kind == "pinned_host"


def one_device():
    init = pi.GlorotUniform(seed=1)
    for shape in ((), (0, 4), (1, 1), (1, 5), (300, 7), (1 << 21,), (3, 1 << 21)):
        tensor = pij.array(init, shape)
        check(tensor, init(shape))
        assert not tensor.committed and tensor.devices() == {DEVICES[0]}
    moved = pij.array(init, (3, 5), device=DEVICES[4])
    assert moved.committed and moved.devices() == {DEVICES[4]}
    with jax.default_device(DEVICES[2]):
        assert pij.array(init, (3, 5)).devices() == {DEVICES[2]}


def rows_by_key():
    init, keys = pi.Normal(seed=4), [[3, -1], [2**63, 3]]
    for dtype in ("float32", "float16", "bfloat16"):
        check(pij.rows_by_key(init, 5, keys, dtype), init.rows_by_key(5, keys, dtype))
    check(pij.rows_by_key(init, 5, jnp.array([3, -1])), init.rows_by_key(5, [3, -1]))
    moved = pij.rows_by_key(init, 5, keys, device=DEVICES[4], threads=1)
    assert moved.committed and moved.devices() == {DEVICES[4]}
    scaled, shape = pi.GlorotUniform(seed=4), (10**6, 5)
    found = pij.rows_by_key(scaled, 5, keys, global_shape=shape)
    check(found, scaled.rows_by_key(5, keys, global_shape=shape))
    refused(lambda: pij.rows_by_key(scaled, 5, keys), ValueError, "`global_shape` must be given")
    refused(lambda: pij.rows_by_key(init, 5, [0.5]), TypeError, "`keys` must be integers; got 0.5")
    with jax.enable_x64(True):  # read where they lie, or gathered from where they are spread
        array, real, read = jnp.arange(16) << 40, cpu.argument, []
        spread = jax.device_put(array, NamedSharding(mesh(8), P("x")))
        with mock.patch.object(cpu, "argument", lambda r, *a: (read.append(r.ids), real(r, *a))[1]):
            for keys in (array, spread):
                check(pij.rows_by_key(init, 5, keys), init.rows_by_key(5, np.arange(16) << 40))
        assert read[0].ctypes.data == array.unsafe_buffer_pointer()
    elsewhere = mock.Mock(spec=type(array))
    elsewhere.devices.return_value = {mock.Mock(platform="gpu")}
    sentence = "`keys` must lie in CPU memory, where philinit.jax makes rows; got keys on gpu: pass"
    refused(lambda: pij.rows_by_key(init, 5, elsewhere), ValueError, sentence)
    traced = jax.jit(lambda keys: pij.rows_by_key(init, 5, keys))
    refused(lambda: traced(jnp.array([3])), NotImplementedError, "`keys` must have values; got")
    refused(lambda: jax.jit(lambda: pij.rows_by_key(init, 5, [3]))(), NotImplementedError, "jit")


def dtypes():
    init, shape = pi.HeNormal(seed=4), (16, 24)
    rows = NamedSharding(mesh(8), P("x"))
    for dtype in ("float32", "float16", "bfloat16", jnp.bfloat16, np.float16):
        check(pij.sharded(init, shape, rows, dtype), init(shape, dtype))
        check(pij.array(init, shape, dtype), init(shape, dtype))
    x64 = "`dtype` float64 needs JAX's 64-bit mode; got dtype=float64 with jax_enable_x64 off"
    refused(lambda: pij.sharded(init, shape, rows, "float64"), ValueError, x64)
    refused(lambda: pij.array(init, shape, np.float64), ValueError, x64)
    with jax.enable_x64(True):
        check(pij.sharded(init, shape, rows, "float64"), init(shape, "float64"))
        check(pij.array(init, shape, "float64"), init(shape, "float64"))
        check(pij.array(init, shape), init(shape))


def other_initializers():
    columns = NamedSharding(mesh(2, 4), P(None, "y"))
    inits = [pi.Zeros(), pi.Ones(), pi.Constant(-0.5), pi.Identity(2.0), pi.Normal(seed=1)]
    for init in [*inits, pi.Orthogonal(seed=1), pi.HeUniform(seed=1, activation="tanh")]:
        check(pij.sharded(init, (12, 8), columns), init((12, 8)))


@dataclass(frozen=True, repr=False, eq=False)
class Recording(pi.Normal):
    """Remembers the parts that it wrote."""

    parts: list = field(default_factory=list, compare=False)

    def _write(self, target):
        self.parts.append(target.part)
        super()._write(target)


def each_shard_is_computed_once():
    for spec, sizes in ((P("x"), {16}), (P("x", "y"), {4}), (P(), {32}), (P(None, "y"), {8})):
        init = Recording(seed=1)
        calls = []
        sharding = NamedSharding(mesh(2, 4), spec)
        pij.sharded(init, (4, 8), sharding, progress=lambda *c, calls=calls: calls.append(c))
        assert {part.size for part in init.parts} == sizes
        assert len(init.parts) == len(set(init.parts)) == 32 // min(sizes)
        assert calls[-1] == (32, 32) and calls == sorted(calls)


def device_memory():
    """Where JAX's memory is not the CPU's: the road to a GPU, walked on CPUs."""
    init, shape = pi.HeNormal(seed=4), (16, 24)
    by_hand = mock.patch.multiple(_jax_memory, _on_cpu=lambda device: False, writable_view=None)
    for dtype in ("float32", "bfloat16"):
        for spec in (P("x"), P(None, "x"), P()):
            with by_hand:
                tensor = pij.sharded(init, shape, NamedSharding(mesh(8), spec), dtype)
            assert np.asarray(tensor).tobytes() == init(shape, dtype).tobytes()
        with by_hand:
            alone = pij.array(init, shape, dtype)
        assert np.asarray(alone).tobytes() == init(shape, dtype).tobytes() and not alone.committed


# --- memory and training -------------------------------------------------------------------------
def memory():
    """Eight shards of 24 MiB, and a training step that needs no more."""
    shape, init = (8 * 6144, 1024), pi.HeNormal(seed=1)
    rows = NamedSharding(mesh(8), P("x"))
    step = jax.jit(lambda w: w - 0.5 * w, donate_argnums=0)
    step(pij.sharded(init, (64, 64), rows))
    step(pij.sharded(init, shape, rows)).block_until_ready()
    with peak() as making:
        table = pij.sharded(init, shape, rows)
    assert abs(making.mib - 192) < 16, making.mib
    addresses = [shard.data.unsafe_buffer_pointer() for shard in table.addressable_shards]
    assert all(address % 64 == 0 for address in addresses)
    with peak() as stepping:
        table = step(table).block_until_ready()
    assert stepping.mib < 16, stepping.mib
    assert [s.data.unsafe_buffer_pointer() for s in table.addressable_shards] == addresses
    assert float(table[12345, 678]) == 0.5 * float(init.shard(shape, (12345, 678)))


def donation():
    """A step that donates an array overwrites it, whatever its shape and dtype."""
    step = jax.jit(lambda w: w + 1, donate_argnums=0)
    for shape in ((5,), (1, 7), (7, 1), (300, 200), (1 << 21,), (3, 1 << 21)):
        for dtype in ("float32", "float16", "bfloat16"):
            tensor = pij.array(pi.HeNormal(seed=1), shape, dtype)
            address = tensor.unsafe_buffer_pointer()
            assert step(tensor).unsafe_buffer_pointer() == address, (shape, dtype)


def training():
    """jit, grad and donation; replicas stay alike, and what was not donated stays as it was."""
    init = pi.GlorotUniform(seed=1)
    first = NamedSharding(mesh(2, 4), P(None, "y"))
    second = NamedSharding(mesh(2, 4), P("y"))
    batch = NamedSharding(mesh(2, 4), P("x"))

    def loss(weights, x):
        hidden = jax.nn.relu(x @ weights[0])
        return jnp.mean(jnp.square(hidden @ weights[1] - 1.0))

    def step(weights, x):
        return [w - 0.1 * g for w, g in zip(weights, jax.grad(loss)(weights, x), strict=True)]

    x = jax.device_put(np.ones((8, 16), np.float32), batch)
    weights = [pij.sharded(init, (16, 32), first), pij.sharded(init.named("b"), (32, 4), second)]
    kept = [pij.sharded(init, (16, 32), first), pij.sharded(init.named("b"), (32, 4), second)]
    wanted = step([jnp.array(init((16, 32))), jnp.array(init.named("b")((32, 4)))], np.asarray(x))
    before = float(loss(kept, x))
    trained = jax.jit(step, donate_argnums=0)(weights, x)
    assert all(w.is_deleted() for w in weights)
    for found, want in zip(trained, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(found), want, rtol=1e-5, atol=1e-6)
        by_index = {}
        for shard in found.addressable_shards:
            data = np.asarray(shard.data).tobytes()
            assert by_index.setdefault(str(shard.index), data) == data
    assert float(loss(trained, x)) < before
    check(kept[0], init((16, 32)))
    check(kept[1], init.named("b")((32, 4)))
    alone = pij.sharded(init, (16, 32), NamedSharding(mesh(8), P()))
    other = pij.sharded(init, (16, 32), NamedSharding(mesh(8), P()))
    jax.jit(lambda w: w * 0, donate_argnums=0)(alone).block_until_ready()
    check(other, init((16, 32)))


def unwritten():
    """All of the above in memory that JAX has not written: of large arrays, here of all."""
    made, unwritten = [], _jax_memory.unwritten

    def counted(*asked):
        made.append(unwritten(*asked))
        return made[-1]

    with mock.patch.multiple(_jax_memory, LEAST=0, unwritten=counted, _zeros=None):
        for case in (every_axis, one_device, dtypes, donation, training):
            case()
    assert made and not any(array is None for array in made)
    with mock.patch.object(_jax_memory, "LEAST", 0):
        meshes()
        bad_input()


def unwritten_within_a_mesh():
    """Each device's memory is its own still, and arrays follow what they are combined with."""
    init, shape = pi.HeNormal(seed=4), (16, 24)
    rows = NamedSharding(mesh(8), P("x"))
    with mock.patch.multiple(_jax_memory, LEAST=0, _zeros=None), jax.set_mesh(mesh(8)):
        check(pij.sharded(init, shape, rows), init(shape))
        moved = pij.array(init, shape, device=DEVICES[4])
        assert moved.committed and moved.devices() == {DEVICES[4]}
    with mock.patch.object(_jax_memory, "LEAST", 0), jax.set_mesh(mesh(8)):
        free = pij.array(init, shape)
        assert not free.committed and free.devices() == {DEVICES[0]}
        traced = "must be called outside of jax.jit and the like; got a call while JAX traces"
        refused(lambda: jax.jit(lambda: pij.array(init, shape))(), NotImplementedError, traced)


def unwritten_is_not_to_be_had():
    """Where JAX looks at each result, or refuses the function, zeros are stored first."""
    init = pi.HeNormal(seed=4)
    for option in ("jax_debug_nans", "jax_debug_infs"):
        with getattr(jax, option.removeprefix("jax_"))(True):
            assert _jax_memory.unwritten((16, 24), np.dtype(np.float32), None) is None
    error = jax.errors.JaxRuntimeError("INVALID_ARGUMENT: of another version")
    for lost in (
        mock.patch.object(jax.ffi, "register_ffi_target", side_effect=error),
        mock.patch.object(jax.ffi, "pycapsule", side_effect=AttributeError),
    ):
        handlers.refusal.cache_clear()
        with lost, mock.patch.object(_jax_memory, "LEAST", 0):
            check(pij.array(init, (16, 24)), init((16, 24)))
            assert not handlers.platforms()
    handlers.refusal.cache_clear()
    assert "cpu" in handlers.platforms()


def huge_pages():
    """Memory of a large array is advised before it is written."""
    shape, found = (_jax_memory.LEAST // 4096 + 1, 1024), []

    class Seen(pi.Normal):
        def _write(self, target):
            view = target.view
            found.extend(advised(view.ctypes.data, view.nbytes))
            assert not view.any()  # by nobody, in memory that is new
            super()._write(target)

    array = pij.array(Seen(seed=1), shape)
    assert found == whole_pages(private.writable_view(array).ctypes.data, array.nbytes)


def bad_input():
    init, shape = pi.HeNormal(seed=1), (16, 24)
    rows = NamedSharding(mesh(8), P("x"))

    def on(sharding, shape=shape, init=init, **keywords):
        return lambda: pij.sharded(init, shape, sharding, **keywords)

    no_init = "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); got"
    for bad in (pi.HeNormal, jax.nn.initializers.he_normal(), None, "he_normal"):
        refused(on(rows, init=bad), TypeError, no_init)
        refused(lambda bad=bad: pij.array(bad, shape), TypeError, no_init)
    no_sharding = "`sharding` must be a jax.sharding.Sharding, or a PartitionSpec for the mesh of"
    for bad in (None, "x", ("x", None), DEVICES[0], mesh(8)):
        refused(on(bad), TypeError, no_sharding)
    no_mesh = "`sharding` must name its devices, or jax.set_mesh must have set a mesh that does"
    refused(on(P("x")), ValueError, no_mesh)
    refused(on(NamedSharding(mesh(8).abstract_mesh, P("x"))), ValueError, no_mesh)
    rank = "`sharding` must have at most one entry for each axis of `shape`; got"
    refused(on(NamedSharding(mesh(8), P(None, "x")), (16,)), ValueError, rank)
    refused(on(rows, ()), ValueError, rank)
    indivisible = "array axis 0 is partitioned 8 times, but the dimension size is 20"
    refused(on(rows, (20, 8)), ValueError, indivisible)
    refused(on(rows, (16, -1)), ValueError, "`shape` must")
    refused(on(rows, None), TypeError, "`shape` must")
    refused(on(rows, dtype="int32"), ValueError, "`dtype` must be one of float32")
    refused(on(rows, threads=0), ValueError, "`threads` must be at least 1; got threads=0")
    refused(on(rows, threads="2"), TypeError, "`threads` must be an int")
    refused(on(rows, progress=3), TypeError, "`progress` must be callable")
    wide = pi.Normal(stddev=1e30, seed=1)
    refused(on(rows, init=wide, dtype="float16"), ValueError, "float16")
    refused(on(rows, (8, 10**9, 10**9), pi.Identity()), ValueError, "must have 2 axes")
    device = "`device` must be a jax.Device such as jax.devices()[0], or None; got device="
    for bad in ("cpu:0", 0, rows):
        refused(lambda bad=bad: pij.array(init, shape, device=bad), TypeError, device)
    traced = "must be called outside of jax.jit and the like; got a call while JAX traces"
    refused(lambda: jax.jit(on(rows))(), NotImplementedError, traced)
    refused(lambda: jax.eval_shape(lambda: pij.array(init, shape)), NotImplementedError, traced)
    refused(on(Format(None, rows)), TypeError, no_sharding)


def documentation():
    for module in (arrays, initializers):
        found = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
        assert found.attempted > 2 and not found.failed
