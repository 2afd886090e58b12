# SPDX-License-Identifier: Apache-2.0
"""Weights of philinit.keras in the memory that TensorFlow trains in: once, and never copied."""

import pytest

from tests.support.keras_pairs import CONSTANT, address, by_dtype, by_way, keras, pk, tf
from tests.support.tensorflow_memory import needs_proc, run
from tests.tensorflow.test_memory import PEAK


@by_dtype
@pytest.mark.parametrize("name", ["RandomUniform", "HeNormal", "Identity", "Constant"])
def test_g4_the_variable_is_the_memory_that_was_filled(name, dtype, filled):
    """G4: and its first update happens in place, so TensorFlow owns it alone."""
    init = getattr(pk, name)(0.5) if name in CONSTANT else getattr(pk, name)(seed=1)
    v = keras.Variable(init, shape=(64, 48), dtype=dtype)
    where = address(v.value)
    assert filled == [where]
    v.value.assign_add(tf.ones((64, 48), dtype))
    assert address(v.value) == where


@pytest.mark.slow
@needs_proc
@by_way
def test_g4_building_a_layer_takes_its_weights_once_and_the_first_step_nothing(way):
    """G4: 256 MiB each; at most 40 MiB more to build, and to take the first step."""
    code = f"""{PEAK}
import contextlib, keras, philinit.keras as pk
names = pk if {way == "classes"} else keras.initializers
way = contextlib.nullcontext if {way == "classes"} else pk.accelerate
def step(v, gradient):
    tf.raw_ops.ResourceApplyGradientDescent(
        var=v.handle, alpha=tf.constant(0.5), delta=gradient)
with way():
    v = keras.Variable(names.HeNormal(seed=1), (64, 64)).value
step(v, tf.zeros(v.shape))
layers = [
    (keras.layers.Dense(8192, kernel_initializer=names.HeNormal(seed=1)), (None, 8192)),
    (keras.layers.Dense(8192, kernel_initializer=names.Constant(0.5)), (None, 8192)),
    (keras.layers.Embedding(2 ** 16, 1024, names.RandomUniform(seed=1)), None),
]
alive = []  # freed memory in TensorFlow's pool would hide a copy
for layer, shape in layers:
    with peak() as built, way():
        layer.build(shape)
    v = layer.weights[0].value
    gradient = tf.zeros(v.shape)
    with peak() as stepped:
        step(v, gradient)
    alive.append(gradient)
    print(built.mib, stepped.mib)
"""
    figures = list(map(float, run(code).split()))
    assert len(figures) == 6
    assert all(250 <= built <= 256 + 40 for built in figures[::2]), figures
    assert max(figures[1::2]) <= 40, figures
