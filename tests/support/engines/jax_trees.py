# SPDX-License-Identifier: Apache-2.0
"""Cases for tests/jax/test_trees.py: pytrees of shapes become arrays, on eight CPU devices."""

import doctest
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

import philinit as pi
import philinit.jax as pij
from philinit.initializers.models import Keep, Parts, Scaled, Stacked
from philinit.jax import trees
from tests.support.engines.jax_cases import check, mesh, peak, refused

QKV = ("qkv", ("q", "k", "v"))
PARAMETERS = [
    ("*.bias", pi.Zeros()),
    ("*.qkv.kernel", Parts([pi.GlorotUniform()] * 3, axis=1, rename=QKV)),
    ("stack.*", Stacked(Scaled(pi.Normal(), "1/sqrt(2(i+1))"), rename=("stack", "layers.{}"))),
    (re.compile(r"layers\.(\d+)"), Scaled(pi.Normal(), "1/sqrt(2(i+1))")),
    ("*", pi.HeNormal()),
]


def shapes(dtype=jnp.float32):
    def of(*sizes):
        return jax.ShapeDtypeStruct(sizes, dtype)

    return {
        "attention": {"qkv": {"kernel": of(16, 48), "bias": of(48)}},
        "stack": {"mlp": of(4, 16, 8)},
        "layers": [{"mlp": of(16, 8)} for _ in range(4)],
        "head": (of(8, 24), None),
    }


def whole(dtype="float32"):
    """The same tree of NumPy arrays, from single calls."""
    glorot, normal = pi.GlorotUniform(seed=3), pi.Normal(0, 0.05, seed=3)
    parts = [glorot.named(f"attention.{n}.kernel")((16, 16), dtype) for n in "qkv"]
    layers = []
    for i in range(4):
        init = pi.Normal(0, 0.05 * (1 / (2 * (i + 1)) ** 0.5), seed=3)
        layers.append(init.named(f"layers.{i}.mlp")((16, 8), dtype))
    assert normal.named("layers.0.mlp")((16, 8)).std() > 0
    return {
        "attention": {"qkv": {"kernel": np.concatenate(parts, 1), "bias": np.zeros(48, dtype)}},
        "stack": {"mlp": np.stack(layers)},
        "layers": [{"mlp": layer} for layer in layers],
        "head": (pi.HeNormal(seed=3).named("head.0")((8, 24), dtype), None),
    }


def leaves_are(tree, expected):
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for leaf, values in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        check(leaf, values)


def shapes_become_arrays():
    for dtype in ("float32", "float16", "bfloat16"):
        tree = pij.initialize(shapes(jnp.dtype(dtype)), PARAMETERS, seed=3)
        leaves_are(tree, whole(jnp.dtype(dtype)))
        assert all(not leaf.committed for leaf in jax.tree.leaves(tree))


def arrays_become_what_they_began_with():
    tree = pij.initialize(shapes(), PARAMETERS, seed=3)
    trained = jax.tree.map(lambda x: x + 1, tree)
    leaves_are(pij.initialize(trained, PARAMETERS, seed=3), whole())
    some = pij.initialize(trained, PARAMETERS, seed=3, only=["head.*"])
    check(some["head"][0], whole()["head"][0])
    assert some["stack"]["mlp"] is trained["stack"]["mlp"]
    kept = pij.initialize(trained, [("stack.*", Keep()), *PARAMETERS], seed=3)
    assert kept["stack"]["mlp"] is trained["stack"]["mlp"]
    leaves_are(pij.initialize(whole(), PARAMETERS, seed=3), whole())  # of NumPy


def shardings_of_shapes_arguments_and_arrays():
    devices = mesh(2, 4)
    rows = NamedSharding(devices, PartitionSpec("x"))
    columns = NamedSharding(devices, PartitionSpec(None, ("x", "y")))

    def spread(leaf):
        return columns if len(leaf.shape) == 2 else rows

    def described(leaf):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=spread(leaf))

    by_shape = pij.initialize(jax.tree.map(described, shapes()), PARAMETERS, seed=3)
    tree = jax.tree.map(spread, shapes())
    some = tree | {"head": (None, None)}
    assert not pij.initialize(shapes(), PARAMETERS, 3, shardings=some)["head"][0].committed
    by_tree = pij.initialize(shapes(), PARAMETERS, seed=3, shardings=tree)
    again = pij.initialize(jax.tree.map(lambda x: x * 2, by_tree), PARAMETERS, seed=3)
    for found in (by_shape, by_tree, again):
        leaves_are(found, whole())
        assert found["head"][0].sharding.is_equivalent_to(columns, 2)
        assert found["stack"]["mlp"].sharding.is_equivalent_to(rows, 3)
    one = pij.initialize(shapes(), PARAMETERS, seed=3, shardings=rows)
    leaves_are(one, whole())
    assert one["attention"]["qkv"]["bias"].sharding.is_equivalent_to(rows, 1)


