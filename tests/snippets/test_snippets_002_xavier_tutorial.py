# SPDX-License-Identifier: Apache-2.0
"""A tutorial: Xavier initialization in TensorFlow 2.x and in 1.x style, two layers and a model."""

import math

import numpy as np
import pytest

from tests.support.snippets import (
    conv2d,
    dense,
    in_graph,
    pk,
    same_bits,
    same_distribution,
    tf,
    tf1,
    v1,
)

keras = tf.keras


def weights_of(layer, shape):
    layer.build(shape)
    return layer.kernel.numpy()


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_tensorflow_2_layers_with_glorot_uniform(kind):
    # Wrote: initializer = tf.keras.initializers.GlorotUniform()
    #        tf.keras.layers.Dense(units=64, kernel_initializer=initializer), and
    #        tf.keras.layers.Conv2D(filters=32, kernel_size=3, kernel_initializer=initializer)
    def layer(initializer):
        if kind == "dense":
            return weights_of(keras.layers.Dense(64, kernel_initializer=initializer), (None, 100))
        made = keras.layers.Conv2D(32, 3, kernel_initializer=initializer)
        return weights_of(made, (None, 8, 8, 16))

    ours = layer(pk.GlorotUniform(seed=1))
    same_bits(ours, layer(keras.initializers.GlorotUniform(seed=1)))
    same_distribution(ours, limit=math.sqrt(6 / (164 if kind == "dense" else 9 * 48)))


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_tensorflow_1_layers_with_glorot_uniform(kind):
    # Wrote: initializer = tf.compat.v1.glorot_uniform_initializer()
    #        tf.compat.v1.layers.dense(inputs=..., units=64, kernel_initializer=initializer), and
    #        tf.compat.v1.layers.conv2d(..., filters=32, kernel_size=3, ...)
    def layer(initializer):
        if kind == "dense":
            dense(tf.ones([1, 100]), 64, initializer)
        else:
            conv2d(tf.ones([1, 8, 8, 16]), 32, 3, initializer)
        return v1.trainable_variables()

    for seed, graph_seed in ((1, None), (None, 1)):
        ours, theirs = (
            in_graph(lambda make=make, seed=seed: layer(make(seed)), graph_seed)
            for make in (tf1.glorot_uniform_initializer, v1.glorot_uniform_initializer)
        )
        for got, expected in zip(ours, theirs, strict=True):
            same_bits(got, expected)


def test_tensorflow_2_model():
    # Wrote: tf.keras.models.Sequential([Input(shape=(28, 28, 1)), Conv2D(32, (3, 3), 'relu',
    #        kernel_initializer=GlorotUniform()), MaxPooling2D((2, 2)), Flatten(),
    #        Dense(10, 'softmax', kernel_initializer=GlorotUniform())])
    def model(GlorotUniform):
        keras.utils.set_random_seed(1)  # unseeded initializers draw their seeds from it
        return keras.Sequential(
            [
                keras.layers.Input(shape=(28, 28, 1)),
                keras.layers.Conv2D(
                    32, kernel_size=(3, 3), activation="relu", kernel_initializer=GlorotUniform()
                ),
                keras.layers.MaxPooling2D(pool_size=(2, 2)),
                keras.layers.Flatten(),
                keras.layers.Dense(10, activation="softmax", kernel_initializer=GlorotUniform()),
            ]
        )

    ours, theirs = model(pk.GlorotUniform), model(keras.initializers.GlorotUniform)
    tf.random.set_seed(None)
    for got, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        same_bits(got, expected)
    x = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    same_bits(ours(x).numpy(), theirs(x).numpy())


def test_tensorflow_1_model():
    # Wrote: placeholder, tf.compat.v1.layers.conv2d, flatten and dense with softmax, each with
    #        kernel_initializer=tf.compat.v1.glorot_uniform_initializer(), a Session to run it.
    x = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)

    def model(initializer):
        with tf.Graph().as_default(), v1.Session() as sess:
            v1.set_random_seed(1)
            inputs = v1.placeholder(tf.float32, shape=[None, 28, 28, 1])
            conv_layer = tf.nn.relu(conv2d(inputs, 32, 3, initializer()))
            flatten_layer = tf.reshape(conv_layer, [-1, 28 * 28 * 32])
            dense_layer = tf.nn.softmax(dense(flatten_layer, 10, initializer()))
            sess.run(v1.global_variables_initializer())
            return sess.run([dense_layer, *v1.trainable_variables()], {inputs: x})

    ours, theirs = model(tf1.glorot_uniform_initializer), model(v1.glorot_uniform_initializer)
    for got, expected in zip(ours, theirs, strict=True):
        same_bits(got, expected)


def test_glorot_normal_has_the_same_variance():
    # "GlorotNormal ... with a variance calculated using the same formula": 2 / (in + out), as the
    # limit's square over 3.
    fans = 300 + 200
    stddev = math.sqrt(2 / fans)
    for name in ("glorot_normal", "glorot_uniform"):
        w = in_graph(lambda name=name: getattr(tf1.initializers, name)(1)([300, 200]))
        same_distribution(w, stddev=stddev)
        theirs = getattr(v1.initializers, name)(1)
        same_bits(w, in_graph(lambda init=theirs: init([300, 200])))
    assert stddev == pytest.approx(math.sqrt(6 / fans) / math.sqrt(3))


@pytest.mark.parametrize("name", ["HeUniform", "HeNormal"])
def test_he_initialization_for_relu(name):
    # "For ReLU and its variants, He initialization (tf.keras.initializers.HeUniform or HeNormal)".
    ours, theirs = (
        getattr(space, name)(seed=1)([300, 200]).numpy() for space in (pk, keras.initializers)
    )
    same_bits(ours, theirs)
    same_distribution(ours, stddev=math.sqrt(2 / 300))
