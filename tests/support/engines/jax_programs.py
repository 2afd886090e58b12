# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.traced: bits, transformations, eight devices.

Expected values are those of tests/support/reference.py, or those documented, drawn without JAX.
"""

import functools
import math
import pickle
import re

from tests.support.engines.jax_cases import (
    check,
    mesh,
    refused,
)  # first: it sets the number of devices

# isort: split
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import philinit as pi
import philinit.jax as pij
from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.initializers.seeded import KeyedDistribution
from philinit.jax.xla.weights import program
from philinit.keys import Key
from tests.support import reference as r
from tests.support.reference_words import inverse_philox4x32

KEY = jax.random.key(7)
SHAPE = (16, 24)
DTYPES = ("float32", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2fnuz")
DRAWN = (
    *(Uniform(-0.05, 0.05), Uniform(0.0, 1.0), Uniform(-1.0, 3.0), Uniform(5.0, 5.001)),
    *(Uniform(-1e-6, 1e-6), Uniform(-3e-4, 1e4), Uniform(1.0, 1.0 + 2.0**-23), Uniform(-1.0, 0.0)),
    *(Uniform(0.0, 1.3e-28), Uniform(-3e38, 3e38), Normal(0.0, 2e-28), Normal(1e-30, 1.1e-28)),
    *(Normal(0.0, 0.05), Normal(1.0, 0.1), Normal(-3.0, 1e-3), Normal(1e-9, 1.0), Normal(2.0, 0.0)),
    *(TruncatedNormal(0.0, 0.05), TruncatedNormal(1.0, 0.5), TruncatedNormal(-2.0, 0.01)),
    *(TruncatedNormal(0.0, 1.0, -3.0, 3.0), TruncatedNormal(0.5, 0.2, -1.0, 2.0)),
    *(TruncatedNormal(0.0, 1.0, 0.0, math.inf), TruncatedNormal(-1.0, 3.0, -math.inf, 1.0)),
)


def named(init, key):
    """As documented."""
    for word in np.asarray(jax.random.key_data(key)):
        init = init.named(int(word))
    return init


def drawn():
    """The distributions that a dtype can hold, with a call for its weights and what they are."""
    for dtype in map(r.DTYPES.__getitem__, DTYPES):
        for distribution in DRAWN:
            key = Key.from_seed(5)
            init = KeyedDistribution(distribution, key)
            try:
                init._check((1,), dtype)
            except ValueError:  # too coarse for these
                continue
            yield distribution, dtype, init


def bits():
    """Of an oracle's weights, and of words that reach the ends of every map."""
    counters = [
        inverse_philox4x32(block, r.FEED_KEY)
        for block in np.resize(r.extreme_words(r.FLOAT32), (11, 4)).tolist()
    ]
    words = np.resize(r.extreme_words(r.FLOAT32), 44)
    for distribution, dtype, init in drawn():
        want = r.weights(distribution, dtype, init.key, 0, 3000)
        made = jax.jit(functools.partial(pij.traced(init), shape=3000, dtype=dtype))(None)
        r.assert_same_bits(np.asarray(made), want, distribution)
        extreme = [
            pij.traced(KeyedDistribution(distribution, Key(r.FEED_KEY, base)))(None, 4, dtype)
            for base in counters
        ]
        want = r.weights_of(words, distribution, dtype)
        r.assert_same_bits(np.concatenate(extreme), want, distribution)


def op_by_op():
    """Without jax.jit, each operation compiled alone."""
    with jax.disable_jit():
        for distribution, dtype, init in list(drawn())[::2]:
            want = r.weights(distribution, dtype, init.key, 0, 500)
            r.assert_same_bits(np.asarray(pij.traced(init)(None, 500, dtype)), want, distribution)


def samples():
    """2**20 weights of each, beside the kernels of the CPU."""
    for distribution, dtype, init in drawn():
        want = init(1 << 20, dtype)
        r.assert_same_bits(np.asarray(pij.traced(init)(None, 1 << 20, dtype)), want, distribution)


