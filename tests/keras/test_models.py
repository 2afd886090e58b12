# SPDX-License-Identifier: Apache-2.0
"""philinit.keras.initialize and dry_run: built models get the weights of their names, and again."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi
from tests.support.processes import run_python

keras = pytest.importorskip("keras")
import philinit.keras as pk  # noqa: E402  (Keras may be missing)
from philinit.initializers.models import Keep, Parts  # noqa: E402
from tests.support.initializers import same  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Also run in processes of other backends: a model with all sorts of layers, and its weights.
MODEL = """
import keras, numpy as np, philinit as pi, philinit.keras as pk
from philinit.initializers.models import Parts

def model(name=None):
    layers = keras.layers
    ids = keras.Input((5,), dtype="int32")
    x = layers.Embedding(20, 6, name="table")(ids)
    x = layers.LSTM(4, name="lstm", return_sequences=True)(x)
    x = layers.GRU(4, name="gru")(x)
    x = layers.BatchNormalization(name="norm")(x)
    shared = layers.Dense(4, name="shared")
    return keras.Model(ids, layers.Dense(3, name="head")(shared(shared(x))), name=name)

PARAMETERS = {
    "*bias": pi.Zeros(), "*.beta": pi.Zeros(), "*.moving_mean": pi.Zeros(),
    "*.gamma": pi.Ones(), "*.moving_variance": pi.Ones(),
    "lstm.*.recurrent_kernel": Parts([pi.Orthogonal()] * 4, axis=1),
    "*.recurrent_kernel": Parts([pi.Orthogonal()] * 3, axis=1),
    "lstm.*": Parts([pi.GlorotUniform()] * 4, axis=1),
    "*": pi.HeNormal(),
}

def check(model):
    for path, values in {
        "table.embeddings": pi.HeNormal(seed=7).named("table.embeddings")((20, 6)),
        "head.kernel": pi.HeNormal(seed=7).named("head.kernel")((4, 3)),
        "norm.moving_variance": np.ones(4, np.float32),
        "norm.beta": np.zeros(4, np.float32),
    }.items():
        layer, _, weight = path.partition(".")
        got = keras.ops.convert_to_numpy(getattr(model.get_layer(layer), weight))
        assert got.tobytes() == values.tobytes(), path
    kernel = keras.ops.convert_to_numpy(model.get_layer("lstm").cell.kernel)
    for i in range(4):
        own = pi.GlorotUniform(seed=7).named("lstm.lstm_cell.kernel").named(i)((6, 4))
        assert np.array_equal(kernel[:, 4 * i : 4 * i + 4], own)
    recurrent = keras.ops.convert_to_numpy(model.get_layer("gru").cell.recurrent_kernel)
    for i in range(3):
        own = pi.Orthogonal(seed=7).named("gru.gru_cell.recurrent_kernel").named(i)((4, 4))
        assert np.array_equal(recurrent[:, 4 * i : 4 * i + 4], own)
"""
HERE: dict = {}
exec(MODEL, HERE)
PARAMETERS = HERE["PARAMETERS"]


def test_a_model_is_reset_to_its_first_weights():
    model = HERE["model"]()
    assert pk.initialize(model, PARAMETERS, seed=7) is model
    HERE["check"](model)
    first = [w.copy() for w in model.get_weights()]
    model.compile("sgd", "mse")
    model.fit(np.arange(40).reshape(8, 5) % 20, np.ones((8, 3)), epochs=2, verbose=0)
    assert not all(np.array_equal(a, b) for a, b in zip(first, model.get_weights(), strict=True))
    pk.initialize(model, PARAMETERS, seed=7)
    assert all(same(a, b) for a, b in zip(first, model.get_weights(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch", "numpy"])
def test_weights_are_the_same_on_every_backend(backend):
    if backend != "numpy":
        pytest.importorskip(backend)
    run_python(
        MODEL
        + """
for _ in range(2):
    m = model()
    pk.initialize(m, PARAMETERS, seed=7)
    check(m)
    for w in m.weights:
        w.assign(keras.ops.ones(w.shape))
    pk.initialize(m, PARAMETERS, seed=7)
    check(m)
