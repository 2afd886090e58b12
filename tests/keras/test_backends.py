# SPDX-License-Identifier: Apache-2.0
"""philinit.keras on Keras's NumPy, JAX and torch backends: the TensorFlow backend's weights.

A process has one backend for life, so each test runs in one of its own. Expected weights are
drawn here, by Keras on TensorFlow, and handed over in a file.
"""

import importlib.util
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.support.processes import run_python

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

DTYPES = ["float32", "float64", "float16", "bfloat16"]
SEEDED = {
    "GlorotUniform": {},
    "HeNormal": {},
    "RandomNormal": {"mean": 0.1, "stddev": 1 / 3},
    "RandomUniform": {"minval": -0.1, "maxval": 1 / 3},
    "VarianceScaling": {"distribution": "untruncated_normal"},
}
CONSTANT = {"Constant": {"value": 0.1}, "Identity": {"gain": 0.3}, "Zeros": {}, "Ones": {}}
SHAPE = (37, 11)

START = """
import os, sys
import numpy as np
backend = os.environ["KERAS_BACKEND"]
if backend == "numpy":
    # Keras's NumPy backend imports JAX, for convolutions and FFTs. None is needed here.
    import importlib.util
    from unittest import mock
    if importlib.util.find_spec("jax") is None:
        for name in ("jax", "jax.lax", "keras.src.backend.jax", "keras.src.backend.jax.math"):
            sys.modules[name] = mock.MagicMock(name=name, __spec__=None, __path__=[])
import ml_dtypes
import keras
import philinit.keras as pk
from philinit.filling import memory
KI = keras.initializers
expected = dict(np.load(os.environ["EXPECTED"]))
def array(x):
    if backend == "torch" and x.dtype == __import__("torch").bfloat16:
        return x.view(__import__("torch").uint16).numpy().view(ml_dtypes.bfloat16)
    return np.asarray(x)
def check(name, x, dtype):
    found = array(x)
    assert found.dtype.name == dtype, (name, found.dtype)
    want = expected[name]
    assert found.shape == want.shape, (name, found.shape)
    assert found.tobytes() == want.tobytes(), (name, found, want)
def address(x):
    if backend == "torch":
        return x.data_ptr()
    return memory.address(x) if backend == "numpy" else x.unsafe_buffer_pointer()
"""

END = """
assert keras.backend.backend() == backend
print("done")
"""


def expectations(path):
    """What Keras draws on TensorFlow, as raw bytes where NumPy cannot save the dtype."""
    values = {}
    for dtype in DTYPES:
        for name, config in SEEDED.items():
            for seed in (42, 2**31 + 5):
                init = getattr(keras.initializers, name)(seed=seed, **config)
                values[f"{name} {seed} {dtype}"] = init(SHAPE, dtype)
            generator = keras.random.SeedGenerator(7)
            init = getattr(keras.initializers, name)(seed=generator, **config)
            for call in range(2):
                values[f"{name} generator {call} {dtype}"] = init(SHAPE, dtype)
        for name, config in CONSTANT.items():
            values[f"{name} {dtype}"] = getattr(keras.initializers, name)(**config)(SHAPE, dtype)
    for seed in (42, 7):
        values[f"Orthogonal {seed}"] = keras.initializers.Orthogonal(2.0, seed=seed)((9, 20))
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    for i, weight in enumerate(model.weights):
        values[f"model {i}"] = weight.value
    np.savez(path, **{name: np.asarray(bits(value)) for name, value in values.items()})
    return path


def bits(value):
    return tf.bitcast(value, tf.uint16) if value.dtype == tf.bfloat16 else value


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = expectations(tmp_path_factory.mktemp("keras") / "expected.npz")

    def run(backend, code, **environment):
        if backend != "numpy" and importlib.util.find_spec(backend) is None:
            pytest.skip(f"needs {backend}")
        changed = {"KERAS_BACKEND": backend, "EXPECTED": path} | environment
        assert run_python(START + code + END, env=changed).stdout.endswith("done\n")

    return run


by_backend = pytest.mark.parametrize("backend", ["numpy", "jax", "torch"])


@by_backend
def test_g3_every_backend_has_the_weights_of_tensorflow(run, backend):
    """G3: classes and accelerate() alike, ints and SeedGenerators, all four dtypes."""
    code = f"""
for dtype in {DTYPES}:
    if backend == "jax" and dtype == "float64":
        __import__("jax").config.update("jax_enable_x64", True)
    for names, configs in (("seeded", {SEEDED}), ("constant", {CONSTANT})):
        for name, config in configs.items():
            for kind in (getattr(pk, name), getattr(KI, name)):
                with pk.accelerate():
                    if names == "constant":
                        check(f"{{name}} {{dtype}}", kind(**config)({SHAPE}, dtype), dtype)
                        continue
                    for seed in (42, 2**31 + 5):
                        init = kind(seed=seed, **config)
                        check(f"{{name}} {{seed}} {{dtype}}", init({SHAPE}, dtype), dtype)
                    init = kind(seed=keras.random.SeedGenerator(7), **config)
                    for call in range(2):
                        x = init({SHAPE}, dtype)
                        check(f"{{name}} generator {{call}} {{dtype}}", x, dtype)
assert "tensorflow" not in sys.modules
"""
    run(backend, code)