def integers_alone():
    """Between words and weights numbers of float32 are only made, taken apart and converted."""
    for _, dtype, init in drawn():
        jaxpr = jax.make_jaxpr(functools.partial(pij.traced(init), shape=4, dtype=dtype))(None)
        assert floating(jaxpr.jaxpr) <= {"convert_element_type", "bitcast_convert_type"}


def floating(jaxpr):
    """Operations with an operand or a result of floating point, but for calls of others."""
    found = set()
    for equation in jaxpr.eqns:
        inside = [getattr(p, "jaxpr", p) for p in equation.params.values()]
        inside = [p for p in inside if hasattr(p, "eqns")]
        for one in inside:
            found |= floating(one)
        kinds = [v.aval.dtype for v in (*equation.invars, *equation.outvars)]
        if not inside and any(jnp.issubdtype(kind, jnp.floating) for kind in kinds):
            found.add(equation.primitive.name)
    return found


def keys():
    """The weights of `initializer`, whatever the key and whoever traces it."""
    init = pi.HeNormal(seed=1, names=("layer", 3))
    he = pij.traced(init)
    jitted = jax.jit(he, static_argnums=(1, 2))
    check(he(None, SHAPE), init(SHAPE))
    for implementation in ("threefry2x32", "rbg"):
        key = jax.random.key(7, impl=implementation)
        for call in (he, jitted):
            check(call(key, SHAPE), named(init, key)(SHAPE))
    for words in ((0, 1), (9, 10), (99, 12345), (10**9 - 1, 10**9), (2**32 - 1, 2**31)):
        key = np.array(words, np.uint32)
        for call in (he, jitted):
            check(call(key, SHAPE), init.named(words[0]).named(words[1])(SHAPE))
    keyed = KeyedDistribution(Normal(0.0, 1.0), Key((1, 2), (1 << 128) - 40))  # its counters wrap
    check(jax.jit(pij.traced(keyed), static_argnums=1)(KEY, SHAPE), keyed(SHAPE))
    keyed = KeyedDistribution(Normal(0.0, 1.0), Key((1, 2), (1 << 96) - 40))
    check(pij.traced(keyed)(KEY, SHAPE), keyed(SHAPE))
    for constant in (pi.Zeros(), pi.Ones(), pi.Constant(-0.3)):
        for dtype in DTYPES:
            made = jax.jit(lambda k, c=constant, d=dtype: pij.traced(c)(k, SHAPE, d))(KEY)
            check(made, constant(SHAPE, dtype))
    assert pickle.loads(pickle.dumps(he)) == he == pij.traced(init) != pij.traced(pi.Ones())
    assert hash(he) == hash(pij.traced(init)) and repr(he) == f"traced({init!r})"


def seeds_share_programs():
    """Another seed, name or key compiles nothing anew."""
    he = pij.traced(pi.HeNormal(seed=1))
    he(KEY, SHAPE)
    before = program(None)._cache_size()
    for init in (pi.HeNormal(seed=2), pi.HeNormal(seed=1).named("a")):
        for key in (KEY, jax.random.key(8), None):
            check(pij.traced(init)(key, SHAPE), (init if key is None else named(init, key))(SHAPE))
    assert program(None)._cache_size() == before


def transformations():
    """jit, vmap, scan, grad, eval_shape, 64-bit mode."""
    init = pi.Normal(1.0, 0.1, seed=1)
    normal, whole, split = pij.traced(init), named(init, KEY)(SHAPE), jax.random.split(KEY, 3)
    check(jax.jit(lambda: normal(KEY, SHAPE))(), whole)  # a key that is no tracer
    scanned = jax.jit(lambda ks: lax.scan(lambda c, k: (c, normal(k, SHAPE)), 0, ks)[1])(split)
    for batch in (scanned, jax.vmap(lambda k: normal(k, SHAPE))(split)):
        for found, key in zip(batch, split, strict=True):
            check(found, named(init, key)(SHAPE))
    gradient = jax.grad(lambda s: (s * normal(KEY, SHAPE)).sum())(2.0)
    np.testing.assert_allclose(gradient, whole.sum(), rtol=1e-3)
    abstract = jax.eval_shape(lambda k: normal(k, (10**9, 10**6), jnp.bfloat16), KEY)
    assert (abstract.shape, abstract.dtype) == ((10**9, 10**6), jnp.bfloat16)
    for shape in ((), (0, 3), (1,), 5, (2, 3, 1, 5)):
        check(normal(KEY, shape), named(init, KEY)(shape))
    with jax.enable_x64(True):
        check(jax.jit(lambda k: normal(k, SHAPE, "float32"))(KEY), whole)


