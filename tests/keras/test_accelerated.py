# SPDX-License-Identifier: Apache-2.0
"""Pure Keras code inside accelerate(): Keras's bits; what only Keras can do stays."""

import contextlib
import itertools
import json

import numpy as np
import pytest

import philinit
from tests.support.keras_pairs import KI, keras, pk, same, tf

GLOROT = KI.GlorotUniform(seed=42)((64, 32)).numpy()

# --- the bits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(
    "config",
    [
        {"class_name": name, "config": {"seed": seed}}
        for name, seed in itertools.product(
            [
                *["random_uniform", "random_normal", "truncated_normal", "variance_scaling"],
                *["glorot_uniform", "glorot_normal", "he_uniform", "he_normal"],
                *["lecun_uniform", "lecun_normal", "orthogonal"],
            ],
            [42, 2**31 + 5],
        )
    ]
    + [
        {"class_name": "constant", "config": {"value": 0.1}},
        {"class_name": "identity", "config": {"gain": 0.1}},
    ],
    ids=lambda config: f"{config['class_name']}-{config['config'].get('seed')}",
)
def test_g3_keras_objects_give_keras_bits(config, dtype, answered):
    """G3."""
    if config["class_name"] == "orthogonal" and dtype == "bfloat16":
        pytest.skip("Keras has no QR factors in bfloat16")
    init = KI.get(config)
    expected = init((37, 11), dtype)
    assert answered == []
    with pk.accelerate():
        assert same(init((37, 11), dtype), expected)
        assert same(KI.get(config)((37, 11), dtype), expected)
    assert len(answered) == 2


def zoo():
    """A model with every kind of kernel."""
    layers = keras.layers
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    x = layers.DepthwiseConv2D(3)(x)
    x = layers.SeparableConv2D(6, 3, depthwise_initializer="he_uniform")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2DTranspose(4, 3, kernel_initializer="he_normal")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(10, kernel_initializer=None, bias_initializer="random_normal")(x)
    words = keras.Input((7,), dtype="int32")
    y = layers.Embedding(30, 16)(words)
    y = layers.MultiHeadAttention(2, 8, kernel_initializer="lecun_normal")(y, y)
    y = layers.EinsumDense("abc,cde->abde", (None, 2, 8), bias_axes="de")(y)
    y = layers.Reshape((7, 16))(y)
    y = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(y)
    y = layers.GRU(6)(y)
    y = layers.Dropout(0.5)(y)
    y = layers.Dense(3, kernel_initializer=KI.VarianceScaling(2.0, "fan_out", "uniform"))(y)
    return keras.Model([image, words], layers.concatenate([x, y]))


def test_g3_every_layer_of_an_unmodified_model_has_the_weights_it_had(answered):
    """G3."""
    keras.utils.set_random_seed(11)
    expected = zoo()
    keras.utils.set_random_seed(11)
    with pk.accelerate():
        model = zoo()
    assert len(model.weights) == len(expected.weights) > 35
    for found, weight in zip(model.weights, expected.weights, strict=True):
        assert found.path.rsplit("/", 1)[1] == weight.path.rsplit("/", 1)[1]
        assert same(found.value, weight.value), found.path
    assert len(answered) >= 20
    keras.utils.set_random_seed(11)
    with pk.accelerate(sampler="native"):
        native = zoo()
    assert not same(native.weights[0].value, model.weights[0].value)


# Keras saves weights through an `__array__` without `copy`.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_model_stays_pure_keras(tmp_path):
    with pk.accelerate():
        model = zoo()
        layer = next(layer for layer in model.layers if type(layer) is keras.layers.Dense)
        assert type(layer.bias_initializer) is KI.RandomNormal
    assert "philinit" not in json.dumps(model.get_config(), default=str)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for found, weight in zip(again.weights, model.weights, strict=True):
        assert same(found.value, weight.value)


def test_a_seed_generator_moves_on_as_without_us():
    outcomes = []
    for context in (pk.accelerate, contextlib.nullcontext):
        generator = keras.random.SeedGenerator(5)
        init = KI.HeNormal(seed=generator)
        with context():
            drawn = [init((4, 3)).numpy().tolist() for _ in range(3)]
        outcomes.append((drawn, generator.state.numpy().tolist()))
    assert outcomes[0] == outcomes[1]


def test_native_is_philinit_with_the_same_seed():
    with pk.accelerate(sampler="native"):
        found = KI.GlorotUniform(seed=42)((64, 32))
    assert same(found, philinit.GlorotUniform(seed=42)((64, 32)))


