# SPDX-License-Identifier: Apache-2.0
"""Tensors inside tf.function and tf.Graph: filled when the graph runs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from tests.support.tensorflow_memory import (  # noqa: E402
    Pattern,
)


def test_to_tensor_inside_a_function_is_filled_when_it_runs():
    init = pi.GlorotUniform(seed=42)
    rows = (slice(2, 5), slice(1, 3))

    @tf.function(autograph=False)
    def both():
        return pit.to_tensor(init, (7, 4)), pit.to_tensor(init, (7, 4), shard=rows)

    whole, part = both()
    assert np.array_equal(whole, init((7, 4)))
    assert np.array_equal(part, init((7, 4))[rows])
    assert both.get_concrete_function().structured_outputs[1].shape == (3, 2)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tensor = pit.to_tensor(init, tf.TensorShape([7, 4]), tf.float64)
        assert tensor.shape == (7, 4)
        assert np.array_equal(session.run(tensor), init((7, 4), np.float64))


def test_init_scope_leads_out_of_a_function():
    made = []

    @tf.function(autograph=False)
    def step():
        if not made:  # a function is traced more than once
            with tf.init_scope():
                made.append(pit.variable(Pattern(), (3,)))
        return made[0] + 1

    assert step().numpy().tolist() == [2, 3, 4]


INIT = pi.GlorotUniform(seed=42)


def test_shapes_that_a_graph_does_not_know_are_refused_where_fans_are_counted_then():
    from philinit import tf1

    for make in (tf1.he_normal(), lambda n: pit.initializer(INIT)(n, None, None, (1,), (0,))):
        unknown = tf.function(make, autograph=False)
        with pytest.raises(ValueError, match="`shape` must be known when the graph is built"):
            unknown(tf.constant([2, 3]))


@pytest.mark.parametrize("init", [pi.Identity(), pi.Orthogonal(seed=1)], ids=["identity", "qr"])
def test_wrong_ranks_are_refused_when_the_graph_is_built(init):
    from philinit import tf1

    ours = tf1.Identity() if isinstance(init, pi.Identity) else tf1.Orthogonal(seed=1)
    for make in (lambda: pit.to_tensor(init, (3,)), lambda: ours([3])):
        with tf.Graph().as_default(), pytest.raises(ValueError, match="`shape` must have"):
            make()
    with tf.Graph().as_default(), pytest.raises(ValueError, match="`shape` must have"):
        pit.initializer(init)((3,))
