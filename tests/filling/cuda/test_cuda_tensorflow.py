# SPDX-License-Identifier: Apache-2.0
"""philinit.tensorflow on a GPU, driven through a stand-in for CuPy; no GPU takes part.

TensorFlow has none here either: it places what "GPU:0" asks for on its CPU, and the stand-in takes
that memory for a GPU's. So what is shown is which calls are made, on which memory, in which order;
that TensorFlow's GPU kernels answer them as its CPU kernels do is for tests/gpu to show.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi
from tests.support import cuda_host, cupy_memory
from tests.support import cupy_stand_in as stand_in

tf = pytest.importorskip("tensorflow")
import philinit.tensorflow as pit  # noqa: E402  (TensorFlow may be missing)
from philinit.tensorflow import devices, memory  # noqa: E402
from tests.support.tensorflow_gpus import Physical, two_gpus  # noqa: E402

pytestmark = pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")

DTYPES = ["float32", "float64", "float16", "bfloat16"]
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
INIT = pi.GlorotUniform(seed=42)


@pytest.fixture
def cupy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The stand-in, and two GPUs that TensorFlow says it has."""
    two_gpus(monkeypatch)
    with stand_in.installed(cache) as module:
        yield module


def everything_is_on_gpu_0(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("philinit.tensorflow.") and hasattr(module, "device_name"):
            monkeypatch.setattr(module, "device_name", lambda device: "GPU:0")


def address(tensor: Any) -> int:
    if isinstance(tensor, tf.Variable):
        tensor = tensor.read_value()
    found: int = tensor.__array__().__array_interface__["data"][0]
    return found


def kinds() -> list[str]:
    return [call[0] for call in stand_in.calls]


@by_dtype
def test_a_tensor_is_written_where_tensorflow_has_it_and_waited_for(cupy: Any, dtype: str) -> None:
    t = pit.to_tensor(INIT, (37, 5), dtype, device="GPU:0")
    assert t.numpy().tobytes() == INIT((37, 5), dtype).tobytes()
    (launch,) = stand_in.names("launch")
    assert launch[6] == address(t)
    order = [k for k in kinds() if k in ("from_dlpack", "launch", "synchronize", "run")]
    assert order == ["from_dlpack", "launch", "synchronize", "run"]
    assert stand_in.names("empty") == []  # no memory of CuPy's pool


@by_dtype
def test_a_variable_keeps_the_memory_and_trains_in_it(cupy: Any, dtype: str) -> None:
    with tf.device("GPU:0"):  # the scope counts
        v = pit.variable(INIT, (37, 5), dtype)
    (launch,) = stand_in.names("launch")
    assert launch[6] == address(v)
    assert v.numpy().tobytes() == INIT((37, 5), dtype).tobytes()
    gc.collect()
    assert not cupy_memory.memories  # nobody else holds it, so that nothing is copied:
    v.assign_add(tf.ones_like(v))
    assert address(v) == launch[6]


def test_without_a_device_tensorflows_first_gpu_is_taken(cupy: Any) -> None:
    pit.variable(INIT, (3, 4))
    assert len(stand_in.names("launch")) == 1
    pit.variable(INIT, (3, 4), device="CPU:0")
    pit.to_tensor(INIT, (3, 4), device="/CPU:0")
    assert len(stand_in.names("launch")) == 1


def test_a_shard(cupy: Any) -> None:
    box = (slice(3, 9), slice(1, 4))
    t = pit.to_tensor(INIT, (37, 5), device="GPU:1", shard=box)
    assert np.array_equal(t.numpy(), INIT((37, 5))[box])
    assert len(stand_in.names("launch")) == 1
    assert len(stand_in.names("synchronize")) == 1  # once, at the end


def test_rows_by_number(cupy: Any) -> None:
    t = pit.rows(INIT, (37, 5), tf.constant([[3, 36], [3, 0]]), device="GPU:0")
    assert t.numpy().tobytes() == INIT((37, 5))[[[3, 36], [3, 0]]].tobytes()
    (launch,) = stand_in.names("launch")
    assert launch[6] == address(t)


def test_the_device_is_asked_of_cuda_not_of_tensorflow(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow's GPU:0 may be cuda:1."""
    held = []

    def elsewhere(capsule: Any, real: Any = cupy.from_dlpack) -> Any:
        array = real(capsule)
        found = array.data.mem
        cupy_memory.memories.discard(found)
        held.append(cupy_memory.Memory(found.ptr, found.size, None, 1))
        return array

    monkeypatch.setattr(cupy, "from_dlpack", elsewhere)
    t = pit.to_tensor(INIT, (37, 5), device="GPU:0")
    assert [call[2] for call in stand_in.names("launch")] == [1]
    assert t.numpy().tobytes() == INIT((37, 5)).tobytes()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0)])
