# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow.initializer: what TensorFlow and Keras take for an initializer of theirs."""

import copy
import functools
import os
import pickle

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)

INIT = pi.GlorotUniform(seed=42)


def same(found, expected):
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


def test_an_initializer_serves_variables_and_keras_layers():
    draw = pit.initializer(INIT, threads=1)
    initial = functools.partial(draw, (6, 5), dtype=tf.float64)
    v = tf.Variable(initial, shape=(6, 5), dtype=tf.float64)
    assert same(v.numpy(), INIT((6, 5), "float64"))
    inside = tf.function(lambda: draw([6, 5]))()
    assert same(inside.numpy(), INIT((6, 5)))
    keras = pytest.importorskip("keras")
    if keras.backend.backend() == "tensorflow":
        dense = keras.layers.Dense(5, kernel_initializer=draw)
        dense.build((None, 6))
        assert same(dense.kernel.numpy(), INIT((6, 5)))


def test_an_initializer_is_frozen_comparable_and_picklable():
    draw = pit.initializer(INIT, device="CPU:0", threads=2)
    for again in (copy.deepcopy(draw), pickle.loads(pickle.dumps(draw))):
        assert again == draw and hash(again) == hash(draw) and repr(again) == repr(draw)
    assert draw != pit.initializer(INIT)
    with pytest.raises(AttributeError):
        draw.threads = 3
