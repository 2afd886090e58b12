# SPDX-License-Identifier: Apache-2.0
"""philinit.jax inside compiled programs: cut by XLA, in batches, in steps, and where it goes wrong.

Expected values are those documented, of `named`, drawn without JAX.
"""

import threading
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
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import philinit as pi
import philinit.jax as pij
from philinit.dtypes import NAMES
from philinit.jax import ffi, handlers
from philinit.jax.operations import Named
from philinit.tools.doctor import probes
from tests.support.engines.jax_initializer import named

KEY, SHAPE, INIT = jax.random.key(7), (16, 24), pi.HeNormal(seed=1)
KEYS = jax.random.split(KEY, 4)
KERNEL = pij.initializer(INIT)
WHOLE = named(INIT, KEY)(SHAPE)
LAYERS = np.stack([named(INIT, key)(SHAPE) for key in KEYS])
SENT = ("all-", "collective")  # what XLA does with what it has not cut


class written:  # noqa: N801
    """The shapes that XLA has philinit write inside the block."""

    def __enter__(self):
        self.shapes, write = [], handlers._write
        seen = lambda f, view, *rest: (self.shapes.append(view.shape), write(f, view, *rest))  # noqa: E731
        self.patch = mock.patch.object(handlers, "_write", seen)
        self.patch.start()
        return self.shapes

    def __exit__(self, *error):
        self.patch.stop()


def cut_by_xla():
    """`out_shardings` of jit, and a constraint inside: each device writes its own part only."""
    for shardy in (True, False):
        jax.config.update("jax_use_shardy_partitioner", shardy)
        for spec in (P("x", "y"), P("y"), P(None, ("y", "x")), P("x"), P()):
            where = NamedSharding(mesh(4, 2), spec)

            def inside(key, where=where):
                return jax.lax.with_sharding_constraint(KERNEL(key, SHAPE), where)

            for program in (
                jax.jit(lambda key: KERNEL(key, SHAPE), out_shardings=where),
                jax.jit(inside),
            ):
                compiled = program.lower(KEY).compile()
                with written() as shapes:
                    made = jax.block_until_ready(compiled(KEY))
                assert shapes == 8 * [where.shard_shape(SHAPE)]
                assert made.sharding.is_equivalent_to(where, 2)
                check(made, WHOLE)
                assert not any(word in compiled.as_text() for word in SENT)
    jax.config.update("jax_use_shardy_partitioner", True)


def cut_unequally():
    """Where XLA would cut an axis into unequal parts, that axis stays whole."""
    where = NamedSharding(mesh(4, 2), P("x", "y"))

    def padded(key):
        array = jnp.pad(KERNEL(key, (15, 10)), ((0, 1), (0, 6)))
        return jax.lax.with_sharding_constraint(array, where)

    found = np.asarray(jax.jit(padded)(KEY))[:15, :10]
    assert found.tobytes() == named(INIT, KEY)((15, 10)).tobytes()


def explicit_axes():
    """There XLA cuts nothing by itself: an `out_sharding` that is named says what a device has."""
    devices = mesh(4, 2, axis_types=(AxisType.Explicit,) * 2)
    where = NamedSharding(devices, P("x", "y"))
    with jax.set_mesh(devices):
        for sharding, part in ((None, SHAPE), (P("x", "y"), (4, 12))):
            call = lambda key, s=sharding: KERNEL(key, SHAPE, out_sharding=s)  # noqa: E731
            with written() as shapes:
                made = jax.block_until_ready(jax.jit(call, out_shardings=where)(KEY))
            assert shapes == 8 * [part]
            check(made, WHOLE)


