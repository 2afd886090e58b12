# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow.variable and to_tensor: what the initializer writes is what they hold."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from tests.support.tensorflow_memory import (  # noqa: E402
    Pattern,
    address,
    by_dtype,
    by_shape,
    run,
    same,
)


@by_dtype
@by_shape
def test_variable_holds_what_the_initializer_wrote(dtype, shape):
    init = Pattern()
    v = pit.variable(init, shape, dtype, name="weights", trainable=False, threads=3)
    assert isinstance(v, tf.Variable)
    assert (v.name, v.trainable, v.dtype.name) == ("weights:0", False, dtype)
    assert init.given == [(shape, dtype, 3)]
    assert same(v, init.values(shape, dtype))


@by_dtype
@by_shape
def test_to_tensor(dtype, shape):
    init = Pattern()
    t = pit.to_tensor(init, shape, dtype)
    assert isinstance(t, tf.Tensor)
    assert same(t, init.values(shape, dtype))
    if t.shape.num_elements() and shape:
        assert address(t) == init.address


@pytest.mark.parametrize(
    "shape",
    [[2, 3], tf.TensorShape([2, 3]), np.array([2, 3]), (np.int64(2), 3), tf.constant([2, 3])],
    ids=lambda s: type(s).__name__,
)
def test_forms_of_a_shape(shape):
    assert pit.variable(Pattern(), shape).shape == (2, 3)


def test_an_int_is_the_shape_of_a_vector():
    assert pit.to_tensor(Pattern(), 5).shape == (5,)


@pytest.mark.parametrize("dtype", [None, np.float32, np.dtype("f4"), "float32", tf.float32])
def test_forms_of_a_dtype(dtype):
    assert pit.variable(Pattern(), (2,), dtype).dtype is tf.float32


def test_keywords_reach_the_variable_and_the_initializer():
    calls = []
    v = pit.variable(
        Pattern(),
        (4,),
        constraint=tf.nn.relu,
        synchronization=tf.VariableSynchronization.NONE,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(4, 4)]
    assert v.constraint is tf.nn.relu


def test_to_tensor_gives_a_shard_of_the_global_tensor():
    init = pi.GlorotUniform(seed=42)
    part = pit.to_tensor(init, (100, 8), shard=pi.Shard((100, 8), slice(10, 13)))
    assert np.array_equal(part, init((100, 8))[10:13])


@by_dtype
@pytest.mark.parametrize("shape", [(), (5,), (0, 3), (33, 65), (3, 3, 8, 16)])
@pytest.mark.parametrize("name", ["GlorotUniform", "HeNormal", "TruncatedNormal", "Zeros"])
def test_real_initializers_give_the_bits_of_the_ndarray(name, shape, dtype):
    kind = getattr(pi, name)
    init = kind() if name == "Zeros" else kind(seed=42)
    expected = init(shape, dtype=dtype).tobytes()
    v = pit.variable(init, shape, dtype)
    assert v.numpy().tobytes() == expected
    assert pit.to_tensor(init, shape, dtype).numpy().tobytes() == expected
    v.assign(tf.ones(shape, dtype))
    assert pit.fill(v, init).numpy().tobytes() == expected
    assert pit.from_dlpack(init(shape, dtype=dtype)).numpy().tobytes() == expected


def test_without_tensorflow_the_import_says_what_to_install():
    out = run("""
import sys
sys.modules["tensorflow"] = None
try:
    import philinit.tensorflow
except ImportError as error:
    print(error)
""")
    assert out == 'philinit.tensorflow needs TensorFlow: pip install "philinit[tensorflow]"\n'
