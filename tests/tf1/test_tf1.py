# SPDX-License-Identifier: Apache-2.0
"""philinit.tf1: what TensorFlow 1 gave, bit for bit, in its graphs, variables and partitions.

The oracle is tf.compat.v1 itself; for tf.contrib, prettytensor and Caffe, which are gone, it is
their formula written out here, with TensorFlow's random op of the same seed where bits count.
"""

import copy
import inspect
import json
import math
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from scipy import stats

import philinit
from philinit.keys import Key

tf = pytest.importorskip("tensorflow")
from philinit import tf1  # noqa: E402
from philinit.tf1 import seeds as _tf1_random  # noqa: E402  (TensorFlow may be missing)

v1 = tf.compat.v1

DTYPES = ["float32", "float64", "float16", "bfloat16"]
by_dtype = pytest.mark.parametrize("dtype", DTYPES)

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs"
)

# Name here, name in tf.compat.v1.initializers, arguments: every random one whose bits must agree.
SAME_BITS = [
    ("random_uniform", {}),
    ("random_uniform", {"minval": -0.3, "maxval": 0.1}),
    ("random_uniform", {"minval": 0, "maxval": 3}),
    ("random_uniform", {"minval": 0.3, "maxval": 0.3}),
    ("random_normal", {}),
    ("random_normal", {"mean": 0.5, "stddev": 0.02}),
    ("truncated_normal", {}),
    ("truncated_normal", {"mean": -1.0, "stddev": 0.1}),
    ("uniform_unit_scaling", {"factor": 1.43}),
    ("variance_scaling", {}),
    ("variance_scaling", {"scale": 1.7, "mode": "fan_avg", "distribution": "normal"}),
    ("variance_scaling", {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"}),
    ("variance_scaling", {"scale": 0.3, "mode": "fan_out", "distribution": "uniform"}),
    ("glorot_uniform", {}),
    ("glorot_normal", {}),
    ("he_normal", {}),
    ("he_uniform", {}),
    ("lecun_normal", {}),
    ("lecun_uniform", {}),
]
by_name = pytest.mark.parametrize(
    ("name", "arguments"),
    SAME_BITS,
    ids=[f"{name}-{'-'.join(map(str, a.values()))}" for name, a in SAME_BITS],
)

# Op seed, graph seed.
SEEDS = [(1, None), (1, 5), (None, 5), (0, 0), (-3, 2**31 - 1), (10**12, 2**33 + 1)]
by_seed = pytest.mark.parametrize(("seed", "graph_seed"), SEEDS)


def pair(name, arguments, **more):
    """The same initializer twice: philinit's and TensorFlow's."""
    ours, theirs = (getattr(space, name) for space in (tf1.initializers, v1.initializers))
    return ours(**arguments, **more), theirs(**arguments, **more)


def in_graph(build, graph_seed=None):
    """Build something in a fresh graph, initialize its variables, run it once."""
    with tf.Graph().as_default(), v1.Session() as session:
        if graph_seed is not None:
            v1.set_random_seed(graph_seed)
        built = build()
        session.run(v1.global_variables_initializer())
        return session.run(built)


def variables(init, shapes, dtype="float32", **keywords):
    """get_variable for each shape, in the default graph."""
    return [
        v1.get_variable(f"w{i}", shape, tf.as_dtype(dtype), initializer=init, **keywords)
        for i, shape in enumerate(shapes)
    ]


@pytest.fixture(autouse=True)
def _no_eager_seed():
    tf.random.set_seed(None)


def same_bits(got, expected):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    assert got.tobytes() == expected.tobytes()


def run(code, **environment):
    """Run Python code in a process of its own; its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


# --- same bits as tf.compat.v1 -------------------------------------------------------------------


@by_dtype
def test_the_key_is_the_one_of_tensorflows_stateful_ops(dtype):
    # The stateless op with key and counter given raw is the definition of the stream.
    seed, seed2 = 2**31 - 2, 678
    key = _tf1_random.stateful_key(seed, seed2)
    raw = {
        "shape": [1009],
        "dtype": tf.as_dtype(dtype),
        "key": tf.constant([key.words[0] + (key.words[1] << 32)], tf.uint64),
        "counter": tf.constant([key.base % 2**64, key.base >> 64], tf.uint64),
        "alg": 1,
    }
    ops, r = (tf.raw_ops.RandomUniform, tf.raw_ops.RandomStandardNormal), tf.raw_ops
    for stateful, stateless in (
        (ops[0], r.StatelessRandomUniformV2),
        (ops[1], r.StatelessRandomNormalV2),
        (r.TruncatedNormal, r.StatelessTruncatedNormalV2),
    ):
        same_bits(
            in_graph(
                lambda op=stateful: op(shape=[1009], dtype=raw["dtype"], seed=seed, seed2=seed2)
            ),
            stateless(**raw).numpy(),
        )


@by_dtype
@by_name
def test_g3_variables_of_a_graph_hold_tensorflows_bits(name, arguments, dtype):
    shapes = [[33, 7], [3, 3, 2, 5], [11], [], [0, 3]]
    for seed, graph_seed in [(42, None), (None, 5)]:
        ours, theirs = (
            in_graph(lambda init=init: variables(init, shapes, dtype), graph_seed)
            for init in pair(name, arguments, seed=seed)
        )
        for got, expected in zip(ours, theirs, strict=True):
            same_bits(got, expected)


@by_seed
@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "random_normal"])
def test_g3_every_pair_of_op_seed_and_graph_seed_gives_tensorflows_bits(name, seed, graph_seed):
    # Twice the same shape: an op seed repeats itself, a graph seed alone does not.
    ours, theirs = (
        in_graph(lambda init=init: variables(init, [[20, 10], [20, 10]]), graph_seed)
        for init in pair(name, {}, seed=seed)
    )
    same_bits(ours, theirs)
    assert np.array_equal(ours[0], ours[1]) == (seed is not None)


@by_dtype
@by_name
def test_g3_eager_tensors_hold_tensorflows_bits_of_the_first_run(name, arguments, dtype):
    for seed in (7, None):
        results = []
        for init in pair(name, arguments, seed=seed):
            tf.random.set_seed(3)  # which also starts all streams anew
            results.append(init([40, 9], dtype=tf.as_dtype(dtype)).numpy())
        same_bits(*results)


@by_name
def test_g3_inside_a_tf_function_the_bits_are_tensorflows(name, arguments):
    results = []
    for init in pair(name, arguments, seed=11):
        tf.random.set_seed(3)
        results.append(tf.function(lambda init=init: init([8, 30]))().numpy())
    same_bits(*results)


def test_g3_large_tensors_hold_tensorflows_bits():
    for name in ("glorot_uniform", "glorot_normal"):
        ours, theirs = (
            in_graph(lambda init=init: variables(init, [[1000, 1001]]))
            for init in pair(name, {}, seed=1)
        )
        same_bits(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [[6, 6], [9, 4], [4, 9], [3, 3, 2, 5]])
def test_g3_orthogonal_matrices_hold_tensorflows_bits(shape, dtype):
    ours, theirs = (
        in_graph(lambda init=init: variables(init, [shape], dtype))
        for init in pair("orthogonal", {"gain": 1.5}, seed=2)
    )
    same_bits(ours, theirs)


@pytest.mark.parametrize("sampler", ["tensorflow", "native"])
def test_orthogonal_in_bfloat16_is_orthogonal_where_tensorflow_has_none(sampler):
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError)):
        v1.orthogonal_initializer(seed=1)([8, 8], tf.bfloat16)
    w = tf1.orthogonal_initializer(seed=1, sampler=sampler)([8, 8], tf.bfloat16)
    found = tf.cast(w, tf.float64).numpy()
    assert np.abs(found @ found.T - np.eye(8)).max() < 8 * 2.0**-8


def test_get_variable_without_an_initializer_takes_glorot_uniform():
    ours, theirs = (
        in_graph(lambda init=init: variables(init, [[5, 4], [3, 3, 2, 4]]), graph_seed=9)
        for init in (tf1.glorot_uniform_initializer(), None)
    )
    for got, expected in zip(ours, theirs, strict=True):
        same_bits(got, expected)


def test_other_random_ops_of_the_graph_keep_their_seeds():
    def build(init):
        w = v1.get_variable("w", [4, 4], initializer=init)
        return w, v1.random_normal([5])

    ours, theirs = (
        in_graph(lambda init=init: build(init), graph_seed=4) for init in pair("glorot_uniform", {})
    )
    for got, expected in zip(ours, theirs, strict=True):
        same_bits(got, expected)


def test_every_run_gives_the_values_of_the_first_where_tensorflow_goes_on():
    def twice(init):
        with tf.Graph().as_default(), v1.Session() as session:
            w = init([6, 5])
            return session.run(w), session.run(w)

    ours, theirs = (twice(init) for init in pair("glorot_uniform", {}, seed=1))
    same_bits(ours[0], theirs[0])
    same_bits(ours[0], ours[1])
    assert not np.array_equal(theirs[0], theirs[1])


# --- seeds ---------------------------------------------------------------------------------------


def test_without_any_seed_every_variable_gets_its_own_values():
    init = tf1.xavier_initializer()
    one, other = in_graph(lambda: variables(init, [[20, 20], [20, 20]]))
    again = in_graph(lambda: variables(init, [[20, 20]]))[0]
    another = in_graph(lambda: variables(tf1.xavier_initializer(), [[20, 20]]))[0]
    found = [one, other, again, another, init([20, 20]).numpy()]
    assert len({w.tobytes() for w in found}) == len(found)


def test_without_any_seed_threads_share_no_values():
    init = tf1.xavier_initializer(sampler="native")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: init([3, 3]).numpy().tobytes(), range(200)))
    assert len(set(found)) == 200


def test_an_unseeded_initializer_shows_what_it_drew_and_can_be_made_again():
    init = tf1.glorot_normal_initializer(sampler="native")
    assert init.seed is None
    again = eval(repr(init), vars(tf1))
    assert again == init and again.entropy == init.entropy
    for _ in range(3):
        same_bits(init([5, 5]), again([5, 5]))
    assert init != tf1.glorot_normal_initializer(sampler="native")


def test_native_weights_are_those_of_philinit_for_the_same_seed():
    for graph_seed in (None, 3):
        w = in_graph(
            lambda: variables(tf1.glorot_uniform_initializer(5, sampler="native"), [[30, 20]]),
            graph_seed,
        )[0]
        same_bits(w, philinit.GlorotUniform(seed=5)((30, 20)))


def test_native_without_a_seed_follows_the_graph_seed():
    init = tf1.he_normal(sampler="native")
    one = in_graph(lambda: variables(init, [[9, 9], [9, 9]]), graph_seed=3)
    again = in_graph(lambda: variables(tf1.he_normal(sampler="native"), [[9, 9]] * 2), graph_seed=3)
    same_bits(one, again)
    assert not np.array_equal(one[0], one[1])
    key = Key.from_seed(3 + (0 << 64))  # graph seed, number of the op
    expected = philinit.HeNormal(seed=3)
    assert expected.key == key
    same_bits(one[0], expected((9, 9)))


@pytest.mark.parametrize("seed", [1.5, "1", True])
def test_a_seed_that_is_no_int_is_refused(seed):
    with pytest.raises(TypeError, match="`seed` must be an int or None"):
        tf1.xavier_initializer(seed=seed)


# --- variables, graphs, partitions ---------------------------------------------------------------

PARTITIONED = [
    tf1.glorot_uniform_initializer(4),
    tf1.glorot_uniform_initializer(4, sampler="native"),
    tf1.xavier_initializer(seed=4),
    tf1.xavier_initializer(uniform=False, seed=4),
    tf1.uniform_unit_scaling_initializer(seed=4),
    tf1.random_normal_initializer(seed=4),
    tf1.he_normal(4, sampler="native"),
    tf1.orthogonal_initializer(seed=4, sampler="native"),
    tf1.caffe_msra(seed=4, sampler="native"),
    tf1.identity_initializer(2.0),
    tf1.constant_initializer([1.0, 2.0, 3.0]),
    tf1.constant_initializer(np.arange(70.0).reshape(10, 7)),
    tf1.zeros_initializer(),
    tf1.ones_initializer(),
]


@pytest.mark.parametrize("use_resource", [True, False], ids=["resource", "ref"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("init", PARTITIONED, ids=lambda init: type(init).__name__)
def test_g1_a_partitioned_variable_is_the_whole_one_cut(init, axis, use_resource):
    shape = [10, 7]
    whole = in_graph(lambda: variables(init, [shape], use_resource=use_resource)[0])
    for parts in (2, 3, 7):
        cut = in_graph(
            lambda parts=parts: variables(
                init,
                [shape],
                partitioner=v1.fixed_size_partitioner(parts, axis),
                use_resource=use_resource,
            )[0].as_tensor()
        )
        same_bits(cut, whole)


def test_g1_an_unseeded_partitioned_variable_is_one_whole_as_well():
    def build(parts):
        partitioner = v1.fixed_size_partitioner(parts) if parts else None
        init = tf1.glorot_uniform_initializer()
        found = [
            v1.get_variable(f"w{i}", [12, 3], initializer=init, partitioner=partitioner)
            for i in range(2)
        ]
        return [w.as_tensor() if parts else w for w in found]

    whole = in_graph(lambda: build(0), graph_seed=8)
    assert not np.array_equal(*whole)
    for parts in (1, 3, 5):
        same_bits(in_graph(lambda parts=parts: build(parts), graph_seed=8), whole)

    # Without a graph seed too: rows do not repeat, as they would if each part began anew.
    free = in_graph(lambda: build(4))
    assert len({row.tobytes() for w in free for row in w}) == 24


def test_g1_parts_differ_where_those_of_tensorflow_repeat_each_other():
    def halves(init):
        return variables(init, [[8, 5]], partitioner=v1.fixed_size_partitioner(2))[0].as_tensor()

    ours, theirs = (
        in_graph(lambda init=init: halves(init)) for init in pair("glorot_uniform", {}, seed=1)
    )
    same_bits(theirs[:4], theirs[4:])
    same_bits(ours[:4], theirs[:4])
    assert not np.isin(ours[:4], ours[4:]).any()


def test_fans_of_a_part_are_the_whole_variables():
    # Of 100 x 50 in 10 parts: tf.contrib took fan_in 10 and gave limits 1.58 times too large.
    info = type("Info", (), {"full_shape": [100, 50], "var_offset": [90, 0]})()
    init = tf1.xavier_initializer(seed=1)
    part = init([10, 50], tf.float32, info).numpy()
    same_bits(part, init([100, 50]).numpy()[90:])
    assert np.abs(part).max() < math.sqrt(6 / 150)


def test_a_part_outside_of_the_whole_is_refused():
    info = type("Info", (), {"full_shape": [10, 5], "var_offset": [8, 0]})()
    with pytest.raises(ValueError, match="must stay inside the global shape"):
        tf1.xavier_initializer(seed=1)([3, 5], tf.float32, info)
    with pytest.raises(ValueError, match="`partition_info` must have as many axes as `shape`"):
        tf1.xavier_initializer(seed=1)([3], tf.float32, info)


def test_a_class_may_stand_for_an_initializer_as_in_tensorflow():
    for made in (tf1.zeros_initializer, tf1.glorot_uniform_initializer, tf1.caffe_xavier):
        assert in_graph(lambda made=made: variables(made, [[2, 3]]))[0].shape == (2, 3)


def test_the_scopes_initializer_and_every_kind_of_shape_work():
    def build():
        with v1.variable_scope("scope", initializer=tf1.xavier_initializer(seed=1)):
            got = v1.get_variable("w", tf.TensorShape([4, 5]))
        init = tf1.xavier_initializer(seed=1)
        return [
            got,
            v1.Variable(init((4, 5))),
            tf.Variable(init(shape=tf.constant([4, 5]))),
            init([v1.Dimension(4), np.int64(5)]),
            init(tf.shape(tf.zeros([4, 5]))),
        ]

    found = in_graph(build)
    for w in found[1:]:
        same_bits(w, found[0])


def test_shapes_that_the_graph_does_not_know_are_refused():
    init = tf1.xavier_initializer(seed=1)
    with tf.Graph().as_default():
        unknown = v1.placeholder(tf.int32, [2])
        with pytest.raises(ValueError, match="`shape` must be known when the graph is built"):
            init(unknown)
        with pytest.raises(ValueError, match="`shape` must be fully defined"):
            init(tf.TensorShape([None, 3]))


LAYERS = """
import tensorflow as tf
from philinit import tf1  # noqa: E402
v1 = tf.compat.v1
def kernels(init):
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(7)
        x = tf.zeros([1, 8, 8, 3])
        y = v1.layers.flatten(v1.layers.conv2d(x, 32, 3, kernel_initializer=init))
        v1.layers.dense(y, 10, kernel_initializer=init)
        session.run(v1.global_variables_initializer())
        return session.run(v1.trainable_variables())
for name in ("glorot_uniform", "he_normal"):
    ours, theirs = (kernels(getattr(s.initializers, name)()) for s in (tf1, v1))
    assert [w.shape for w in ours] == [(3, 3, 3, 32), (32,), (1152, 10), (10,)]
    assert all(map(lambda a, b: a.tobytes() == b.tobytes(), ours, theirs))
"""


@pytest.mark.skipif(find_spec("tf_keras") is None, reason="tf.compat.v1.layers needs tf_keras")
def test_g3_layers_of_tensorflow_1_hold_tensorflows_bits():
    run(LAYERS, TF_USE_LEGACY_KERAS="1")


def test_keras_layers_take_them():
    layer = tf.keras.layers.Dense(4, kernel_initializer=tf1.xavier_initializer(seed=1))
    layer.build((None, 6))
    same_bits(layer.kernel.numpy(), tf1.xavier_initializer(seed=1)([6, 4]).numpy())


def test_tensors_beyond_2_gb_are_no_part_of_the_graph():
    with tf.Graph().as_default() as graph:
        w = v1.get_variable("w", [60_000, 10_000], initializer=tf1.xavier_initializer(seed=1))
        small = v1.get_variable("s", [6, 5], initializer=tf1.he_normal(1))
        assert (w.shape, small.shape) == ([60_000, 10_000], [6, 5])
        assert w.shape.num_elements() * 4 > 2**31
        assert graph.as_graph_def().ByteSize() < 10_000


MEMORY = """
import tensorflow as tf
from philinit import tf1  # noqa: E402
from pathlib import Path
v1 = tf.compat.v1
status = Path("/proc/self/status")
def kib(name):
    return next(int(s.split()[1]) for s in status.read_text().splitlines() if s.startswith(name))
def measure(partitioner, use_resource, shape=(16384, 4096)):
    with tf.Graph().as_default(), v1.Session() as session:
        w = v1.get_variable("w", shape, initializer=tf1.xavier_initializer(seed=1),
                            partitioner=partitioner, use_resource=use_resource)
        parts = list(w) if partitioner else [w]
        # Updates of one row, and only run: to fetch a variable is to copy it.
        step = [v1.scatter_sub(p, [0], tf.zeros([1, shape[1]])).op for p in parts]
        Path("/proc/self/clear_refs").write_text("5")
        before = kib("VmRSS")
        session.run(v1.global_variables_initializer())
        session.run(step)
        return (kib("VmHWM") - before) / 1024
measure(None, True, (64, 64))  # compiles, starts threads
print(measure({partitioner}, {use_resource}))
"""


@needs_proc
@pytest.mark.parametrize(
    ("partitioner", "use_resource"),
    [("None", True), ("None", False), ("v1.fixed_size_partitioner(4)", True)],
    ids=["resource", "ref", "partitioned"],
)
def test_g4_a_graphs_variable_takes_its_own_size_and_no_more(partitioner, use_resource):
    mib = float(run(MEMORY.format(partitioner=partitioner, use_resource=use_resource)))
    assert 250 < mib < 256 * 1.1


# --- tf.contrib, prettytensor, Caffe -------------------------------------------------------------

SHAPES = [(), (7,), (784, 256), (3, 3, 16, 32), (2, 3, 4, 5, 6)]


def contrib_fans(shape):
    # tf.contrib.layers.variance_scaling_initializer, in floats as there.
    fan_in = float(shape[-2]) if len(shape) > 1 else float(shape[-1]) if shape else 1.0
    fan_out = float(shape[-1]) if shape else 1.0
    receptive = math.prod(float(n) for n in shape[:-2])
    return fan_in * receptive, fan_out * receptive


def contrib_n(shape, mode):
    fan_in, fan_out = contrib_fans(shape)
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "FAN_AVG": (fan_in + fan_out) / 2.0}[mode]


@by_dtype
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("mode", ["FAN_IN", "FAN_OUT", "FAN_AVG"])
def test_g3_contribs_variance_scaling_has_the_bits_of_its_formula(mode, uniform, dtype):
    for shape in [s for s in SHAPES if math.prod(s) < 5000]:

        def formula(shape=shape):
            n = contrib_n(shape, mode)
            if uniform:
                limit = math.sqrt(3.0 * 1.7 / n)
                return v1.random_uniform(shape, -limit, limit, dtype, seed=6)
            return v1.truncated_normal(shape, 0.0, math.sqrt(1.3 * 1.7 / n), dtype, seed=6)

        init = tf1.variance_scaling_initializer(1.7, mode, uniform, 6)
        same_bits(
            in_graph(lambda init=init, shape=shape: init(shape, tf.as_dtype(dtype))),
            in_graph(formula),
        )


def test_xavier_initializer_is_variance_scaling_of_factor_1_and_the_average_fan():
    for uniform in (True, False):
        found = tf1.xavier_initializer(uniform, 3, tf.float64)
        assert found == tf1.variance_scaling_initializer(1.0, "FAN_AVG", uniform, 3, tf.float64)
    assert tf1.xavier_initializer_conv2d is tf1.xavier_initializer


def realized(distribution):
    """Standard deviation after the cut at +-2, by SciPy."""
    assert (distribution.lower, distribution.upper) == (-2.0, 2.0)
    return stats.truncnorm.std(-2.0, 2.0, scale=distribution.stddev)


def test_contribs_1_3_makes_weights_0_29_percent_too_large_and_exact_does_not():
    for shape in SHAPES:
        for mode in ("FAN_IN", "FAN_OUT", "FAN_AVG"):
            right = math.sqrt(2.0 / contrib_n(shape, mode))
            historic = tf1.variance_scaling_initializer(mode=mode, seed=1)
            exact = tf1.variance_scaling_initializer(mode=mode, seed=1, exact=True)
            assert realized(historic.distribution_for(shape)) / right == pytest.approx(
                1.002928, abs=1e-6
            )
            assert realized(exact.distribution_for(shape)) == pytest.approx(right, rel=1e-12)


def test_exact_leaves_the_uniform_alone():
    for make in (tf1.xavier_initializer, lambda **k: tf1.xavier_init(20, 10, **k)):
        historic, exact = make(seed=1), make(seed=1, exact=True)
        assert historic.distribution_for((20, 10)) == exact.distribution_for((20, 10))


def test_an_empty_tensor_is_empty_where_contrib_divided_by_zero():
    assert tf1.xavier_initializer(seed=1)([0, 0]).shape == [0, 0]
    assert tf1.variance_scaling_initializer(seed=1)([0, 3]).shape == [0, 3]
    assert tf1.caffe_xavier(seed=1)([0, 3]).shape == [0, 3]


@pytest.mark.parametrize("uniform", [True, False])
def test_g3_prettytensors_xavier_init_has_the_bits_of_its_formula(uniform):
    def formula():
        if uniform:
            limit = math.sqrt(6.0 / (300 + 20))
            return v1.random_uniform_initializer(-limit, limit, seed=2)([300, 20])
        stddev = math.sqrt(3.0 / (300 + 20))
        return v1.truncated_normal_initializer(stddev=stddev, seed=2)([300, 20])

    init = tf1.xavier_init(300, 20, uniform, seed=2)
    same_bits(in_graph(lambda: init([300, 20])), in_graph(formula))


def test_prettytensors_3_makes_weights_7_7_percent_too_large_and_exact_does_not():
    right = math.sqrt(2.0 / 320)
    historic, exact = (tf1.xavier_init(300, 20, False, seed=1, exact=e) for e in (False, True))
    assert realized(historic.distribution_for(())) / right == pytest.approx(1.0773, abs=1e-4)
    assert realized(exact.distribution_for(())) == pytest.approx(right, rel=1e-12)


def caffe_n(blob, norm):
    # filler.hpp, of a blob in Caffe's layout.
    count = math.prod(blob)
    fan_in = count / blob[0]
    fan_out = count / blob[1] if len(blob) > 1 else count
    return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}[norm]


@pytest.mark.parametrize("norm", ["FAN_IN", "FAN_OUT", "AVERAGE"])
@pytest.mark.parametrize(
    ("blob", "shape"),
    [((32, 16, 5, 3), (5, 3, 16, 32)), ((10, 500), (500, 10)), ((12,), (12,))],
    ids=["convolution", "dense", "bias"],
)
def test_caffes_fillers_have_caffes_laws_in_tensorflows_layout(blob, shape, norm):
    n = caffe_n(blob, norm)
    uniform = tf1.caffe_xavier(norm, seed=1).distribution_for(shape)
    assert (uniform.low, uniform.high) == (-math.sqrt(3 / n), math.sqrt(3 / n))
    normal = tf1.caffe_msra(norm, seed=1).distribution_for(shape)
    assert type(normal) is philinit.distributions.Normal
    assert (normal.mean, normal.stddev) == (0.0, math.sqrt(2 / n))


def test_caffes_fillers_draw_what_they_say():
    for init in (
        tf1.caffe_xavier("AVERAGE", seed=1),
        tf1.caffe_msra(seed=1, sampler="native"),
    ):
        w = init([300, 200]).numpy().astype(np.float64)
        sigma = init.distribution_for((300, 200)).moments()[1]
        z = w.mean() * math.sqrt(w.size) / sigma
        assert abs(z) < 4.5
        # The variance of a sample variance is (kurtosis - 1) / n: at most 2 / n for both laws.
        assert abs(w.var() / sigma**2 - 1) < 4.5 * math.sqrt(2 / w.size)


# --- constants -----------------------------------------------------------------------------------


def test_lists_shorter_than_the_shape_repeat_their_last_value():
    found = in_graph(lambda: tf1.constant_initializer([1.0, 2.0])([2, 3]))
    assert found.tolist() == [[1.0, 2.0, 2.0], [2.0, 2.0, 2.0]]


def test_lists_longer_than_the_shape_and_other_shapes_are_refused_as_in_tensorflow():
    for size in (2, 4):  # eager TensorFlow wants one value, or as many as there are elements
        with pytest.raises(TypeError, match="unsupported shape"):
            tf1.constant_initializer([1.0, 2.0, 3.0])([size])
    with tf.Graph().as_default():
        with pytest.raises(ValueError, match="Too many elements"):
            tf1.constant_initializer([1.0, 2.0, 3.0])([2])
        with pytest.raises(TypeError, match="Expected Tensor's shape"):
            tf1.constant_initializer([1.0, 2.0], verify_shape=True)([2, 2])


def test_constants_of_any_dtype_are_tensorflows_own():
    assert tf1.zeros_initializer is v1.zeros_initializer
    assert tf1.ones_initializer is v1.ones_initializer
    assert in_graph(lambda: variables(tf1.constant_initializer(3), [[2]], "int64"))[0].tolist() == [
        3,
        3,
    ]


@by_dtype
def test_identity_equals_tensorflows(dtype):
    for shape in ([3, 3], [2, 5], [5, 2]):
        ours, theirs = pair("identity", {"gain": 1.5, "dtype": tf.as_dtype(dtype)})
        same_bits(ours(shape), theirs(shape))
    with pytest.raises(ValueError, match="`shape` must have 2 axes"):
        ours([2, 2, 2])


# --- arguments, configuration, errors ------------------------------------------------------------


def test_every_initializer_of_tensorflow_is_here_with_the_same_arguments():
    spaces = [
        (tf1, v1, [n for n in dir(v1) if n.endswith("_initializer")]),
        (tf1.initializers, v1.initializers, dir(v1.initializers)),
    ]
    others = ("variables", "tables", "global", "local", "_")  # variables' own; VarianceScaling
    for ours, theirs, names in spaces:
        for name in names:
            if name.startswith(others) or name == "variance_scaling_initializer":
                continue
            if theirs is v1.initializers and name == "uniform_unit_scaling":
                continue  # as uniform_unit_scaling_initializer
            expected = inspect.signature(getattr(theirs, name)).parameters.values()
            found = list(inspect.signature(getattr(ours, name)).parameters.values())
            for p, q in zip(expected, found, strict=False):
                assert (p.name, p.default) == (q.name, q.default), name
            rest = found[len(expected) :]
            assert all(q.kind is q.KEYWORD_ONLY for q in rest), name


def test_the_call_has_an_argument_named_partition_info():
    for init in [*PARTITIONED, tf1.xavier_init(2, 3, seed=1)]:
        assert inspect.getfullargspec(type(init).__call__).args[:4] == [
            "self",
            "shape",
            "dtype",
            "partition_info",
        ]


def test_the_constructors_dtype_counts_where_glorots_is_dropped_by_tensorflow():
    for name in ("glorot_uniform", "glorot_normal", "random_normal", "variance_scaling"):
        ours, theirs = pair(name, {}, seed=1, dtype=tf.float64)
        found = in_graph(lambda init=ours: init([5, 4]))
        assert found.dtype == np.float64
        dropped = theirs([5, 4]).dtype
        assert dropped == (tf.float32 if "glorot" in name else tf.float64)
        same_bits(found, in_graph(lambda init=theirs: init([5, 4], tf.float64)))


CONFIGURED = [
    *(getattr(tf1.initializers, name)(**a, seed=3) for name, a in SAME_BITS),
    tf1.orthogonal_initializer(0.5, seed=3),
    tf1.identity_initializer(2.0),
    tf1.xavier_initializer(False, 3, tf.float16, exact=True),
    tf1.variance_scaling_initializer(seed=3, sampler="native"),
    tf1.xavier_init(3, 4, False, seed=3, exact=True),
    tf1.caffe_xavier("AVERAGE", 3),
    tf1.caffe_msra(seed=3),
]


@pytest.mark.parametrize("init", CONFIGURED, ids=lambda init: type(init).__name__)
def test_configurations_reprs_and_copies_make_equal_initializers(init):
    config = json.loads(json.dumps(init.get_config()))
    space = vars(tf1) | {"tf": tf}
    for again in (
        type(init).from_config(config),
        eval(repr(init), space),
        pickle.loads(pickle.dumps(init)),
        copy.deepcopy(init),
    ):
        assert again == init and hash(again) == hash(init) and repr(again) == repr(init)
        assert type(again) is type(init)


@by_name
def test_configurations_can_be_exchanged_with_tensorflow(name, arguments):
    ours, theirs = pair(name, arguments, seed=1)
    if name.startswith(("he", "lecun")):  # functions of a seed there
        assert ours.get_config() == {"seed": 1}
        return
    assert type(theirs).from_config(ours.get_config()).get_config() == theirs.get_config()
    assert type(ours).from_config(theirs.get_config()) == ours


NONSENSE = [
    (lambda: tf1.variance_scaling_initializer(math.nan), ValueError, "`factor` must be finite"),
    (lambda: tf1.variance_scaling_initializer(-1.0), ValueError, "`factor` must be positive"),
    (lambda: tf1.variance_scaling_initializer(0.0), ValueError, "`factor` must be positive"),
    (lambda: tf1.variance_scaling_initializer("2"), TypeError, "`factor` must be"),
    (lambda: tf1.variance_scaling_initializer(mode="fan_in"), TypeError, "`mode` must be one of"),
    (lambda: tf1.variance_scaling_initializer(dtype=tf.int32), TypeError, "must be a floating"),
    (lambda: tf1.xavier_initializer(dtype="int32"), TypeError, "must be a floating"),
    (lambda: tf1.xavier_initializer([3, 4]), TypeError, "with parentheses"),
    (lambda: tf1.xavier_initializer(seed=1)([3], tf.int32), TypeError, "must be a floating"),
    (lambda: tf1.xavier_initializer(sampler="numpy"), ValueError, "`sampler` must be"),
    (lambda: tf1.xavier_initializer(seed=1)([-3]), ValueError, "negative"),
    (lambda: tf1.xavier_init(0, 0), ValueError, "`n_inputs` must be positive"),
    (lambda: tf1.xavier_init(3, math.inf), ValueError, "`n_outputs` must be finite"),
    (lambda: tf1.xavier_init(3, 4, "no"), TypeError, "`uniform` must be a bool"),
    (lambda: tf1.caffe_xavier("fan_in"), ValueError, "`variance_norm` must be one of"),
    (lambda: tf1.caffe_msra("FAN_AVG"), ValueError, "`variance_norm` must be one of"),
    (lambda: tf1.random_uniform_initializer(1.0, 0.9), ValueError, "`minval` must not be above"),
    (lambda: tf1.random_uniform_initializer(2.0), ValueError, "`minval` must not be above"),
    (lambda: tf1.random_uniform_initializer(0, math.inf), ValueError, "`maxval` must be finite"),
    (lambda: tf1.random_uniform_initializer(0, 9, dtype=tf.int32), NotImplementedError, "integer"),
    (lambda: tf1.random_normal_initializer(stddev=-1.0), ValueError, "must not be negative"),
    (lambda: tf1.truncated_normal_initializer(math.nan), ValueError, "`mean` must be finite"),
    (lambda: tf1.random_normal_initializer(dtype=tf.int32), ValueError, "must be a floating"),
    (lambda: tf1.uniform_unit_scaling_initializer(-1.0), ValueError, "`factor` must be positive"),
    (lambda: tf1.VarianceScaling(0.0), ValueError, "`scale` must be positive"),
    (lambda: tf1.VarianceScaling(mode="FAN_IN"), ValueError, "`mode` must be one of"),
    (lambda: tf1.VarianceScaling(distribution="cauchy"), ValueError, "`distribution` must be"),
    (lambda: tf1.glorot_uniform_initializer(dtype=tf.int32), ValueError, "must be a floating"),
    (lambda: tf1.orthogonal_initializer(math.nan), ValueError, "`gain` must be finite"),
    (lambda: tf1.orthogonal_initializer(seed=1)([3]), ValueError, "at least 2 axes"),
    (lambda: tf1.he_normal(1, entropy=2), ValueError, "`entropy` must be left out"),
]


@pytest.mark.parametrize(("make", "kind", "text"), NONSENSE, ids=[n[2] for n in NONSENSE])
def test_nonsense_is_refused_in_one_sentence(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def test_initializers_are_frozen():
    with pytest.raises(AttributeError):
        tf1.xavier_initializer(seed=1).seed = 2


def test_without_tensorflow_the_import_names_the_extra():
    run(
        "import sys; sys.modules['tensorflow'] = None\n"
        "try: import philinit.tf1\n"
        "except ImportError as error: assert 'philinit[tensorflow]' in str(error), error\n"
        "else: raise AssertionError\n"
    )
