# SPDX-License-Identifier: Apache-2.0
"""TensorFlow, Keras, torch and JAX on a real GPU: weights in their memory, and ours in theirs."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import philinit as pi
from tests.support.cuda_backend import KEY, UNIFORM, by_dtype, on_cpu
from tests.support.gpus import GPUS, alone, needs_gpu

pytestmark = needs_gpu

two_gpus = pytest.mark.skipif(len(GPUS) < 2, reason="needs two GPUs")


# --- TensorFlow ----------------------------------------------------------------------------------


@by_dtype
def test_tensorflow_variables_on_a_gpu(tf: Any, dtype: str) -> None:
    import philinit.tensorflow as pit

    init = pi.GlorotUniform(seed=42)
    for shape in ((), (0, 3), (1000, 257)):
        if not shape:
            t = pit.to_tensor(pi.Uniform(-0.1, 0.1, seed=42), shape, dtype, device="GPU:0")
            assert t.numpy().tobytes() == on_cpu(1, 0, dtype).tobytes()
            continue
        for device in (None, "GPU:0"):
            v = pit.variable(init, shape, dtype, device=device)
            assert "GPU:0" in v.device
            assert v.numpy().tobytes() == init(shape, dtype).tobytes()
        pit.fill(v, pi.HeNormal(seed=7))
        assert v.numpy().tobytes() == pi.HeNormal(seed=7)(shape, dtype).tobytes()
        v.assign_add(tf.ones_like(v))


def test_a_gpu_variable_and_its_first_update_take_no_second_buffer(tf: Any) -> None:
    import philinit.tensorflow as pit

    shape, nbytes = (1 << 18, 256), 1 << 28
    pit.variable(pi.Zeros(), (4, 4), device="GPU:0").assign_add(tf.ones((4, 4)))
    gc.collect()
    tf.config.experimental.reset_memory_stats("GPU:0")
    before = tf.config.experimental.get_memory_info("GPU:0")["current"]
    v = pit.variable(pi.GlorotUniform(seed=1), shape, device="GPU:0")
    with tf.device("GPU:0"):
        rows = tf.IndexedSlices(tf.ones((2, 256)), tf.constant([1, 5]), tf.constant(shape))
    v.scatter_sub(rows)
    pit.fill(v, pi.GlorotUniform(seed=2))
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    assert nbytes <= peak - before < 1.2 * nbytes
    twin = tf.Variable(v.read_value() + 1.0)  # a copy would have shown
    assert tf.config.experimental.get_memory_info("GPU:0")["peak"] - before >= 2 * nbytes
    del twin


@by_dtype
def test_cupy_arrays_imported_into_tensorflow(cupy: Any, tf: Any, dtype: str) -> None:
    import philinit.tensorflow as pit

    init = pi.HeNormal(seed=5)
    with cupy.cuda.Stream(non_blocking=True):
        for _ in range(10):
            w = init((1000, 1003), dtype, device="cuda")
            t = pit.from_dlpack(w)
            assert tf.identity(t).numpy().tobytes() == init((1000, 1003), dtype).tobytes()
    assert "GPU" in t.device


def test_imported_memory_outlives_what_tensorflow_has_queued(cupy: Any, tf: Any) -> None:
    """CuPy's pool would hand it out while TensorFlow's stream still reads it."""
    import philinit.tensorflow as pit

    with tf.device("GPU:0"):
        a = tf.random.normal((4096, 4096))
    for offset in range(10):
        w = pi.fill(cupy.empty(1 << 24, np.float32), UNIFORM, KEY, offset)
        t = pit.from_dlpack(w)
        with tf.device("GPU:0"):
            for _ in range(20):
                a = tf.matmul(a, a) * 1e-3
            y = t * 1.0
        del t, w
        pi.fill(cupy.empty(1 << 24, np.float32), UNIFORM, KEY, 77)
        assert y[:999].numpy().tobytes() == on_cpu(999, offset).tobytes()


def test_a_strategy_over_all_gpus(tf: Any) -> None:
    import philinit.tensorflow as pit

    strategy = tf.distribute.MirroredStrategy()
    init = pi.GlorotUniform(seed=42)
    with strategy.scope():
        v = pit.variable(init, (1000, 257))
    pit.fill(v, pi.HeNormal(seed=7))
    for replica in strategy.experimental_local_results(v):
        assert "GPU" in replica.device
        assert replica.numpy().tobytes() == pi.HeNormal(seed=7)((1000, 257)).tobytes()


@two_gpus
@pytest.mark.parametrize("divided", [False, True])
def test_tensorflows_numbers_of_gpus_are_not_cudas(divided: bool) -> None:
    pytest.importorskip("tensorflow")
    alone(
        f"""
