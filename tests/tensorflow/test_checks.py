# SPDX-License-Identifier: Apache-2.0
"""What no function of philinit.tensorflow takes: initializers, shapes, dtypes, calls in graphs."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from philinit.filling import memory

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from tests.support.tensorflow_memory import (  # noqa: E402
    Pattern,
)


@pytest.mark.parametrize("init", [None, 3, "glorot_uniform", np.zeros(3), Pattern, lambda shape: 0])
def test_what_is_no_initializer(init):
    v = tf.Variable(tf.zeros(3))
    for call in (pit.variable, pit.to_tensor):
        with pytest.raises(TypeError, match="`init` must be a philinit initializer such as"):
            call(init, (3,))
    with pytest.raises(TypeError, match="`init` must be a philinit initializer such as"):
        pit.fill(v, init)


@pytest.mark.parametrize(
    ("shape", "error", "text"),
    [
        ((2, -1), ValueError, "negative"),
        ((2.0,), TypeError, "ints"),
        ((True,), TypeError, "ints"),
        (None, TypeError, "ints"),
        ("ab", TypeError, "ints"),
        (tf.TensorShape([None, 3]), ValueError, r"fully defined; got shape=\(None, 3\)"),
        (tf.TensorShape(None), ValueError, "fully defined; got shape=<unknown>"),
        ((1,) * 300, ValueError, "one that TensorFlow can hold"),
        ((2**40, 2**40, 0), ValueError, "one that TensorFlow can hold"),
        (
            (2**47,),
            MemoryError,
            r"shape \(140737488355328,\) and dtype float32 needs 562949953421312",
        ),
        (
            (2**20, 2**28),
            MemoryError,
            "needs 1125899906842624 bytes; there is not that much memory",
        ),
        ((2**70,), MemoryError, "there is not that much memory"),
    ],
    ids=lambda s: str(s)[:20],
)
def test_shapes_that_cannot_be(shape, error, text):
    init = Pattern()
    for call in (pit.variable, pit.to_tensor):
        with pytest.raises(error, match=text):
            call(init, shape)
    assert init.given == []


@pytest.mark.parametrize("dtype", ["int32", tf.int64, tf.string, np.complex64, "float8_e5m2", "no"])
def test_dtypes_that_cannot_be(dtype):
    with pytest.raises(ValueError, match="`dtype` must be one of float32"):
        pit.variable(Pattern(), (3,), dtype)


def test_graphs_are_refused():
    v = pit.variable(Pattern(), (3,))
    a = memory.empty((3,), np.dtype(np.float32))
    for name, call in {
        "variable": lambda: pit.variable(Pattern(), (3,)),
        "fill": lambda: pit.fill(v, Pattern()),
        "from_dlpack": lambda: pit.from_dlpack(a),
    }.items():
        text = f"philinit.tensorflow.{name} must be called eagerly"
        with tf.Graph().as_default(), pytest.raises(NotImplementedError, match=text):
            call()
        with pytest.raises(NotImplementedError, match=text):
            tf.function(call, autograph=False)()
