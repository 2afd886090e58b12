# SPDX-License-Identifier: Apache-2.0
"""Asked: how to do Xavier initialization in TensorFlow, coming from Caffe (answers of 2015-2020).

"I am porting my Caffe network to TensorFlow, but it does not seem to have Xavier initialization. I
am using truncated_normal, but this makes it much harder to train."
"""

import math

import numpy as np
import pytest

import philinit
from tests.support.snippets import conv2d, in_graph, pk, same_bits, same_distribution, tf, tf1, v1


def test_the_question_caffes_xavier_filler():
    # Wrote: weight_filler { type: "xavier" } in Caffe. Same distribution, U(+-sqrt(3 / fan_in));
    # other bits, since Caffe drew them from a Mersenne Twister.
    w = in_graph(lambda: v1.get_variable("w", [5, 5, 20, 50], initializer=tf1.caffe_xavier(seed=1)))
    same_distribution(w, limit=math.sqrt(3 / (5 * 5 * 20)))


def test_answer_a_normal_whose_stddev_follows_from_the_number_of_neurons():
    # Wrote: tf.random_normal with a stddev worked out by hand. Same bits.
    fan_in, fan_out = 300, 100
    stddev = math.sqrt(2 / (fan_in + fan_out))
    w = in_graph(lambda: tf1.random_normal_initializer(stddev=stddev, seed=1)([fan_in, fan_out]))
    same_bits(w, in_graph(lambda: v1.random_normal([fan_in, fan_out], stddev=stddev, seed=1)))
    same_distribution(w, stddev=stddev)


@pytest.mark.parametrize("factor", [4, 1], ids=["sigmoid", "tanh"])
def test_answer_random_uniform_with_the_limit_times_4_for_sigmoid(factor):
    # Wrote: low = -4*np.sqrt(6.0/(fan_in + fan_out)); tf.Variable(tf.random_uniform(shape, ...)).
    fan_in, fan_out = shape = 120, 80
    low = -factor * np.sqrt(6.0 / (fan_in + fan_out))
    high = factor * np.sqrt(6.0 / (fan_in + fan_out))

    def wrote():
        return tf.Variable(
            v1.random_uniform(shape, minval=low, maxval=high, dtype=tf.float32, seed=1)
        )

    init = tf1.random_uniform_initializer(low, high, seed=1)
    w = in_graph(lambda: tf.Variable(init(shape)))
    same_bits(w, in_graph(wrote))
    # Without the arithmetic: a gain. Same distribution, bits of its own stream.
    same_distribution(philinit.GlorotUniform(gain=factor, seed=1)(shape), limit=high)


@pytest.mark.parametrize("uniform", [True, False])
def test_answer_prettytensors_xavier_init(uniform):
    def xavier_init(n_inputs, n_outputs, uniform=True):  # as quoted, but for the seed
        if uniform:
            init_range = math.sqrt(6.0 / (n_inputs + n_outputs))
            return v1.random_uniform_initializer(-init_range, init_range, seed=1)
        stddev = math.sqrt(3.0 / (n_inputs + n_outputs))
        return v1.truncated_normal_initializer(stddev=stddev, seed=1)

    wrote = in_graph(
        lambda: v1.get_variable("w", [200, 100], initializer=xavier_init(200, 100, uniform))
    )
    init = tf1.xavier_init(200, 100, uniform, seed=1)
    same_bits(in_graph(lambda: v1.get_variable("w", [200, 100], initializer=init)), wrote)


def test_prettytensors_normal_is_7_7_percent_too_wide_and_exact_is_not():
    right = math.sqrt(2.0 / 2000)
    wide, exact = (
        tf1.xavier_init(1000, 1000, False, seed=1, exact=e)([1000, 1000]).numpy()
        for e in (False, True)
    )
    same_distribution(wide, stddev=1.0773 * right, cut=2 * math.sqrt(3 / 2000))
    same_distribution(exact, stddev=right, cut=2 * right / 0.87962566103423978)


def test_answer_get_variable_with_xavier_initializer():
    # Wrote: W = tf.get_variable("W", shape=[784, 256],
    #            initializer=tf.contrib.layers.xavier_initializer()); tf.contrib is gone.
    w = in_graph(
        lambda: v1.get_variable("W", shape=[784, 256], initializer=tf1.xavier_initializer()),
        graph_seed=1,
    )
    limit = math.sqrt(6 / (784 + 256))
    same_distribution(w, limit=limit)
    # The bits are those of TensorFlow's op with contrib's limit, and here of v1's Glorot as well.
    same_bits(w, in_graph(lambda: v1.random_uniform([784, 256], -limit, limit), graph_seed=1))
    glorot = v1.glorot_uniform_initializer()
    same_bits(
        w,
        in_graph(lambda: v1.get_variable("W", [784, 256], initializer=glorot), graph_seed=1),
    )


