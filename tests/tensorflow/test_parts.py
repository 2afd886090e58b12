# SPDX-License-Identifier: Apache-2.0
"""Parts of variables of one process: whatever is put together equals ``init(shape)``."""

import functools
import itertools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from philinit import tf1  # noqa: E402
from tests.support.tensorflow_memory import (  # noqa: E402
    DTYPES,
)

INIT = pi.GlorotUniform(seed=42)


COUNTS = (1, 2, 3, 4, 8)  # parts of an axis


def cuts(shape, axis, count):
    """Where `count` parts of an axis begin, and their shapes; uneven, as TensorFlow cuts."""
    base, extra = divmod(shape[axis], count)
    lengths = [base + (i < extra) for i in range(count)]
    for start, length in zip(itertools.accumulate([0, *lengths]), lengths, strict=False):
        offset = tuple(start if a == axis else 0 for a in range(len(shape)))
        yield offset, (*shape[:axis], length, *shape[axis + 1 :])


def assembled(draw, shape, axis, count, dtype):
    """All parts of a tensor, each asked for by its shape and offset, put together."""
    parts = [
        draw(shape, dtype, partition_shape=part, partition_offset=offset)
        for offset, part in cuts(shape, axis, count)
    ]
    return np.concatenate([part.numpy() for part in parts], axis)


def same(found, expected):
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


INITS = [
    INIT,
    pi.HeNormal(seed=1, sampler="tensorflow"),
    pi.TruncatedNormal(seed=2, sampler="tensorflow"),
    pi.Orthogonal(seed=3),
    pi.Constant(0.5),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("init", INITS, ids=lambda i: type(i).__name__)
def test_g1_parts_of_every_axis_make_the_whole(init, dtype):
    draw, shape = pit.initializer(init), (5, 9, 10)
    for axis, count in itertools.product(range(3), COUNTS):
        assert same(assembled(draw, shape, axis, count, dtype), init(shape, dtype))


def test_a_part_may_be_cut_along_several_axes_and_lie_in_a_huge_tensor():
    t = pit.initializer(INIT)((9, 8, 7), partition_shape=[2, 3, 4], partition_offset=[7, 1, 0])
    assert same(t.numpy(), np.ascontiguousarray(INIT((9, 8, 7))[7:, 1:4, :4]))
    rows = functools.partial(pit.initializer(INIT), tf.TensorShape([10**9, 128]))
    t = rows(partition_shape=tf.TensorShape([2, 128]), partition_offset=(999_999_998, 0))
    assert same(t.numpy(), INIT.shard((10**9, 128), slice(999_999_998, 10**9)))


KERAS = ["GlorotNormal", "HeUniform", "RandomUniform", "TruncatedNormal", "Orthogonal", "Identity"]


@pytest.mark.parametrize("name", [*KERAS, "Zeros", "Ones", "Constant"])
def test_g3_parts_of_keras_initializers_make_keras_whole(name):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend")
    pk = pytest.importorskip("philinit.keras")
    arguments = {} if name in ("Identity", "Zeros", "Ones", "Constant") else {"seed": 4}
    if name == "Constant":  # not 0.0, for which TensorFlow may have kept an earlier -0.0
        arguments = {"value": 0.5}
    expected = getattr(keras.initializers, name)(**arguments)((10, 9)).numpy()
    draw = getattr(pk, name)(**arguments)
    for axis, count in itertools.product(range(2), COUNTS):
        assert same(assembled(draw, (10, 9), axis, count, "float32"), expected)


v1 = tf.compat.v1


@pytest.mark.parametrize(
    "draw",
    [
        pit.initializer(INIT),
        tf1.glorot_uniform_initializer(42, sampler="native"),
        tf1.xavier_initializer(False, 42),
    ],
    ids=["initializer", "native", "contrib"],
)
@pytest.mark.parametrize("axis", range(4))
def test_g1_partitioned_variables_of_tensorflow_1_are_the_whole_one_cut(draw, axis):
    shape = [8, 9, 10, 11]

    def variables(partitioner, names):
        return [
            v1.get_variable(name, shape, initializer=draw, partitioner=partitioner(i))
            for i, name in enumerate(names)
        ]

    with tf.Graph().as_default(), v1.Session() as session:
        (whole,) = variables(lambda i: None, ["whole"])
        cut = variables(lambda i: v1.fixed_size_partitioner(COUNTS[i], axis), "abcde")
        session.run(v1.global_variables_initializer())
        expected = session.run(whole)
        for count, variable in zip(COUNTS, cut, strict=True):
            assert len(list(variable)) == count
            assert same(session.run(variable.as_tensor()), expected)
    if isinstance(draw, type(pit.initializer(INIT))):
        assert same(expected, INIT(shape))


INFO = type("Info", (), {"full_shape": [10, 5], "var_offset": [8, 0]})()


@pytest.mark.parametrize(
    ("keywords", "error", "text"),
    [
        ({"partition_shape": (2, 5)}, ValueError, "given together; got partition_shape=.2, 5. and"),
        ({"partition_offset": (2, 0)}, ValueError, "must be given together; got partition_shape=N"),
        (
            {"partition_shape": (3, 5), "partition_offset": (8, 0)},
            ValueError,
            r"the part must stay inside the global shape; got shape=\(10, 5\), partition_shape=",
        ),
        (
            {"partition_shape": (3,), "partition_offset": (8, 0)},
            ValueError,
            "the part must have as many axes as `shape`; got shape=",
        ),
        (
            {"partition_shape": (3, 5), "partition_offset": (-1, 0)},
            ValueError,
            r"`partition_offset` must hold ints >= 0; got partition_offset=\(-1, 0\)",
        ),
        (
            {"partition_shape": (2.5, 5), "partition_offset": (0, 0)},
            TypeError,
            "`partition_shape` must hold ints >= 0; got partition_shape=",
        ),
        (
            {"partition_info": INFO, "partition_shape": (2, 5), "partition_offset": (8, 0)},
            ValueError,
            "by `partition_info`, or by `partition_shape` and `partition_offset`; got both",
        ),
        ({"partition_info": INFO}, ValueError, "`partition_info` must stay inside the global shap"),
    ],
)
def test_parts_that_cannot_be(keywords, error, text):
    with pytest.raises(error, match=text):
        pit.initializer(INIT)((10, 5), **keywords)
    if "partition_info" not in keywords:
        pk = pytest.importorskip("philinit.keras")
        with pytest.raises(error, match=text):
            pk.HeNormal(seed=1)((10, 5), **keywords)


def test_parts_are_for_initializers_with_a_seed_and_kerass_tensorflow_backend(monkeypatch):
    pk = pytest.importorskip("philinit.keras")
    from philinit.keras import memory as keras_memory
    from philinit.keras import parts as keras_parts

    part = {"partition_shape": (2, 5), "partition_offset": (8, 0)}
    seeds = __import__("keras").random.SeedGenerator(1)
    with pytest.raises(NotImplementedError, match="`seed` must be an int for a variable in parts"):
        pk.HeNormal(seed=seeds)((10, 5), **part)
    with pytest.raises(ValueError, match="`dtype` must be one of"):  # Keras itself has no parts
        pk.Constant(1)((10, 5), "int32", **part)
    for module in (keras_memory, keras_parts):
        monkeypatch.setattr(module, "backend", lambda: "numpy")
    with pytest.raises(NotImplementedError, match=r"`partition_shape` must be None on .* numpy"):
        pk.HeNormal(seed=1)((10, 5), **part)
    with pytest.raises(NotImplementedError, match="parts of variables are for Keras's tensorflow"):
        pk.partitioned().__enter__()
