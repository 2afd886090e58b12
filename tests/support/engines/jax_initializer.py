# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.initializer, traced or not, on eight devices.

Expected values are those documented, of `named`, drawn without JAX.
"""

import pickle

from tests.support.engines.jax_cases import (
    check,
    mesh,
    refused,
)  # first: it sets the number of devices

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

import philinit as pi
import philinit.jax as pij

KEY = jax.random.key(7)


def named(init, key):
    """As documented."""
    for word in np.asarray(jax.random.key_data(key)):
        init = init.named(int(word))
    return init


def keys():
    init, shape = pi.HeNormal(seed=1), (16, 24)
    kernel = pij.initializer(init)
    check(kernel(KEY, shape), named(init, KEY)(shape))
    check(kernel(jax.random.key_data(KEY), shape), named(init, KEY)(shape))
    check(kernel(np.asarray(jax.random.PRNGKey(7)), shape), named(init, KEY)(shape))
    check(kernel(None, shape), init(shape))
    for implementation in ("rbg", "unsafe_rbg"):
        key = jax.random.key(7, impl=implementation)
        assert jax.random.key_data(key).shape == (4,)
        check(kernel(key, shape), named(init, key)(shape))
    made = {kernel(key, shape).tobytes() for key in jax.random.split(KEY, 5)}
    other = pij.initializer(pi.HeNormal(seed=2))
    assert len(made | {other(KEY, shape).tobytes(), kernel(KEY, shape).tobytes()}) == 7
    check(pij.initializer(pi.Ones())(KEY, shape), pi.Ones()(shape))
    assert pickle.loads(pickle.dumps(kernel)) == kernel == pij.initializer(pi.HeNormal(seed=1))
    assert hash(kernel) == hash(pij.initializer(pi.HeNormal(seed=1))) and kernel != other
    assert repr(kernel) == "initializer(HeNormal(seed=1))"


def tracing():
    """jit, vmap, eval_shape, grad, scan: the bits of the eager call."""
    init, shape = pi.HeNormal(seed=1), (16, 24)
    kernel, whole = pij.initializer(init), named(init, KEY)(shape)
    check(jax.jit(kernel, static_argnums=(1, 2))(KEY, shape), whole)
    check(jax.jit(lambda: kernel(KEY, shape))(), whole)  # a key that is no tracer
    check(jax.jit(lambda: kernel(None, shape))(), init(shape))
    abstract = jax.eval_shape(lambda key: kernel(key, (10**9, 10**6), jnp.bfloat16), KEY)
    assert (abstract.shape, abstract.dtype) == ((10**9, 10**6), jnp.bfloat16)
    split = jax.random.split(KEY, 3)
    for program in (kernel, jax.jit(kernel, static_argnums=1)):
        batch = jax.vmap(lambda key, program=program: program(key, shape))(split)
        for found, key in zip(batch, split, strict=True):
            check(found, named(init, key)(shape))
    check(jax.vmap(lambda x: kernel(KEY, shape) + 0 * x)(jnp.ones(2))[1], whole)
    scale, grad = jax.value_and_grad(lambda s: (s * kernel(KEY, shape)).sum())(2.0)
    np.testing.assert_allclose(scale, 2 * whole.sum(), rtol=1e-3)
    np.testing.assert_allclose(grad, whole.sum(), rtol=1e-3)
    check(jax.jit(lambda k: kernel(k, ()))(KEY), named(init, KEY)(()))
    check(jax.jit(lambda k: kernel(k, (0, 3)))(KEY), named(init, KEY)((0, 3)))
    # Zeros keep their sign wherever XLA sends them: -0.0 is what half of these become.
    tiny = pi.Normal(stddev=1e-9, seed=1)
    rows = NamedSharding(mesh(8), P("x"))
    made = jax.jit(lambda k: pij.initializer(tiny)(k, shape, "float16"), out_shardings=rows)(KEY)
    assert np.signbit(np.asarray(made)).any()
    check(made, named(tiny, KEY)(shape, "float16"))


def dtypes():
    init, shape = pi.HeNormal(seed=4), (16, 24)
    kernel = pij.initializer(init, NamedSharding(mesh(8), P("x")))
    for dtype in ("float32", "float16", "bfloat16", jnp.bfloat16, np.float16):
        for made in (kernel(None, shape, dtype), jax.jit(lambda d=dtype: kernel(None, shape, d))()):
            check(made, init(shape, dtype))
    x64 = "`dtype` float64 needs JAX's 64-bit mode; got dtype=float64 with jax_enable_x64 off"
    refused(lambda: kernel(KEY, shape, "float64"), ValueError, x64)
    check(kernel(None, shape), init(shape))
    with jax.enable_x64(True):
        check(kernel(None, shape), init(shape, "float64"))
        check(jax.jit(lambda: kernel(None, shape))(), init(shape, "float64"))


def traced_shards():
    """Inside jit too each device computes its own shard: no collective, no larger array."""
    init, shape = pi.HeNormal(seed=1), (16, 24)
    whole = named(init, KEY)(shape)
    for spec, types in (
        (P(), AxisType.Auto),
        (P(None, "y"), AxisType.Auto),
        (P("x", "y"), AxisType.Explicit),
        (P(None, ("y", "x")), AxisType.Explicit),
        (P((), "x"), AxisType.Auto),
    ):
        devices = mesh(2, 4, axis_types=(types, types))
        sharding = NamedSharding(devices, spec)
        bound = pij.initializer(init, sharding)
        check(bound(KEY, shape), whole)
        program = jax.jit(lambda key, bound=bound: bound(key, shape))
        made = program(KEY)
        assert made.sharding.is_equivalent_to(sharding, 2)
        check(made, whole)
        text = program.lower(KEY).compile().as_text()
        assert "all-" not in text and "collective" not in text
        assert spec == P() or "[16,24]" not in text
        with jax.set_mesh(devices):
            check(jax.jit(lambda key, s=spec: pij.initializer(init, s)(key, shape))(KEY), whole)
            check(pij.initializer(init)(KEY, shape, out_sharding=spec), whole)
    bound = pij.initializer(init, NamedSharding(mesh(8), P("x")))
    split = jax.random.split(KEY, 3)
    for found, key in zip(jax.vmap(lambda k: bound(k, shape))(split), split, strict=True):
        assert np.asarray(found).tobytes() == named(init, key)(shape).tobytes()
    assert jax.eval_shape(lambda k: bound(k, shape), KEY).shape == shape


def bad_input():
    init, shape = pi.HeNormal(seed=1), (16, 24)
    rows = NamedSharding(mesh(8), P("x"))
    kernel = pij.initializer(init)

    def jitted(*arguments, kernel=kernel):
        return jax.jit(lambda: kernel(KEY, *arguments))

    no_init = "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); got"
    for bad in (pi.HeNormal, jax.nn.initializers.he_normal(), None):
        refused(lambda bad=bad: pij.initializer(bad), TypeError, no_init)
    no_sharding = "`sharding` must be a jax.sharding.Sharding, or a PartitionSpec for the mesh of"
    for bad in ("x", ("x", None), mesh(8)):
        refused(lambda bad=bad: pij.initializer(init, bad), TypeError, no_sharding)
        refused(lambda b=bad: kernel(KEY, shape, out_sharding=b), TypeError, no_sharding)
        refused(jitted(shape, None, bad), TypeError, no_sharding)
    rank = "`sharding` must have at most one entry for each axis of `shape`; got"
    refused(jitted((16,), None, P(None, "x")), ValueError, rank)
    indivisible = "array axis 0 is partitioned 8 times, but the dimension size is 20"
    refused(jitted((20, 8), None, rows), ValueError, indivisible)
    wide = pij.initializer(pi.Normal(stddev=1e30, seed=1))
    refused(jitted(shape, "float16", kernel=wide), ValueError, "float16")
    named_only = "while JAX traces, `sharding` must be a NamedSharding or a PartitionSpec; got"
    single = SingleDeviceSharding(jax.devices()[1])
    refused(jitted(shape, None, single), NotImplementedError, named_only)
    one_key = "`key` must be one key, as jax.random.key(0) or jax.random.PRNGKey(0) gives it; got"
    for bad in (jax.random.split(KEY, 3), jax.random.split(jax.random.PRNGKey(0)), jnp.ones(2)):
        refused(lambda bad=bad: kernel(bad, shape), ValueError, one_key)
    refused(lambda: jax.jit(lambda k: kernel(k, shape))(7), ValueError, one_key)
    refused(lambda: kernel(7, shape), TypeError, "`key` must be a key such as jax.random.key(0)")


def flax_linen():
    pytest.importorskip("flax")
    from flax import linen as nn

    columns = NamedSharding(mesh(2, 4), P(None, "y"))
    init = pi.HeNormal(seed=1)

    class Model(nn.Module):
        kernel_init: object

        @nn.compact
        def __call__(self, x):
            for _ in range(2):
                x = nn.relu(nn.Dense(16, kernel_init=self.kernel_init)(x))
            return x

    x = jnp.ones((2, 16))
    plain, spread = Model(pij.initializer(init)), Model(pij.initializer(init, columns))
    eager = plain.init(KEY, x)
    for made in (jax.jit(plain.init)(KEY, x), spread.init(KEY, x), jax.jit(spread.init)(KEY, x)):
        for want, found in zip(jax.tree.leaves(eager), jax.tree.leaves(made), strict=True):
            assert np.asarray(found).tobytes() == np.asarray(want).tobytes()
    first, second = (eager["params"][f"Dense_{i}"]["kernel"] for i in range(2))
    assert (np.asarray(first) != np.asarray(second)).all()
    for init_function in (spread.init, jax.jit(spread.init)):
        kernel = init_function(KEY, x)["params"]["Dense_0"]["kernel"]
        assert kernel.addressable_shards[0].data.shape == (16, 4)
    assert jax.eval_shape(plain.init, KEY, x)["params"]["Dense_0"]["kernel"].shape == (16, 16)
    assert plain.apply(eager, x).shape == (2, 16)

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.Dense(16, kernel_init=pij.initializer(init))(x), None

    layers = nn.scan(Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)()
    kernels = layers.init(KEY, x, None)["params"]["Dense_0"]["kernel"]
    assert len({np.asarray(kernel).tobytes() for kernel in kernels}) == 3


def flax_nnx():
    pytest.importorskip("flax")
    from flax import nnx

    columns = NamedSharding(mesh(2, 4), P(None, "y"))
    init = pi.HeNormal(seed=1)

    def build(sharding=None):
        kernel_init = pij.initializer(init, sharding)
        return nnx.Linear(8, 16, kernel_init=kernel_init, rngs=nnx.Rngs(0))

    want = np.asarray(build().kernel[...])
    for model in (build(columns), nnx.jit(build)(), nnx.jit(lambda: build(columns))()):
        check(model.kernel[...], want)
    model = build(columns)
    assert model.kernel[...].addressable_shards[0].data.shape == (8, 4)
    assert nnx.eval_shape(build).kernel.get_raw_value().shape == (8, 16)

    @nnx.jit(donate_argnums=0)
    def step(model, x):
        gradients = nnx.grad(lambda m: jnp.mean(jnp.square(m(x) - 1)))(model)
        nnx.update(model, jax.tree.map(lambda w, g: w - 0.1 * g, nnx.state(model), gradients))

    step(model, jnp.ones((4, 8)))
    assert model.kernel[...].sharding.is_equivalent_to(columns, 2)
    assert (np.asarray(model.kernel[...]) != want).any()
