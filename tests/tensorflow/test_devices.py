# SPDX-License-Identifier: Apache-2.0
"""Devices and strategies: the one that is meant, or an error that says why not."""

import os
from importlib.util import find_spec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from tests.support.tensorflow_memory import (  # noqa: E402
    Pattern,
    run,
    same,
)

no_cuda = pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed")


@no_cuda
@pytest.mark.parametrize(
    "device", ["GPU:0", "/GPU:1", "/job:localhost/replica:0/task:0/device:GPU:0"]
)
def test_a_gpu_is_refused_and_nothing_lands_on_the_cpu_instead(device):
    text = r"got device='.*GPU.*': the cuda backend needs CuPy: .*philinit\[cuda1.*device='CPU:0'"
    init = Pattern()
    for make in (pit.variable, pit.to_tensor):
        with pytest.raises(ImportError, match=text):
            make(init, (3,), device=device)
        with tf.device(device), pytest.raises(ImportError, match=text):
            make(init, (3,))
    assert init.given == []


@pytest.mark.parametrize("scope", ["GPU:0", "CPU:0", "/job:ps/task:3"])
def test_an_explicit_cpu_wins_over_the_scope(scope):
    with tf.device(scope):
        v = pit.variable(Pattern(), (3, 2), device="CPU:0")
        pit.fill(v, Pattern(9))
    assert v.device.endswith("localhost/replica:0/task:0/device:CPU:0")
    assert same(v, Pattern(9).values((3, 2)))


@pytest.mark.parametrize(
    ("device", "error", "text"),
    [
        ("nonsense", ValueError, "must be a CPU such as 'CPU:0'; got device='nonsense'"),
        ("CPU:99", ValueError, "one of the 1 CPU devices; got device='CPU:99'"),
        ("TPU:0", NotImplementedError, "a CPU's for now; got device='TPU:0'"),
        ("/job:ps/task:0/device:CPU:0", ValueError, "to one that TensorFlow is connected to; got"),
        ("/job:ps/task:0/device:GPU:0", NotImplementedError, "in another process .* a CPU's; got"),
        (0, TypeError, "`device` must be a str such as 'CPU:0'; got device=0"),
    ],
)
def test_other_devices_are_refused(device, error, text):
    with pytest.raises(error, match=text):
        pit.variable(Pattern(), (3,), device=device)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        "/CPU:0",
        tf.DeviceSpec(device_type="CPU"),
        tf.config.LogicalDevice("/device:CPU:0", "CPU"),
    ],
    ids=str,
)
def test_forms_of_a_device(device):
    assert pit.to_tensor(Pattern(), (3,), device=device).device.endswith("CPU:0")


def test_strategies_over_cpus():
    run("""
import tensorflow as tf, philinit.tensorflow as pit
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from philinit.initializers.base import Initializer
class Value(Initializer):
    __setattr__ = object.__setattr__
    def __init__(self, value): self.value = value
    def _write(self, target):
        self.where = target.view.__array_interface__["data"][0]
        target.view[...] = self.value
def where(v):
    return v.read_value().__array__().__array_interface__["data"][0]
one = tf.ones((4, 3))
for strategy in (tf.distribute.OneDeviceStrategy("CPU:1"),
                 tf.distribute.MirroredStrategy(["CPU:0"]),
                 tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    init = Value(2.0)
    with strategy.scope():
        v = pit.variable(init, (4, 3))
    parts = strategy.experimental_local_results(v)
    assert len(parts) == strategy.num_replicas_in_sync
    assert all((p.numpy() == 2).all() for p in parts)
    with strategy.scope():
        v.assign_add(one)
    assert all((p.numpy() == 3).all() for p in parts)
    assert len({where(p) for p in parts}) == len(parts)
    assert where(parts[-1]) == init.where
    for scope in (strategy.scope, lambda: tf.device(None)):
        init.value += 5
        with scope():
            pit.fill(v, init)
        assert all((p.numpy() == init.value).all() for p in parts), strategy
    def refused(call, text):
        try:
            call()
        except NotImplementedError as error:
            assert text in str(error), error
        else:
            raise AssertionError(text)
    refused(lambda: strategy.run(lambda: pit.variable(init, (2,))), "inside run(): make it outside")
    refused(lambda: strategy.run(lambda: pit.fill(v, init)), "outside of a strategy's run()")
    with strategy.scope():
        s = tf.Variable(1.0, synchronization=tf.VariableSynchronization.ON_READ,
                        aggregation=tf.VariableAggregation.SUM)
    if len(parts) > 1:
        refused(lambda: pit.fill(s, init), "same value on each replica")
with tf.distribute.MultiWorkerMirroredStrategy().scope():
    refused(lambda: pit.variable(init, (2,)), "got CollectiveAllReduceStrategy: make it outside")
assert pit.variable(init, (3,), device="CPU:1").device.endswith("CPU:1")
with tf.device("CPU:1"):
    assert pit.to_tensor(init, (3,)).device.endswith("CPU:1")
""")
