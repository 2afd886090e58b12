# SPDX-License-Identifier: Apache-2.0
"""Keras initializers inside a tf.function, a tf.Graph, XLA and files of graphs."""

import numpy as np
import pytest

from tests.support.keras_pairs import KI, by_way, keras, pk, same, tf, way_of


@by_way
def test_seed_generators_in_a_graph(way):
    """Each run of the function draws anew, and each is what Keras would have drawn."""
    rows = []
    for kind in (None, way):
        with way_of(kind) as names:
            generator = keras.random.SeedGenerator(9)
            inits = names.HeNormal(seed=generator), names.Orthogonal(seed=generator)

            @tf.function(autograph=False)
            def draw(inits=inits):
                return [init((5, 4)) for init in inits]

            drawn = [[w.numpy().tolist() for w in draw()] for _ in range(3)]
            assert draw.get_concrete_function().structured_outputs[0].shape == (5, 4)
        rows.append((drawn, generator.state.numpy().tolist()))
    assert rows[0] == rows[1]
    assert rows[0][1] == [9, 6]
    assert rows[0][0][0] != rows[0][0][1]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_variables_and_calls_inside_functions(jit_compile):
    made = []
    init = pk.GlorotUniform(seed=42)

    @tf.function(autograph=False, jit_compile=jit_compile)
    def step():
        if not made:
            made.append(tf.Variable(lambda: init((6, 4))))
        return made[0] + 0

    assert np.array_equal(step(), KI.GlorotUniform(seed=42)((6, 4)))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name in ("HeNormal", "Orthogonal", "Identity", "Constant"):
            config = {} if name in ("Identity", "Constant") else {"seed": 1}
            found = session.run(getattr(pk, name)(**config)((6, 4)))
            assert np.array_equal(found, session.run(getattr(KI, name)(**config)((6, 4))))


def test_a_graph_can_be_saved_for_processes_without_us(tmp_path):
    init = KI.HeNormal(seed=5)

    class Module(tf.Module):
        @tf.function(input_signature=[], autograph=False)
        def draw(self):
            return init((9, 4))

    with pk.accelerate():
        module = Module()
        tf.saved_model.save(module, str(tmp_path))
    graph = module.draw.get_concrete_function().graph
    assert not any("PyFunc" in op.type for op in graph.get_operations())
    assert same(tf.saved_model.load(str(tmp_path)).draw(), init((9, 4)))


def test_a_shape_that_only_the_run_knows():
    ours, keras_own = (names.RandomUniform(seed=5) for names in (pk, KI))
    found = [tf.function(lambda n, i=i: i((n, 4)))(tf.constant(9)) for i in (ours, keras_own)]
    assert same(*found)
    native = pk.RandomUniform(seed=5, sampler="native")
    with pytest.raises(ValueError, match="`shape` must be a tuple of ints >= 0; got shape"):
        tf.function(lambda n: native((n, 4)))(tf.constant(9))


def test_the_native_sampler_in_a_function_that_xla_compiles():
    for init in (pk.HeNormal(seed=5, sampler="native"), pk.RandomUniform(seed=5, sampler="native")):
        found = tf.function(lambda init=init: init((9, 4)), jit_compile=True)()
        assert same(found, init((9, 4)))
    new = pk.HeNormal(seed=keras.random.SeedGenerator(5), sampler="native")
    with pytest.raises(NotImplementedError, match="cannot be part of a function that XLA compiles"):
        tf.function(lambda: new((9, 4)), jit_compile=True)()


def test_a_function_that_xla_compiles_draws_as_without_us():
    init = KI.RandomNormal(seed=5)

    @tf.function(jit_compile=True, autograph=False)
    def draw():
        return init((9,))

    expected = draw().numpy()

    @tf.function(jit_compile=True, autograph=False)
    def again():
        return init((9,)), pk.RandomNormal(seed=5)((9,))

    with pk.accelerate():
        assert all(same(found, expected) for found in again())