@by_backend
def test_a_model_under_accelerate_and_install(run, backend):
    run(
        backend,
        """
def build():
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(2)])
def is_tensorflows(model):
    weights = [array(keras.ops.convert_to_numpy(w.value)) for w in model.weights]
    return all((w == expected[f"model {i}"]).all() for i, w in enumerate(weights))
call = KI.VarianceScaling.__call__
with pk.accelerate():
    assert is_tensorflows(build())
assert KI.VarianceScaling.__call__ is call
assert not is_tensorflows(build())
pk.install()
model = build()
assert is_tensorflows(model)
pk.uninstall()
assert KI.VarianceScaling.__call__ is call
if backend != "numpy":
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 6), "f4"), np.ones((8, 2), "f4"), verbose=0)
    assert not is_tensorflows(model)
""",
    )


@by_backend
def test_g4_weights_are_handed_over_without_a_copy(run, backend):
    """G4: the tensor's address is the one that was filled."""
    run(
        backend,
        f"""
from philinit.keras import memory as _keras_handover
filled = []
original = _keras_handover._array
def recording(*args, **keywords):
    filled.append(original(*args, **keywords))
    return filled[-1]
_keras_handover._array = recording
for dtype in {DTYPES}:
    if backend == "jax" and dtype == "float64":
        __import__("jax").config.update("jax_enable_x64", True)
    x = pk.HeNormal(seed=1)((300, 200), dtype)
    v = keras.Variable(pk.HeNormal(seed=1), shape=(300, 200), dtype=dtype)
    if backend == "jax":  # which allocates, and overwrites the weights in its first step
        assert not x.committed
        place = address(v.value)
        step = __import__("jax").jit(lambda w: w * 0.5, donate_argnums=0)
        v._value = step(v.value)
        assert address(v.value) == place, dtype
        continue
    assert address(x) == memory.address(filled[-2]), dtype
    if backend != "numpy":  # where Keras copies every initial value
        assert address(v.value) == memory.address(filled[-1]), dtype
for shape in ((), (0, 3)):
    assert tuple(pk.RandomNormal(seed=1)(shape).shape) == shape
del filled[:]
assert float(keras.ops.std(x)) > 0  # the tensor keeps the memory alive
""",
    )


@by_backend
def test_orthogonal_is_tensorflows_up_to_rounding(run, backend):
    run(
        backend,
        """
for seed in (42, 7):
    want = expected[f"Orthogonal {seed}"]
    found = array(pk.Orthogonal(2.0, seed=seed)((9, 20)))
    assert found.dtype == np.float32 and abs(found - want).max() < 1e-5
    with pk.accelerate():
        assert (array(KI.Orthogonal(2.0, seed=seed)((9, 20))) == found).all()
    half = keras.ops.convert_to_numpy(pk.Orthogonal(seed=seed)((20, 9), "float16"))
    assert half.dtype == np.float16
    assert abs(half.T.astype("f8") @ half - np.eye(9)).max() < 2.0**-8
    native = pk.Orthogonal(seed=seed, sampler="native")((20, 9))
    import philinit
    assert array(native).tobytes() == philinit.Orthogonal(seed=seed)((20, 9)).tobytes()
""",
    )


@by_backend
def test_what_only_keras_can_draw_is_refused_or_left_to_it(run, backend):
    run(
        backend,
        """
def refused(call, error, text):
    try:
        call()
    except error as e:
        assert text in str(e), e
    else:
        raise AssertionError(text)
init = pk.RandomNormal(seed=1)
refused(lambda: init((3,), "int32"), ValueError, "`dtype` must be one of float32")
refused(lambda: init((3, None)), ValueError, "`shape` must be a tuple of ints >= 0; got shape=(3")
refused(lambda: pk.RandomNormal(mean=[1.0])((3,)), ValueError, "`mean` must be a number of Python")
refused(lambda: pk.RandomNormal(stddev=-1), ValueError, "`stddev` must not be negative")
if backend != "jax":
    refused(lambda: init((3,), layout="x"), NotImplementedError, "`layout` must be None on Keras's")
theirs = KI.RandomNormal(stddev=-1.0, seed=3)
def outcome():
    try:
        return array(theirs((5,))).tolist()
    except Exception as error:
        return str(error)
want = outcome()
with pk.accelerate():
    assert outcome() == want
assert array(pk.Ones()((3,), "int32")).tolist() == [1, 1, 1]
assert array(pk.Constant(2)((3,), "int32")).tolist() == [2, 2, 2]
""",
    )


