# SPDX-License-Identifier: Apache-2.0
"""A TensorFlow cluster of 2 parameter servers, 2 workers and, here, their coordinator.

All are real processes that talk through gRPC. Each section tells in JSON what became of it.
"""

import contextlib
import functools
import itertools
import math

import tensorflow_processes as processes  # first: see there

# isort: split

import keras
import numpy as np
import tensorflow as tf
from tensorflow_processes import refused, same_bytes

import philinit as pi
import philinit.keras as pk
import philinit.tensorflow as pit
from philinit.tensorflow import servers

DTYPES = ("float32", "float64", "float16", "bfloat16")
INIT = pi.GlorotUniform(seed=42)
SLACK = 8  # MiB beyond the parts of a process; less than 1 was measured


def serve(spec, job, index):
    if job == "ps":  # workers do not let philinit fill their memory
        pit.serve()
    server = tf.distribute.Server(spec, job, index, protocol="grpc")
    server.join()


class Cluster:
    """Strategies with and without parts; `parts` is how many the next variables have."""

    def __init__(self, spec, servers):
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, rpc_layer="grpc")
        self.parts = 2
        self.servers = servers  # process ids
        self.whole = tf.distribute.ParameterServerStrategy(resolver)
        self.cut = tf.distribute.ParameterServerStrategy(
            resolver,
            variable_partitioner=lambda shape, dtype: (
                [min(self.parts, max(shape[0], 1))] + [1] * (len(shape) - 1)
            ),
        )

    def run(self, strategy, step, *batches):
        """`step` on a worker, once a batch."""
        coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)

        @tf.function
        def on_worker(batch):
            return strategy.run(step, args=(batch,))

        found = [coordinator.schedule(on_worker, args=(tf.constant(b),)) for b in batches]
        coordinator.join()
        return [f.fetch() for f in found]


def parts_of(variable):
    return getattr(variable, "variables", [variable])


def same(variable, values):
    """Whether the parts of a variable, put together, have the bytes of an ndarray."""
    found = np.concatenate([part.numpy() for part in parts_of(variable)])
    return same_bytes(found, values)


def tasks(variable):
    return [tf.DeviceSpec.from_string(part.device).task for part in parts_of(variable)]


# --- variables -----------------------------------------------------------------------------------


def variables_in_1_2_3_4_and_8_parts(cluster):
    inits = (INIT, pi.HeNormal(seed=3, sampler="tensorflow"), pi.TruncatedNormal(seed=5))
    with cluster.cut.scope():
        for cluster.parts in (1, 2, 3, 4, 8):
            for shape, dtype in zip([(10, 7), (13,), (9, 2, 3), (8, 0)], DTYPES, strict=True):
                for init in (i.named(cluster.parts) for i in inits):
                    v = pit.variable(init, shape, dtype, name="table", trainable=False)
                    assert same(v, init(shape, dtype)), (init, shape, dtype, cluster.parts)
                    assert len(parts_of(v)) == cluster.parts
                    assert not any(part.trainable for part in parts_of(v))
                    assert len(set(tasks(v))) == min(cluster.parts, 2)
        cluster.parts = 3
        for init in (
            pi.Orthogonal(seed=1, gain=2.0),
            pi.Identity(3.0),
            pi.Constant(0.5),
            pi.Zeros(),
            pi.TruncatedNormal(0.0, 1.0, lower=-math.inf, upper=1.5, seed=2**127),
        ):
            assert same(pit.variable(init, (7, 5)), init((7, 5))), init
        scalar = pit.variable(INIT, ())
        assert scalar.numpy() == INIT(())
    with cluster.whole.scope():
        v = pit.variable(INIT, (10, 7), "bfloat16", threads=2)
    assert same(v, INIT((10, 7), "bfloat16")) and "/job:ps/" in v.device