def test_empty_tensors_launch_nothing_but_check_their_arguments(cupy: Any, shape: Any) -> None:
    assert pit.to_tensor(INIT, shape, device="GPU:0").shape == shape
    assert pit.variable(INIT, shape, device="GPU:0").shape == shape
    with pytest.raises(ValueError, match=r"`threads` must be at least 1"):
        pit.to_tensor(INIT, shape, device="GPU:0", threads=0)
    assert stand_in.names("launch") == []


def test_errors_come_before_a_launch(cupy: Any) -> None:
    for call, error, text in [
        (lambda: pit.variable(INIT, (3,), device="GPU:2"), ValueError, "one of the 2 GPU devices"),
        (lambda: pit.variable(INIT, (3,), device="TPU:0"), NotImplementedError, "got device='TPU"),
        (lambda: pit.variable(INIT, (3, 4), threads=0), ValueError, "`threads` must be"),
        (lambda: pit.variable(pi.Orthogonal(seed=1), (3, 4)), NotImplementedError, "CPU memory"),
    ]:
        with pytest.raises(error, match=text):
            call()
    assert stand_in.names("launch") == []


def test_graphs_stay_on_the_cpu(cupy: Any) -> None:
    @tf.function
    def make(device: Any = None) -> Any:
        return pit.to_tensor(INIT, (3, 4), device=device)

    assert np.array_equal(make().numpy(), INIT((3, 4)))
    with pytest.raises(NotImplementedError, match=r"must be in CPU memory; got device='GPU:0'"):
        make("GPU:0")
    assert stand_in.names("launch") == []


