# SPDX-License-Identifier: Apache-2.0
"""What tests of philinit.tf1 share: the same initializer twice, in graphs of TensorFlow 1."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from philinit import tf1  # noqa: E402  (TensorFlow may be missing)

v1 = tf.compat.v1

DTYPES = ["float32", "float64", "float16", "bfloat16"]
by_dtype = pytest.mark.parametrize("dtype", DTYPES)

# Name here, name in tf.compat.v1.initializers, arguments: every random one whose bits must agree.
SAME_BITS = [
    ("random_uniform", {}),
    ("random_uniform", {"minval": -0.3, "maxval": 0.1}),
    ("random_uniform", {"minval": 0, "maxval": 3}),
    ("random_uniform", {"minval": 0.3, "maxval": 0.3}),
    ("random_normal", {}),
    ("random_normal", {"mean": 0.5, "stddev": 0.02}),
    ("truncated_normal", {}),
    ("truncated_normal", {"mean": -1.0, "stddev": 0.1}),
    ("uniform_unit_scaling", {"factor": 1.43}),
    ("variance_scaling", {}),
    ("variance_scaling", {"scale": 1.7, "mode": "fan_avg", "distribution": "normal"}),
    ("variance_scaling", {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"}),
    ("variance_scaling", {"scale": 0.3, "mode": "fan_out", "distribution": "uniform"}),
    ("glorot_uniform", {}),
    ("glorot_normal", {}),
    ("he_normal", {}),
    ("he_uniform", {}),
    ("lecun_normal", {}),
    ("lecun_uniform", {}),
]


by_name = pytest.mark.parametrize(
    ("name", "arguments"),
    SAME_BITS,
    ids=[f"{name}-{'-'.join(map(str, a.values()))}" for name, a in SAME_BITS],
)


def pair(name, arguments, **more):
    """The same initializer twice: philinit's and TensorFlow's."""
    ours, theirs = (getattr(space, name) for space in (tf1.initializers, v1.initializers))
    return ours(**arguments, **more), theirs(**arguments, **more)


def in_graph(build, graph_seed=None):
    """Build something in a fresh graph, initialize its variables, run it once."""
    with tf.Graph().as_default(), v1.Session() as session:
        if graph_seed is not None:
            v1.set_random_seed(graph_seed)
        built = build()
        session.run(v1.global_variables_initializer())
        return session.run(built)


def variables(init, shapes, dtype="float32", **keywords):
    """get_variable for each shape, in the default graph."""
    return [
        v1.get_variable(f"w{i}", shape, tf.as_dtype(dtype), initializer=init, **keywords)
        for i, shape in enumerate(shapes)
    ]


def same_bits(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


PARTITIONED = [
    tf1.glorot_uniform_initializer(4),
    tf1.glorot_uniform_initializer(4, sampler="native"),
    tf1.xavier_initializer(seed=4),
    tf1.xavier_initializer(uniform=False, seed=4),
    tf1.uniform_unit_scaling_initializer(seed=4),
    tf1.random_normal_initializer(seed=4),
    tf1.he_normal(4, sampler="native"),
    tf1.orthogonal_initializer(seed=4, sampler="native"),
    tf1.caffe_msra(seed=4, sampler="native"),
    tf1.identity_initializer(2.0),
    tf1.constant_initializer([1.0, 2.0, 3.0]),
    tf1.constant_initializer(np.arange(70.0).reshape(10, 7)),
    tf1.zeros_initializer(),
    tf1.ones_initializer(),
]
