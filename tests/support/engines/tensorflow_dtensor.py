# SPDX-License-Identifier: Apache-2.0
"""DTensor variables on 8 logical CPUs of one process, and on 2 clients with 2 each.

Each section tells in JSON what became of it.
"""

import contextlib
import itertools
import os

import tensorflow_processes as processes  # first: see there

# isort: split

import numpy as np
import tensorflow as tf
from tensorflow.experimental import dtensor

import philinit as pi
import philinit.tensorflow as pit
from philinit.tensorflow import dtensor as module

DTYPES = ("float32", "float64", "float16", "bfloat16")
INIT = pi.GlorotUniform(seed=42)
NONE = dtensor.UNSHARDED
SLACK = 8  # MiB beyond the shards; less than 1 was measured


def logical_cpus(count):
    cpu = tf.config.list_physical_devices("CPU")[0]
    one = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(cpu, [one] * count)


def mesh(**sizes):
    count = int(np.prod(list(sizes.values())))
    return dtensor.create_mesh(list(sizes.items()), devices=[f"CPU:{i}" for i in range(count)])


def check_shards(variable, layout, values):
    """Each local device has the part of `values` that the layout gives it."""
    local = dtensor.unpack(variable.read_value())
    positions = layout.mesh.local_device_locations()
    for device, shard, position in zip(layout.mesh.local_devices(), local, positions, strict=True):
        index = []
        for length, spec in zip(values.shape, layout.sharding_specs, strict=True):
            parts = 1 if spec == NONE else layout.mesh.dim_size(spec)
            n, at = length // parts, position.get(spec, 0)
            index.append(slice(n * at, n * at + n))
        assert tf.DeviceSpec.from_string(shard.device) == tf.DeviceSpec.from_string(device)
        found, expected = shard.numpy(), values[tuple(index)]
        assert processes.same_bytes(found, expected), (layout, position)


# --- one process ---------------------------------------------------------------------------------


def each_axis_over_1_2_3_4_and_8_devices():
    shape = (24, 48, 24)
    for count, axis, dtype in itertools.product((1, 2, 3, 4, 8), range(3), DTYPES):
        specs = [NONE] * 3
        specs[axis] = "x"
        layout = dtensor.Layout(specs, mesh(x=count))
        v = pit.dtensor_variable(INIT, shape, layout, dtype, name="w", trainable=False)
        assert isinstance(v, dtensor.DVariable) and v.layout == layout
        assert (v.name, v.dtype, v.shape, v.trainable) == ("w:0", dtype, shape, False)
        check_shards(v, layout, INIT(shape, dtype))


def meshes_of_two_dimensions():
    shape = (8, 16)
    for grid in (mesh(x=2, y=2), mesh(x=2, y=4), mesh(x=4, y=2)):
        for specs in itertools.product((NONE, "x", "y"), repeat=2):
            if specs in (("x", "x"), ("y", "y")):
                continue
            layout = dtensor.Layout(list(specs), grid)  # all copies are compared with the same
            for init in (INIT, pi.HeNormal(seed=1, sampler="tensorflow"), pi.Identity(2.0)):
                check_shards(pit.dtensor_variable(init, shape, layout), layout, init(shape))
    scalar = dtensor.Layout([], mesh(x=2))
    check_shards(pit.dtensor_variable(INIT, (), scalar), scalar, INIT(()))
    empty = dtensor.Layout(["x", NONE], mesh(x=2))
    check_shards(pit.dtensor_variable(INIT, (0, 3), empty), empty, INIT((0, 3)))


def a_gradient_step():
    shape = (16, 8)
    for specs in (["x", "y"], [NONE, "y"], ["y", NONE], [NONE, NONE]):
        layout = dtensor.Layout(specs, mesh(x=2, y=4))
        v = pit.dtensor_variable(INIT, shape, layout)

        @tf.function
        def step(v=v):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.square(v))
            v.assign_sub(0.25 * tape.gradient(loss, v))
            return loss

        loss = step()
        np.testing.assert_allclose(dtensor.unpack(loss)[0], np.square(INIT(shape)).sum(), 1e-5)
        check_shards(v, layout, INIT(shape) / 2)


def address(tensor):
    return tensor.__array__().__array_interface__["data"][0]