table = pk.dry_run(m, PARAMETERS, seed=7).observed()
assert all(row["observed_mean"] == row["mean"] for row in table.rows() if row["stddev"] == 0)
assert m(np.zeros((2, 5), "int32")).shape == (2, 3)
""",
        env={"KERAS_BACKEND": backend},
    )


@pytest.mark.slow
def test_nothing_is_written_where_jax_has_no_float64():
    pytest.importorskip("jax")
    run_python(
        """
import keras, pytest, philinit as pi, philinit.keras as pk
layers = [keras.layers.Dense(3, name="a"), keras.layers.Dense(3, name="b", dtype="float64")]
model = keras.Sequential([keras.Input((4,)), *layers])
before = model.get_weights()
with pytest.raises(ValueError, match="^b.kernel: .*needs JAX's 64-bit mode"):
    pk.initialize(model, {"*": pi.Ones()}, seed=1)
assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
""",
        env={"KERAS_BACKEND": "jax"},
    )


def test_names_have_no_model_in_them_and_shared_weights_are_one():
    for name in ("one", "two"):
        model = HERE["model"](name)
        table = pk.dry_run(model, PARAMETERS, seed=7)
        names = [row["name"] for row in table.rows()]
        assert names[:2] == ["table.embeddings", "lstm.lstm_cell.kernel"]
        assert names.count("shared.kernel") == 1 and len(names) == len(set(names))
    sequential = keras.Sequential([keras.layers.Dense(2, name="up")])
    sequential.build((None, 3))
    assert [r["name"] for r in pk.dry_run(sequential, PARAMETERS, 1).rows()] == [
        "up.kernel",
        "up.bias",
    ]
    pk.initialize(sequential.layers[0], {"*": pi.Ones()}, seed=1)  # a layer, too
    assert (sequential.get_weights()[0] == 1).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    dense = keras.layers.Dense(4, name="up", dtype=dtype)
    dense.build((None, 3))
    pk.initialize(dense, {"kernel": pi.HeNormal(), "bias": Keep()}, seed=1)
    values = pi.HeNormal(seed=1).named("kernel")((3, 4), dtype)
    assert same(np.asarray(dense.kernel.value), values)


def test_nothing_is_written_when_anything_is_refused():
    model = HERE["model"]()
    before = model.get_weights()

    def refused(parameters, error, text, **keywords):
        with pytest.raises(error, match=text):
            pk.initialize(model, parameters, **{"seed": 1, **keywords})
        after = model.get_weights()
        assert all(same(a, b) for a, b in zip(before, after, strict=True))

    refused({"lstm.*": pi.Ones()}, ValueError, r"no match for table\.embeddings \(20, 6\), gru")
    bad = {"norm.gamma": pi.Orthogonal(), "*": pi.Ones()}
    refused(bad, ValueError, r"^norm\.gamma: `shape` must have at least 2 axes")
    bad = {"lstm.*.kernel": Parts([pi.Ones()] * 5, axis=1), "*": pi.Ones()}
    refused(bad, ValueError, r"^lstm\.lstm_cell\.kernel: `parts` must fill axis 1")
    refused({"*": pi.Ones()}, TypeError, "`seed` must be an int", seed=1.5)
    refused({"*": pi.Ones()}, ValueError, "got nothing, which it has not", only=["nothing"])
    with pytest.raises(TypeError, match=r"`model` must be a keras\.Model or a keras\.Layer"):
        pk.initialize(5, {"*": pi.Ones()}, seed=1)
    with pytest.raises(ValueError, match="`model` must have weights; got none in 'empty': build"):
        pk.initialize(keras.Sequential(name="empty"), {"*": pi.Ones()}, seed=1)


def test_layers_take_parts_for_initializers_and_are_saved_with_them(tmp_path):
    init = Parts([pi.GlorotUniform(seed=1), pi.Zeros()], axis=-1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, kernel_initializer=init)])
    kernel = model.layers[0].kernel
    assert not np.asarray(kernel)[:, 3:].any() and np.asarray(kernel)[:, :3].all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].kernel_initializer == init


def test_progress_counts_all_weights():
    model, calls = HERE["model"](), []
    pk.initialize(model, PARAMETERS, seed=7, progress=lambda *c: calls.append(c))
    total = sum(w.size for w in model.get_weights())
    assert calls[-1] == (total, total) and {c[1] for c in calls} == {total}
