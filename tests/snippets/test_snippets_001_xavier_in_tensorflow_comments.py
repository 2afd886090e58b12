# SPDX-License-Identifier: Apache-2.0
"""The same question with its comments, on a Portuguese page: snippets again, and what they left.

"Can you do this without giving the shape to get_variable?", "How can we use it with relu?", "Can I
initialize the bias with xavier_initializer?", "NameError: name 'shape' is not defined". The
snippets of the other page run here in the other modes: eager, tf.function, float64.
"""

import math

import numpy as np
import pytest

import philinit
from tests.support.snippets import in_graph, pk, same_bits, same_distribution, tf, tf1, v1


@pytest.fixture(autouse=True)
def _no_eager_seed():
    yield
    tf.random.set_seed(None)


def eager(make, seed=5):
    """What `make` gives with all of TensorFlow's eager streams at their start."""
    tf.random.set_seed(seed)
    return make().numpy()


def test_answer_glorot_uniform_of_tensorflow_2_with_a_shape_that_is_defined():
    # Wrote: var = tf.Variable(tf.initializers.GlorotUniform()(shape=shape)); "'shape' is not
    # defined": it is the reader's. Same bits.
    shape = (48, 16)
    ours, keras = (
        tf.Variable(space.GlorotUniform(seed=3)(shape=shape)) for space in (pk, tf.initializers)
    )
    same_bits(ours.numpy(), keras.numpy())
    same_distribution(ours.numpy(), limit=math.sqrt(6 / 64))


def test_answer_get_variable_with_xavier_initializer():
    # Eager, as get_variable works today outside of graphs. Same bits as TensorFlow's op.
    with v1.variable_scope("page_001", reuse=v1.AUTO_REUSE):
        tf.random.set_seed(5)
        w = v1.get_variable("W", shape=[784, 256], initializer=tf1.xavier_initializer())
    limit = math.sqrt(6 / (784 + 256))
    same_bits(w.numpy(), eager(lambda: v1.random_uniform([784, 256], -limit, limit)))


def test_comment_without_the_shape_in_get_variable():
    # Wrote: tf.truncated_normal(shape=[dims[l-1],dims[l]], mean=mu[l], stddev=std[l],
    #            dtype=tf.float64), and asks how to keep the shape there. Give get_variable, or
    # tf.Variable, the tensor instead of the initializer. Same bits, in float64.
    dims, mu, std = [30, 20, 10], [0.0, 0.1, 0.2], [1.0, 0.1, 0.01]

    def wrote():
        return [
            v1.truncated_normal([dims[i - 1], dims[i]], mu[i], std[i], tf.float64, seed=i)
            for i in (1, 2)
        ]

    def now():
        inits = [tf1.truncated_normal_initializer(mu[i], std[i], i, tf.float64) for i in (1, 2)]
        one = v1.get_variable("w1", initializer=inits[0]([dims[0], dims[1]]))
        return [one, tf.Variable(inits[1]([dims[1], dims[2]]))]

    for got, expected in zip(in_graph(now), in_graph(wrote), strict=True):
        same_bits(got, expected)
    # Xavier in float64, of the same form.
    w = in_graph(lambda: tf.Variable(tf1.xavier_initializer(dtype=tf.float64)([300, 200])))
    assert w.dtype == np.float64
    same_distribution(w, limit=math.sqrt(6 / 500))


def test_answer_variables_in_a_graph_for_all_hidden_layers():
    # Wrote: graph = tf.Graph(); with graph.as_default(): initializer = ...;
    #        w1 = tf.Variable(initializer(w1_shape)) ... "for ALL hidden layers".
    graph = tf.Graph()
    with graph.as_default():
        initializer = tf1.xavier_initializer(seed=7)
        weights = [tf.Variable(initializer(shape)) for shape in ([20, 40], [40, 40], [40, 5])]
        ready = v1.global_variables_initializer()
    with v1.Session(graph=graph) as session:
        session.run(ready)
        found = session.run(weights)
    for w, shape in zip(found, ([20, 40], [40, 40], [40, 5]), strict=True):
        limit = math.sqrt(6 / sum(shape))
        expected = v1.random_uniform_initializer(-limit, limit, seed=7)
        same_bits(w, in_graph(lambda init=expected, shape=shape: init(shape)))


