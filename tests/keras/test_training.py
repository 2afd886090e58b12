# SPDX-License-Identifier: Apache-2.0
"""philinit.keras inside training: XLA, strategies, precision policies, files, memory."""

import numpy as np
import pytest

from tests.support.keras_pairs import KI, address, by_way, keras, pk, tf, way_of
from tests.support.tensorflow_memory import run

X = np.random.default_rng(1).normal(size=(16, 6)).astype("f4")
Y = np.random.default_rng(2).normal(size=(16, 2)).astype("f4")

by_jit = pytest.mark.parametrize("jit_compile", [False, True, "auto"])


def layers(names, seed=3):
    return [
        keras.layers.Dense(8, activation="relu", kernel_initializer=names.HeNormal(seed=seed)),
        keras.layers.Dense(2, kernel_initializer=names.GlorotUniform(seed=seed)),
    ]


class Subclassed(keras.Model):
    def __init__(self, parts):
        super().__init__()
        self.parts = parts

    def call(self, x):
        for part in self.parts:
            x = part(x)
        return x


def fit(model, jit_compile, optimizer="sgd", epochs=2):
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    history = model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return history.history["loss"]


MODELS = {
    "built": lambda names: keras.Sequential([keras.Input((6,)), *layers(names)]),
    "unbuilt": lambda names: keras.Sequential(layers(names)),
    "subclassed": lambda names: Subclassed(layers(names)),
}
by_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


@by_way
@by_jit
@by_model
def test_g3_training_goes_as_with_keras(make, way, jit_compile, filled):
    """G3: step by step the same losses, wherever the layers are first built."""
    expected = make(KI)
    losses = fit(expected, jit_compile)
    with way_of(way) as names:
        model = make(names)
        assert fit(model, jit_compile) == losses
    for found, weight in zip(model.weights, expected.weights, strict=True):
        assert np.array_equal(found.numpy(), weight.numpy())
    assert len(filled) == 2  # each weight once


@by_way
@by_model
def test_g4_variables_are_the_memory_that_was_filled_and_stay_it(make, way, filled):
    """G4: also where the layers are first built inside a graph."""
    with way_of(way) as names:
        model = make(names)
        model.predict(X, verbose=0)
    kernels = [layer.kernel.value for layer in getattr(model, "parts", model.layers)]
    assert [address(kernel) for kernel in kernels] == filled
    for kernel in kernels:
        tf.raw_ops.ResourceApplyGradientDescent(
            var=kernel.handle, alpha=tf.constant(0.1), delta=tf.ones(kernel.shape)
        )
    assert [address(kernel) for kernel in kernels] == filled


@by_way
@by_model
def test_seed_generators_in_fit(make, way):
    weights = []
    for kind in (None, way):
        with way_of(kind) as names:
            generator = keras.random.SeedGenerator(9)

            class Names:
                HeNormal = lambda seed, n=names, g=generator: n.HeNormal(seed=g)  # noqa: E731
                GlorotUniform = lambda seed, n=names, g=generator: n.GlorotUniform(seed=g)  # noqa: E731

            model = make(Names)
            fit(model, False)
        weights.append([w.numpy().tolist() for w in model.weights])
    assert weights[0] == weights[1]


@by_way
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float64"])
def test_g3_precision_policies(policy, way):
    """G3."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        expected = MODELS["built"](KI)
        with way_of(way) as names:
            model = MODELS["built"](names)
        for found, weight in zip(model.weights, expected.weights, strict=True):
            assert found.dtype == weight.dtype
            assert found.numpy().tobytes() == weight.numpy().tobytes()
        assert fit(model, False) == fit(expected, False)
    finally:
        keras.config.set_dtype_policy(before)


def test_g3_two_replicas():
    """G3: MirroredStrategy over two CPUs."""
    run("""
import tensorflow as tf, keras, philinit.keras as pk
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
x, y = np.ones((8, 6), "f4"), np.ones((8, 2), "f4")
KI = keras.initializers
def train(names, build):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        first = [keras.Input((6,))] if build else []
        model = keras.Sequential([*first,
            keras.layers.Dense(8, kernel_initializer=names.HeNormal(seed=3)),
            keras.layers.Dense(2, kernel_initializer=names.Orthogonal(seed=3))])
        model.compile("sgd", "mse")
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    parts = [p for w in model.weights for p in strategy.experimental_local_results(w.value)]
    assert len(parts) == 8
    return [p.numpy().tolist() for p in parts]
expected = train(KI, False)
assert train(pk, False) == expected
with pk.accelerate():
    assert train(KI, True) == expected
""")


# --- files ---------------------------------------------------------------------------------------


def saved(path, **config):
    dense = keras.layers.Dense
    model = keras.Sequential(
        [
            keras.Input((6,)),
            dense(4, kernel_initializer=pk.HeNormal(seed=3, **config)),
            dense(4, kernel_initializer=pk.Orthogonal(0.5)),
            dense(4, kernel_initializer=pk.Identity(2.0)),
            dense(4, kernel_initializer=pk.RandomUniform()),
        ]
    )
    model.save(path)
    return [w.numpy().tolist() for w in model.weights]


# Keras saves weights through an `__array__` without `copy`.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_model_loads_in_another_process(tmp_path):
    path, native = str(tmp_path / "model.keras"), str(tmp_path / "native.keras")
    expected = saved(path)
    saved(native, sampler="native")
    run(f"""
import keras
def load(path):
    model = keras.models.load_model(path)
    inits = [layer.kernel_initializer for layer in model.layers]
    return inits, [w.numpy().tolist() for w in model.weights]
def check(names, path):
    inits, weights = load(path)
    assert [type(init) for init in inits] == [
        names.HeNormal, names.Orthogonal, names.Identity, names.RandomUniform], inits
    assert inits[2].gain == 2.0 and inits[0].seed == 3
    if path != {native!r}:
        assert weights == {expected}
if tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 9):  # before, Keras imports it
    check(keras.initializers, {path!r})
    try:
        load({native!r})
    except TypeError as error:
        assert "unexpected keyword argument 'sampler'" in str(error)
    else:
        raise AssertionError
import philinit.keras as pk
check(pk, {path!r})
check(pk, {native!r})
assert [init.sampler for init in load({native!r})[0][:2]] == ["native", "tensorflow"]
""")


def test_clones_of_models_draw_again_what_they_drew():
    model = MODELS["built"](pk)
    again = keras.models.clone_model(model)
    for found, weight in zip(again.weights, model.weights, strict=True):
        assert np.array_equal(found.numpy(), weight.numpy())
    assert type(again.layers[0].kernel_initializer) is pk.HeNormal
    assert again.layers[0].kernel_initializer is not model.layers[0].kernel_initializer
