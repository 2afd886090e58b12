# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow.from_dlpack: memory of others, shared, kept alive, never written."""

import gc
import os
import weakref

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from philinit.dtypes import as_dtype
from philinit.filling import memory

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
def test_import_shares_the_memory(dtype, shape):
    values = Pattern().values(shape, dtype)
    a = memory.empty(shape, values.dtype)
    a[...] = values
    t = pit.from_dlpack(a)
    assert same(t, values)
    if shape and a.size:
        assert address(t) == memory.address(a)
        a[...] = 0
        assert same(t, np.zeros_like(values))


@by_dtype
def test_an_import_lives_as_long_as_tensorflow_uses_it(dtype):
    raw = np.zeros(4096, np.uint8)
    where = -memory.address(raw) % 64
    a = raw[where : where + 1024].view(as_dtype(dtype))
    a[:] = 7
    alive = weakref.ref(raw)
    v = tf.Variable(pit.from_dlpack(a))
    del raw, a
    gc.collect()
    assert alive() is not None
    assert (v.numpy() == 7).all()
    del v
    gc.collect()
    assert alive() is None


def test_an_imported_variable_copies_at_its_first_update_as_documented():
    a = memory.empty((64,), np.dtype(np.float32))
    a[:] = 1
    v = tf.Variable(pit.from_dlpack(a))
    assert address(v) == memory.address(a)
    v.assign_add(tf.ones(64))
    assert address(v) != memory.address(a)
    assert (a == 1).all()
    assert (v.numpy() == 2).all()


@pytest.mark.parametrize("step", [1, 2, 4, 16, 32])
def test_a_misaligned_import_is_refused_before_tensorflow_dies_of_it(step):
    raw = memory.empty((256,), np.dtype(np.float64)).view(np.uint8)
    a = raw[step : step + 1024].view(np.float64)
    with pytest.raises(ValueError, match=rf"multiple of 64 bytes.*got address % 64 == {step}:"):
        pit.from_dlpack(a)


def test_imports_that_cannot_be():
    a = memory.empty((8, 8), np.dtype(np.float32))
    with pytest.raises(ValueError, match="`array` must be C-contiguous"):
        pit.from_dlpack(a.T)
    with pytest.raises(ValueError, match="`array` must hold float32"):
        pit.from_dlpack(a.view(np.int32))
    with pytest.raises(TypeError, match="`array` must be a NumPy array"):
        pit.from_dlpack([1.0])
    with pytest.raises(TypeError, match="EagerTensor"):
        pit.from_dlpack(tf.zeros(3))
    a.flags.writeable = False
    with pytest.raises(ValueError, match="`array` must be writable"):
        pit.from_dlpack(a)


def test_imports_may_outlive_the_interpreter():
    run("""
import tensorflow as tf, ml_dtypes, philinit.tensorflow as pit
from philinit.filling import memory
kept = []
for dtype in (np.dtype(np.float32), np.dtype(ml_dtypes.bfloat16)):
    a = memory.empty((1000, 1000), dtype)
    a[...] = 1
    kept += [pit.from_dlpack(a), tf.Variable(pit.from_dlpack(a)), tf.function(lambda: kept[0] + 1)]
kept[2]()
kept.append(kept)
tf.immortal = kept
""")