def test_what_is_no_initial_weight_is_left_alone():
    def draw():
        x = keras.random.normal((5,), seed=3), keras.random.dropout(np.ones(50, "f4"), 0.5, seed=3)
        return np.concatenate([np.asarray(v) for v in x])

    expected = draw()
    with pk.accelerate(sampler="native"):
        assert same(draw(), expected)


# --- what Keras has to do itself -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "shape", "dtype"),
    [
        (KI.RandomUniform(0, 10, seed=1), (20,), "int32"),
        (KI.RandomNormal(stddev=-1.0, seed=1), (20,), None),
        (KI.RandomNormal(stddev=np.nan, seed=1), (20,), None),
        (KI.TruncatedNormal(stddev=np.inf, seed=1), (20,), None),
        (KI.RandomNormal(stddev=1e30, seed=1), (20,), "float16"),
        (KI.RandomUniform(1, -1, seed=1), (20,), None),
        (KI.RandomUniform(-6e4, 6e4, seed=1), (20,), "float16"),
        (KI.VarianceScaling(np.nan, seed=1), (20,), None),
        (KI.VarianceScaling(np.inf, distribution="uniform", seed=1), (20,), None),
        (KI.RandomNormal(tf.constant([1.0, 2.0]), seed=1), (20, 2), None),
        (KI.Constant(np.arange(6).reshape(2, 3)), (2, 3), None),
        (KI.Constant(np.inf), (2, 3), None),
        (KI.Constant(1e9), (2, 3), "float16"),
        (KI.Identity(-1), (2, 3), None),
        (KI.Orthogonal(np.nan, seed=1), (3, 2), None),
        *[(KI.STFT(), (16, 1, 9), None) for _ in "1" if hasattr(KI, "STFT")],  # from Keras 3.8
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("sampler", ["tensorflow", "native"])
def test_what_philinit_would_refuse_is_as_without_it(init, shape, dtype, sampler):
    if sampler == "native" and getattr(init, "maxval", 0) == 6e4:
        pytest.skip("the native sampler never computes maxval - minval in float16")
    expected = init(shape, dtype)
    with pk.accelerate(sampler=sampler):
        found = init(shape, dtype)
    assert np.array_equal(np.asarray(found).view("u1"), np.asarray(expected).view("u1"))


@pytest.mark.parametrize(
    ("init", "shape", "dtype"),
    [
        (KI.Orthogonal(seed=1), (3,), None),
        (KI.Identity(), (3,), None),
        (KI.HeNormal(seed=1), 5, None),
        (KI.HeNormal(seed=2**63), (5,), None),
        (KI.HeNormal(seed=True), (5,), None),
        (KI.RandomNormal("a", seed=1), (5,), None),
        (KI.GlorotUniform(seed=1), (5,), "int32"),
        (KI.RandomNormal(seed=1), (-1,), None),
        (KI.Constant(2), (2, -1), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_are_those_of_keras(init, shape, dtype):
    try:
        init(shape, dtype)
    except Exception as error:  # of Keras's choice
        expected = error
    else:
        pytest.skip("this Keras takes it")
    with pk.accelerate(), pytest.raises(type(expected)) as found:
        init(shape, dtype)
    assert str(found.value) == str(expected)


def test_subclasses_keep_their_own_call():
    class Mine(KI.HeNormal):
        def __call__(self, shape, dtype=None):
            return keras.ops.ones(shape, dtype)

    class Doubles(KI.HeNormal):
        def __call__(self, shape, dtype=None):
            return 2 * super().__call__(shape, dtype)

    class Wider(KI.VarianceScaling):
        def __init__(self, seed=None):
            super().__init__(scale=9.0, seed=seed)

    expected = Doubles(seed=1)((3, 4)), Wider(seed=1)((3, 4))
    with pk.accelerate():
        assert np.asarray(Mine(seed=1)((3, 4))).tolist() == np.ones((3, 4)).tolist()
        assert same(Doubles(seed=1)((3, 4)), expected[0])
        assert same(Wider(seed=1)((3, 4)), expected[1])


def test_our_own_classes_keep_their_sampler():
    native = pk.GlorotUniform(seed=42, sampler="native")
    expected = native((64, 32))
    with pk.accelerate():
        assert same(native((64, 32)), expected)
    with pk.accelerate(sampler="native"):
        assert same(pk.GlorotUniform(seed=42)((64, 32)), GLOROT)