def one_buffer_a_device():
    filled, original = [], module.filled

    def noted(*arguments):
        tensor = original(*arguments)
        filled.append(address(tensor))
        return tensor

    grid, done = mesh(x=2, y=4), []
    made = []
    for specs, local in ((["x", "y"], 64), ([NONE, "y"], 128), ([NONE, NONE], 512)):
        layout = dtensor.Layout(specs, grid)
        pit.dtensor_variable(INIT, (64, 64), layout)  # what is loaded late
        module.filled = noted
        try:
            with most(local + SLACK):
                v = pit.dtensor_variable(
                    INIT, (4096, 4096), layout, progress=lambda *counts: done.append(counts)
                )
        finally:
            module.filled = original
        found = [address(t) for t in dtensor.unpack(v.read_value())]
        # DTensor itself lets CPUs share one buffer where all of them have the whole.
        assert found == (filled[-8:] if local < 512 else filled[-8:-7] * 8)
        total = local * 2**18
        assert done[-8:] == [(total // 8 * (i + 1), total) for i in range(8)]
        made.append(v)


@contextlib.contextmanager
def most(mib):
    """The process may need so many MiB more inside."""
    with processes.growth(*["self"] * processes.measurable) as grown:
        yield
    assert not grown or grown[0] <= mib, (grown, mib)


def what_is_refused():
    grid = mesh(x=2, y=4)

    def refused(error, text, *arguments, **keywords):
        with processes.refused(error, text):
            pit.dtensor_variable(*arguments, **keywords)

    layout = dtensor.Layout(["x", NONE], grid)
    refused(ValueError, "must have as many axes as `shape`; got specs=", INIT, (8, 8, 8), layout)
    refused(ValueError, "got 2 parts of axis 0 of shape=(7, 8)", INIT, (7, 8), layout)
    refused(TypeError, "must be a tf.experimental.dtensor.Layout; got", INIT, (8, 8), grid)
    refused(TypeError, "`init` must be a philinit initializer", np.zeros, (8, 8), layout)
    refused(ValueError, "`dtype` must be one of float32", INIT, (8, 8), layout, "int32")
    refused(ValueError, "`threads` must be at least 1", INIT, (8, 8), layout, threads=0)
    refused(TypeError, "`progress` must be callable", INIT, (8, 8), layout, progress=1)
    inside = tf.function(lambda: pit.dtensor_variable(INIT, (8, 8), layout), autograph=False)
    with processes.refused(NotImplementedError, "must be called eagerly"):
        inside()


SECTIONS = (
    each_axis_over_1_2_3_4_and_8_devices,
    meshes_of_two_dimensions,
    a_gradient_step,
    one_buffer_a_device,
    what_is_refused,
)


# --- two clients ---------------------------------------------------------------------------------


def client(index, addresses):
    """One of two processes; each makes the shards of its own devices only."""
    os.environ |= {
        "DTENSOR_CLIENT_ID": str(index),
        "DTENSOR_NUM_CLIENTS": "2",
        "DTENSOR_JOB_NAME": "worker",
        "DTENSOR_JOBS": ",".join(addresses),
    }
    logical_cpus(2)
    dtensor.initialize_accelerator_system("CPU")
    grid = dtensor.create_distributed_mesh([("x", 2), ("y", 2)], device_type="CPU")
    shape = (8, 6)
    for specs in (["x", "y"], ["y", NONE], [NONE, "x"], [NONE, NONE]):
        layout = dtensor.Layout(specs, grid)
        v = pit.dtensor_variable(INIT, shape, layout)
        assert len(dtensor.unpack(v.read_value())) == 2
        check_shards(v, layout, INIT(shape))
        total = dtensor.unpack(tf.reduce_sum(tf.square(v)))[0]  # over both processes
        np.testing.assert_allclose(total, np.square(INIT(shape)).sum(), 1e-5)
        assert pit.to_tensor(INIT, shape).device.endswith(f"task:{index}/device:CPU:0")


def main():
    addresses = processes.free_addresses(2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(processes.forked(client, i, addresses)) for i in range(2)]
        logical_cpus(8)
        for section in SECTIONS:
            processes.tell(section)

        def two_clients():
            assert [processes.joined(pid) for pid in clients] == [0, 0]

        processes.tell(two_clients)


if __name__ == "__main__":
    main()