def tensorflows_own_variables(cluster):
    """tf.Variable asks an initializer for each part."""
    inits = [
        (pit.initializer(INIT), INIT),
        (pit.initializer(INIT, threads=1, device="CPU:0"), INIT),  # filled here, and sent
        (pk.GlorotUniform(seed=42), pi.GlorotUniform(seed=42, sampler="tensorflow")),
        (pk.HeNormal(seed=1, sampler="native"), pi.HeNormal(seed=1)),
        (pk.Zeros(), pi.Zeros()),
        (pk.Ones(), pi.Ones()),
        (pk.Constant(0.5), pi.Constant(0.5)),
        (pk.Identity(), pi.Identity()),
    ]
    with cluster.cut.scope():
        for cluster.parts in (2, 3, 8):
            for initializer, expected in inits:
                initial = functools.partial(initializer, (10, 6), dtype=tf.float32)
                v = tf.Variable(initial, shape=(10, 6), dtype=tf.float32)
                assert len(parts_of(v)) == cluster.parts
                assert same(v, expected((10, 6))), initializer


def any_part_on_any_server(cluster):
    shape = (5, 6, 7)
    whole = INIT(shape)
    for task, axis, count in ((t, a, c) for t in range(2) for a in range(3) for c in (1, 2, 3, 4)):
        bounds = [shape[axis] * i // count for i in range(count + 1)]
        for start, stop in itertools.pairwise(bounds):
            index = (slice(None),) * axis + (slice(start, stop),)
            t = pit.to_tensor(INIT, shape, device=f"/job:ps/task:{task}", shard=index)
            assert t.device == f"/job:ps/replica:0/task:{task}/device:CPU:0"
            assert same_bytes(t.numpy(), whole[index])
    with tf.device("/job:ps/task:1"):  # the scope counts
        t = pit.to_tensor(INIT, shape, shard=(2, ..., slice(3, 5)))
    assert "task:1" in t.device and np.array_equal(t.numpy(), whole[2, :, 3:5])
    t = pit.rows(INIT, shape, [4, 0, 4], device="/job:ps/task:1")
    assert "task:1" in t.device and np.array_equal(t.numpy(), whole[[4, 0, 4]])
    normal, keys = pi.Normal(seed=1), [-3, 2**63, 7]
    t = pit.rows_by_key(normal, 4, keys, device="/job:ps/task:1")
    assert "task:1" in t.device and np.array_equal(t.numpy(), normal.rows_by_key(4, keys))
    v = pit.variable(INIT, shape, device="/job:ps/task:1/device:CPU:0")
    assert "task:1" in v.device and np.array_equal(v.numpy(), whole)
    there = pit.to_tensor(pi.Normal(seed=1), (10**9, 64), shard=slice(5, 9), device="/job:ps")
    assert np.array_equal(there.numpy(), pi.Normal(seed=1).shard((10**9, 64), slice(5, 9)))


def refilled(cluster):
    with cluster.cut.scope():
        cluster.parts = 3
        v = pit.variable(pi.Zeros(), (10, 7), "float64")
    done = []
    assert pit.fill(v, INIT, progress=lambda *counts: done.append(counts)) is v
    assert same(v, INIT((10, 7), "float64"))
    assert done[-1] == (70, 70) and done == sorted(done)
    with cluster.whole.scope():
        v = tf.Variable(tf.zeros((10, 7)))
        scalar = tf.Variable(0.5)
        dense = keras.layers.Dense(4)
        dense.build((None, 3))
    assert same(pit.fill(v, INIT), INIT((10, 7)))
    assert pit.fill(scalar, INIT).numpy() == INIT(())
    assert same(pit.fill(dense.kernel, INIT).value, INIT((3, 4)))
    here = pit.fill(pit.variable(pi.Zeros(), (3, 4)), INIT)  # this process has a job name as well
    assert "/job:chief/" in here.device and same(here, INIT((3, 4)))


# --- Keras ---------------------------------------------------------------------------------------


def model_of(names):
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(5, "tanh", kernel_initializer=names.HeNormal(seed=1)),
            keras.layers.Dense(3, kernel_initializer=names.Orthogonal(seed=2)),
        ]
    )


