# SPDX-License-Identifier: Apache-2.0
"""Asked: "use 4 for sigmoid, 1 for tanh activation"; which values for relu, and for leaky relu?

The answer there takes standard deviations for limits: a uniform up to sqrt(2 / fan_in) has a third
of the variance 2 / fan_in that He et al. 2015 ask for. Right is sqrt(6 / fan_in). The tests below
run what was written, and say by how much it is off.
"""

import math

import numpy as np
import pytest

import philinit
from tests.support.snippets import in_graph, same_bits, same_distribution, tf, tf1, v1

FAN_IN, FAN_OUT = SHAPE = (500, 300)


def uniform(limit):
    """What was written, tf.random_uniform with these limits, beside philinit's. Same bits."""
    init = tf1.random_uniform_initializer(-limit, limit, seed=1)
    w = in_graph(lambda: tf.Variable(init(SHAPE)))
    same_bits(w, in_graph(lambda: v1.random_uniform(SHAPE, -limit, limit, tf.float32, seed=1)))
    return w


def test_the_question_4_for_sigmoid_1_for_tanh():
    # Wrote: low = -4*np.sqrt(6.0/(fan_in + fan_out)) # use 4 for sigmoid, 1 for tanh activation
    for factor in (4, 1):
        limit = factor * np.sqrt(6.0 / (FAN_IN + FAN_OUT))
        same_distribution(uniform(limit), limit=limit)
        same_distribution(philinit.GlorotUniform(gain=factor, seed=1)(SHAPE), limit=limit)


def test_answer_the_pooled_limit_has_a_third_of_the_variance_it_names():
    # Wrote: low = -2*np.sqrt(1.0/(fan_in + fan_out)), for n*Var[W] = 2 with pooled fans.
    wanted = 4.0 / (FAN_IN + FAN_OUT)
    w = uniform(2 * np.sqrt(1.0 / (FAN_IN + FAN_OUT)))
    same_distribution(w, stddev=math.sqrt(wanted / 3))
    # Right: limit sqrt(12 / (fan_in + fan_out)).
    right = tf1.variance_scaling_initializer(2.0, "FAN_AVG", uniform=True, seed=1)
    w = in_graph(lambda: right(SHAPE))
    same_distribution(w, limit=math.sqrt(12 / (FAN_IN + FAN_OUT)))
    same_distribution(w, stddev=math.sqrt(wanted))


def test_answer_fan_in_of_contrib_is_a_truncated_normal_not_that_uniform():
    # Wrote: tf.contrib.layers.variance_scaling_initializer(factor=2.0, mode='FAN_IN'), "would give
    #        you low = -np.sqrt(2.0/fan_in)". It gives a truncated normal of stddev sqrt(2/fan_in).
    stddev = math.sqrt(1.3 * 2.0 / FAN_IN)
    init = tf1.variance_scaling_initializer(factor=2.0, mode="FAN_IN", seed=1)
    w = in_graph(lambda: init(SHAPE))
    same_bits(w, in_graph(lambda: v1.truncated_normal(SHAPE, 0.0, stddev, seed=1)))
    same_distribution(w, stddev=1.002928 * math.sqrt(2 / FAN_IN), cut=2 * stddev)
    # The uniform of that variance has the limit sqrt(6 / fan_in): He's uniform, in TensorFlow too.
    init = tf1.variance_scaling_initializer(2.0, "FAN_IN", uniform=True, seed=1)
    limit = math.sqrt(6.0 / FAN_IN)
    w = in_graph(lambda: init(SHAPE))
    same_distribution(w, limit=limit)
    same_distribution(in_graph(lambda: v1.initializers.he_uniform(1)(SHAPE)), limit=limit)
    # What was written there in words: a third of the variance.
    same_distribution(uniform(np.sqrt(2.0 / FAN_IN)), stddev=math.sqrt(2 / FAN_IN / 3))


def test_answer_both_layers():
    # Wrote: tf.contrib.layers.variance_scaling_initializer(factor=2.0, mode='FAN_AVG'), "would
    #        give you low = -np.sqrt(4.0/(fan_in+fan_out))".
    init = tf1.variance_scaling_initializer(factor=2.0, mode="FAN_AVG", seed=1)
    w = in_graph(lambda: init(SHAPE))
    stddev = math.sqrt(1.3 * 2.0 / ((FAN_IN + FAN_OUT) / 2))
    same_bits(w, in_graph(lambda: v1.truncated_normal(SHAPE, 0.0, stddev, seed=1)))
    same_distribution(w, stddev=1.002928 * math.sqrt(4 / (FAN_IN + FAN_OUT)), cut=2 * stddev)


def test_answer_only_the_out_layer_needs_fan_out():
    # Wrote: mode='FAN_AVG' once more, "would give you low = -np.sqrt(2.0/fan_out)": FAN_OUT is
    # meant, and again a truncated normal.
    init = tf1.variance_scaling_initializer(factor=2.0, mode="FAN_OUT", seed=1)
    w = in_graph(lambda: init(SHAPE))
    stddev = math.sqrt(1.3 * 2.0 / FAN_OUT)
    same_bits(w, in_graph(lambda: v1.truncated_normal(SHAPE, 0.0, stddev, seed=1)))
    same_distribution(w, stddev=1.002928 * math.sqrt(2 / FAN_OUT), cut=2 * stddev)


@pytest.mark.parametrize("slope", [0.0, 0.01, 0.2, 1.0])
def test_the_answer_for_leaky_relu_is_eq_15_of_he(slope):
    # 1/2 (1 + a**2) n Var[W] = 1: variance 2 / ((1 + a**2) fan_in), ReLU at a = 0.
    variance = 2 / ((1 + slope**2) * FAN_IN)
    init = tf1.variance_scaling_initializer(2 / (1 + slope**2), seed=1, exact=True)
    w = in_graph(lambda: init(SHAPE))
    same_distribution(w, stddev=math.sqrt(variance))
    named = philinit.HeNormal(activation="leaky_relu", param=slope, seed=1)
    same_distribution(named(SHAPE), stddev=math.sqrt(variance))
    named = philinit.HeUniform(activation="leaky_relu", param=slope, seed=1)
    same_distribution(named(SHAPE), limit=math.sqrt(3 * variance))


@pytest.mark.parametrize("slope", [0.0, 0.2])
def test_with_eq_15_activations_keep_their_size_and_with_the_answers_limit_they_fade(slope):
    # The mean square of the pre-activations through 10 layers of 500 units, a relative change.
    n, depth = 500, 10
    x = np.random.default_rng(1).standard_normal((64, n)).astype(np.float32)

    def change(init):
        h = x
        for layer in range(depth):
            z = h @ init.named(layer)((n, n))
            h = np.where(z > 0, z, slope * z)
        return np.square(z).mean() * (1 + slope**2) / 2  # what the next layer's would be

    kept = change(philinit.HeUniform(activation="leaky_relu", param=slope, seed=1))
    assert 0.5 < kept < 2.0
    third = math.sqrt(2 / n) / math.sqrt(1 + slope**2)
    faded = change(philinit.Uniform(-third, third, seed=1))
    assert 0.3 < faded / kept * 3.0**depth < 3.0