def shapes_of_eval_shape():
    def init(key):
        w = jax.random.normal(key, (16, 8))
        return {"a": {"kernel": w, "bias": jnp.zeros(8)}}

    found = pij.initialize(
        jax.eval_shape(init, jax.random.key(0)), {"*.bias": pi.Ones(), "*": pi.HeNormal()}, seed=3
    )
    check(found["a"]["kernel"], pi.HeNormal(seed=3).named("a.kernel")((16, 8)))
    check(found["a"]["bias"], np.ones(8, np.float32))


def a_dry_run_allocates_nothing_and_observes():
    table = pij.dry_run(shapes(), PARAMETERS, seed=3)
    names = [row["name"] for row in table.rows()]
    assert names[:3] == ["attention.qkv.bias", "attention.qkv.kernel", "head.0"]
    refused(table.observed, ValueError, "attention.qkv.bias: `tree` must hold arrays")
    devices = NamedSharding(mesh(2, 4), PartitionSpec("y"))  # replicas count once
    tree = pij.initialize(shapes(), PARAMETERS, seed=3, shardings=devices)
    for row in pij.dry_run(tree, PARAMETERS, seed=3).observed().rows():
        if row["name"] == "stack.mlp":
            values = whole()["stack"]["mlp"].astype(np.float64)
            assert abs(row["observed_stddev"] - values.std()) < 1e-12
            assert abs(row["observed_stddev"] / row["stddev"] - 1) < 0.1


def bad_input_is_one_sentence():
    def call(tree=None, parameters=PARAMETERS, **keywords):
        tree = shapes() if tree is None else tree
        return lambda: pij.initialize(tree, parameters, **{"seed": 3, **keywords})

    refused(call(parameters={"*.bias": pi.Ones()}), ValueError, "no match for attention.qkv.kernel")
    refused(call({"a": 5}), TypeError, "a: `tree` must have leaves with a shape and a dtype")
    refused(call({}), ValueError, "`tree` must have leaves")
    key = jax.random.key(0)
    refused(call({"key": key}, {"*": pi.Ones()}), TypeError, "key: `dtype` must be one of")
    wide = {"w": jax.ShapeDtypeStruct((3,), np.float64)}
    refused(call(wide, {"*": pi.Ones()}), ValueError, "w: `dtype` float64 needs JAX's 64-bit mode")
    refused(call(parameters={"*": Keep()}), ValueError, "`Keep` must be for a parameter that has")
    rows = NamedSharding(mesh(2), PartitionSpec(None, None, "x"))
    refused(call(shardings=rows), ValueError, "attention.qkv.bias: `sharding` must have at most")
    refused(call(shardings=[rows]), ValueError, "a tree of the structure of `tree`; got another")
    refused(call(seed=None), TypeError, "`seed` must be an int")
    refused(call(threads=0), ValueError, "`threads` must be at least 1")


def progress_counts_all_leaves():
    calls = []
    rows = NamedSharding(mesh(2, 4), PartitionSpec("y"))
    pij.initialize(shapes(), PARAMETERS, 3, shardings=rows, progress=lambda *c: calls.append(c))
    total = sum(leaf.size for leaf in jax.tree.leaves(shapes()))
    assert calls[-1] == (total, total) and {c[1] for c in calls} == {total}
    assert [c[0] for c in calls] == sorted(c[0] for c in calls)


def memory_is_that_of_the_arrays():
    shape = jax.ShapeDtypeStruct((64, 1 << 18), np.float32)  # 64 MiB
    rows = NamedSharding(mesh(8), PartitionSpec(None, "x"))
    parameters = {"a": Parts([pi.Normal(), pi.Uniform()], axis=1), "*": Stacked(pi.HeNormal())}
    pij.initialize({"a": jax.ShapeDtypeStruct((8, 16), np.float32)}, parameters, 3)
    with peak() as measured:
        kept = pij.initialize({"a": shape}, parameters, 3, shardings=rows)
    assert 64 <= measured.mib < 64 + 24, measured.mib
    del kept


def documentation():
    short = {"jax": jax, "jnp": jax.numpy, "pi": pi, "pij": pij}
    found = doctest.testmod(trees, extraglobs=short)
    assert found.attempted > 2 and not found.failed