def devices():
    """Each device computes its own part of what jit spreads: no collective, no larger array."""
    init = pi.TruncatedNormal(1.0, 0.5, seed=1)
    truncated, whole = pij.traced(init), named(init, KEY)(SHAPE)
    for spec, kind in (
        (P(), AxisType.Auto),
        (P("x"), AxisType.Auto),
        (P("x", "y"), AxisType.Auto),
        (P(None, ("y", "x")), AxisType.Auto),
        (P("x", "y"), AxisType.Explicit),
        (P(None, "y"), AxisType.Explicit),
    ):
        sharding = NamedSharding(mesh(2, 4, axis_types=(kind, kind)), spec)
        for call in (
            jax.jit(lambda k: truncated(k, SHAPE), out_shardings=sharding),
            jax.jit(lambda k, s=sharding: truncated(k, SHAPE, None, s)),
        ):
            compiled = call.lower(KEY).compile()
            made, text = compiled(KEY), compiled.as_text()
            assert made.sharding.is_equivalent_to(sharding, 2)
            check(made, whole)
            assert not re.search(r"all-|collective|custom-call", text)
            assert spec == P() or "[16,24]" not in text
        check(truncated(KEY, SHAPE, out_sharding=sharding), whole)
        with jax.set_mesh(sharding.mesh):
            check(truncated(KEY, SHAPE, out_sharding=spec), whole)
        ones = pij.traced(pi.Ones())(KEY, SHAPE, out_sharding=sharding)
        assert ones.sharding.is_equivalent_to(sharding, 2)


def parts():
    """Shards and rows by number, traced or not; of tensors with more than 2**32 elements too."""
    init = pi.Normal(1.0, 0.1, seed=1)
    normal, want = pij.traced(init), named(init, KEY)
    for shape, starts in ((SHAPE, (3, 5)), ((10**9, 10**6), (5 * 10**8, 77)), ((2**40, 9), (7, 2))):
        index = tuple(slice(s, s + n) for s, n in zip(starts, (4, 6), strict=True))
        part = want(shape, "float16", shard=index)
        check(normal.shard(KEY, shape, starts, (4, 6), "float16"), part)

        def traced_part(a, b, shape=shape):
            return normal.shard(KEY, shape, (a, b), (4, 6), "float16")

        check(jax.jit(traced_part)(*starts), part)
        check(normal.shard(KEY, shape, (starts[0], jnp.int32(starts[1])), (4, 6), "float16"), part)
    far = want((2**50, 2**12), shard=(slice(2**49 + 1, 2**49 + 3), slice(9)))
    check(normal.shard(KEY, (2**50, 2**12), (2**49 + 1, 0), (2, 9)), far)
    for shape, ids in ((SHAPE, [5, 0, 5]), ((10**9, 7), np.array([[8, 10**9 - 1]])), ((99,), 98)):
        rows = want.rows(shape, ids)
        check(normal.rows(KEY, shape, ids), rows)
        check(jax.jit(lambda i, s=shape: normal.rows(KEY, s, i))(jnp.array(ids)), rows)
    assert normal.rows(KEY, SHAPE, []).shape == (0, 24)
    with jax.enable_x64(True):
        ids = np.array([3, 2**40 - 1])
        rows = want.rows((2**40, 5), ids)
        check(jax.jit(lambda i: normal.rows(KEY, (2**40, 5), i, "float32"))(ids), rows)
        start = jnp.int64(2**39 + 1)
        part = want((2**40, 5), shard=(slice(2**39 + 1, 2**39 + 3), slice(1, 4)))
        made = jax.jit(lambda s: normal.shard(KEY, (2**40, 5), (s, 1), (2, 3), "float32"))(start)
        check(made, part)