def keras_layers(cluster):
    """Each variable on one server; Keras's own numbers; a step of Keras's optimizer."""
    batch = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)

    def trained(model, optimizer, x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x)))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    for names, scope in ((pk, contextlib.nullcontext), (keras.initializers, pk.accelerate)):
        alone = model_of(keras.initializers)
        with cluster.whole.scope():
            with scope():
                model = model_of(names)
            optimizer = keras.optimizers.SGD(0.1)
            optimizer.build(model.trainable_variables)
        assert {task for v in model.variables for task in tasks(v.value)} == {0, 1}
        for v, expected in zip(model.variables, alone.variables, strict=True):
            assert same(v.value, expected.numpy()), v.path
        (loss,) = cluster.run(cluster.whole, functools.partial(trained, model, optimizer), batch)
        expected_loss = trained(alone, keras.optimizers.SGD(0.1), batch)
        np.testing.assert_allclose(loss, expected_loss, rtol=1e-5)
        for v, expected in zip(model.variables, alone.variables, strict=True):
            np.testing.assert_allclose(v.numpy(), expected.numpy(), rtol=1e-4, atol=1e-6)


def keras_layers_in_parts(cluster):
    """With a partitioner, each part made by its server; a step on the parts."""
    batch = np.linspace(-1, 1, 12, dtype=np.float32).reshape(2, 6)
    alone = model_of(keras.initializers)
    cluster.parts = 2
    with cluster.cut.scope(), pk.partitioned():
        model = model_of(pk)
        table = keras.layers.Embedding(9, 4, embeddings_initializer=pit.initializer(INIT))
        table.build()
    for v, expected in zip(model.variables, alone.variables, strict=True):
        assert len(parts_of(v.value)) == 2 and same(v.value, expected.numpy()), v.path
    assert same(table.embeddings.value, INIT((9, 4)))

    def step(x):
        parts = [part for v in model.trainable_variables for part in parts_of(v.value)]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x)))
        for part, gradient in zip(parts, tape.gradient(loss, parts), strict=True):
            part.assign_sub(0.1 * tf.convert_to_tensor(gradient))
        return loss

    before, after = cluster.run(cluster.cut, step, batch)[0], model(batch)
    assert tf.reduce_mean(tf.square(after)) < before
    seeds = keras.random.SeedGenerator(1)
    with (
        cluster.cut.scope(),
        pk.partitioned(),
        refused(NotImplementedError, "`seed` must be an int for a variable in parts"),
    ):
        keras.layers.Dense(4, kernel_initializer=pk.HeNormal(seed=seeds)).build((None, 6))


# --- training, memory ----------------------------------------------------------------------------


