# SPDX-License-Identifier: Apache-2.0
"""What the tests of people's snippets share: graphs run once, bits compared, distributions checked.

The snippets come from five public pages, questions and answers and a tutorial, on Xavier
initialization in TensorFlow. Each is run in the TensorFlow of today where it still can be, beside
what one writes with philinit.
"""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
v1 = tf.compat.v1
tf1 = pytest.importorskip("philinit.tf1")
pk = pytest.importorskip("philinit.keras")


def in_graph(build, graph_seed=None):
    """Build something in a fresh graph, initialize its variables, run it once."""
    with tf.Graph().as_default(), v1.Session() as session:
        if graph_seed is not None:
            v1.set_random_seed(graph_seed)
        built = build()
        session.run(v1.global_variables_initializer())
        return session.run(built)


def same_bits(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype and got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def same_distribution(weights, *, limit=None, stddev=None, cut=None):
    """Zero mean and the stddev; uniform up to `limit`, or nothing beyond `cut`, where given.

    Mean and variance within 4.5 of their own standard deviations, from n and at most the normal's
    kurtosis, and the limits nearly reached.
    """
    w = np.asarray(weights, np.float64)
    sigma = limit / math.sqrt(3.0) if stddev is None else stddev
    assert abs(w.mean()) < 4.5 * sigma / math.sqrt(w.size)
    assert abs(w.var() / sigma**2 - 1) < 4.5 * math.sqrt(2 / w.size)
    end = cut if limit is None else limit
    if end is not None:
        assert 0.97 * end < np.abs(w).max() <= end * (1 + 1e-6)


# tf.compat.v1.layers went with Keras 2 (it needs tf_keras): what it made of a layer, written out.


def conv2d(inputs, filters, size, init, name="conv2d", strides=1):
    with v1.variable_scope(name):
        kernel = v1.get_variable(
            "kernel", [size, size, inputs.shape[-1], filters], initializer=init
        )
        bias = v1.get_variable("bias", [filters], initializer=v1.zeros_initializer())
        return tf.nn.conv2d(inputs, kernel, strides, "SAME") + bias


def dense(inputs, units, init, name="dense"):
    with v1.variable_scope(name):
        kernel = v1.get_variable("kernel", [inputs.shape[-1], units], initializer=init)
        bias = v1.get_variable("bias", [units], initializer=v1.zeros_initializer())
        return tf.matmul(inputs, kernel) + bias
