# SPDX-License-Identifier: Apache-2.0
"""Inside a tf.function AutoGraph says nothing of any public function, of this one or the next."""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)
import philinit.keras as pk  # noqa: E402  (TensorFlow may be missing)
import philinit.tensorflow as pit  # noqa: E402
from philinit import tf1  # noqa: E402

INIT, SHAPE = pi.GlorotUniform(seed=1), (4, 4)
INIT_MAP = {"*": INIT}
EAGER = "must be called eagerly"


@pytest.fixture
def variable():
    return tf.Variable(tf.zeros(SHAPE), name="v")


@pytest.fixture
def model():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="d")])


def _accelerated():
    with pk.accelerate():
        return keras.initializers.HeNormal(seed=1)(SHAPE)


def _installed():
    pk.install()
    try:
        return keras.initializers.HeNormal(seed=1)(SHAPE)
    finally:
        pk.uninstall()


def _partitioned():
    with pk.partitioned():
        return tf.zeros(3)


# What is called of each public name that is no initializer; with what it raises, if it does.
CALLS = {
    "tensorflow.variable": (lambda _: pit.variable(INIT, SHAPE), EAGER),
    "tensorflow.to_tensor": (lambda _: pit.to_tensor(INIT, SHAPE), None),
    "tensorflow.rows": (lambda _: pit.rows(INIT, SHAPE, tf.constant([1, 2])), None),
    "tensorflow.rows_by_key": (lambda _: pit.rows_by_key(pi.Ones(), 4, tf.constant([1, 2])), None),
    "tensorflow.initializer": (lambda _: pit.initializer(INIT)(SHAPE), None),
    "tensorflow.fill": (lambda given: pit.fill(given.variable, INIT), EAGER),
    "tensorflow.dtensor_variable": (lambda _: pit.dtensor_variable(INIT, SHAPE, None), EAGER),
    "tensorflow.from_dlpack": (lambda _: pit.from_dlpack(np.zeros(3)), EAGER),
    "tensorflow.serve": (lambda _: pit.serve(), None),
    "tensorflow.initialize": (lambda given: pit.initialize([given.variable], INIT_MAP, 1), EAGER),
    "tensorflow.dry_run": (lambda given: pit.dry_run([given.variable], INIT_MAP, 1), EAGER),
    "keras.accelerate": (lambda _: _accelerated(), None),
    "keras.install": (lambda _: _installed(), None),
    "keras.uninstall": (lambda _: _installed(), None),
    "keras.partitioned": (lambda _: _partitioned(), None),
    "keras.initialize": (lambda given: pk.initialize(given.model, {"*": pi.Zeros()}, 1), EAGER),
    "keras.dry_run": (lambda given: len(pk.dry_run(given.model, {"*": INIT}, 1).rows()), None),
    "tf1.initializers": (lambda _: tf1.initializers.he_normal()(SHAPE), None),
    "tf1.xavier_init": (lambda _: tf1.xavier_init(4, 4)(SHAPE), None),
    "tf1.Random": (lambda _: tf1.Random.__name__, None),  # abstract
}
MODULES = {"tensorflow": pit, "keras": pk, "tf1": tf1}
NAMES = [f"{module}.{name}" for module, found in MODULES.items() for name in found.__all__]


def call_of(name):
    """What to call for a public name: an initializer is made, and called twice."""
    if name in CALLS:
        return CALLS[name]
    module, _, name = name.partition(".")
    make = getattr(MODULES[module], name)
    made = make()

    def call(_):
        return made(SHAPE), make()(SHAPE)

    return call, None


@pytest.fixture
def said(monkeypatch):
    """What AutoGraph and TensorFlow have logged, at the level that users have."""
    monkeypatch.delenv("AUTOGRAPH_VERBOSITY", raising=False)
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    tf.get_logger().addHandler(handler)
    level = tf.get_logger().level
    tf.get_logger().setLevel(logging.WARNING)
    yield lines
    tf.get_logger().setLevel(level)
    tf.get_logger().removeHandler(handler)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_inside_a_function(name, said, variable, model):
    call, refused = call_of(name)
    given = SimpleNamespace(variable=variable, model=model)

    def program():  # by itself, which AutoGraph rewrites
        return call(given)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if refused is None:
            tf.function(program).get_concrete_function()()
        else:
            with pytest.raises(NotImplementedError, match=refused):
                tf.function(program).get_concrete_function()
    assert said == []


def test_what_autograph_cannot_rewrite_would_be_seen(said):
    """The test above sees what it is to see: AutoGraph knows no `:=`."""

    def with_a_walrus():
        return 1 if (found := tf.zeros(3)) is None else found

    tf.function(lambda: with_a_walrus())()
    assert any("AutoGraph could not transform" in line for line in said)


def test_functions_of_the_root_inside_a_function():
    """Their arguments are their `locals()`, into which AutoGraph puts names of its own."""
    made = tf.function(lambda: pi.glorot_uniform(SHAPE, seed=1))()
    assert np.array_equal(made, INIT(SHAPE))


def test_an_unbuilt_model_in_fit(said):
    init = pk.HeNormal(seed=1)
    layer = keras.layers.Dense(3, kernel_initializer=init)
    other = keras.layers.Dense(1, kernel_initializer=pit.initializer(INIT))
    model = keras.Sequential([layer, other])
    model.compile("sgd", "mse")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(np.ones((8, 4)), np.ones((8, 1)), verbose=0)
    assert said == []
