# SPDX-License-Identifier: Apache-2.0
"""philinit.tf1 has the bits of tf.compat.v1, which is the oracle itself."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
from philinit import tf1  # noqa: E402  (TensorFlow may be missing)
from tests.support.tf1_graphs import (  # noqa: E402
    by_dtype,
    by_name,
    in_graph,
    pair,
    same_bits,
    v1,
    variables,
)

# Op seed, graph seed.
SEEDS = [(1, None), (1, 5), (None, 5), (0, 0), (-3, 2**31 - 1), (10**12, 2**33 + 1)]


by_seed = pytest.mark.parametrize(("seed", "graph_seed"), SEEDS)


@by_dtype
@by_name
def test_g3_variables_of_a_graph_hold_tensorflows_bits(name, arguments, dtype):
    shapes = [[33, 7], [3, 3, 2, 5], [11], [], [0, 3]]
    for seed, graph_seed in [(42, None), (None, 5)]:
        ours, theirs = (
            in_graph(lambda init=init: variables(init, shapes, dtype), graph_seed)
            for init in pair(name, arguments, seed=seed)
        )
        for got, expected in zip(ours, theirs, strict=True):
            same_bits(got, expected)


@by_seed
@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "random_normal"])
def test_g3_every_pair_of_op_seed_and_graph_seed_gives_tensorflows_bits(name, seed, graph_seed):
    # Twice the same shape: an op seed repeats itself, a graph seed alone does not.
    ours, theirs = (
        in_graph(lambda init=init: variables(init, [[20, 10], [20, 10]]), graph_seed)
        for init in pair(name, {}, seed=seed)
    )
    same_bits(ours, theirs)
    assert np.array_equal(ours[0], ours[1]) == (seed is not None)


@by_dtype
@by_name
def test_g3_eager_tensors_hold_tensorflows_bits_of_the_first_run(name, arguments, dtype):
    for seed in (7, None):
        results = []
        for init in pair(name, arguments, seed=seed):
            tf.random.set_seed(3)  # which also starts all streams anew
            results.append(init([40, 9], dtype=tf.as_dtype(dtype)).numpy())
        same_bits(*results)


@by_name
def test_g3_inside_a_tf_function_the_bits_are_tensorflows(name, arguments):
    results = []
    for init in pair(name, arguments, seed=11):
        tf.random.set_seed(3)
        results.append(tf.function(lambda init=init: init([8, 30]))().numpy())
    same_bits(*results)


def test_g3_large_tensors_hold_tensorflows_bits():
    for name in ("glorot_uniform", "glorot_normal"):
        ours, theirs = (
            in_graph(lambda init=init: variables(init, [[1000, 1001]]))
            for init in pair(name, {}, seed=1)
        )
        same_bits(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [[6, 6], [9, 4], [4, 9], [3, 3, 2, 5]])
def test_g3_orthogonal_matrices_hold_tensorflows_bits(shape, dtype):
    ours, theirs = (
        in_graph(lambda init=init: variables(init, [shape], dtype))
        for init in pair("orthogonal", {"gain": 1.5}, seed=2)
    )
    same_bits(ours, theirs)


@pytest.mark.parametrize("sampler", ["tensorflow", "native"])
def test_orthogonal_in_bfloat16_is_orthogonal_where_tensorflow_has_none(sampler):
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError)):
        v1.orthogonal_initializer(seed=1)([8, 8], tf.bfloat16)
    w = tf1.orthogonal_initializer(seed=1, sampler=sampler)([8, 8], tf.bfloat16)
    found = tf.cast(w, tf.float64).numpy()
    assert np.abs(found @ found.T - np.eye(8)).max() < 8 * 2.0**-8


def test_get_variable_without_an_initializer_takes_glorot_uniform():
    ours, theirs = (
        in_graph(lambda init=init: variables(init, [[5, 4], [3, 3, 2, 4]]), graph_seed=9)
        for init in (tf1.glorot_uniform_initializer(), None)
    )
    for got, expected in zip(ours, theirs, strict=True):
        same_bits(got, expected)


def test_other_random_ops_of_the_graph_keep_their_seeds():
    def build(init):
        w = v1.get_variable("w", [4, 4], initializer=init)
        return w, v1.random_normal([5])

    ours, theirs = (
        in_graph(lambda init=init: build(init), graph_seed=4) for init in pair("glorot_uniform", {})
    )
    for got, expected in zip(ours, theirs, strict=True):
        same_bits(got, expected)


def test_every_run_gives_the_values_of_the_first_where_tensorflow_goes_on():
    def twice(init):
        with tf.Graph().as_default(), v1.Session() as session:
            w = init([6, 5])
            return session.run(w), session.run(w)

    ours, theirs = (twice(init) for init in pair("glorot_uniform", {}, seed=1))
    same_bits(ours[0], theirs[0])
    same_bits(ours[0], ours[1])
    assert not np.array_equal(theirs[0], theirs[1])


@pytest.mark.parametrize("dtype", [tf.int32, tf.int64])
def test_integers_are_tensorflows_own(dtype):
    high = 9 if dtype == tf.int32 else 2**60 + 1
    ours = tf1.random_uniform_initializer(-3, high, 1, dtype)
    theirs = v1.random_uniform_initializer(-3, high, 1, dtype)
    same_bits(in_graph(lambda: ours([40])), in_graph(lambda: theirs([40])))
    floats = tf1.random_uniform_initializer(-3.0, 9.0, 1), v1.random_uniform_initializer(-3, 9, 1)
    same_bits(*(in_graph(lambda init=init: init([40], dtype)) for init in floats))
    with pytest.raises(ValueError, match="maxval"):
        tf1.random_uniform_initializer(0, dtype=dtype)([3])
    for config in (ours.get_config(), theirs.get_config()):
        assert tf1.random_uniform_initializer.from_config(config).get_config() == config


def test_integers_of_a_partitioned_variable_are_the_whole_one_cut():
    def drawn(**more):
        init = tf1.random_uniform_initializer(0, 9, seed=1, dtype=tf.int32)
        return tf.convert_to_tensor(v1.get_variable("v", [9, 4], tf.int32, init, **more))

    cut = in_graph(lambda: drawn(partitioner=v1.fixed_size_partitioner(3)))
    same_bits(cut, in_graph(drawn))
