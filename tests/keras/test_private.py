# SPDX-License-Identifier: Apache-2.0
"""What philinit.keras takes from Keras's private parts is there, or one sentence says so."""

import tomllib

import pytest

from philinit.keras import draws, private
from tests.support.keras_pairs import KI, keras, pk, tf
from tests.support.paths import ROOT


def initial_value_of(make):
    """What Keras hands to tf.Variable for a variable of its own."""
    seen = []

    def creator(next_creator, **kwargs):
        seen.append(kwargs["initial_value"])
        return next_creator(**kwargs)

    with tf.variable_creator_scope(creator):
        made = make()
    assert len(seen) == 1
    return made, seen[0]


def test_the_versions_are_those_of_the_extra():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"keras>={private.OLDEST}" in project["optional-dependencies"]["keras"]
    numbers = [tuple(map(int, v.split("."))) for v in (private.OLDEST, private.NEWEST)]
    assert numbers[0] <= tuple(map(int, keras.__version__.split(".")[:3])) <= numbers[1]


def test_the_classes_of_keras_have_a_call_of_their_own():
    for kind in draws.BY_CLASS:
        assert private.own_call(kind) is kind.__call__


def test_a_class_that_inherits_its_call_is_named(monkeypatch):
    with pytest.raises(RuntimeError, match=r"needs keras.initializers.HeNormal.__call__ of keras"):
        private.own_call(KI.HeNormal)
    monkeypatch.setattr(draws, "BY_CLASS", draws.BY_CLASS | {KI.HeNormal: draws.variance_scaling})
    before = KI.RandomNormal.__call__
    with pytest.raises(RuntimeError, match="install one of those, and please report it"):
        pk.install()
    assert KI.RandomNormal.__call__ is before
    assert not same_as_ours(KI.RandomNormal.__call__)


def same_as_ours(call):
    return "philinit" in call.__code__.co_filename


def test_a_variable_of_keras_has_its_initializer_around_its_initial_value():
    init = KI.HeNormal(seed=1)
    variable, value = initial_value_of(lambda: keras.Variable(init, shape=(3, 2)))
    assert private.initializer_around(value) == (init, variable)
    generator, value = initial_value_of(lambda: keras.random.SeedGenerator(1))
    assert private.initializer_around(value)[1] is generator.state


@pytest.mark.parametrize(
    "value",
    [3.0, lambda: 3.0, KI.Zeros(), None],
    ids=["a number", "a function", "an initializer", "None"],
)
def test_what_is_no_variable_of_keras_is_left_alone(value):
    assert private.initializer_around(value) is None


def test_a_keras_whose_variables_hide_it_is_named():
    def value():
        return 3.0

    value.__module__ = "keras.src.backend.tensorflow.core"
    with pytest.raises(RuntimeError, match=f"and keras {keras.__version__} has another or none"):
        private.initializer_around(value)


def test_initial_values_are_lifted_out_of_a_scope_with_this_name():
    """The name that `left_in_graph` knows them by."""
    seen, made = [], []

    def value():
        graph = tf.compat.v1.get_default_graph()
        seen.append(graph.get_name_scope().rpartition("/")[2])
        return tf.zeros(3)

    @tf.function(autograph=False)
    def function():
        if not made:
            made.append(tf.Variable(value))
        return made[0] + 1

    function()
    assert seen[0].startswith("Initializer")