def test_jax_layouts_each_device_computes_its_own_part(run):
    run(
        "jax",
        """
import jax
from philinit.jax import arrays
parts = []
original = arrays.filled
def recording(init, target, *rest):
    parts.append(target.part)
    return original(init, target, *rest)
d = keras.distribution
mesh = d.DeviceMesh((2, 2), ("batch", "model"), d.list_devices())
layouts = d.LayoutMap(mesh)
layouts[".*kernel"] = (None, "model")
layouts[".*embeddings"] = ("model", None)
def build(initializer):
    keras.utils.set_random_seed(3)
    return keras.Sequential([
        keras.Input((5,), dtype="int32"),
        keras.layers.Embedding(10, 6, embeddings_initializer=initializer),
        keras.layers.Dense(8, kernel_initializer=initializer, bias_initializer=pk.Ones()),
        keras.layers.Dense(4, kernel_initializer=pk.Orthogonal(seed=1)),
    ])
whole = [array(w.value) for w in build(pk.HeNormal(seed=5)).weights]
arrays.filled = recording
with d.ModelParallel(layout_map=layouts, batch_dim_name="batch").scope():
    model = build(pk.HeNormal(seed=5))
    # The bias is not cut, and an orthogonal matrix is drawn whole.
    cut = [part.size for part in parts if part and part.global_shape in ((10, 6), (6, 8))]
    assert cut == [30, 30, 24, 24], parts
    for w, want in zip(model.weights, whole):
        assert (array(w.value) == want).all(), w.path
    kernel = model.layers[1].kernel.value
    assert kernel.sharding.spec == jax.sharding.PartitionSpec(None, "model"), kernel.sharding
    assert kernel.addressable_shards[0].data.shape == (6, 4)
    assert model.layers[0].embeddings.value.addressable_shards[0].data.shape == (5, 6)
    del parts[:]
    with pk.accelerate():
        again = build(KI.HeNormal(seed=5))
    assert parts
    for w, want in zip(again.weights, whole):
        assert (array(w.value) == want).all(), w.path
    assert again.layers[1].kernel.value.sharding == kernel.sharding
    again.compile("sgd", "mse")
    again.fit(np.ones((8, 5), "i4"), np.ones((8, 5, 4), "f4"), verbose=0)
def drawn(names, stddev=0.5):
    generator = keras.random.SeedGenerator(4)
    inits = [
        names.HeNormal(seed=generator),
        names.Orthogonal(seed=generator),
        names.Constant(0.5),
        names.RandomNormal(stddev=stddev, seed=generator),
    ]
    model = keras.Sequential([
        keras.Input((4,)), *(keras.layers.Dense(4, kernel_initializer=init) for init in inits)])
    return [array(w.value).tolist() for w in model.weights], generator.state.value.tolist()
want = drawn(pk)
theirs = drawn(keras.initializers, -0.5)[0][6]
with d.ModelParallel(layout_map=layouts, batch_dim_name="batch").scope():
    assert drawn(pk) == want
    with pk.accelerate():
        assert drawn(keras.initializers) == want
        assert drawn(keras.initializers, -0.5)[0][6] == theirs  # which Keras draws itself
layout = d.TensorLayout(("model", None), mesh)
for init in (pk.HeNormal(seed=5), pk.Zeros(), pk.Identity(2.0), pk.Orthogonal(seed=5)):
    x = init((8, 6), layout=layout)
    assert x.addressable_shards[0].data.shape == (4, 6)
    assert (array(x) == array(init((8, 6)))).all()
""",
        XLA_FLAGS="--xla_force_host_platform_device_count=4",
    )


def test_jax_tracing(run):
    """Weights that are drawn inside jax.jit are the same; a SeedGenerator's state stays one."""
    run(
        "jax",
        f"""
import jax
init = pk.GlorotUniform(seed=42)
check("GlorotUniform 42 float32", jax.jit(lambda: init({SHAPE}))(), "float32")
generator = keras.random.SeedGenerator(7)
init = pk.HeNormal(seed=generator)
@jax.jit
def draw(state):
    with keras.StatelessScope(state_mapping=[(generator.state, state)]) as scope:
        first, second = init({SHAPE}), init({SHAPE})
    return first, second, scope.get_current_value(generator.state)
first, second, state = draw(generator.state.value)
check("HeNormal generator 0 float32", first, "float32")
check("HeNormal generator 1 float32", second, "float32")
assert state.tolist() == [7, 2]
""",
    )
