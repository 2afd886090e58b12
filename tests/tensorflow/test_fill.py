# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow.fill: a variable written again in its own memory, and nobody else's."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from philinit.filling import memory

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from tests.support.tensorflow_memory import (  # noqa: E402
    Pattern,
    address,
    by_dtype,
    by_shape,
    same,
)


@by_dtype
@by_shape
def test_fill_replaces_the_values(dtype, shape):
    v = pit.variable(Pattern(), shape, dtype)
    init = Pattern(20)
    assert pit.fill(v, init, threads=2) is v
    assert init.given == [(shape, dtype, 2)]
    assert same(v, init.values(shape, dtype))


@by_dtype
@pytest.mark.parametrize("mode", ["fresh", "trained", "copy on read"])
def test_fill_writes_in_place_where_the_memory_is_the_variables_own(dtype, mode):
    v = pit.variable(Pattern(), (16, 4), dtype)
    where = address(v)
    if mode == "trained":
        v.assign_add(tf.ones((16, 4), dtype))
    if mode == "copy on read":
        tf.gather(v, [0])
        assert address(v) != where
    init = Pattern(20)
    pit.fill(v, init)
    assert init.address == where
    assert address(v) == where
    assert same(v, init.values((16, 4), dtype))
    v.assign_add(tf.ones((16, 4), dtype))
    assert address(v) == where


@by_dtype
@pytest.mark.parametrize("sharing", ["variable", "tensor", "slice", "view", "import"])
@pytest.mark.parametrize("copy_on_read", [False, True])
def test_fill_leaves_those_alone_who_share_the_memory(dtype, sharing, copy_on_read):
    old = Pattern().values((16, 4), dtype)
    v = pit.variable(Pattern(), (16, 4), dtype)
    if sharing == "variable":
        other = tf.Variable(v)
        assert address(other) == address(v)
    elif sharing == "tensor":
        other = v.read_value()
        assert address(other) == address(v)
    elif sharing == "slice":
        other = tf.reshape(v.read_value(), [64])[:32]  # 64 bytes or more: TensorFlow shares it
        old = old.reshape(64)[:32]
        assert address(other) == address(v)
    elif sharing == "view":
        other = np.asarray(v.read_value())
    else:
        imported = memory.empty((16, 4), old.dtype)
        imported[...] = old
        v = tf.Variable(pit.from_dlpack(imported))
        other = imported
        assert address(v) == memory.address(imported)
    if copy_on_read:
        tf.gather(v, [0])
    init = Pattern(20)
    pit.fill(v, init)
    assert same(v, init.values((16, 4), dtype))
    assert (np.asarray(other).astype(old.dtype) == old).all()
    v.assign_add(tf.ones((16, 4), dtype))
    assert address(v) == init.address
    assert (np.asarray(other).astype(old.dtype) == old).all()


@pytest.mark.parametrize("shape", [tf.TensorShape(None), tf.TensorShape([None, 3])])
def test_fill_takes_the_shape_that_the_variable_has_now(shape):
    v = tf.Variable(tf.zeros((2, 3)), shape=shape)
    v.assign(tf.zeros((5, 3)))
    init = Pattern()
    pit.fill(v, init)
    assert init.given[0][0] == (5, 3)
    assert same(v, init.values((5, 3)))


def test_fill_takes_keras_variables():
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")
    v = keras.Variable(np.zeros((4, 3), np.float32))
    init = Pattern()
    assert pit.fill(v, init) is v
    assert (v.numpy() == init.values((4, 3))).all()


def test_fill_notices_that_the_variable_was_assigned_meanwhile():
    v = pit.variable(Pattern(), (4, 4))

    class Meddles(Pattern):
        def _write(self, target):
            v.assign(tf.zeros((4, 4)))
            super()._write(target)

    with pytest.raises(RuntimeError, match="may use the variable while it is filled"):
        pit.fill(v, Meddles())
    assert same(v, np.zeros((4, 4), np.float32))


@pytest.mark.parametrize(
    ("target", "error", "text"),
    [
        (lambda: tf.zeros(3), TypeError, "got EagerTensor: tensors are immutable, .*to_tensor"),
        (
            lambda: np.zeros(3),
            TypeError,
            "got ndarray: fill arrays with the initializer's own fill",
        ),
        (lambda: None, TypeError, "must be a tf.Variable; got NoneType"),
        (lambda: tf.Variable([1, 2]), ValueError, "one of float32.*got dtype=int32"),
        (lambda: tf.Variable("text"), ValueError, "one of float32"),
    ],
)
def test_what_is_no_variable_of_weights(target, error, text):
    init = Pattern()
    with pytest.raises(error, match=text):
        pit.fill(target(), init)
    assert init.given == []
