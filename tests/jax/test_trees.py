# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.initialize and dry_run: trees of shapes become arrays, by a map of names.

The cases are the functions of tests/support/engines/jax_trees.py, on eight CPU devices.
"""

import pytest

from tests.support.processes import run_python
from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    with Workers("jax_trees", tmp_path_factory.mktemp("trees"), env=JAX) as workers:
        yield workers


def test_shapes_become_arrays(trees):
    assert trees.passes("shapes_become_arrays")


def test_arrays_become_what_they_began_with(trees):
    assert trees.passes("arrays_become_what_they_began_with")


def test_shardings_of_shapes_arguments_and_arrays(trees):
    assert trees.passes("shardings_of_shapes_arguments_and_arrays")


def test_shapes_of_eval_shape(trees):
    assert trees.passes("shapes_of_eval_shape")


def test_a_dry_run_allocates_nothing_and_observes(trees):
    assert trees.passes("a_dry_run_allocates_nothing_and_observes")


def test_bad_input_is_one_sentence(trees):
    assert trees.passes("bad_input_is_one_sentence")


def test_progress_counts_all_leaves(trees):
    assert trees.passes("progress_counts_all_leaves")


def test_g4_memory_is_that_of_the_arrays(trees):
    assert trees.passes("memory_is_that_of_the_arrays")


def test_examples_of_the_documentation_run(trees):
    assert trees.passes("documentation")


LIBRARIES = {
    "flax.linen": """
import flax.linen as nn
class Model(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(8)(nn.Dense(16)(x))
shapes = jax.eval_shape(Model().init, jax.random.key(0), x)
names = ["params.Dense_0.bias", "params.Dense_0.kernel", "params.Dense_1.bias",
         "params.Dense_1.kernel"]
apply = lambda tree: Model().apply(tree, x)
""",
    "flax.nnx": """
from flax import nnx
class Mlp(nnx.Module):
    def __init__(self, width, hidden, rngs):
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)
    def __call__(self, x):
        return self.down(nnx.gelu(self.up(x)))
class Block(nnx.Module):
    def __init__(self, rngs):
        self.norms = nnx.List([nnx.LayerNorm(4, rngs=rngs) for _ in range(2)])
        self.tokens, self.channels = Mlp(6, 12, rngs), Mlp(4, 16, rngs)
    def __call__(self, x):
        x = x + self.tokens(self.norms[0](x).swapaxes(-1, -2)).swapaxes(-1, -2)
        return x + self.channels(self.norms[1](x))
class Mixer(nnx.Module):
    def __init__(self, rngs):
        self.stem = nnx.Conv(3, 4, (2, 2), strides=2, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(2)])
        self.head = nnx.Linear(4, 8, rngs=rngs)
    def __call__(self, x):
        x = self.stem(x).reshape(len(x), 6, 4)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))
graph, shapes = nnx.split(nnx.eval_shape(lambda: Mixer(nnx.Rngs(0))), nnx.Param)
names = [f"blocks.{i}.{name}" for i in range(2) for name in (
    "channels.down.bias", "channels.down.kernel", "channels.up.bias", "channels.up.kernel",
    "norms.0.bias", "norms.0.scale", "norms.1.bias", "norms.1.scale",
    "tokens.down.bias", "tokens.down.kernel", "tokens.up.bias", "tokens.up.kernel")]
names += ["head.bias", "head.kernel", "stem.bias", "stem.kernel"]
def apply(tree):
    return nnx.merge(graph, tree)(jnp.ones((2, 4, 6, 3)))
""",
    "equinox": """
import equinox as eqx
model = eqx.filter_eval_shape(eqx.nn.MLP, 4, 8, 16, 1, key=jax.random.key(0))
shapes, rest = eqx.partition(model, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
names = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
apply = lambda tree: jax.vmap(eqx.combine(tree, rest))(x)
""",
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_models_of_other_libraries(library):
    needs(library.partition(".")[0])
    start = """
import jax, jax.numpy as jnp, philinit as pi, philinit.jax as pij
x = jnp.ones((2, 4))
"""
    end = """
parameters = {"*.bias": pi.Zeros(), "*": pi.Normal()}
assert [row["name"] for row in pij.dry_run(shapes, parameters, 1).rows()] == names
tree = pij.initialize(shapes, parameters, 1)
for name, leaf in zip(names, jax.tree.leaves(tree), strict=True):
    init = pi.Zeros() if "bias" in name else pi.Normal(seed=1).named(name)
    assert (leaf == init(leaf.shape)).all(), name
assert apply(tree).shape == (2, 8)
"""
    run_python("\n".join((start, LIBRARIES[library], end)), env={"JAX_PLATFORMS": "cpu"})