def batches():
    """vmap writes all layers in one call, scan one a turn; XLA cuts the axis of layers as well."""
    one = lambda key: KERNEL(key, SHAPE)  # noqa: E731
    scanned = lambda keys: jax.lax.scan(lambda _, key: (0, one(key)), 0, keys)[1]  # noqa: E731
    twice = lambda keys: jax.vmap(jax.vmap(one))(keys.reshape(2, 2)).reshape(4, *SHAPE)  # noqa: E731
    for program, calls in (
        (jax.vmap(one), [(4, *SHAPE)]),
        (twice, [(2, 2, *SHAPE)]),
        (scanned, 4 * [SHAPE]),
    ):
        with written() as shapes:
            check(jax.jit(program)(KEYS), LAYERS)
        assert shapes == calls
        for spec in (P("x"), P(None, "x", "y"), P("x", None, "y")):
            where = NamedSharding(mesh(4, 2), spec)
            spread = jax.jit(program, out_shardings=where).lower(KEYS).compile()
            if program is not scanned or spec[0] is None:  # scan makes one layer after the other
                assert not any(word in spread.as_text() for word in SENT)
            check(spread(KEYS), LAYERS)
    spread = jax.jit(
        jax.vmap(lambda key: KERNEL(key, ())), out_shardings=NamedSharding(mesh(4), P("x"))
    )
    check(spread(KEYS), np.array([named(INIT, key)(()) for key in KEYS]))


def within_shard_map():
    """Each device its own key, or all of them one; with JAX's check of what varies, and without."""
    devices = mesh(4)
    for checked in (True, False):
        for varies in (True, False):

            def layer(keys, varies=varies):
                return KERNEL(keys[0] if varies else KEY, SHAPE)[None]

            program = jax.shard_map(
                layer, mesh=devices, in_specs=P("x"), out_specs=P("x"), check_vma=checked
            )
            check(jax.jit(program)(KEYS), LAYERS if varies else np.stack([WHOLE] * 4))


def steps():
    """A seed or key that comes late needs no other program; steps overwrite what they are given."""
    program = jax.jit(lambda seed: KERNEL(jax.random.key(seed), SHAPE))
    for seed in (0, 7, 2**31 - 1):
        check(program(seed), named(INIT, jax.random.key(seed))(SHAPE))
    assert program._cache_size() == 1
    ahead = jax.jit(lambda key: KERNEL(key, SHAPE, jnp.bfloat16)).lower(KEY).compile()
    for key in KEYS:
        check(ahead(key), named(INIT, key)(SHAPE, "bfloat16"))
    step = jax.jit(lambda w, x: w - 0.5 * x, donate_argnums=0)
    made = jax.jit(lambda key: KERNEL(key, SHAPE))(KEY)
    address = made.unsafe_buffer_pointer()
    made = step(made, jnp.ones(SHAPE))
    assert made.unsafe_buffer_pointer() == address
    check(made, WHOLE - np.float32(0.5))
    renewed = jax.jit(lambda w, key: KERNEL(key, w.shape) + 0 * w, donate_argnums=0)
    check(renewed(made, KEYS[1]), LAYERS[1])


def dtypes():
    """All, of sizes that no vector has, in batches whose parts start anywhere; and empty ones."""
    with jax.enable_x64(True):
        for dtype in NAMES:
            for shape in ((), (1,), (3,), (5, 7), (0,), (0, 3), (2, 0)):
                want = np.stack([named(INIT, key)(shape, dtype) for key in KEYS])
                check(jax.jit(lambda k, s=shape, d=dtype: KERNEL(k, s, d))(KEYS[0]), want[0])
                batch = jax.jit(jax.vmap(lambda k, s=shape, d=dtype: KERNEL(k, s, d)))
                check(batch(KEYS), want)
    with jax.debug_nans(True), jax.debug_infs(True):
        check(jax.jit(lambda key: KERNEL(key, SHAPE))(KEY), WHOLE)


def signs_of_zeros():
    """Equal initializers whose weights are not: -0.0 == 0.0."""
    for value in (0.0, -0.0, 0.0):
        kernel = pij.initializer(pi.Constant(value))
        check(jax.jit(lambda k=kernel: k(KEY, (3,)))(), np.full(3, value, np.float32))


