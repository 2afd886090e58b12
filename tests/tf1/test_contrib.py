# SPDX-License-Identifier: Apache-2.0
"""tf.contrib, prettytensor and Caffe, which are gone: the oracle is their formula written out."""

import math
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from scipy import stats

import philinit

tf = pytest.importorskip("tensorflow")
from philinit import tf1  # noqa: E402  (TensorFlow may be missing)
from tests.support.tf1_graphs import (  # noqa: E402
    by_dtype,
    in_graph,
    same_bits,
    v1,
)

SHAPES = [(), (7,), (784, 256), (3, 3, 16, 32), (2, 3, 4, 5, 6)]


def contrib_fans(shape):
    # tf.contrib.layers.variance_scaling_initializer, in floats as there.
    fan_in = float(shape[-2]) if len(shape) > 1 else float(shape[-1]) if shape else 1.0
    fan_out = float(shape[-1]) if shape else 1.0
    receptive = math.prod(float(n) for n in shape[:-2])
    return fan_in * receptive, fan_out * receptive


def contrib_n(shape, mode):
    fan_in, fan_out = contrib_fans(shape)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "FAN_AVG": (fan_in + fan_out) / 2.0}[mode]


@by_dtype
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("mode", ["FAN_IN", "FAN_OUT", "FAN_AVG"])
def test_g3_contribs_variance_scaling_has_the_bits_of_its_formula(mode, uniform, dtype):
    for shape in [s for s in SHAPES if math.prod(s) < 5000]:

        def formula(shape=shape):
            n = contrib_n(shape, mode)
            if uniform:
                limit = math.sqrt(3.0 * 1.7 / n)
                return v1.random_uniform(shape, -limit, limit, dtype, seed=6)
            return v1.truncated_normal(shape, 0.0, math.sqrt(1.3 * 1.7 / n), dtype, seed=6)

        init = tf1.variance_scaling_initializer(1.7, mode, uniform, 6)
        same_bits(
            in_graph(lambda init=init, shape=shape: init(shape, tf.as_dtype(dtype))),
            in_graph(formula),
        )


def test_xavier_initializer_is_variance_scaling_of_factor_1_and_the_average_fan():
    for uniform in (True, False):
        found = tf1.xavier_initializer(uniform, 3, tf.float64)
        assert found == tf1.variance_scaling_initializer(1.0, "FAN_AVG", uniform, 3, tf.float64)
    assert tf1.xavier_initializer_conv2d is tf1.xavier_initializer


def realized(distribution):
    """Standard deviation after the cut at +-2, by SciPy."""
    assert (distribution.lower, distribution.upper) == (-2.0, 2.0)
    return stats.truncnorm.std(-2.0, 2.0, scale=distribution.stddev)


def test_contribs_1_3_makes_weights_0_29_percent_too_large_and_exact_does_not():
    for shape in SHAPES:
        for mode in ("FAN_IN", "FAN_OUT", "FAN_AVG"):
            right = math.sqrt(2.0 / contrib_n(shape, mode))
            historic = tf1.variance_scaling_initializer(mode=mode, seed=1)
            exact = tf1.variance_scaling_initializer(mode=mode, seed=1, exact=True)
            assert realized(historic.distribution_for(shape)) / right == pytest.approx(
                1.002928, abs=1e-6
            )
            assert realized(exact.distribution_for(shape)) == pytest.approx(right, rel=1e-12)


def test_exact_leaves_the_uniform_alone():
    for make in (tf1.xavier_initializer, lambda **k: tf1.xavier_init(20, 10, **k)):
        historic, exact = make(seed=1), make(seed=1, exact=True)
        assert historic.distribution_for((20, 10)) == exact.distribution_for((20, 10))


def test_an_empty_tensor_is_empty_where_contrib_divided_by_zero():
    assert tf1.xavier_initializer(seed=1)([0, 0]).shape == [0, 0]
    assert tf1.variance_scaling_initializer(seed=1)([0, 3]).shape == [0, 3]
    assert tf1.caffe_xavier(seed=1)([0, 3]).shape == [0, 3]


@pytest.mark.parametrize("uniform", [True, False])
def test_g3_prettytensors_xavier_init_has_the_bits_of_its_formula(uniform):
    def formula():
        if uniform:
            limit = math.sqrt(6.0 / (300 + 20))
            return v1.random_uniform_initializer(-limit, limit, seed=2)([300, 20])
        stddev = math.sqrt(3.0 / (300 + 20))
        return v1.truncated_normal_initializer(stddev=stddev, seed=2)([300, 20])

    init = tf1.xavier_init(300, 20, uniform, seed=2)
    same_bits(in_graph(lambda: init([300, 20])), in_graph(formula))


def test_prettytensors_3_makes_weights_7_7_percent_too_large_and_exact_does_not():
    right = math.sqrt(2.0 / 320)
    historic, exact = (tf1.xavier_init(300, 20, False, seed=1, exact=e) for e in (False, True))
    assert realized(historic.distribution_for(())) / right == pytest.approx(1.0773, abs=1e-4)
    assert realized(exact.distribution_for(())) == pytest.approx(right, rel=1e-12)


def caffe_n(blob, norm):
    # filler.hpp, of a blob in Caffe's layout.
    count = math.prod(blob)
    fan_in = count / blob[0]
    fan_out = count / blob[1] if len(blob) > 1 else count
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[norm]


@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE"])
@pytest.mark.parametrize(
    ("blob", "shape"),
    [((32, 16, 5, 3), (5, 3, 16, 32)), ((10, 500), (500, 10)), ((12,), (12,))],
    ids=["convolution", "dense", "bias"],
)
def test_caffes_fillers_have_caffes_distributions_in_tensorflows_layout(blob, shape, norm):
    n = caffe_n(blob, norm)
    uniform = tf1.caffe_xavier(norm, seed=1).distribution_for(shape)
    assert (uniform.low, uniform.high) == (-math.sqrt(3 / n), math.sqrt(3 / n))
    normal = tf1.caffe_msra(norm, seed=1).distribution_for(shape)
    assert type(normal) is philinit.distributions.Normal
    assert (normal.mean, normal.stddev) == (0.0, math.sqrt(2 / n))


def test_caffes_fillers_draw_what_they_say():
    for init in (
        tf1.caffe_xavier("AVERAGE", seed=1),
        tf1.caffe_msra(seed=1, sampler="native"),
    ):
        w = init([300, 200]).numpy().astype(np.float64)
        sigma = init.distribution_for((300, 200)).moments()[1]
        z = w.mean() * math.sqrt(w.size) / sigma
        assert abs(z) < 4.5
        # The variance of a sample variance is (kurtosis - 1) / n: at most 2 / n for both.
        assert abs(w.var() / sigma**2 - 1) < 4.5 * math.sqrt(2 / w.size)


def test_a_layer_without_inputs_or_outputs_is_prettytensors_to_have():
    limit = math.sqrt(6.0 / 8)
    for fans in ((8, 0), (0, 8)):
        assert tf1.xavier_init(*fans, seed=1) == tf1.random_uniform_initializer(-limit, limit, 1)


def test_contribs_words_for_what_is_no_floating_point_type():
    words = "Cannot create initializer for non-floating point type."
    with pytest.raises(TypeError, match=words):
        tf1.xavier_initializer(dtype=tf.string)
    with pytest.raises(TypeError, match=words):
        tf1.variance_scaling_initializer(seed=1)([3], tf.int32)