def training_step(table, rows):
    """A sparse step of SGD on the parts: 1 / 10 off the rows."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.square(tf.nn.embedding_lookup(table, rows))) / 2
    for part, gradient in zip(table.variables, tape.gradient(loss, table.variables), strict=True):
        part.scatter_sub(tf.IndexedSlices(0.1 * gradient.values, gradient.indices))
    return loss


def two_workers_train(cluster):
    cluster.parts = 3
    with cluster.cut.scope():
        table = pit.variable(INIT, (100, 8))
    batches = [np.array([0, 33, 34, 99]), np.array([5, 50, 67])]
    losses = cluster.run(cluster.cut, functools.partial(training_step, table), *batches)
    expected = INIT((100, 8))
    for loss, rows in zip(losses, batches, strict=True):
        np.testing.assert_allclose(loss, np.square(expected[rows]).sum() / 2, rtol=1e-5)
        expected[rows] -= np.float32(0.1) * expected[rows]
    found = np.concatenate([part.numpy() for part in table.variables])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    return {"losses": [float(loss) for loss in losses]}


@contextlib.contextmanager
def growth(cluster, *most):
    """The least and the most MiB that servers and coordinator may need beyond what they have."""
    with processes.growth(*cluster.servers, "self") as grown:
        yield grown
    for found, (least, limit) in zip(grown, most, strict=True):
        assert least <= found <= limit, grown


def memory_of_a_process_is_its_parts(cluster):
    if not processes.measurable:
        return None
    part, none, idle = (63, 64 + SLACK), (0, SLACK), (-8, SLACK)
    cluster.parts = 2
    kept = []  # freed memory would hide what is needed next
    with cluster.cut.scope():
        with growth(cluster, part, part, none) as made:  # 128 MiB, as all of these
            table = pit.variable(INIT, (2**15, 1024))
        with growth(cluster, part, part, none):
            draw = functools.partial(pit.initializer(INIT), (2**15, 1024), dtype=tf.float32)
            kept.append(tf.Variable(draw, shape=(2**15, 1024), dtype=tf.float32))
        with growth(cluster, part, part, none), pk.partitioned():
            kept.append(keras.layers.Dense(1024, kernel_initializer=pk.GlorotUniform(seed=1)))
            kept[-1].build((None, 2**15))
    with cluster.whole.scope(), growth(cluster, part, part, none):
        for _ in range(2):
            kept.append(
                keras.layers.Dense(1024, use_bias=False, kernel_initializer=pk.HeNormal(seed=1))
            )
            kept[-1].build((None, 2**14))
    with growth(cluster, idle, idle, idle) as trained:  # the first step copies nothing
        step = functools.partial(training_step, table)
        cluster.run(cluster.cut, step, np.array([0, 2**14, 2**15 - 1]))
    return {"made_mib": made, "step_mib": trained}


# --- what is refused -----------------------------------------------------------------------------


class Own(pi.Initializer):
    """An initializer that a server does not know."""


def what_is_refused(cluster):
    server, worker = "/job:ps/task:0", "/job:worker/task:1"
    for device in (worker, f"{worker}/device:CPU:0"):
        with refused(RuntimeError, "worker/replica:0/task:1", "call philinit.tensorflow.serve()"):
            pit.to_tensor(INIT, (3,), device=device)
    with refused(ValueError, "to one that TensorFlow is connected to", "task:7"):
        pit.to_tensor(INIT, (3,), device="/job:ps/task:7")
    with refused(NotImplementedError, "in another process the memory must be a CPU's"):
        pit.to_tensor(INIT, (3,), device="/job:ps/task:0/device:GPU:0")
    with refused(ValueError, "one of the 1 CPU devices", "CPU:3"):  # the others' do not count
        pit.to_tensor(INIT, (3,), device="CPU:3")
    with refused(TypeError, "one of philinit's own initializers", "Own"):
        pit.to_tensor(Own(), (3,), device=server)
    with refused(ValueError, "2 axes", "ps/replica:0/task:0"):  # the server's own words
        pit.to_tensor(pi.Identity(), (3,), device=server)
    with refused(ValueError, "`threads` must be at least 1"):
        pit.to_tensor(INIT, (3,), device=server, threads=0)
    with refused(MemoryError, "needs 1125899906842624 bytes"):
        pit.to_tensor(INIT, (2**20, 2**28), device=server)
    with cluster.whole.scope(), refused(ValueError, "`device` must be left out"):
        pit.variable(INIT, (3,), device="CPU:0")
    with refused(NotImplementedError, "this process's memory"):
        tf.function(lambda: pit.to_tensor(INIT, (3,), device=server))()
    version, servers.__version__ = servers.__version__, "0.0.1"
    try:
        with refused(ValueError, "philinit must be of one version", "0.0.1", version):
            pit.to_tensor(INIT, (3,), device=server)
    finally:
        servers.__version__ = version


def where_nobody_serves_keras_is_left_alone(cluster):
    """`accelerate` does nothing there; an initializer of our own says why it cannot."""
    expected = keras.initializers.HeNormal(seed=1)((4, 3))
    with tf.device("/job:worker/task:0"):
        with pk.accelerate():
            found = keras.initializers.HeNormal(seed=1)((4, 3))
        assert "/job:worker/" in found.device
        with refused(RuntimeError, "call philinit.tensorflow.serve()"):
            pk.HeNormal(seed=1)((4, 3))
    assert same_bytes(found.numpy(), expected.numpy())


SECTIONS = (
    variables_in_1_2_3_4_and_8_parts,
    tensorflows_own_variables,
    any_part_on_any_server,
    refilled,
    keras_layers,
    keras_layers_in_parts,
    two_workers_train,
    memory_of_a_process_is_its_parts,
    what_is_refused,
    where_nobody_serves_keras_is_left_alone,
)


def main():
    addresses = processes.free_addresses(4)
    spec = tf.train.ClusterSpec({"ps": addresses[:2], "worker": addresses[2:]})
    with contextlib.ExitStack() as stack:
        pids = [
            stack.enter_context(processes.forked(serve, spec, job, index))
            for job in ("ps", "worker")
            for index in range(2)
        ]
        cluster = Cluster(spec, pids[:2])
        for section in SECTIONS:
            processes.tell(section, cluster)


if __name__ == "__main__":
    main()
