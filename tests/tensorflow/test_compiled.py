# SPDX-License-Identifier: Apache-2.0
"""Functions that XLA compiles (jit_compile=True): the kernels' bits, or one clear sentence."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi
from philinit import distributions
from philinit.initializers.seeded import KeyedDistribution
from tests.support import reference as r
from tests.support import reference_words as rw

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)


def compiled(function, *arguments):
    return tf.function(function, jit_compile=True)(*arguments)


def same(found, expected):
    """Whether the bytes are the same, and the shape."""
    found = found.numpy()
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


class Negated(pi.GlorotUniform):
    """Writes something else than what it draws."""

    def _write(self, target):
        super()._write(target)
        np.negative(target.view, out=target.view)


INITS = [
    pi.GlorotUniform(seed=1),  # a middle of 0: no sum
    pi.Uniform(0.0, 1.0, seed=2),
    pi.Uniform(1 / 3, 0.9, seed=3),
    pi.Uniform(-1e-20, 1e-3, seed=3),
    pi.Normal(0.0, 0.05, seed=2**127),
    pi.Normal(1 / 3, 0.7, seed=5),
    pi.HeNormal(seed=6),  # truncated at -2 and 2
    pi.TruncatedNormal(-7.7, 0.05, seed=7),
    pi.Constant(1e-3),
]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("init", INITS, ids=lambda init: type(init).__name__)
def test_the_bits_are_those_of_eager_code(init, dtype):
    if dtype != "float32" and getattr(init, "low", 0.0) == -1e-20:
        init = pi.Uniform(-1e-5, 1e-3, seed=3)  # numbers that float16 has
    shape = (1001, 67)
    expected = init(shape, dtype)
    assert same(compiled(lambda: pit.to_tensor(init, shape, dtype)), expected)


@pytest.mark.parametrize("init", INITS[:-1], ids=lambda init: type(init).__name__)
def test_the_bits_are_those_of_the_oracle(init):
    expected = r.weights(init.distribution_for((300,)), r.FLOAT32, init.key, 0, 300)
    assert same(compiled(lambda: pit.to_tensor(init, 300)), expected)


@pytest.mark.parametrize("init", INITS[:-1], ids=lambda init: type(init).__name__)
def test_extreme_words(monkeypatch, init):
    from philinit.tensorflow import compiled as module

    words = r.extreme_words(r.FLOAT32)
    distribution = init.distribution_for((len(words), 1))

    def program(words):
        monkeypatch.setattr(module, "_words", lambda index, origin, key: words)
        return pit.to_tensor(KeyedDistribution(distribution, init.key), (len(words), 1))[:, 0]

    found = compiled(program, tf.constant(words.view(np.int32)))
    assert same(found, r.weights_of(words, distribution, r.FLOAT32))


@pytest.mark.parametrize("base", [2**32 - 3, 2**64 - 3, 2**128 - 3])
def test_counters_carry_into_all_words(base):
    key, uniform = pi.Key((1, 2**32 - 1), base), distributions.Uniform(-0.5, 0.5)
    expected = r.weights(uniform, r.FLOAT32, key, 0, 64)
    assert same(compiled(lambda: pit.to_tensor(KeyedDistribution(uniform, key), 64)), expected)


@pytest.mark.parametrize(
    "index",
    [..., 3, slice(2, 2), (slice(1, 4), slice(3, 5)), (slice(1, 5), 2, slice(1, 3)), (2, 1, 5)],
    ids=str,
)
def test_parts_are_those_of_the_whole(index):
    init, shape = pi.GlorotUniform(seed=1), (5, 6, 7)
    assert same(compiled(lambda: pit.to_tensor(init, shape, shard=index)), init(shape)[index])


def test_empty_tensors_and_scalars():
    init = pi.Uniform(-0.5, 0.5, seed=1)
    for shape in ((), (0,), (3, 0, 2)):
        assert same(compiled(lambda shape=shape: pit.to_tensor(init, shape)), init(shape))


def test_a_part_of_a_tensor_that_no_memory_holds():
    init, shape, first = pi.GlorotUniform(seed=7), (1 << 90, 128), (1 << 90) - 2
    key = rw.key_of_seed(7)
    expected = r.weights(init.distribution_for(shape), r.FLOAT32, key, first * 128, 256)
    found = compiled(lambda: pit.to_tensor(init, shape, shard=slice(first, first + 2)))
    assert same(found, expected.reshape(2, 128))
    with pytest.raises(NotImplementedError, match=r"must span at most 2\*\*62 weights; got"):
        compiled(lambda: pit.to_tensor(init, shape, shard=(slice(None, None), slice(0, 1))))


@pytest.mark.parametrize("init", [INITS[0], INITS[-1]], ids=["uniform", "constant"])
def test_rows_by_number(init):
    shape = (1 << 50, 3, 5)
    ids = np.array([[7, (1 << 50) - 1, 0], [7, 1 << 50, -1]])
    found = compiled(lambda ids: pit.rows(init, shape, ids), tf.constant(ids)).numpy()
    assert found[0].tobytes() == init.rows(shape, ids[0]).tobytes()
    assert found[1, 0].tobytes() == init.rows(shape, 7).tobytes()
    assert np.isnan(found[1, 1:]).all()  # rows that there are not


def test_the_initial_value_of_a_variable_is_filled_in_place_before():
    """TensorFlow lifts it out, so that all can be drawn that eager code draws."""
    made, init = [], pi.Orthogonal(seed=1)

    @tf.function(jit_compile=True)
    def step():
        if not made:
            made.append(tf.Variable(lambda: pit.initializer(init)((6, 4))))
        return made[0] + 0

    assert same(step(), init((6, 4)))


@pytest.mark.parametrize(
    ("init", "dtype", "told"),
    [
        (pi.Orthogonal(seed=1), "float32", r"got init=Orthogonal\(seed=1\) in float32"),
        (pi.GlorotUniform(seed=1), "float64", "in float64: call it outside of the function"),
        (pi.HeUniform(seed=1, sampler="tensorflow"), "float32", "sampler='tensorflow'"),
        (pi.TruncatedNormal(0.0, 1.0, -1.0, 1.0, seed=1), "float32", "lower=-1.0, upper=1.0"),
        (pi.Identity(), "float32", "got init=Identity"),
        (Negated(seed=1), "float32", r"got init=Negated\(seed=1\)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_xla_cannot_draw_is_refused_while_it_is_traced(init, dtype, told):
    match = rf"XLA \(jit_compile=True\) draws Uniform, .*{told}"
    with pytest.raises(NotImplementedError, match=match):
        compiled(lambda: pit.to_tensor(init, (4, 3), dtype))


def test_a_shape_that_is_not_known_is_refused_while_it_is_traced():
    with pytest.raises(NotImplementedError, match="`shape` must be known when XLA compiles"):
        compiled(lambda n: pit.to_tensor(INITS[0], (n, 3)), tf.constant(2))
    with pytest.raises(NotImplementedError, match="`progress` must be left out"):
        compiled(lambda: pit.to_tensor(INITS[0], (2, 3), progress=print))


def test_what_was_traced_before_xla_came_names_us():
    """Nobody can know then: TensorFlow's own error has our name in it."""
    inner = tf.function(lambda: pit.to_tensor(INITS[0], (4, 3)))
    inner()
    with pytest.raises(tf.errors.InvalidArgumentError, match="philinit_calls_Python"):
        compiled(inner)
