# SPDX-License-Identifier: Apache-2.0
"""What philinit.keras draws: Keras's bits, class by class; Keras is the oracle."""

import itertools

import numpy as np
import pytest

import philinit
from tests.support.keras_pairs import DTYPES, HAS_AXES, by_dtype, by_name, keras, pair, pk, same, tf

SHAPES = [(), (33,), (7, 5), (3, 3, 4, 5), (0, 3), (257, 129)]
SEEDS = [42, 0, -3, 2**31 - 2, 2**31 + 5, 10**12, 2**63 - 1, -(2**63)]

needs_axes = pytest.mark.skipif(not HAS_AXES, reason="this Keras has no input_axes")


@by_name
@by_dtype
def test_g3_weights_are_keras_bit_for_bit(name, dtype, answered):
    """G3."""
    count = 0
    for shape, seed in itertools.product(SHAPES, SEEDS):
        if name == "Orthogonal" and (len(shape) < 2 or 0 in shape or dtype == "bfloat16"):
            continue
        ours, theirs = pair(name, seed=seed)
        assert same(ours(shape, dtype), theirs(shape, dtype)), (shape, seed)
        count += 1
    assert len(answered) == count


PARAMETERS = [
    ("RandomUniform", {"minval": -0.1, "maxval": 1 / 3}),
    ("RandomUniform", {"minval": -3, "maxval": 2}),
    ("RandomUniform", {"minval": np.float64(0.1), "maxval": np.float64(1 / 3)}),
    ("RandomUniform", {"minval": np.float32(0.1), "maxval": np.float32(1 / 3)}),
    ("RandomUniform", {"minval": 0.1, "maxval": 0.1}),
    ("RandomUniform", {"minval": 0.1, "maxval": 0.1 + 1e-12}),
    ("RandomUniform", {"minval": -1e-30, "maxval": 1e-30}),
    ("RandomNormal", {"mean": 0.1, "stddev": 1 / 3}),
    ("RandomNormal", {"mean": np.float64(0.1), "stddev": np.float64(1 / 3)}),
    ("RandomNormal", {"mean": 1 + 2**-11 + 2**-40, "stddev": 1 + 2**-8 + 2**-40}),
    ("RandomNormal", {"mean": np.float64(1 + 2**-11 + 2**-40), "stddev": 1}),
    ("RandomNormal", {"mean": 0.1, "stddev": 0.0}),
    ("TruncatedNormal", {"mean": 0.1, "stddev": 1 / 3}),
    ("TruncatedNormal", {"mean": 2, "stddev": 0}),
    ("Orthogonal", {"gain": 0.3}),
    ("Orthogonal", {"gain": -2}),
    *[
        ("VarianceScaling", {"scale": scale, "mode": mode, "distribution": distribution})
        for scale, mode, distribution in itertools.product(
            (0.1, 2, np.float32(3)),
            ("fan_in", "fan_out", "fan_avg"),
            ("normal", "truncated_normal", "Untruncated_Normal", "uniform"),
        )
    ],
]


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS, ids=str)
@by_dtype
def test_g3_parameters_round_as_in_keras(name, parameters, dtype, answered):
    """G3: a Python float goes through float32 in some places and not in others."""
    if name == "Orthogonal" and dtype == "bfloat16":
        pytest.skip("Keras has no QR factors in bfloat16")
    ours, theirs = pair(name, seed=7, **parameters)
    for shape in ((40, 9), (3, 5, 7)):
        assert same(ours(shape, dtype), theirs(shape, dtype))
    if dtype != "bfloat16" or parameters.get("maxval") != 1e-30:
        assert len(answered) == 2


@needs_axes
@pytest.mark.parametrize("axes", [([0], [1, 2]), ([0, 1], [2]), ([-1], [0]), ([], []), ([0], None)])
@pytest.mark.parametrize("name", ["VarianceScaling", "GlorotUniform", "HeNormal", "LecunNormal"])
def test_axes_make_the_fans_that_they_make_in_keras(name, axes):
    ours, theirs = pair(name, seed=3, input_axes=axes[0], output_axes=axes[1])
    assert same(ours((6, 4, 10)), theirs((6, 4, 10)))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("Zeros", {}),
        ("Ones", {}),
        *[("Constant", {"value": v}) for v in (0.1, 3, -0.0, 1e-30, -np.inf, np.nan, True, [1, 2])],
        *[("Identity", {"gain": g}) for g in (1.0, 0.1, 2, -1.5, 0)],
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [*DTYPES, "int32", None])
def test_constants_are_keras_bit_for_bit(name, config, dtype):
    ours, theirs = pair(name, **config)
    if name == "Constant" and config["value"] == 0:
        # Of Python's floats TensorFlow remembers 0.0, once it has seen it, and takes it for -0.0.
        theirs.value = np.array(theirs.value)
    for shape in ((4, 2), (3, 2), (0, 2)):
        try:
            expected = theirs(shape, dtype)
        except Exception as error:  # whatever Keras raises
            with pytest.raises(type(error)):
                ours(shape, dtype)
        else:
            assert same(ours(shape, dtype), expected)


def test_orthogonal_in_bfloat16_which_keras_lacks():
    w = pk.Orthogonal(seed=1)((40, 9), "bfloat16")
    assert w.dtype == tf.bfloat16
    w = w.numpy().astype(np.float64)
    # Entries round by 2**-9 of themselves, products of unit columns by 2**-8 (Cauchy-Schwarz).
    assert abs(w.T @ w - np.eye(9)).max() < 2.0**-7


@pytest.mark.parametrize("floatx", ["float64", "bfloat16"])
def test_the_default_dtype_is_floatx(floatx):
    before = keras.config.floatx()
    keras.config.set_floatx(floatx)
    try:
        assert pk.HeNormal(seed=1)((3, 4)).dtype.name == floatx
        assert pk.Constant(2.0)((3, 4)).dtype.name == floatx
    finally:
        keras.config.set_floatx(before)


@pytest.mark.parametrize("dtype", [tf.float16, np.float16, np.dtype("f2"), "float16"])
def test_forms_of_a_dtype(dtype):
    ours, theirs = pair("GlorotUniform", seed=1)
    assert same(ours((3, 4), dtype), theirs((3, 4), "float16"))


@pytest.mark.parametrize(
    "shape", [[2, 3], tf.TensorShape([2, 3]), np.array([2, 3]), tf.constant([2, 3])], ids=type
)
def test_forms_of_a_shape(shape):
    ours, theirs = pair("HeNormal", seed=1)
    assert same(ours(shape), theirs((2, 3)))


@by_dtype
def test_native_is_philinit_with_the_same_seed(dtype):
    for name in ("GlorotUniform", "HeNormal", "LecunUniform", "Orthogonal"):
        found = getattr(pk, name)(seed=42, sampler="native")((30, 20), dtype).numpy()
        assert found.tobytes() == getattr(philinit, name)(seed=42)((30, 20), dtype).tobytes()
    found = pk.RandomNormal(0.5, 2.0, seed=42, sampler="native")((30, 20), dtype).numpy()
    assert found.tobytes() == philinit.Normal(0.5, 2.0, seed=42)((30, 20), dtype).tobytes()
    found = pk.RandomUniform(0.25, 0.25, seed=42, sampler="native")((3, 2), dtype).numpy()
    assert (found == 0.25).all()
