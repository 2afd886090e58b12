# SPDX-License-Identifier: Apache-2.0
"""The same names and shapes have the same weights in NumPy, torch, TensorFlow, Keras and JAX."""

import pytest

from tests.support.processes import run_python

pytestmark = pytest.mark.slow

CODE = """
import re
import numpy as np
import jax, keras, tensorflow as tf, torch
import philinit as pi
import philinit.jax, philinit.keras, philinit.tensorflow, philinit.torch
from philinit.initializers.models import Padded, Parts, Scaled, Stacked

parameters = pi.models.ParameterMap([
    ("*.b", pi.Uniform()),
    ("packed.w", Parts([pi.Normal(), pi.GlorotUniform(), pi.Zeros()], axis=1)),
    ("table.w", Padded(pi.TruncatedNormal(0, 0.02, -3, 3, after_cut=True), 0)),
    ("stack.w", Stacked(Scaled(pi.Orthogonal(), "1/sqrt(i+1)"))),
    (re.compile(r"layer(\\d+)"), Scaled(pi.HeNormal(in_axis=0, out_axis=1), "1/sqrt(2(i+1))")),
])
shapes = {"packed.w": (10, 24), "packed.b": (24,), "table.w": (30, 6), "stack.w": (3, 8, 4),
          "layer2.w": (12, 20), "layer2.b": (20,)}

for dtype in ("float32", "bfloat16", "float16"):
    expected = {name: np.empty(shape, jax.numpy.dtype(dtype)) for name, shape in shapes.items()}
    pi.models.initialize(expected, parameters, seed=42)

    def check(what, found):
        assert found.keys() == expected.keys(), (what, found.keys())
        for name, values in expected.items():
            assert found[name].tobytes() == values.tobytes(), (what, name, dtype)

    groups = {}
    for name, shape in shapes.items():
        group, _, short = name.partition(".")
        groups.setdefault(group, {})[short] = shape

    tree = {g: {n: jax.ShapeDtypeStruct(s, dtype) for n, s in own.items()}
            for g, own in groups.items()}
    tree = philinit.jax.initialize(tree, parameters, 42)
    check("jax", {f"{g}.{n}": np.asarray(a) for g, own in tree.items() for n, a in own.items()})

    def built(make, module):
        for g, own in groups.items():
            child = type(module)()
            for n, s in own.items():
                setattr(child, n, make(s))
            setattr(module, g, child)
        return module

    kind = getattr(torch, dtype)
    module = built(lambda s: torch.nn.Parameter(torch.ones(s, dtype=kind)), torch.nn.Module())
    philinit.torch.initialize(module, parameters, 42)
    check("torch", {n: p.detach().view(torch.uint8).numpy() for n, p in module.named_parameters()})

    module = built(lambda s: tf.Variable(tf.ones(s, dtype)), tf.Module())
    philinit.tensorflow.initialize(module, parameters, 42)
    found = {}
    for name in expected:
        g, _, n = name.partition(".")
        found[name] = getattr(getattr(module, g), n).numpy()
    check("tensorflow", found)

    class Layer(keras.Layer):
        def __init__(self, own, **keywords):
            super().__init__(**keywords)
            for n, s in own.items():
                self.add_weight(shape=s, name=n, dtype=dtype, initializer="ones")
            self.built = True

    class Model(keras.Model):
        def __init__(self):
            super().__init__(name=f"model_{dtype}")
            self.groups = [Layer(own, name=g) for g, own in groups.items()]

    model = Model()
    philinit.keras.initialize(model, parameters, 42)
    check("keras", {w.path.removeprefix(f"model_{dtype}/").replace("/", "."): np.asarray(w.value)
                    for w in model.weights})
"""


def test_g1_names_and_shapes_make_the_weights_in_every_framework():
    for name in ("torch", "tensorflow", "keras", "jax"):
        pytest.importorskip(name)
    run_python(CODE, env={"KERAS_BACKEND": "tensorflow", "JAX_PLATFORMS": "cpu"})