def test_answer_a_session_runs_the_variable():
    # Wrote: a = tf.get_variable("a", shape=[4, 4], initializer=...); sess.run(a).
    with tf.Graph().as_default(), v1.Session() as sess:
        a = v1.get_variable("a", shape=[4, 4], initializer=tf1.xavier_initializer())
        sess.run(v1.global_variables_initializer())
        found = sess.run(a)
    assert found.shape == (4, 4)
    assert 0 < np.abs(found).max() <= math.sqrt(6 / 8)


def test_answer_variables_from_the_initializer_called_with_a_shape():
    # Wrote: initializer = tf.contrib.layers.xavier_initializer()
    #        w1 = tf.Variable(initializer(w1_shape)); b1 = tf.Variable(initializer(b1_shape))
    def build():
        initializer = tf1.xavier_initializer()
        return [tf.Variable(initializer(shape)) for shape in ([60, 40], [60, 40], [40])]

    w1, w2, b1 = in_graph(build)
    same_distribution(w1, limit=math.sqrt(6 / 100))
    assert np.abs(b1).max() < math.sqrt(3 / 40)  # of a vector both fans are its length
    assert not np.array_equal(w1, w2)  # one initializer, but a stream for each variable


def test_answer_the_kernel_of_a_convolution():
    # Wrote: tf.layers.conv2d(input, 128, 5, strides=2, padding='SAME',
    #            kernel_initializer=tf.contrib.layers.xavier_initializer())
    def layer():
        x = tf.ones([1, 8, 8, 3])
        y = conv2d(x, 128, 5, tf1.xavier_initializer(seed=1), strides=2)
        return y, v1.trainable_variables()[0]

    y, kernel = in_graph(layer)
    assert y.shape == (1, 4, 4, 128)
    same_distribution(kernel, limit=math.sqrt(6 / (25 * (3 + 128))))
    # Keras's layer in its place: the same bits as Keras's own initializer.
    kernels = []
    for space in (pk, tf.keras.initializers):
        layer = tf.keras.layers.Conv2D(
            128, 5, strides=2, padding="same", kernel_initializer=space.GlorotUniform(seed=1)
        )
        layer.build((None, 16, 16, 3))
        kernels.append(layer.kernel.numpy())
    same_bits(*kernels)


def test_answer_one_line_in_place_of_truncated_normal():
    # Wrote: W = tf.Variable(tf.truncated_normal((n_prev, n), stddev=0.1)). Same bits.
    n_prev, n = 70, 30
    before = in_graph(
        lambda: tf.Variable(v1.truncated_normal((n_prev, n), stddev=0.1)), graph_seed=2
    )
    init = tf1.truncated_normal_initializer(stddev=0.1)
    same_bits(in_graph(lambda: tf.Variable(init((n_prev, n))), graph_seed=2), before)
    # And then: W = tf.Variable(tf.contrib.layers.xavier_initializer()((n_prev, n)))
    after = in_graph(lambda: tf.Variable(tf1.xavier_initializer()((n_prev, n))), graph_seed=2)
    same_distribution(after, limit=math.sqrt(6 / (n_prev + n)))


def test_answer_glorot_uniform_of_tensorflow_2():
    # Wrote: init = tf.initializers.GlorotUniform(); var = tf.Variable(init(shape=shape)); Keras's
    # class. Same bits, from an int seed and from Python's random module alike.
    shape = [30, 20]
    for seed in (1, 10**12):
        same_bits(
            tf.Variable(pk.GlorotUniform(seed=seed)(shape=shape)).numpy(),
            tf.Variable(tf.initializers.GlorotUniform(seed=seed)(shape=shape)).numpy(),
        )
    found = []
    for space in (pk, tf.initializers):
        tf.keras.utils.set_random_seed(1)
        found.append(tf.Variable(space.GlorotUniform()(shape=shape)).numpy())
    tf.random.set_seed(None)
    same_bits(*found)


def test_answer_what_was_given_as_tensorflow_2s_equivalent_is_another_distribution():
    # Wrote: TF1: initializer=tf.contrib.layers.xavier_initializer(seed=1)
    #        TF2: initializer=tf.random_normal_initializer(seed=1), which is N(0, 0.05) for any
    # shape: here 3.9 times as wide as Xavier.
    shape = [25, 12288]
    right = math.sqrt(2 / (25 + 12288))
    xavier = in_graph(
        lambda: v1.get_variable("W1", shape, initializer=tf1.xavier_initializer(seed=1))
    )
    same_distribution(xavier, stddev=right)
    wrote = tf.random_normal_initializer(seed=1)(shape).numpy()
    same_distribution(wrote, stddev=0.05)
    assert 3.9 < 0.05 / right < 4.0
    # What was written there can be had with its bits as well, should that be wanted.
    same_bits(pk.RandomNormal(stddev=0.05, seed=1)(shape).numpy(), wrote)
    # In TensorFlow 1 the name meant N(0, 1).
    same_distribution(v1.random_normal_initializer(seed=1)(shape).numpy(), stddev=1.0)
