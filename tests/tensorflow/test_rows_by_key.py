# SPDX-License-Identifier: Apache-2.0
"""Rows by key as TensorFlow's tensors, and a table of TensorFlow's own without a size."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)

INIT = pi.Uniform(-0.05, 0.05, seed=42)
KEYS = [[3, -1], [2**62, 3]]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_rows_are_those_of_the_initializer(dtype):
    found = pit.rows_by_key(INIT, 5, tf.constant(KEYS, tf.int64), dtype)
    assert found.dtype == tf.as_dtype(dtype)
    assert found.numpy().tobytes() == INIT.rows_by_key(5, KEYS, dtype).tobytes()
    assert found.shape == (2, 2, 5)


def test_fans_threads_and_progress():
    init, how, calls = pi.GlorotUniform(seed=1), {"global_shape": (10**6, 8)}, []
    found = pit.rows_by_key(init, 8, [1], threads=1, progress=lambda *c: calls.append(c), **how)
    assert found.numpy().tobytes() == init.rows_by_key(8, [1], **how).tobytes()
    assert calls[-1] == (8, 8)
    assert pit.rows_by_key(init, 8, [], **how).shape == (0, 8)


def test_what_is_refused():
    with pytest.raises(TypeError, match="`init` must be a philinit initializer"):
        pit.rows_by_key("zeros", 5, [1])
    with pytest.raises(TypeError, match="`keys` must be integers; got keys of dtype float32"):
        pit.rows_by_key(INIT, 5, tf.ones(2))
    ragged = tf.ragged.constant([[1], [2, 3]])
    bad = {"dense": ragged, "keys of dtype float32": tf.ones(2), "2\\*\\*64": [2**64]}
    for sentence, keys in bad.items():
        with pytest.raises((TypeError, ValueError), match=f"`keys` must .*{sentence}"):
            tf.function(lambda keys=keys: pit.rows_by_key(INIT, 5, keys))()
    compiled = tf.function(lambda keys: pit.rows_by_key(INIT, 5, keys), jit_compile=True)
    with pytest.raises(NotImplementedError, match=r"XLA .* makes no rows by key"):
        compiled(tf.constant([1]))


class Table:
    """Rows by hashed feature, made when a feature is first seen."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.rows = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, [np.nan] * width)

    def look_up(self, keys: tf.Tensor) -> tf.Tensor:
        found = self.rows.lookup(keys)
        new = tf.unique(keys[tf.math.is_nan(found[:, 0])]).y
        if len(new):
            self.rows.insert(new, pit.rows_by_key(INIT, self.width, new))
            found = self.rows.lookup(keys)
        return found

    def train(self, keys: tf.Tensor, rate: float) -> None:
        """A step down the sum of squares of the rows."""
        with tf.GradientTape() as tape:
            rows = self.look_up(keys)
            tape.watch(rows)
            loss = tf.reduce_sum(rows**2)
        self.rows.insert(keys, rows - rate * tape.gradient(loss, rows))


def test_a_mutable_hash_table_that_adds_rows_on_first_sight():
    """Rows added in any order, evicted and added again, are the same on every server."""
    names = tf.constant([f"feature {i}" for i in range(50)])
    keys = tf.strings.to_hash_bucket_strong(names, 2**62, [7, 9])
    wanted = INIT.rows_by_key(16, keys.numpy())
    one, other = Table(16), Table(16)
    for batch in (keys[:20], keys[10:30], tf.repeat(keys[30:], 2)):
        one.look_up(batch)
    other.look_up(keys[::-1])
    for table in (one, other):
        assert table.rows.size() == 50
        assert table.look_up(keys).numpy().tobytes() == wanted.tobytes()
    one.train(keys, 0.25)
    assert one.look_up(keys).numpy().tobytes() == (wanted * np.float32(0.5)).tobytes()
    one.rows.remove(keys[5:15])
    assert one.rows.size() == 40
    again = one.look_up(keys).numpy()
    assert again[5:15].tobytes() == wanted[5:15].tobytes()
    assert again[15:].tobytes() == (wanted[15:] * np.float32(0.5)).tobytes()


@pytest.mark.parametrize("kind", ["int64", "uint64", "int32", "uint8"])
def test_rows_of_a_graph_are_those_of_the_initializer(kind):
    numbers = {"int64": [5, -5, 2**62], "uint64": [2**64 - 5, 2**63, 1], "int32": [-1, 7, -(2**31)]}
    keys = np.array(numbers.get(kind, [255, 0, 3]), kind)
    init = pi.GlorotUniform(seed=1)

    @tf.function(input_signature=[tf.TensorSpec([None], kind)])
    def rows(keys):
        return pit.rows_by_key(init, (2, 3), keys, "bfloat16", global_shape=(10, 2, 3))

    found, wanted = rows(tf.constant(keys)), init.rows_by_key((2, 3), keys, global_shape=(10, 2, 3))
    assert rows.get_concrete_function().output_shapes.as_list() == [None, 2, 3]
    assert found.numpy().tobytes() == wanted.astype(found.dtype.as_numpy_dtype).tobytes()


def test_keys_that_a_graph_knows_and_those_of_a_variable():
    variable = tf.Variable([3, -1], dtype=tf.int64)
    for keys in ([3, -1], 2**64 - 1, np.array([7], np.uint64), variable):
        found = tf.function(lambda keys=keys: pit.rows_by_key(INIT, 4, keys))()
        values = keys.numpy() if keys is variable else keys
        assert found.numpy().tobytes() == INIT.rows_by_key(4, values).tobytes()


def test_rows_of_a_dataset():
    data = tf.data.Dataset.from_tensor_slices(tf.constant(KEYS, tf.int64))
    found = list(data.map(lambda keys: pit.rows_by_key(INIT, 4, keys), num_parallel_calls=2))
    for rows, keys in zip(found, KEYS, strict=True):
        assert rows.numpy().tobytes() == INIT.rows_by_key(4, keys).tobytes()
