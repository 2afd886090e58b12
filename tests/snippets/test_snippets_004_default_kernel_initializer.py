# SPDX-License-Identifier: Apache-2.0
"""Asked: what is the default kernel initializer in tf.layers.conv2d and tf.layers.dense?

"The documentation says None; all works. But when I set it to truncated_normal_initializer(
stddev=0.1, dtype=tf.float32), I got NaN errors. What is going on here?"
"""

import math

import numpy as np
import pytest

from tests.support.snippets import conv2d, in_graph, pk, same_bits, same_distribution, tf, tf1, v1

keras = tf.keras


def test_the_tutorials_layer_without_an_initializer_is_glorot_uniform():
    # Wrote: conv1 = tf.layers.conv2d(inputs=input_layer, filters=32, kernel_size=[5, 5],
    #            padding="same", activation=tf.nn.relu); its kernel_initializer is None. Same bits.
    def layer(initializer):
        input_layer = tf.ones([1, 28, 28, 1])
        tf.nn.relu(conv2d(input_layer, 32, 5, initializer))
        return v1.trainable_variables()[0]

    default = in_graph(lambda: layer(None), graph_seed=1)
    same_bits(in_graph(lambda: layer(tf1.glorot_uniform_initializer()), graph_seed=1), default)
    same_distribution(default, limit=math.sqrt(6 / (25 * 33)))


def test_answer_what_the_layer_calls_is_get_variable():
    # Wrote: self.kernel = vs.get_variable('kernel', shape=kernel_shape,
    #            initializer=self.kernel_initializer, regularizer=..., trainable=True, dtype=...)
    def kernel(initializer):
        return v1.get_variable(
            "kernel", shape=[64, 10], initializer=initializer, trainable=True, dtype=tf.float32
        )

    ours = in_graph(lambda: kernel(tf1.glorot_uniform_initializer()), graph_seed=2)
    same_bits(ours, in_graph(lambda: kernel(None), graph_seed=2))
    # "If initializer is None, the default initializer passed in the variable scope is used."

    def scoped(initializer):
        with v1.variable_scope("scope", initializer=initializer):
            return kernel(None)

    same_bits(in_graph(lambda: scoped(tf1.glorot_uniform_initializer()), graph_seed=2), ours)


def test_the_nan_truncated_normal_of_stddev_0_1_is_too_wide_for_large_layers():
    # Wrote: kernel_initializer=tf.truncated_normal_initializer(stddev=0.1, dtype=tf.float32). Same
    # bits: the initializer does what it says, and gives no NaN.
    shape = [7 * 7 * 64, 1024]  # the tutorial's dense layer
    init, theirs = (
        space.truncated_normal_initializer(stddev=0.1, dtype=tf.float32, seed=1)
        for space in (tf1, v1)
    )
    w = in_graph(lambda: init(shape))
    same_bits(w, in_graph(lambda: theirs(shape)))
    realized = 0.1 * 0.87962566103423978
    same_distribution(w, stddev=realized, cut=0.2)
    # But ReLU's variance is 2 / fan_in: this is 3.5 times as wide, the variance grows 12-fold a
    # layer, logits come out large and the loss's logarithm at log(0).
    right = math.sqrt(2 / shape[0])
    assert (realized / right) ** 2 == pytest.approx(12.1, abs=0.1)
    x = np.abs(np.random.default_rng(1).standard_normal((64, shape[0]))).astype(np.float32)
    he = pk.HeNormal(seed=1)(shape).numpy()
    growth = np.square(np.maximum(x @ w, 0)).mean() / np.square(np.maximum(x @ he, 0)).mean()
    assert 11 < growth < 13.5


def test_answer_a_normal_xavier_for_relu():
    # Wrote: y = tf.layers.conv2d(x, kernel_initializer=tf.contrib.layers.xavier_initializer(
    #            uniform=False)); "better for ReLU". It has Xavier's variance, uniform or not.
    def layer(initializer):
        conv2d(tf.ones([1, 8, 8, 64]), 96, 3, initializer)
        return v1.trainable_variables()[0]

    w = in_graph(lambda: layer(tf1.xavier_initializer(uniform=False, seed=1)))
    fans = 9 * (64 + 96)
    stddev = math.sqrt(1.3 * 1.0 / (fans / 2.0))
    theirs = v1.truncated_normal_initializer(stddev=stddev, seed=1)
    same_bits(w, in_graph(lambda: layer(theirs)))
    same_distribution(w, stddev=1.002928 * math.sqrt(2 / fans), cut=2 * stddev)
    exact = tf1.xavier_initializer(uniform=False, seed=1, exact=True)
    same_distribution(in_graph(lambda: layer(exact)), stddev=math.sqrt(2 / fans))


@pytest.mark.parametrize("kind", ["Conv2D", "Dense"])
def test_answer_the_default_in_tensorflow_2_is_glorot_uniform_too(kind):
    # "Even in TensorFlow 2.0 the default of Conv2D and Dense is glorot_uniform." Same bits.
    layer = keras.layers.Conv2D(8, 3) if kind == "Conv2D" else keras.layers.Dense(8)
    layer.build((None, 9, 9, 4) if kind == "Conv2D" else (None, 40))
    default = layer.kernel_initializer
    assert isinstance(default, keras.initializers.GlorotUniform)
    seed = default.seed  # drawn when it was made
    same_bits(pk.GlorotUniform(seed=seed)(tuple(layer.kernel.shape)).numpy(), layer.kernel.numpy())
