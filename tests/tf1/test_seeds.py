# SPDX-License-Identifier: Apache-2.0
"""Seeds of ops and graphs, and none: which stream of random numbers a variable gets."""

import os
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit
from philinit.keys import Key

tf = pytest.importorskip("tensorflow")
from philinit import tf1  # noqa: E402  (TensorFlow may be missing)
from philinit.tf1 import seeds  # noqa: E402
from tests.support.tf1_graphs import (  # noqa: E402
    by_dtype,
    in_graph,
    same_bits,
    variables,
)


@by_dtype
def test_the_key_is_the_one_of_tensorflows_stateful_ops(dtype):
    # The stateless op with key and counter given raw is the definition of the stream.
    seed, seed2 = 2**31 - 2, 678
    key = seeds.stateful_key(seed, seed2)
    raw = {
        "shape": [1009],
        "dtype": tf.as_dtype(dtype),
        "key": tf.constant([key.words[0] + (key.words[1] << 32)], tf.uint64),
        "counter": tf.constant([key.base % 2**64, key.base >> 64], tf.uint64),
        "alg": 1,
    }
    ops, r = (tf.raw_ops.RandomUniform, tf.raw_ops.RandomStandardNormal), tf.raw_ops
    for stateful, stateless in (
        (ops[0], r.StatelessRandomUniformV2),
        (ops[1], r.StatelessRandomNormalV2),
        (r.TruncatedNormal, r.StatelessTruncatedNormalV2),
    ):
        same_bits(
            in_graph(
                lambda op=stateful: op(shape=[1009], dtype=raw["dtype"], seed=seed, seed2=seed2)
            ),
            stateless(**raw).numpy(),
        )


def test_without_any_seed_every_variable_gets_its_own_values():
    init = tf1.xavier_initializer()
    one, other = in_graph(lambda: variables(init, [[20, 20], [20, 20]]))
    again = in_graph(lambda: variables(init, [[20, 20]]))[0]
    another = in_graph(lambda: variables(tf1.xavier_initializer(), [[20, 20]]))[0]
    found = [one, other, again, another, init([20, 20]).numpy()]
    assert len({w.tobytes() for w in found}) == len(found)


def test_without_any_seed_threads_share_no_values():
    init = tf1.xavier_initializer(sampler="native")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: init([3, 3]).numpy().tobytes(), range(200)))
    assert len(set(found)) == 200


def test_an_unseeded_initializer_shows_what_it_drew_and_can_be_made_again():
    init = tf1.glorot_normal_initializer(sampler="native")
    assert init.seed is None
    again = eval(repr(init), vars(tf1))
    assert again == init and again.entropy == init.entropy
    for _ in range(3):
        same_bits(init([5, 5]), again([5, 5]))
    assert init != tf1.glorot_normal_initializer(sampler="native")


def test_native_weights_are_those_of_philinit_for_the_same_seed():
    for graph_seed in (None, 3):
        w = in_graph(
            lambda: variables(tf1.glorot_uniform_initializer(5, sampler="native"), [[30, 20]]),
            graph_seed,
        )[0]
        same_bits(w, philinit.GlorotUniform(seed=5)((30, 20)))


def test_native_without_a_seed_follows_the_graph_seed():
    init = tf1.he_normal(sampler="native")
    one = in_graph(lambda: variables(init, [[9, 9], [9, 9]]), graph_seed=3)
    again = in_graph(lambda: variables(tf1.he_normal(sampler="native"), [[9, 9]] * 2), graph_seed=3)
    same_bits(one, again)
    assert not np.array_equal(one[0], one[1])
    key = Key.from_seed(3 + (0 << 64))  # graph seed, number of the op
    expected = philinit.HeNormal(seed=3)
    assert expected.key == key
    same_bits(one[0], expected((9, 9)))


@pytest.mark.parametrize("seed", [1.5, "1", True])
def test_a_seed_that_is_no_int_is_refused(seed):
    with pytest.raises(TypeError, match="`seed` must be an int or None"):
        tf1.xavier_initializer(seed=seed)