@pytest.mark.parametrize("kind", ["OneDevice", "Mirrored"])
def test_a_strategy_over_gpus_has_its_first_replica_filled_where_it_is(
    cupy: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And TensorFlow makes the others of it; it has none here, and places them on its CPU."""
    devices = {"OneDevice": "GPU:1", "Mirrored": ["GPU:1", "GPU:0"]}[kind]
    strategy = getattr(tf.distribute, f"{kind}Strategy")(devices)
    assert strategy.extended.parameter_devices[0].endswith("GPU:1")
    wanted = []
    real = memory.empty
    monkeypatch.setattr(memory, "empty", lambda *a: wanted.append(a[-1]) or real(*a))
    with strategy.scope():
        v = pit.variable(INIT, (37, 5))
    assert wanted == ["GPU:1"]
    assert len(stand_in.names("launch")) == 1
    for replica in strategy.experimental_local_results(v):
        assert replica.numpy().tobytes() == INIT((37, 5)).tobytes()


def test_without_a_driver_cuda_is_quoted_and_the_cpu_is_named(cupy: Any, cache: Path) -> None:
    with (
        stand_in.installed(cache, error="cudaErrorNoDevice: no CUDA-capable device"),
        pytest.raises(
            RuntimeError, match=r"got device='GPU:0': .*ErrorNoDevice.*say device='CPU:0'"
        ),
    ):
        pit.variable(INIT, (3, 4))


@pytest.mark.parametrize("device", ["GPU:0", "/job:localhost/replica:0/task:0/device:GPU:1"])
def test_without_cupy_the_extras_and_the_cpu_are_named(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    text = r"got device='.*GPU.*needs CuPy: .*cuda12.*cuda13.*say device='CPU:0'"
    for make in (pit.variable, pit.to_tensor):
        with pytest.raises(ImportError, match=text):
            make(INIT, (3, 4), device=device)
        with tf.device(device), pytest.raises(ImportError, match=text):
            make(INIT, (3, 4))


@by_dtype
def test_a_variable_is_refilled_in_place(
    cupy: Any, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    v = tf.Variable(tf.zeros((37, 5), dtype))
    before = address(v)
    everything_is_on_gpu_0(monkeypatch)
    assert pit.fill(v, INIT) is v
    assert v.numpy().tobytes() == INIT((37, 5), dtype).tobytes()
    (launch,) = stand_in.names("launch")
    assert launch[6] == address(v) == before
    gc.collect()
    v.assign_add(tf.ones_like(v))
    assert address(v) == before


def test_a_shared_variable_moves_first(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a = tf.Variable(tf.zeros((37, 5)))
    b = tf.Variable(a.read_value())
    everything_is_on_gpu_0(monkeypatch)
    pit.fill(b, INIT)
    assert np.array_equal(b.numpy(), INIT((37, 5)))
    assert not a.numpy().any()


# --- from_dlpack ---------------------------------------------------------------------------------


@by_dtype
def test_import_waits_for_the_current_stream_and_copies_nothing(cupy: Any, dtype: str) -> None:
    w = INIT((37, 5), dtype, device="cuda:1")
    stream = cupy.cuda.Stream()
    with stream:
        INIT.fill(w)
        t = pit.from_dlpack(w)
    assert t.numpy().tobytes() == INIT((37, 5), dtype).tobytes()
    assert address(t) == w.data.ptr
    order = [call for call in stand_in.calls if call[0] in ("synchronize", "__dlpack__")]
    assert order == [("synchronize", 1, stream.ptr), ("__dlpack__", -1, None, 1)]


def test_import_refuses_what_would_abort_the_process(cupy: Any) -> None:
    w = cupy.empty(100, np.float32)
    with pytest.raises(ValueError, match=r"must lie at a multiple of 64 bytes.* 64 == 4"):
        pit.from_dlpack(w[1:])
    with pytest.raises(ValueError, match=r"`array` must be C-contiguous"):
        pit.from_dlpack(cupy.empty((3, 4), np.float32).T)
    with pytest.raises(ValueError, match=r"`array` must hold float32"):
        pit.from_dlpack(w.view(np.int32))
    assert pit.from_dlpack(cupy.empty((3, 0), np.float32)).shape == (3, 0)


def test_memory_goes_back_when_the_device_has_done_what_was_queued(cupy: Any) -> None:
    """TensorFlow's streams, which nobody else knows, may still read when it drops the memory."""
    w = INIT((37, 5), device="cuda:1")
    want = INIT((37, 5)).tobytes()
    pointer, read = w.data.ptr, []
    t = pit.from_dlpack(w)
    with cupy.cuda.Device(1):
        stream = cupy.cuda.Stream(non_blocking=True)  # TensorFlow's, which is behind
        stream.queue().append(lambda: read.append(ctypes.string_at(pointer, len(want))))
    del w, t
    gc.collect()
    until = time.monotonic() + 30
    while not read and time.monotonic() < until:
        time.sleep(0.01)
    assert ("device", 1) in stand_in.calls
    assert read == [want]


GPUS = [Physical(f"/physical_device:GPU:{n}") for n in range(4)]


@pytest.mark.parametrize(
    ("visible", "divided", "numbers"),
    [
        (GPUS, {}, {0: 0, 1: 1, 3: 3}),
        ([GPUS[2]], {}, {2: 0}),
        ([GPUS[3], GPUS[1]], {}, {1: 0, 3: 1}),  # TensorFlow counts in CUDA's order all the same
        (GPUS, {0: [None] * 3, 2: [None] * 2}, {0: 0, 1: 3, 2: 4, 3: 6}),
    ],
)
def test_cudas_numbers_of_gpus_are_counted_as_tensorflow_counts_them(
    visible: Any, divided: Any, numbers: dict[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: GPUS)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: visible)
    found = dict(zip(GPUS, map(divided.get, range(4)), strict=True))
    monkeypatch.setattr(tf.config, "get_logical_device_configuration", found.get)
    assert {index: devices.gpu_number(index) for index in numbers} == numbers
    for index in {4, *(n for n in range(4) if GPUS[n] not in visible)}:
        with pytest.raises(ValueError, match=rf"that TensorFlow sees; got cuda:{index}, and"):
            devices.gpu_number(index)


def test_a_capsule_has_tensorflows_number_of_the_gpu(
    cupy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: GPUS)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: GPUS[1:])
    monkeypatch.setattr(tf.config, "get_logical_device_configuration", lambda gpu: None)
    w = INIT((37, 5), device="cuda:1")
    t = pit.from_dlpack(w)
    assert stand_in.names("__dlpack__") == [("__dlpack__", -1, None, 0)]
    assert t.numpy().tobytes() == INIT((37, 5)).tobytes()
