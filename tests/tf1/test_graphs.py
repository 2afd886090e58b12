# SPDX-License-Identifier: Apache-2.0
"""philinit.tf1 in TensorFlow 1's graphs: partitioned variables, scopes, layers, memory."""

import math
import os
import sys
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

from tests.support.processes import run, run_python

tf = pytest.importorskip("tensorflow")
from philinit import tf1  # noqa: E402  (TensorFlow may be missing)
from tests.support.tf1_graphs import (  # noqa: E402
    PARTITIONED,
    in_graph,
    pair,
    same_bits,
    v1,
    variables,
)

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs"
)


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
    run_python(LAYERS, env={"TF_USE_LEGACY_KERAS": "1"})


# TensorFlow calls us back from threads of its own, several at a time, and none is eager then.
AS_IN_2016 = """
import tensorflow.compat.v1 as tf
from philinit import tf1
tf.disable_v2_behavior()

def weights(initializer):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        made = [tf.get_variable(f"w{i}", [16, 8], initializer=initializer()) for i in range(8)]
        session.run(tf.global_variables_initializer())
        return session.run(made)

want = weights(tf.glorot_uniform_initializer)
for _ in range(10):
    for found, expected in zip(weights(tf1.glorot_uniform_initializer), want, strict=True):
        assert found.tobytes() == expected.tobytes()
"""


def test_g3_programs_of_tensorflow_1_that_disable_version_2():
    run_python(AS_IN_2016)


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
    mib = float(
        run_python(MEMORY.format(partitioner=partitioner, use_resource=use_resource)).stdout
    )
    assert 250 < mib < 256 * 1.1


# --- graphs that another process runs ------------------------------------------------------------

EXPORTS = """
import sys
import tensorflow as tf
from philinit import tf1
v1 = tf.compat.v1
with tf.Graph().as_default(), v1.Session() as session:
    inits = tf1.xavier_initializer(seed=1), tf1.he_normal(2), tf1.orthogonal_initializer(seed=3)
    part = v1.fixed_size_partitioner(3)
    inits += tf1.glorot_uniform_initializer(), tf1.identity_initializer()
    for i, init in enumerate(inits):
        v1.get_variable(f"w{i}", [6, 5], initializer=init, partitioner=part if i < 2 else None)
    session.run(v1.global_variables_initializer())
    print(b"".join(w.tobytes() for w in session.run(v1.global_variables())).hex())
    v1.train.export_meta_graph(sys.argv[1])
"""
IMPORTS = """
import sys
import tensorflow as tf
if sys.argv[2]:
    __import__(sys.argv[2])
v1 = tf.compat.v1
with tf.Graph().as_default(), v1.Session() as session:
    v1.train.import_meta_graph(sys.argv[1])
    try:
        session.run(v1.global_variables_initializer())
        print(b"".join(w.tobytes() for w in session.run(v1.global_variables())).hex())
    except tf.errors.InvalidArgumentError as error:
        print("import philinit.tensorflow in the process that runs the graph" in str(error))
"""


def test_a_meta_graph_initializes_in_every_process_that_has_imported_philinit(tmp_path):
    path = tmp_path / "graph.meta"
    bits = run_python(EXPORTS, path).stdout
    for package in ("philinit.tf1", "philinit.tensorflow"):
        assert run_python(IMPORTS, path, package).stdout == bits
    assert run_python(IMPORTS, path, "").stdout == "True\n"


SERVERS = """
import multiprocessing, socket, sys, threading
import tensorflow as tf
v1 = tf.compat.v1

def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{s.getsockname()[1]}"

def serve(cluster, package, up):
    if package:
        __import__(package)
    v1.train.Server(v1.train.ClusterSpec(cluster), job_name="ps", task_index=0)
    up.set()
    threading.Event().wait()

if __name__ == "__main__":
    from philinit import tf1
    cluster = {"ps": [free()], "worker": [free()]}
    spawn = multiprocessing.get_context("spawn")
    up = spawn.Event()
    ps = spawn.Process(target=serve, args=(cluster, sys.argv[1], up), daemon=True)
    ps.start()
    up.wait(100)
    server = v1.train.Server(v1.train.ClusterSpec(cluster), job_name="worker", task_index=0)
    setter = v1.train.replica_device_setter(cluster=cluster, worker_device="/job:worker/task:0")
    init = tf1.xavier_initializer(seed=1)
    with tf.Graph().as_default(), v1.device(setter):
        found = [v1.get_variable(f"w{r}", [6, 5], initializer=init, use_resource=r) for r in (0, 1)]
        assert all("/job:ps" in w.device for w in found)
        with v1.Session(server.target) as session:
            try:
                session.run(v1.global_variables_initializer())
                print(*(w.tobytes().hex() for w in session.run(found)))
            except tf.errors.InvalidArgumentError as error:
                print("import philinit.tensorflow in the process that runs" in str(error))
    ps.kill()
"""


@pytest.mark.slow
def test_parameter_servers_of_a_replica_device_setter_fill_their_own_memory(tmp_path):
    script = tmp_path / "servers.py"  # spawn imports the main module anew
    script.write_text(SERVERS)
    wanted = tf1.xavier_initializer(seed=1)([6, 5]).numpy().tobytes().hex()
    done = run([sys.executable, script, "philinit.tensorflow"], timeout=120)
    assert done.stdout.split() == [wanted, wanted]
    assert run([sys.executable, script, ""], timeout=120).stdout == "True\n"