import tensorflow as tf
gpus = tf.config.list_physical_devices("GPU")
half = tf.config.LogicalDeviceConfiguration(memory_limit=1 << 10)
if {divided}:
    tf.config.set_logical_device_configuration(gpus[0], [half, half])
    tf.config.set_logical_device_configuration(gpus[1], [half])
else:
    tf.config.set_visible_devices(gpus[1], "GPU")
import philinit.tensorflow as pit
init = pi.GlorotUniform(seed=42)
want = init((100, 7)).tobytes()
name = "GPU:2" if {divided} else "GPU:0"
assert pit.variable(init, (100, 7), device=name).numpy().tobytes() == want
t = pit.from_dlpack(init((100, 7), device="cuda:1"))
assert t.device.endswith(name), t.device
assert t.numpy().tobytes() == want
"""
    )


# --- Keras ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_keras_has_its_weights_filled_on_the_gpu(backend: str) -> None:
    pytest.importorskip("keras")
    pytest.importorskip(backend)
    alone(
        """
import keras, philinit.keras as pk
from philinit.filling.cuda import launch
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    if not tf.config.list_physical_devices("GPU"):
        raise SystemExit
    def on_cpu(init, shape):
        with tf.device("CPU:0"):
            return init(shape).numpy()
else:
    import torch
    if not torch.cuda.is_available():
        raise SystemExit
    def on_cpu(init, shape):
        with keras.device("cpu"):
            return init(shape).numpy()
launches, real = [], launch._launch
launch._launch = lambda *a: (launches.append(a), real(*a))
for kind in (pk.GlorotUniform, pk.HeNormal):
    layer = keras.layers.Dense(257, kernel_initializer=kind(seed=3))
    layer.build((None, 1000))
    found = keras.ops.convert_to_numpy(layer.kernel)
    assert found.tobytes() == on_cpu(kind(seed=3), (1000, 257)).tobytes()
assert len(launches) == 2, launches
""",
        KERAS_BACKEND=backend,
        TF_FORCE_GPU_ALLOW_GROWTH="true",
    )


# --- torch and JAX -------------------------------------------------------------------------------


def test_torch_modules_and_slices(torch: Any) -> None:
    import philinit.torch as pt

    init = pt.layout(pi.HeUniform(seed=4))
    module = torch.nn.Linear(65, 33, device="cuda")
    pt.fill_(module.weight, init)
    assert torch.equal(module.weight.detach().cpu(), pt.fill_(torch.empty(33, 65), init))
    whole = torch.zeros(50, 40, device="cuda")
    part = whole[:, 3:20]
    pt.fill_(part, init)
    torch.cuda.synchronize()
    assert torch.equal(part.cpu(), pt.fill_(torch.empty(50, 17), init))
    assert not whole[:, :3].any()
    assert not whole[:, 20:].any()


def test_torch_and_jax_take_our_arrays(torch: Any) -> None:
    w, want = (
        pi.glorot_uniform((300, 70), seed=1, device="cuda"),
        pi.glorot_uniform((300, 70), seed=1),
    )
    tensor = torch.from_dlpack(w)
    assert tensor.data_ptr() == w.data.ptr
    assert tensor.cpu().numpy().tobytes() == want.tobytes()
    jax = pytest.importorskip("jax")
    if jax.devices()[0].platform == "gpu":
        assert np.asarray(jax.dlpack.from_dlpack(w)).tobytes() == want.tobytes()


def test_pinned_memory_of_torch_is_cpu_memory(torch: Any) -> None:
    tensor = torch.empty(1000, pin_memory=True)
    assert pi.fill(tensor, UNIFORM, KEY).numpy().tobytes() == on_cpu(1000).tobytes()