class Broken(pi.Normal):
    """An initializer that finds out late."""

    error = None

    def _write(self, target):
        if target.view.size and Broken.error is not None:
            raise Broken.error
        super()._write(target)


def errors():
    """An exception becomes XLA's error, with its sentence; the program can be called again."""
    program = jax.jit(lambda key: pij.initializer(Broken(seed=1))(key, SHAPE))
    where = NamedSharding(mesh(8), P("x"))
    spread = jax.jit(lambda key: pij.initializer(Broken(seed=1))(key, SHAPE), out_shardings=where)
    want = pi.Normal(seed=1).named(0).named(7)(SHAPE)
    for call in (program, spread):
        for error, text in (
            (
                ValueError("`scale` must be small; got scale=ä"),
                "`scale` must be small; got scale=ä",
            ),
            (NotImplementedError("nobody wrote it"), "nobody wrote it"),
            (MemoryError("none left"), "none left"),
            (OSError("lost"), "OSError: lost"),
        ):
            Broken.error = error
            failed = lambda c=call: jax.block_until_ready(c(KEY))  # noqa: E731
            refused(failed, jax.errors.JaxRuntimeError, text)
        Broken.error = None
        check(call(KEY), want)
    with mock.patch.dict(handlers._sources, clear=True):
        untraced = lambda: jax.block_until_ready(program(KEY))  # noqa: E731
        text = "a compiled program must run in a process that has traced it; got one that asks for"
        refused(untraced, jax.errors.JaxRuntimeError, text)


def names():
    """A program's name for an initializer is its repr; others of the same repr have another."""

    class HeNormal(pi.HeNormal):
        pass

    first, equal, other = (
        handlers.name_of(Named(c(seed=1))) for c in (pi.HeNormal, pi.HeNormal, HeNormal)
    )
    assert first == equal == "Named(init=HeNormal(seed=1))"
    assert other != first


def threads():
    """Several threads call programs of several devices at once."""
    where = NamedSharding(mesh(8), P("x"))
    shape = (2048, 1024)
    program = jax.jit(lambda key: KERNEL(key, shape), out_shardings=where)
    made = {}

    def call(number):
        made[number] = [program(KEYS[number]) for _ in range(3)]

    callers = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    for number, arrays in made.items():
        for array in arrays:
            check(array, named(INIT, KEYS[number])(shape))


def another_version():
    """Of another interface JAX's callback serves, with the same bits."""
    for changed in (
        mock.patch.object(ffi, "MAJOR", 1),
        mock.patch.object(jax.ffi, "pycapsule", side_effect=AttributeError),
    ):
        with changed, mock.patch.object(handlers, "TARGET", "philinit_other"):
            handlers.refusal.cache_clear()
            assert handlers.platforms() == ()
            version = "knows version 0.3 of XLA's foreign function interface, and jax"
            assert version in handlers.refusal() and "\n" not in handlers.refusal()
            program = jax.jit(lambda key: KERNEL(key, SHAPE))
            assert "callback" in program.lower(KEY).as_text()
            check(program(KEY), WHOLE)
            where = NamedSharding(mesh(4, 2), P("x", "y"))
            check(jax.jit(lambda k, w=where: KERNEL(k, SHAPE, None, w))(KEY), WHOLE)
            refused(probes.jax_program, probes.Slower, version)  # of `philinit doctor`
        handlers.refusal.cache_clear()
    assert "cpu" in handlers.platforms()


def memory():
    """256 MiB by a program of one device, and by one of eight: each byte is there once."""
    shape = (1 << 16, 1024)
    for sharding in (None, NamedSharding(mesh(4, 2), P("x", "y"))):
        program = jax.jit(lambda key: KERNEL(key, shape), out_shardings=sharding)
        compiled = program.lower(KEY).compile()
        jax.block_until_ready(jax.jit(lambda key: KERNEL(key, (1 << 10, 1024)))(KEY))
        with peak() as making:
            made = jax.block_until_ready(compiled(KEY))
        assert making.mib < 256 + 40, making.mib
        del made
