# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.nn.initializers beside jax.nn.initializers, on eight devices.

Weights are held to those documented, of `named`, drawn without JAX; distributions to JAX's.
"""

import inspect
import pickle
from functools import partial

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
import scipy.stats
from jax.nn import initializers as theirs
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import philinit as pi
from philinit.jax.nn import initializers as ours
from tests.support.engines.jax_initializer import named

KEY = jax.random.key(7)

# A function and its arguments; the philinit initializer that it stands for.
DRAWN = {
    "uniform": (("uniform", 0.3), pi.Uniform(0.0, 0.3, seed=0)),
    "normal": (("normal", 0.3), pi.Normal(0.0, 0.3, seed=0)),
    "truncated_normal": (
        ("truncated_normal", 0.3, None, -1.0, 2.5),
        pi.TruncatedNormal(0.0, 0.3, -1.0, 2.5, seed=0),
    ),
    "variance_scaling": (
        ("variance_scaling", 3.0, "fan_geo_avg", "normal"),
        pi.VarianceScaling(3.0, "fan_geo_avg", "normal", seed=0),
    ),
    "fan_out": (
        ("variance_scaling", 0.5, "fan_out", "truncated_normal"),
        pi.VarianceScaling(0.5, "fan_out", "truncated_normal", seed=0),
    ),
    "glorot_uniform": (("glorot_uniform",), pi.GlorotUniform(seed=0)),
    "glorot_normal": (("glorot_normal",), pi.GlorotNormal(seed=0)),
    "lecun_uniform": (("lecun_uniform",), pi.LecunUniform(seed=0)),
    "lecun_normal": (("lecun_normal",), pi.LecunNormal(seed=0)),
    "he_uniform": (("he_uniform",), pi.HeUniform(seed=0)),
    "he_normal": (("he_normal",), pi.HeNormal(seed=0)),
    "orthogonal": (("orthogonal", 1.5), pi.Orthogonal(1.5, seed=0)),
}


def made(module, call):
    name, *arguments = call
    return getattr(module, name)(*arguments)


def names_and_signatures():
    def public(module):
        return {name for name in dir(module) if not name.startswith("_")}

    assert set(ours.__all__) == public(theirs)
    for name in ours.__all__:
        want, found = (inspect.signature(getattr(m, name)) for m in (theirs, ours))
        for one, other in zip(want.parameters.values(), found.parameters.values(), strict=True):
            same = (one.name, one.kind, one.default) == (other.name, other.kind, other.default)
            assert same, (name, one, other)
    call = inspect.signature(ours.he_normal()).parameters
    assert list(call) == list(inspect.signature(theirs.he_normal()).parameters)
    for alias in ("xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"):
        same = alias.replace("xavier", "glorot").replace("kaiming", "he")
        assert getattr(ours, alias) is getattr(ours, same)


def weights():
    """Those of the initializer that is named, for keys of every kind, traced or not."""
    raw = jax.random.PRNGKey(7)
    longer, shape = jax.random.key(7, impl="rbg"), (16, 24)
    for call, init in DRAWN.values():
        draw = made(ours, call)
        check(draw(KEY, (3, 3, 8, 16)), named(init, KEY)((3, 3, 8, 16)))
        want = named(init, KEY)(shape)
        for key in (raw, np.asarray(raw), KEY):
            check(draw(key, shape), want)
            check(jax.jit(draw, static_argnums=1)(key, shape), want)
        check(draw(longer, shape), named(init, longer)(shape))
        check(draw(jax.random.key_data(longer), shape), named(init, longer)(shape))
        split = jax.random.split(KEY, 2)
        for found, key in zip(jax.vmap(lambda k, d=draw: d(k, shape))(split), split, strict=True):
            check(found, named(init, key)(shape))
        abstract = jax.eval_shape(lambda k, d=draw: d(k, shape, jnp.bfloat16), KEY)
        assert (abstract.shape, abstract.dtype) == (shape, jnp.bfloat16)
    for name in ("zeros", "ones", "constant", "Initializer"):
        assert getattr(ours, name) is getattr(theirs, name)


def shards():
    """`out_sharding`: each device has its part, of orthogonal too; in jit without a collective."""
    devices = mesh(2, 4)
    columns = NamedSharding(devices, P(None, "y"))
    shape = (16, 24)
    delta = (ours.delta_orthogonal(), ours.delta_orthogonal()(KEY, (3, 3, 16, 24)))
    for draw, want in [*((made(ours, c), named(i, KEY)(shape)) for c, i in DRAWN.values()), delta]:
        where = NamedSharding(devices, P(None, None, "x", "y")) if want.ndim == 4 else columns
        eager = draw(KEY, want.shape, out_sharding=where)
        program = jax.jit(lambda k, d=draw, n=want.shape, w=where: d(k, n, None, w))
        for found in (eager, program(KEY)):
            assert found.sharding.is_equivalent_to(where, want.ndim)
            check(found, np.asarray(want))
        assert "all-" not in program.lower(KEY).compile().as_text()
    draw = ours.he_normal()
    for kind in (AxisType.Auto, AxisType.Explicit):
        with jax.set_mesh(mesh(8, axis_types=(kind,))):
            found, want = draw(KEY, shape), theirs.he_normal()(KEY, shape)
            assert found.sharding.is_equivalent_to(want.sharding, 2)
            assert jax.typeof(found) == jax.typeof(want)
            check(found, named(pi.HeNormal(seed=0), KEY)(shape))


def check_distribution(found, want, stddev):
    """Two samples of as many weights: mean, stddev and distribution; bounds of 4.5 sigma."""
    count, scale = want.size, want.std()
    assert abs(found.mean() - want.mean()) < 4.5 * scale * np.sqrt(2 / count)
    for sample in (found, want):
        kurtosis = scipy.stats.kurtosis(sample, fisher=False)
        error = stddev * np.sqrt((kurtosis - 1) / (4 * count))
        assert abs(sample.std() - stddev) < 4.5 * error
    assert scipy.stats.ks_2samp(found, want).pvalue > 1e-5


def distributions():
    """JAX's, for the axes of any layer; the stddev by the formula in JAX's documentation."""
    cut = scipy.stats.truncnorm(-1.0, 2.5).std()
    cases = [
        (("uniform", 0.3), (512, 512), 0.3 / np.sqrt(12)),
        (("normal", 0.3), (2**18,), 0.3),
        (("truncated_normal", 0.3, None, -1.0, 2.5), (512, 512), 0.3 * cut),
        (("he_normal", -1, -2), (256, 1024), np.sqrt(2 / 1024)),
        (("he_uniform", (0, 1), 2), (16, 32, 512), np.sqrt(2 / 512)),
        (("lecun_normal",), (3, 3, 128, 256), np.sqrt(1 / (9 * 128))),
        (("lecun_uniform", 0, -1, 1), (64, 32, 128), np.sqrt(1 / 64)),
        (("glorot_uniform", -2, -1, (0,)), (16, 64, 256), np.sqrt(2 / 320)),
        (("glorot_normal", [0], [1]), (256, 1024), np.sqrt(2 / 1280)),
    ]
    for mode, fan in (("fan_in", 256), ("fan_out", 1024), ("fan_avg", 640), ("fan_geo_avg", 512)):
        for distribution in ("uniform", "normal", "truncated_normal"):
            call = ("variance_scaling", 1.7, mode, distribution)
            cases.append((call, (256, 1024), np.sqrt(1.7 / fan)))
    for call, shape, stddev in cases:
        found, want = (np.asarray(made(m, call)(KEY, shape)).reshape(-1) for m in (ours, theirs))
        check_distribution(found, want, stddev)
        with pytest.raises(AssertionError):
            check_distribution(1.02 * found, want, stddev)
        limits = np.abs(want).max()
        if "normal" not in call[1:] and call[0] != "normal":  # all others end somewhere
            assert abs(np.abs(found).max() / limits - 1) < 0.01
    for zero in (ours.uniform(0.0), ours.variance_scaling(0, "fan_in", "normal"), ours.normal(0)):
        check(zero(KEY, (8, 4)), np.zeros((8, 4), np.float32))


def orthogonal():
    for shape, axis in (((24, 16), -1), ((16, 24), 1), ((24, 16), 0), ((4, 5, 6, 2), 1)):
        for draw in (ours.orthogonal(1.5, axis), theirs.orthogonal(1.5, axis)):
            matrix = np.moveaxis(np.asarray(draw(KEY, shape)), axis, -1).reshape(-1, shape[axis])
            gram = matrix.T @ matrix if matrix.shape[0] >= matrix.shape[1] else matrix @ matrix.T
            np.testing.assert_allclose(gram, 1.5**2 * np.eye(len(gram)), atol=1e-5)
    init = named(pi.Orthogonal(seed=0), KEY)
    check(ours.orthogonal(column_axis=0)(KEY, (24, 16)), init((16, 24)).T.copy())
    assert ours.orthogonal()(KEY, (0, 3)).shape == (0, 3)
    for spatial in ((3,), (3, 5), (2, 3, 4)):
        for module in (ours, theirs):
            kernel = np.array(module.delta_orthogonal(0.5, -2)(KEY, (*spatial, 8, 16)))
            middle = tuple((n - 1) // 2 for n in spatial)
            matrix = kernel[middle].copy()
            np.testing.assert_allclose(matrix @ matrix.T, 0.25 * np.eye(8), atol=1e-6)
            kernel[middle] = 0
            assert not kernel.any()
    kernel = ours.delta_orthogonal()(KEY, (3, 8, 16))
    check(kernel[1], init((8, 16)))
    for dtype in (jnp.bfloat16, jnp.float16):
        assert ours.delta_orthogonal(dtype=dtype)(KEY, (3, 8, 16)).dtype == dtype


def dtypes():
    shape, init = (16, 24), named(pi.HeNormal(seed=0), KEY)
    for dtype in ("float16", jnp.bfloat16, np.float32, np.dtype("float16")):
        want = init(shape, dtype)
        check(ours.he_normal()(KEY, shape, dtype), want)
        check(ours.he_normal(dtype=dtype)(KEY, shape), want)
    half = partial(ours.he_normal(dtype=jnp.bfloat16), KEY, shape)
    for module in (ours, theirs):  # None is not the same as left out
        assert module.he_normal(dtype=jnp.bfloat16)(KEY, shape, None).dtype == jnp.float32
        assert module.he_normal()(KEY, shape, float).dtype == jnp.float32
        with pytest.warns(UserWarning, match="Explicitly requested dtype float64"):
            assert module.he_normal()(KEY, shape, np.float64).dtype == jnp.float32
    check(half(dtype="float32"), init(shape))
    with jax.enable_x64(True):
        for dtype in (float, None, "float64"):
            check(ours.he_normal()(KEY, shape, dtype), init(shape, "float64"))
    assert ours.normal(jnp.float32(1), jnp.bfloat16)(KEY, shape).dtype == jnp.bfloat16
    refused(lambda: half(dtype=np.complex64), ValueError, "`dtype` must be one of float32, float64")
    refused(lambda: half(dtype=int), ValueError, "`dtype` must be one of float32, float64, ")


def bad_input():
    """Each is an error of the kind that it is in JAX, or one where JAX gives NaN or nonsense."""
    shape = (16, 24)
    he = ours.he_normal()
    for bad in (None, 7, "key"):
        refused(lambda b=bad: he(b, shape), TypeError, "`key` must be a key such as jax.random.")
    refused(lambda: he(jax.random.split(KEY), shape), ValueError, "use jax.vmap for a batch")
    for short in ((), (5,)):
        text = f"`in_axis` must lie in [{-len(short)}, {len(short)}) for a shape with"
        refused(lambda s=short: he(KEY, s), ValueError, text)
        refused(lambda s=short: jax.jit(lambda k: he(k, s))(KEY), ValueError, text)
    assert ours.he_normal(in_axis=0, out_axis=())(KEY, (5,)).shape == (5,)
    scaling = partial(ours.variance_scaling, 1.0)
    refused(lambda: scaling("fan", "normal"), ValueError, "`mode` must be one of fan_in, fan_out")
    refused(lambda: scaling("fan_in", "x"), ValueError, "`distribution` must be one of uniform,")
    refused(lambda: ours.he_normal(-1), ValueError, "must not share an axis")
    for make in (ours.uniform, lambda s: ours.variance_scaling(s, "fan_in", "normal")):
        refused(lambda m=make: m(-1.0), ValueError, "`scale` must not be negative; got scale=-1.0")
        refused(lambda m=make: m(jnp.ones(2)), TypeError, "`scale` must be a real number; got")
    refused(lambda: ours.normal(-1.0), ValueError, "`stddev` must not be negative")
    refused(lambda: jax.jit(ours.normal)(1.0), TypeError, "`stddev` must be a real number; got")
    refused(lambda: ours.truncated_normal(1.0, None, 2, -2), ValueError, "`lower` must be below")
    refused(lambda: ours.orthogonal(column_axis=1.0), TypeError, "`column_axis` must be an int;")
    axis = "`column_axis` must lie in [-2, 2) for shape="
    refused(lambda: ours.orthogonal(column_axis=2)(KEY, shape), ValueError, axis)
    refused(lambda: ours.orthogonal()(KEY, (5,)), ValueError, "`shape` must have at least 2 axes")
    delta = ours.delta_orthogonal()
    refused(lambda: delta(KEY, shape), ValueError, "`shape` must have 3, 4 or 5 axes for the")
    for call in (delta, jax.jit(delta, static_argnums=1)):
        refused(lambda c=call: c(KEY, (3, 8, 4)), ValueError, "must not have more channels in")
    refused(lambda: ours.delta_orthogonal(1.0, 2)(KEY, (3, 4, 8)), ValueError, axis)


def differences():
    """The table of docs/jax.md: what JAX does there, and what philinit does instead."""
    shape = (16, 24)
    for dtype in (np.complex64, jnp.float8_e4m3b11fnuz):
        assert theirs.he_normal()(KEY, shape, dtype).dtype == dtype
        refused(lambda d=dtype: ours.he_normal()(KEY, shape, d), ValueError, "`dtype` must be one")
    assert theirs.normal(-1.0)(KEY, shape).std() > 0.5
    assert theirs.normal(jnp.ones(24))(KEY, shape).shape == shape
    theirs.variance_scaling(1.0, "fan", "normal")
    for module in (ours, theirs):
        with pytest.raises(ValueError):
            module.he_normal()(KEY, (5,))
    both = theirs.variance_scaling(1.0, "fan_in", "uniform", in_axis=-1)(KEY, (1, 1000))
    assert 0.9 < jnp.abs(both).max() / np.sqrt(3) < 1  # a fan of 1
    with pytest.raises(ZeroDivisionError):
        theirs.he_normal()(KEY, (0, 3))
    assert ours.he_normal()(KEY, (0, 3)).shape == (0, 3)
    for changed in ({"dtype": jnp.bfloat16}, {"out_sharding": NamedSharding(mesh(8), P("x"))}):
        with pytest.raises(NotImplementedError):
            theirs.orthogonal()(KEY, shape, **changed)
        assert ours.orthogonal()(KEY, shape, **changed).shape == shape
    assert theirs.he_normal() != theirs.he_normal() and ours.he_normal() == ours.he_normal()


def objects():
    """What is returned can be a static argument of jit, and pickled."""
    for call, _ in [*DRAWN.values(), (("delta_orthogonal", 2.0), None)]:
        one, other = made(ours, call), made(ours, call)
        assert one == other and hash(one) == hash(other)
        assert pickle.loads(pickle.dumps(one)) == one
        assert isinstance(one, theirs.Initializer)
        assert one != ours.normal(0.7) and one != ours.normal(0.3, jnp.bfloat16)
    assert ours.glorot_normal([0], [1]) == ours.glorot_normal((0,), (1,))
    traced = []
    program = jax.jit(lambda i, k: (traced.append(1), i(k, (4, 4)))[1], static_argnums=0)
    for _ in range(2):
        program(ours.he_normal(), KEY)
    assert len(traced) == 1


def same_but_for_numbers(found, want, drawn):
    """Equal shapes, dtypes and structure; `drawn` leaves have other numbers of the same size."""
    different = 0
    assert jax.tree.structure(found) == jax.tree.structure(want)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        a, b = np.asarray(one), np.asarray(other)
        if (a != b).any():
            assert 0.5 < a.std() / b.std() < 2
            different += 1
    assert different == drawn


def flax_linen():
    nn = pytest.importorskip("flax.linen")

    class Model(nn.Module):
        inits: object

        @nn.compact
        def __call__(self, x):
            x = nn.Conv(16, (3, 3), kernel_init=self.inits.delta_orthogonal())(x)
            x = nn.relu(nn.LayerNorm(scale_init=self.inits.ones)(x)).mean((1, 2))
            x = nn.Dense(32, kernel_init=self.inits.he_normal())(x)
            x = nn.MultiHeadAttention(2, kernel_init=self.inits.xavier_uniform())(x[:, None])
            embed = nn.Embed(50, 32, embedding_init=self.inits.normal(0.02))
            return embed.attend(nn.Dense(32, bias_init=self.inits.constant(0.1))(x))

    x = jnp.ones((2, 8, 8, 8))
    models = Model(ours), Model(theirs)
    found, want = (model.init(KEY, x) for model in models)
    same_but_for_numbers(found, want, 7)
    again = jax.jit(models[0].init)(KEY, x)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    assert models[0].apply(found, x).shape == (2, 1, 50)


def flax_nnx():
    nnx = pytest.importorskip("flax.nnx")

    def build(inits):
        rngs = nnx.Rngs(0)
        return nnx.List(
            [
                nnx.Linear(8, 16, kernel_init=inits.he_normal(), rngs=rngs),
                nnx.Conv(3, 8, (3, 3), kernel_init=inits.lecun_normal(), rngs=rngs),
                nnx.LSTMCell(8, 8, recurrent_kernel_init=inits.orthogonal(), rngs=rngs),
                nnx.Embed(50, 16, embedding_init=inits.uniform(0.1), rngs=rngs),
                nnx.LoRA(16, 2, 16, a_initializer=inits.he_uniform(), rngs=rngs),
            ]
        )

    found, want = (nnx.state(build(inits), nnx.Param) for inits in (ours, theirs))
    same_but_for_numbers(nnx.to_pure_dict(found), nnx.to_pure_dict(want), 8)
    with jax.set_mesh(mesh(8)):  # Flax then spreads what it names axes for
        init = nnx.with_partitioning(ours.he_normal(), (None, "x"))
        spread = nnx.Linear(8, 16, kernel_init=init, rngs=nnx.Rngs(0)).kernel[...]
    assert spread.addressable_shards[0].data.shape == (8, 2)
    check(spread, np.asarray(found[0].kernel[...]))
    again = nnx.state(nnx.jit(lambda: build(ours))(), nnx.Param)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(again), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def haiku():
    hk = pytest.importorskip("haiku")

    def net(inits):
        def drawn(init):  # Haiku keeps the key
            return lambda shape, dtype: init(hk.next_rng_key(), shape, dtype)

        def apply(x):
            x = hk.Conv2D(8, 3, w_init=drawn(inits.he_normal()))(x)
            return hk.Linear(4, w_init=drawn(inits.glorot_uniform()))(hk.Flatten()(x))

        return hk.transform(apply)

    x = jnp.ones((2, 8, 8, 3))
    same_but_for_numbers(*(net(inits).init(KEY, x) for inits in (ours, theirs)), 2)
    net(ours).apply(net(ours).init(KEY, x), None, x)


def equinox():
    eqx = pytest.importorskip("equinox")

    def model(inits):
        layer = eqx.nn.MLP(16, 4, 32, 2, key=KEY)  # its weights are (out, in)
        init = inits.he_normal(in_axis=-1, out_axis=-2)
        weights = [linear.weight for linear in layer.layers]
        new = [init(k, w.shape) for k, w in zip(jax.random.split(KEY, 3), weights, strict=True)]
        return eqx.tree_at(lambda m: [linear.weight for linear in m.layers], layer, new)

    found, want = (model(inits) for inits in (ours, theirs))
    for one, other in zip(found.layers, want.layers, strict=True):
        same_but_for_numbers(one.weight, other.weight, 1)
    assert found(jnp.ones(16)).shape == (4,)
