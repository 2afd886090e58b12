# SPDX-License-Identifier: Apache-2.0
"""The classes of philinit.keras: seeds, configs, names and signatures are those of Keras's."""

import inspect
import json
import random

import pytest

from tests.support.keras_pairs import CONSTANT, KI, SEEDED, by_name, keras, pair, pk, same
from tests.support.processes import run_python

# --- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RandomUniform", "HeNormal", "Orthogonal"])
@pytest.mark.parametrize("seed", [5, -3, 2**40 + 1])
def test_a_seed_generator_gives_new_weights_each_call_and_moves_on_as_in_keras(name, seed):
    mine, theirs = (keras.random.SeedGenerator(seed) for _ in range(2))
    ours, kerass = getattr(pk, name)(seed=mine), getattr(KI, name)(seed=theirs)
    seen = set()
    for _ in range(3):
        found = ours((4, 3))
        assert same(found, kerass((4, 3)))
        seen.add(found.numpy().tobytes())
        assert (mine.state.numpy() == theirs.state.numpy()).all()
    assert len(seen) == 3
    # One generator for both, in turns.
    assert not same(ours((4, 3)), getattr(pk, name)(seed=mine)((4, 3)))


@by_name
def test_without_a_seed_one_is_drawn_where_keras_draws_it(name):
    keras.utils.set_random_seed(77)
    theirs = getattr(KI, name)()
    expected = theirs((5, 4))
    keras.utils.set_random_seed(77)
    ours = getattr(pk, name)()
    after = random.random()
    found = ours((5, 4))
    assert same(found, expected)
    assert same(ours((5, 4)), found)
    keras.utils.set_random_seed(77)
    getattr(KI, name)()
    assert random.random() == after
    assert not same(ours.clone()((5, 4)), found)


def test_a_call_that_is_refused_takes_no_seed():
    generator = keras.random.SeedGenerator(1)
    before = generator.state.numpy().tolist()
    with pytest.raises(ValueError, match=r"`stddev` must fit into float16; got stddev=100000\.0"):
        pk.RandomNormal(stddev=1e5, seed=generator)((3,), "float16")
    with pytest.raises(ValueError, match="`dtype` must be one of float32"):
        pk.RandomNormal(seed=generator, sampler="native")((3,), "int32")
    assert generator.state.numpy().tolist() == before


# --- configs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEEDED + CONSTANT)
def test_it_is_a_subclass_with_the_config_of_keras(name):
    ours, theirs = pair(name)
    assert isinstance(ours, getattr(KI, name))
    config = ours.get_config()
    assert config == theirs.get_config() | ({"gain": 1.0} if name == "Identity" else {})
    assert getattr(pk, name).__name__ == name
    if name in SEEDED:
        native = getattr(pk, name)(sampler="native")
        assert native.get_config() == config | {"sampler": "native"}


@by_name
@pytest.mark.parametrize("sampler", ["tensorflow", "native"])
@pytest.mark.parametrize("seed", [12, None, "generator"])
def test_round_trips(name, sampler, seed):
    if seed == "generator":
        seed = keras.random.SeedGenerator(3)
    kind = getattr(pk, name)
    ours = kind(seed=seed, sampler=sampler)
    config = KI.serialize(ours)
    assert config["registered_name"] == f"philinit>{name}"
    config = json.loads(json.dumps(config))
    for again in (
        kind.from_config(ours.get_config()),
        ours.clone(),
        KI.deserialize(config),
        KI.get(config),
        KI.get(ours),
    ):
        assert type(again) is kind
        assert again.sampler == sampler
        assert json.dumps(again.get_config()) == json.dumps(ours.get_config())
        if seed == 12:
            assert same(again((3, 4)), ours((3, 4)))


def test_constants_round_trip():
    for ours in (pk.Zeros(), pk.Ones(), pk.Constant(0.3), pk.Identity(2.0)):
        again = KI.deserialize(json.loads(json.dumps(KI.serialize(ours))))
        assert type(again) is type(ours)
        assert same(again((3, 3)), ours((3, 3)))


def test_names_that_keras_has_are_here():
    ours = {n for n in dir(KI) if not n.startswith("_")} & set(pk.__all__)
    left = {n for n in dir(KI) if not n.startswith("_")} - ours
    assert left <= {
        "Initializer",
        "STFT",
        "STFTInitializer",
        "stft",
        "get",
        "serialize",
        "deserialize",
    }
    for name in ours:
        assert issubclass(getattr(pk, name), getattr(KI, name))


def test_strings_with_the_package_name_the_classes():
    layer = keras.layers.Dense(3, kernel_initializer="philinit>HeNormal")
    assert type(layer.kernel_initializer) is pk.HeNormal
    assert type(KI.get("he_normal")) is KI.HeNormal


@by_name
def test_positional_arguments_are_those_of_keras(name):
    parameters = list(inspect.signature(getattr(KI, name).__init__).parameters.values())[1:]
    values = [5 if p.name == "seed" else p.default for p in parameters]
    ours = getattr(pk, name)(*values)
    assert ours.seed == 5
    with pytest.raises(TypeError):
        getattr(pk, name)(*values, "native")
    with pytest.raises(TypeError):
        getattr(pk, name)(nonsense=1)


def test_without_keras_the_import_says_what_to_install():
    code = """
import sys
sys.modules["keras"] = None
try:
    import philinit.keras
except ImportError as error:
    print(error)
"""
    assert run_python(code).stdout == 'philinit.keras needs Keras: pip install "philinit[keras]"\n'
