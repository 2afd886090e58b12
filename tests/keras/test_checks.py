# SPDX-License-Identifier: Apache-2.0
"""What philinit.keras refuses, in Keras's words or ours, and what it leaves to Keras."""

import numpy as np
import pytest

from tests.support.keras_pairs import CONSTANT, KI, pair, pk, same, tf


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("VarianceScaling", {"scale": -1.0}),
        ("VarianceScaling", {"scale": 0}),
        ("VarianceScaling", {"mode": "fan"}),
        ("VarianceScaling", {"distribution": "cauchy"}),
        ("HeNormal", {"seed": 1.5}),
        ("RandomNormal", {"seed": "1"}),
    ],
    ids=str,
)
def test_what_keras_refuses_is_refused_in_its_words(name, config):
    try:
        getattr(KI, name)(**config)
    except ValueError as error:
        theirs = str(error)
    else:
        pytest.skip("this Keras looks at it when it is called")
    with pytest.raises(ValueError) as ours:
        getattr(pk, name)(**config)
    # Keras prints a set, whose order changes from process to process but not within one.
    assert str(ours.value) == theirs


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("Orthogonal", (3,), None),
        ("Orthogonal", (3, 3), "int32"),
        ("Identity", (3,), None),
        ("HeNormal", 5, None),
        ("HeNormal", (2, None), None),
        ("RandomNormal", (2, -1), None),
        ("RandomNormal", (2,), "int32"),
        ("GlorotUniform", (2,), "complex64"),
        ("Constant", (2, -1), None),
    ],
    ids=str,
)
def test_calls_that_keras_refuses_are_refused_in_its_words(name, shape, dtype):
    ours, theirs = pair(name, **({} if name in CONSTANT else {"seed": 1}))
    with pytest.raises(Exception) as expected:  # of Keras's choice
        theirs(shape, dtype)
    with pytest.raises(type(expected.value)) as found:
        ours(shape, dtype)
    assert str(found.value) == str(expected.value)


def test_integers_are_drawn_by_keras():
    ours, theirs = pair("RandomUniform", minval=0, maxval=10, seed=1)
    assert same(ours((20,), "int32"), theirs((20,), "int32"))
    with pytest.raises(ValueError, match=r"`dtype` must be one of float32.*got dtype='int32'"):
        pk.RandomUniform(0, 10, seed=1, sampler="native")((20,), "int32")


def test_tensors_as_parameters_are_read_by_keras():
    config = {"mean": tf.constant([0.0, 1.0, 2.0]), "stddev": tf.constant(0.5), "seed": 2}
    ours, theirs = pair("RandomNormal", **config)
    assert same(ours((5, 3)), theirs((5, 3)))


@pytest.mark.parametrize(
    ("name", "config", "text"),
    [
        ("RandomNormal", {"stddev": -0.1}, "`stddev` must not be negative; got stddev=-0.1"),
        ("TruncatedNormal", {"stddev": -1}, "`stddev` must not be negative; got stddev=-1"),
        ("RandomNormal", {"stddev": np.nan}, "`stddev` must be finite; got stddev=nan"),
        ("TruncatedNormal", {"stddev": np.inf}, "`stddev` must be finite; got stddev=inf"),
        ("RandomNormal", {"mean": -np.inf}, "`mean` must be finite; got mean=-inf"),
        ("RandomUniform", {"minval": np.nan}, "`minval` must be finite; got minval=nan"),
        ("RandomUniform", {"minval": 1, "maxval": 0}, "`minval` must not be above `maxval`; got"),
        ("VarianceScaling", {"scale": np.nan}, "`scale` must be finite; got scale=nan"),
        ("VarianceScaling", {"scale": np.inf}, "`scale` must be finite; got scale=inf"),
        ("Orthogonal", {"gain": np.nan}, "`gain` must be finite; got gain=nan"),
        ("HeNormal", {"seed": 2**63}, r"`seed` must be an int in \[-2\*\*63, 2\*\*63\); got seed="),
        ("HeNormal", {"sampler": "fast"}, '`sampler` must be "native" or "tensorflow"; got'),
    ],
    ids=str,
)
def test_nonsense_that_keras_lets_through_is_refused_when_made(name, config, text):
    if "sampler" not in config:
        getattr(KI, name)(**config)
    with pytest.raises(ValueError, match=text):
        getattr(pk, name)(**config)


@pytest.mark.parametrize(
    ("init", "dtype", "text"),
    [
        (pk.RandomUniform(-60000, 60000, seed=1), "float16", "`maxval - minval` must fit into"),
        (pk.RandomUniform(0, 70000.0, seed=1), "float16", "`maxval` must fit into float16; got"),
        (pk.RandomUniform(0, 1e300, seed=1), "float64", "`maxval` must fit into float32; got"),
        (pk.RandomNormal(stddev=1e39, seed=1), "float32", "`stddev` must fit into float32; got"),
        (pk.VarianceScaling(scale=1e80, seed=1), "float32", "`stddev` must fit into float32; got"),
        (pk.Constant(1e5), "float16", "`value` must fit into float16; got value=100000.0"),
        (pk.Identity(1e39), "float32", "`gain` must fit into float32; got gain=1e\\+39"),
    ],
    ids=lambda value: str(value).partition(" at 0x")[0],
)
def test_numbers_that_overflow_in_the_dtype_are_refused(init, dtype, text):
    with pytest.raises(ValueError, match=text):
        init((3, 3), dtype)


def test_a_layout_is_refused_where_the_backend_has_none():
    for init in (pk.HeNormal(seed=1), pk.Zeros(), pk.Orthogonal(seed=1)):
        with pytest.raises(
            NotImplementedError, match="`layout` must be None on Keras's tensorflow"
        ):
            init((3, 3), None, layout=object())
