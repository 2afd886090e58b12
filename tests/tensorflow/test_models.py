# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow.initialize and dry_run: tf.Modules, mappings and lists of variables."""

import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from philinit.initializers.models import Keep, Parts, Scaled, Stacked  # noqa: E402
from tests.support.initializers import same  # noqa: E402


class Dense(tf.Module):
    def __init__(self, rows, columns, dtype):
        super().__init__()
        self.w = tf.Variable(tf.zeros([rows, columns], dtype))
        self._b = tf.Variable(tf.zeros([columns], dtype), name="bias")


class Model(tf.Module):
    """Nested in lists and dicts, a variable shared, and a circle of modules."""

    def __init__(self, dtype=tf.float32):
        super().__init__()
        self.layers = [Dense(6, 8, dtype), Dense(8, 8, dtype)]
        self.heads = {"a": Dense(8, 3, dtype), "b": (Dense(8, 2, dtype),)}
        self.tied = self.layers[0].w
        self.packed = tf.Variable(tf.zeros([6, 12], dtype))
        self.scale = tf.Variable(tf.zeros([], dtype))
        self.steps = 3
        for layer in self.layers:
            layer.owner = self


PARAMETERS = {
    "*._b": pi.Zeros(),
    "heads/b/*": pi.HeNormal(),
    "packed": Parts([pi.GlorotUniform()] * 3, axis=-1),
    "scale": pi.Ones(),
    "*": pi.Normal(0, 0.02),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_a_module_gets_the_weights_of_its_names_and_again(dtype):
    model = Model(tf.as_dtype(dtype))
    for _ in range(2):
        assert pit.initialize(model, PARAMETERS, seed=7) is model
        for name, variable in {
            "heads.a.w": model.heads["a"].w,
            "layers.0.w": model.layers[0].w,
            "layers.1.w": model.layers[1].w,
        }.items():
            expected = pi.Normal(0, 0.02, seed=7).named(name)(tuple(variable.shape), dtype)
            assert same(variable.numpy(), expected), name
        head = model.heads["b"][0].w
        assert same(head.numpy(), pi.HeNormal(seed=7).named("heads.b.0.w")((8, 2), dtype))
        part = pi.GlorotUniform(seed=7).named("packed").named(2)((6, 4), dtype)
        assert same(model.packed.numpy()[:, 8:].copy(), part)
        assert float(model.scale) == 1.0 and not model.layers[1]._b.numpy().any()
        for variable in model.variables:
            variable.assign(tf.ones_like(variable))


def test_the_variables_are_those_of_the_module():
    model = Model()
    names = [row["name"] for row in pit.dry_run(model, PARAMETERS, seed=1).rows()]
    assert len(names) == len(set(names)) == len(model.variables)
    assert names[:4] == ["heads.a._b", "heads.a.w", "heads.b.0._b", "heads.b.0.w"]


def test_variables_by_names_of_their_own_and_by_those_given():
    a, b = tf.Variable(tf.zeros([4, 3]), name="enc/0/w"), tf.Variable(tf.zeros([3]), name="b")
    parameters = [(re.compile(r"(\d+)\.w"), Scaled(pi.Normal(), "1/sqrt(i+1)")), ("*", pi.Ones())]
    assert pit.initialize([a, b], parameters, seed=1) == [a, b]
    expected = pi.Normal(seed=1).named("enc.0.w")((4, 3))
    assert same(a.numpy(), expected) and (b.numpy() == 1).all()
    a.assign(tf.zeros_like(a))
    pit.initialize({"enc/0/w": a, "other": b}, parameters, seed=1, only=["enc.*"])
    assert same(a.numpy(), expected)
    with pytest.raises(ValueError, match="must differ; got b twice"):
        pit.initialize([b, tf.Variable(tf.zeros([3]), name="b")], parameters, seed=1)


def test_a_dry_run_observes():
    model = Model()
    pit.initialize(model, PARAMETERS, seed=7)
    before = [v.numpy() for v in model.variables]
    rows = {r["name"]: r for r in pit.dry_run(model, PARAMETERS, seed=7).observed().rows()}
    packed = model.packed.numpy().astype(np.float64)
    assert rows["packed"]["observed_stddev"] == pytest.approx(packed.std(), abs=1e-12)
    assert rows["scale"]["observed_mean"] == 1.0
    assert all((a == b.numpy()).all() for a, b in zip(before, model.variables, strict=True))


def test_nothing_is_written_when_anything_is_refused():
    model = Model()

    def refused(parameters, error, text, **keywords):
        with pytest.raises(error, match=text):
            pit.initialize(model, parameters, **{"seed": 1, **keywords})
        assert not any(v.numpy().any() for v in model.variables)

    refused({"layers.*": pi.Ones()}, ValueError, r"no match for heads\.a\._b \(3,\), heads\.a\.w")
    bad = {"scale": Stacked(pi.Ones()), "*": pi.Ones()}
    refused(bad, ValueError, r"^scale: `axis` must be one of the tensor's")
    refused({"*": pi.Ones()}, TypeError, "`progress` must be callable", progress=3)
    model.counter = tf.Variable(0)
    refused({"*": pi.Ones()}, ValueError, "^counter: `dtype` must be one of")
    pit.initialize(model, {"*": Keep()}, seed=1, only=["layers.*"])
    for bad in (5, tf.zeros(3), "abc"):
        with pytest.raises(TypeError, match=r"`model` must be a tf\.Module, a mapping of names"):
            pit.initialize(bad, {"*": pi.Ones()}, seed=1)
    with pytest.raises(TypeError, match=r"w: `variable` must be a tf\.Variable"):
        pit.initialize({"w": tf.zeros(3)}, {"*": pi.Ones()}, seed=1)
    with pytest.raises(ValueError, match="`model` must have variables; got none"):
        pit.initialize(tf.Module(), {"*": pi.Ones()}, seed=1)
    with pytest.raises(NotImplementedError, match="must be called eagerly"):
        tf.function(lambda: pit.initialize([tf.Variable(1.0)], {"*": pi.Ones()}, 1))()
