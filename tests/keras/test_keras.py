# SPDX-License-Identifier: Apache-2.0
"""philinit.keras, class by class: Keras's bits, configs, seeds and errors; Keras is the oracle."""

import inspect
import itertools
import json
import os
import random
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import philinit.keras as pk  # noqa: E402  (Keras may be missing)
import philinit.tensorflow as pit  # noqa: E402

KI = keras.initializers
HAS_AXES = "input_axes" in inspect.signature(KI.VarianceScaling.__init__).parameters
needs_axes = pytest.mark.skipif(not HAS_AXES, reason="this Keras has no input_axes")

DTYPES = ["float32", "float64", "float16", "bfloat16"]
SEEDED = [
    *["RandomUniform", "RandomNormal", "TruncatedNormal", "VarianceScaling", "Orthogonal"],
    *["GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal"],
]
CONSTANT = ["Identity", "Constant", "Zeros", "Ones"]
SHAPES = [(), (33,), (7, 5), (3, 3, 4, 5), (0, 3), (257, 129)]
SEEDS = [42, 0, -3, 2**31 - 2, 2**31 + 5, 10**12, 2**63 - 1, -(2**63)]

by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_name = pytest.mark.parametrize("name", SEEDED)


def same(found, expected):
    a, b = found.numpy(), expected.numpy()
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def pair(name, **config):
    return getattr(pk, name)(**config), getattr(KI, name)(**config)


@pytest.fixture
def delivered(monkeypatch):
    """The jobs that philinit itself has done, rather than passed on to Keras."""
    from philinit.keras import base as _keras_base

    jobs = []
    original = _keras_base.deliver
    monkeypatch.setattr(
        _keras_base, "deliver", lambda job, *rest: jobs.append(job) or original(job, *rest)
    )
    return jobs


# --- the bits ------------------------------------------------------------------------------------


@by_name
@by_dtype
def test_g3_weights_are_keras_bit_for_bit(name, dtype, delivered):
    """G3."""
    count = 0
    for shape, seed in itertools.product(SHAPES, SEEDS):
        if name == "Orthogonal" and (len(shape) < 2 or 0 in shape or dtype == "bfloat16"):
            continue
        ours, theirs = pair(name, seed=seed)
        assert same(ours(shape, dtype), theirs(shape, dtype)), (shape, seed)
        count += 1
    assert len(delivered) == count


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
def test_g3_parameters_round_as_in_keras(name, parameters, dtype, delivered):
    """G3: a Python float goes through float32 in some places and not in others."""
    if name == "Orthogonal" and dtype == "bfloat16":
        pytest.skip("Keras has no QR factors in bfloat16")
    ours, theirs = pair(name, seed=7, **parameters)
    for shape in ((40, 9), (3, 5, 7)):
        assert same(ours(shape, dtype), theirs(shape, dtype))
    if dtype != "bfloat16" or parameters.get("maxval") != 1e-30:
        assert len(delivered) == 2


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


# --- errors --------------------------------------------------------------------------------------


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
    ids=str,
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


def test_without_keras_the_import_says_what_to_install():
    code = """
import sys
sys.modules["keras"] = None
try:
    import philinit.keras
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 'philinit.keras needs Keras: pip install "philinit[keras]"\n'


# --- memory --------------------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("name", ["RandomUniform", "HeNormal", "Identity", "Constant"])
def test_g4_the_variable_is_the_memory_that_was_filled(name, dtype, monkeypatch):
    """G4: and its first update happens in place, so TensorFlow owns it alone."""
    from tests.support.tensorflow_memory import address

    filled = []
    original = pit._filled
    monkeypatch.setattr(pit, "_filled", lambda *a: filled.append(address(t := original(*a))) or t)
    init = getattr(pk, name)(0.5) if name in CONSTANT else getattr(pk, name)(seed=1)
    v = keras.Variable(init, shape=(64, 48), dtype=dtype)
    where = address(v.value)
    assert filled == [where]
    v.value.assign_add(tf.ones((64, 48), dtype))
    assert address(v.value) == where
