# SPDX-License-Identifier: Apache-2.0
"""Rows by number as an operation: eager, in graphs, in tf.data, without a copy."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from philinit.tensorflow import memory  # noqa: E402
from tests.support.tensorflow_memory import Pattern, address, by_dtype, run  # noqa: E402

INIT, SHAPE = pi.GlorotUniform(seed=42), (9, 2, 3)
IDS = np.array([[3, 8], [3, 0]])
UNKNOWN = tf.TensorSpec(None, tf.int32)


class Own(pi.GlorotUniform):
    """An initializer that only this process has."""


def same(found, expected):
    found = found.numpy()
    return found.shape == expected.shape and found.tobytes() == expected.tobytes()


@pytest.fixture
def written(monkeypatch):
    """Where philinit has written tensors."""
    places, filled = [], memory.filled

    def watched(*arguments):
        tensor = filled(*arguments)
        places.append(address(tensor))
        return tensor

    monkeypatch.setattr(memory, "filled", watched)
    return places


@by_dtype
@pytest.mark.parametrize("kind", [tf.int32, tf.int64, tf.uint8], ids=lambda kind: kind.name)
def test_the_rows_are_those_of_the_whole(dtype, kind):
    expected = INIT(SHAPE, dtype)[IDS]
    call = tf.function(lambda ids: pit.rows(INIT, SHAPE, ids, dtype))
    for ids in (IDS, IDS.tolist(), tf.constant(IDS, kind), tf.Variable(IDS)):
        assert same(pit.rows(INIT, SHAPE, ids, dtype), expected)
    assert same(call(tf.constant(IDS, kind)), expected)
    for ids in (IDS, IDS.tolist(), tf.Variable(IDS)):
        assert same(tf.function(lambda ids=ids: pit.rows(INIT, SHAPE, ids, dtype))(), expected)


@pytest.mark.parametrize(
    "init",
    [pi.HeNormal(seed=2, sampler="tensorflow"), pi.Constant(0.5), Own(seed=3), pi.GlorotUniform()],
    ids=lambda init: type(init).__name__,
)
@pytest.mark.parametrize("ids", [5, [], [0, 0, 8]], ids=str)
def test_any_initializer(init, ids):
    ids = np.array(ids, np.int64)
    expected = init((9, 6))[ids]
    assert same(pit.rows(init, (9, 6), ids), expected)
    assert same(tf.function(lambda ids: pit.rows(init, (9, 6), ids))(tf.constant(ids)), expected)


def test_orthogonal_rows():
    init = pi.Orthogonal(seed=3)
    call = tf.function(lambda ids: pit.rows(init, (9, 6), ids))
    assert same(call(tf.constant([8, 1])), init((9, 6))[[8, 1]])


def test_a_table_that_no_memory_holds():
    shape, ids = (1 << 55, 128), [0, 12_345_678_901, (1 << 55) - 1]
    call = tf.function(lambda ids: pit.rows(INIT, shape, ids, threads=1))
    assert same(call(tf.constant(ids, tf.int64)), INIT.rows(shape, ids))


def test_a_pipeline_of_tf_data():
    steps = tf.data.Dataset.from_tensor_slices(np.arange(8, dtype=np.int32))
    steps = steps.batch(3).map(lambda ids: (ids, pit.rows(INIT, SHAPE, ids)), num_parallel_calls=2)
    assert steps.element_spec[1] == tf.TensorSpec((None, 2, 3), tf.float32)
    whole = INIT(SHAPE)
    found = [(ids.numpy(), rows) for ids, rows in steps]
    assert [len(ids) for ids, _ in found] == [3, 3, 2]
    assert all(same(rows, whole[ids]) for ids, rows in found)


def test_g4_no_copy_is_made(written):
    ids = tf.constant(IDS)
    for init in (INIT, Pattern()):
        made = [
            pit.rows(init, SHAPE, ids),
            tf.function(lambda ids, init=init: pit.rows(init, SHAPE, ids))(ids),
            *tf.data.Dataset.from_tensors(ids).map(lambda i, init=init: pit.rows(init, SHAPE, i)),
        ]
        assert [address(tensor) for tensor in made] == written
        written.clear()


@pytest.mark.parametrize("bad", [9, -1])
def test_a_number_of_no_row(bad):
    told = rf"`ids` must lie in \[0, 9\), the rows that there are; got {bad}"
    call = tf.function(lambda ids: pit.rows(INIT, SHAPE, ids))
    with pytest.raises(ValueError, match=told):
        pit.rows(INIT, SHAPE, [0, bad])
    with pytest.raises(ValueError, match=told):  # a graph that knows the number
        tf.function(lambda: pit.rows(INIT, SHAPE, tf.constant([0, bad])))()
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        call(tf.constant([0, bad]))
    steps = tf.data.Dataset.from_tensor_slices([0, bad]).map(lambda i: pit.rows(INIT, SHAPE, i))
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        list(steps)
    own = tf.function(lambda ids: pit.rows(Own(seed=1), SHAPE, ids))
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        own(tf.constant([0, bad]))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize(
    ("shape", "ids", "error", "told"),
    [
        (SHAPE, 0.5, TypeError, "`ids` must be integers; got ids of dtype float"),
        (SHAPE, tf.constant([0.5]), TypeError, "`ids` must be integers; got ids of dtype float32"),
        (SHAPE, tf.ragged.constant([[1], [2, 3]]), TypeError, "`ids` must be .*; got"),
        ((), 0, ValueError, "`global_shape` must have at least one axis"),
        ((1 << 62, 2), 0, ValueError, r"must hold at most 2\*\*62 elements"),
        (tf.TensorShape([None, 3]), 0, ValueError, "`shape` must be fully defined; got shape"),
        ((9, None), 0, TypeError, "`shape` must hold ints only; got None of type NoneType"),
    ],
    ids=str,
)
def test_what_is_refused(graph, shape, ids, error, told):
    call = tf.function(lambda: pit.rows(INIT, shape, ids)) if graph else None
    with pytest.raises(error, match=told):
        call() if graph else pit.rows(INIT, shape, ids)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_what_is_refused_while_a_graph_is_built(jit_compile):
    def call(shape, ids):
        tf.function(lambda ids: pit.rows(INIT, shape, ids), jit_compile=jit_compile)(ids)

    with pytest.raises(TypeError, match="`ids` must be integers; got ids of dtype float32"):
        call(SHAPE, tf.constant([1.0]))
    with pytest.raises(ValueError, match="`global_shape` must have at least one axis"):
        call((), tf.constant([1]))
    with pytest.raises(ValueError, match=r"must hold at most 2\*\*62 elements"):
        call((1 << 62, 2), tf.constant([1]))


def test_no_gradient_goes_through():
    x, ids = tf.Variable(2.0), tf.constant([1, 2])

    @tf.function
    def in_graph():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(pit.rows(INIT, SHAPE, ids)) * x
        return tape.gradient(loss, x)

    with tf.GradientTape() as tape:
        tape.watch(x)
        rows = pit.rows(INIT, SHAPE, ids)
        loss = tf.reduce_sum(rows) * x
    assert tape.gradient(loss, x) == in_graph() == tf.reduce_sum(rows)


# --- what only the run knows ---------------------------------------------------------------------


def test_a_shape_that_only_the_run_knows():
    whole = INIT((9, 6))

    @tf.function
    def draw(n, like, ids):
        return {
            "list": pit.to_tensor(INIT, [n, 6]),
            "tuple": pit.to_tensor(INIT, (n, tf.constant(6, tf.int64))),
            "vector": pit.to_tensor(INIT, tf.stack([n, 6])),
            "like": pit.to_tensor(INIT, tf.shape(like)),
            "initializer": pit.initializer(INIT)(tf.shape(like), tf.float32),
            "own": pit.to_tensor(Own(seed=42), (n, 6), progress=lambda done, total: None),
            "rows": pit.rows(INIT, (n, 6), ids),
            "rows of own": pit.rows(Own(seed=42), (n, 6), ids),
        }

    found = draw(tf.constant(9), tf.zeros((9, 6)), tf.constant([1, 8]))
    for name, tensor in found.items():
        assert same(tensor, whole[[1, 8]] if "rows" in name else whole), name
    vector = tf.function(lambda n: pit.to_tensor(INIT, n))(tf.constant(5))
    assert same(vector, INIT(5))


def test_of_such_a_shape_the_graph_knows_what_can_be_known():
    spec = tf.TensorSpec([], tf.int32), tf.TensorSpec([None, 6]), tf.TensorSpec([2], tf.int32)

    @tf.function(input_signature=spec)
    def draw(n, like, ids):
        shapes = tf.shape(like), (n, 6)
        made = [pit.to_tensor(INIT, shape) for shape in shapes]
        return *made, pit.rows(INIT, (n, 6), ids)

    found = [tensor.shape.as_list() for tensor in draw.get_concrete_function().outputs]
    assert found == [[None, 6], [None, 6], [2, 6]]


def test_g4_such_a_tensor_is_not_copied_either(written):
    made = tf.function(lambda n: pit.to_tensor(INIT, (n, 6)))(tf.constant(9))
    assert written == [address(made)]


def test_bad_shapes_that_only_the_run_knows():
    draw = tf.function(lambda n: pit.to_tensor(INIT, (n, 6)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must not hold negative dimensions"):
        draw(tf.constant(-2))
    identity = tf.function(lambda n: pit.to_tensor(pi.Identity(), n))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`shape` must have 2 axes for an ide"):
        identity(tf.constant([2]))
    with pytest.raises(TypeError, match="`shape` must be a vector of ints; got shape=Tensor"):
        draw(tf.constant(2.0))
    matrix = tf.function(lambda n: pit.to_tensor(INIT, n))
    with pytest.raises(TypeError, match="`shape` must be a vector of ints; got shape=Tensor"):
        matrix(tf.constant([[2, 3]]))
    shard = tf.function(lambda n: pit.to_tensor(INIT, (n, 6), shard=slice(0, 1)))
    with pytest.raises(ValueError, match="when the graph is built where there is a `shard` of it"):
        shard(tf.constant(2))


def test_a_saved_graph_runs_in_another_process(tmp_path):
    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64)])
        def draw(self, ids):
            return pit.rows(INIT, SHAPE, ids)

    tf.saved_model.save(Module(), str(tmp_path))
    text = run(
        "import tensorflow as tf, philinit.tensorflow\n"
        "draw = tf.saved_model.load(os.environ['SAVED']).draw\n"
        "print(draw(tf.constant([1, 8], tf.int64)).numpy().tobytes().hex())",
        SAVED=str(tmp_path),
    )
    assert text.strip() == INIT(SHAPE)[[1, 8]].tobytes().hex()