def manual_parts():
    """In shard_map each device asks for its own part."""
    init = pi.Uniform(0.0, 1.0, seed=1)
    uniform, whole = pij.traced(init), named(init, KEY)(SHAPE)

    def own(key):
        starts = lax.axis_index("x") * 8, lax.axis_index("y") * 6
        return uniform.shard(key, SHAPE, starts, (8, 6))

    for checked in (False, True):
        spread = jax.shard_map(
            own, mesh=mesh(2, 4), in_specs=P(), out_specs=P("x", "y"), check_vma=checked
        )
        check(jax.jit(spread)(KEY), whole)
    split = jax.random.split(KEY, 8)
    each = jax.shard_map(
        lambda k: uniform(k[0], SHAPE)[None], mesh=mesh(8), in_specs=P("x"), out_specs=P("x")
    )
    for found, key in zip(np.asarray(jax.jit(each)(split)), split, strict=True):
        assert found.tobytes() == named(init, key)(SHAPE).tobytes()


def export():
    """Programs for other machines, which lower for all of them; what was written runs here."""
    init = pi.TruncatedNormal(seed=1)
    program = jax.jit(lambda words: pij.traced(init)(words, SHAPE, jnp.bfloat16))
    words = jax.random.key_data(KEY)
    exported = jax.export.export(program, platforms=("cpu", "cuda", "rocm", "tpu"))(words)
    again = jax.export.deserialize(exported.serialize())
    check(again.call(words), named(init, KEY)(SHAPE, "bfloat16"))


def bad_input():
    normal = pij.traced(pi.Normal(seed=1))
    no_init = "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); got"
    refused(lambda: pij.traced(jax.nn.initializers.he_normal()), TypeError, no_init)
    other = "use philinit.jax.initializer"
    for init, text in (
        (pi.Orthogonal(seed=1), "`init` must draw each element by itself, or be a constant"),
        (pi.Normal(seed=1, sampler="tensorflow"), "`sampler` must be 'native'"),
        (
            pi.TruncatedNormal(0.0, 1.0, 8.0, 9.0, seed=1),
            "`init` must draw within bounds that float32 can hold",
        ),
    ):
        for call in (pij.traced(init), jax.jit(pij.traced(init), static_argnums=1)):
            refused(lambda c=call: c(KEY, SHAPE), NotImplementedError, text)
            refused(lambda c=call: c(KEY, SHAPE), NotImplementedError, other)
    refused(lambda: normal(KEY, SHAPE, "float64"), ValueError, "`dtype` float64 needs JAX's 64-bit")
    with jax.enable_x64(True):
        text = "`dtype` must be of 32 bits or fewer"
        refused(lambda: normal(KEY, SHAPE), NotImplementedError, text)
    text = "must have at most 2**64 elements, and an axis of the part 2**32"
    refused(lambda: normal.shard(KEY, (2**63, 4), (9, 0), (9, 4)), NotImplementedError, text)
    refused(lambda: normal.shard(KEY, (2**34,), (1,), (2**33,)), NotImplementedError, text)
    refused(lambda: pij.traced(pi.Normal(stddev=1e30, seed=1))(KEY, 3, "float16"), ValueError, "16")
    refused(lambda: normal.rows(KEY, SHAPE, [16]), ValueError, "`ids` must lie in [0, 16)")
    refused(lambda: normal.shard(KEY, SHAPE, (9, 9), (9, 9)), ValueError, "stay inside")
    entries = "`starts` and `lengths` must have one entry for each axis of `global_shape`; got"
    refused(lambda: normal.shard(KEY, SHAPE, (9,), (9, 9)), ValueError, entries)
    for call in (
        lambda x: normal.rows(KEY, SHAPE, x),
        lambda x: normal.shard(KEY, SHAPE, (x, 0), (1, 1)),
    ):
        refused(lambda c=call: jax.jit(c)(0.5), TypeError, "must be integers; got")
    refused(lambda: normal(7, SHAPE), TypeError, "`key` must be a key such as jax.random.key(0)")
    refused(lambda: normal(KEY, SHAPE, None, "x"), TypeError, "`sharding` must be a jax.sharding")