@pytest.mark.parametrize("factor", [4, 1], ids=["sigmoid", "tanh"])
def test_answer_random_uniform_with_the_limit_times_4_for_sigmoid(factor):
    fan_in, fan_out = shape = (90, 60)
    high = factor * np.sqrt(6.0 / (fan_in + fan_out))
    init = tf1.random_uniform_initializer(-high, high)
    same_bits(
        eager(lambda: tf.Variable(init(shape))),
        eager(lambda: tf.Variable(v1.random_uniform(shape, -high, high, dtype=tf.float32))),
    )


def test_comment_how_to_use_it_with_relu():
    # Answered there: "Xavier is better whatever the activation". He et al. 2015: twice its
    # variance for ReLU. tf.contrib's default is that, 0.29 % too wide; philinit.keras has it right.
    fan_in = 500
    right = math.sqrt(2 / fan_in)
    contrib = in_graph(lambda: tf1.variance_scaling_initializer(seed=1)([fan_in, 400]))
    same_distribution(contrib, stddev=1.002928 * right, cut=2 * math.sqrt(2.6 / fan_in))
    same_distribution(pk.HeNormal(seed=1)([fan_in, 400]).numpy(), stddev=right)
    same_bits(
        pk.HeNormal(seed=1)([fan_in, 400]).numpy(),
        tf.keras.initializers.HeNormal(seed=1)([fan_in, 400]).numpy(),
    )


@pytest.mark.parametrize("uniform", [True, False])
def test_answer_prettytensors_xavier_init(uniform):
    init = tf1.xavier_init(90, 60, uniform)
    end = math.sqrt((6.0 if uniform else 3.0) / 150)

    def wrote():
        if uniform:
            return v1.random_uniform_initializer(-end, end)([90, 60])
        return v1.truncated_normal_initializer(stddev=end)([90, 60])

    same_bits(eager(lambda: tf.function(lambda: init([90, 60]))()), eager(tf.function(wrote)))


def test_answer_a_session_runs_the_variable():
    a = in_graph(lambda: v1.get_variable("a", shape=[4, 4], initializer=tf1.xavier_initializer()))
    assert a.dtype == np.float32 and 0 < np.abs(a).max() < math.sqrt(6 / 8)


def test_comment_the_bias_with_xavier_initializer():
    # "I would like to ask whether I can initialize the bias with xavier_initializer." It works: of
    # a vector both fans are its length. But nothing in Glorot's argument asks for it: use zeros.
    bias = tf1.xavier_initializer(seed=1)([4000]).numpy()
    same_distribution(bias, limit=math.sqrt(3 / 4000))
    limit = math.sqrt(3.0 / 4000)
    same_bits(
        in_graph(lambda: tf1.xavier_initializer(seed=1)([4000])),
        in_graph(lambda: v1.random_uniform([4000], -limit, limit, seed=1)),
    )
    assert not tf1.zeros_initializer()([4000]).numpy().any()


def test_answer_a_normal_whose_stddev_follows_from_the_number_of_neurons():
    # "You should be sampling from a uniform distribution": either will do, with one variance.
    stddev = math.sqrt(2 / 150)
    init = tf1.random_normal_initializer(stddev=stddev)
    same_bits(
        eager(lambda: init([90, 60])), eager(lambda: v1.random_normal([90, 60], stddev=stddev))
    )
    for rule in (philinit.GlorotUniform(seed=1), philinit.GlorotNormal(seed=1)):
        assert rule.distribution_for((90, 60)).moments()[1] == pytest.approx(stddev, rel=1e-12)


def test_answer_one_line_in_place_of_truncated_normal():
    init = tf1.truncated_normal_initializer(stddev=0.1)
    same_bits(
        eager(lambda: tf.Variable(init((70, 30)))),
        eager(lambda: tf.Variable(v1.truncated_normal((70, 30), stddev=0.1))),
    )
    same_distribution(
        eager(lambda: tf.Variable(tf1.xavier_initializer()((70, 30)))), limit=math.sqrt(6 / 100)
    )


def test_answer_what_was_given_as_tensorflow_2s_equivalent():
    # xavier_initializer(seed=1) in TensorFlow 2 is tf.initializers.GlorotUniform(seed=1): the same
    # distribution, but other bits, as Keras makes another key of the seed (stateless [1, 0]).
    shape = [25, 12288]
    one = in_graph(lambda: tf1.xavier_initializer(seed=1)(shape))
    two = tf.initializers.GlorotUniform(seed=1)(shape).numpy()
    for w in (one, two):
        same_distribution(w, limit=math.sqrt(6 / sum(shape)))
    assert not np.array_equal(one, two)
    same_bits(pk.GlorotUniform(seed=1)(shape).numpy(), two)
