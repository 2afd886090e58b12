# SPDX-License-Identifier: Apache-2.0
"""philinit.keras where layers live on a GPU: filled there, through a stand-in for CuPy.

No GPU takes part. TensorFlow places what "GPU:0" asks for on its CPU, and the stand-in takes that
memory for a GPU's; torch's tensors are played. Expected weights are Keras's own, on a CPU.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

from tests.support import cuda_host
from tests.support import cupy_stand_in as stand_in
from tests.support.keras_pairs import KI, by_dtype, by_way, keras, pair, pk, same, tf, way_of
from tests.support.processes import run_python
from tests.support.tensorflow_gpus import two_gpus

pytestmark = pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")

SHAPE = (37, 6)


@pytest.fixture
def cupy(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    two_gpus(monkeypatch)
    with stand_in.installed(cache) as module:
        yield module


@by_dtype
@by_way
@pytest.mark.parametrize("name", ["GlorotUniform", "HeNormal"])
def test_a_variable_is_filled_in_the_memory_that_it_has_on_the_gpu(
    cupy: Any, name: str, way: str, dtype: str
) -> None:
    with tf.device("CPU:0"):
        want = getattr(KI, name)(seed=3)(SHAPE, dtype)
    with way_of(way) as names:
        v = keras.Variable(getattr(names, name)(seed=3), shape=SHAPE, dtype=dtype)
    assert same(v.value, want)
    if (name, dtype) == ("HeNormal", "float64"):  # which no GPU draws: TensorFlow copies it
        assert stand_in.names("launch") == []
        return
    (launch,) = stand_in.names("launch")
    assert launch[6] == v.value.read_value().__array__().__array_interface__["data"][0]
    assert stand_in.names("empty") == []  # no memory of CuPy's pool


@pytest.mark.parametrize("device", ["GPU:1", "CPU:0", "TPU:0", "CPU:7"])
def test_the_scope_counts_and_what_cannot_be_filled_is_copied_there(cupy: Any, device: str) -> None:
    init, theirs = pair("HeNormal", seed=3)
    with tf.device("CPU:0"):
        want = theirs(SHAPE, "float32")
    with tf.device(device):
        assert same(init(SHAPE, "float32"), want)
    assert len(stand_in.names("launch")) == (device == "GPU:1")


def test_mirrored_layers_have_their_first_replica_filled_where_it_is(cupy: Any) -> None:
    strategy = tf.distribute.MirroredStrategy(["GPU:1", "GPU:0"])
    with tf.device("CPU:0"):
        want = KI.GlorotUniform(seed=3)((6, 37), "float32")
    with strategy.scope():
        layer = keras.layers.Dense(37, kernel_initializer=pk.GlorotUniform(seed=3))
        layer.build((None, 6))
    replicas = strategy.experimental_local_results(layer.kernel.value)
    assert len(replicas) == 2
    assert all(same(replica, want) for replica in replicas)
    assert len(stand_in.names("launch")) == 1


def test_lapacks_matrix_is_made_in_cpu_memory(cupy: Any) -> None:
    init = pk.Orthogonal(seed=3, sampler="native")
    with tf.device("CPU:0"):
        want = init(SHAPE, "float32")
    assert same(init(SHAPE, "float32"), want)
    assert stand_in.names("launch") == []


def test_without_cupy_classes_name_the_extras_and_accelerate_leaves_it_to_keras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two_gpus(monkeypatch)
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ImportError, match=r"needs CuPy: .*cuda12.*or say device='CPU:0'"):
        pk.GlorotUniform(seed=3)(SHAPE)
    with pk.accelerate():
        found = KI.GlorotUniform(seed=3)(SHAPE)
    assert same(found, KI.GlorotUniform(seed=3)(SHAPE))


def test_torchs_tensors_are_filled_where_keras_has_them(cache: Path) -> None:
    """By a process of its own, where `keras.ops.empty` gives tensors of a second GPU."""
    pytest.importorskip("torch")
    code = f"""
import keras, torch, philinit.keras as pk
from philinit.dtypes import as_dtype
from tests.support import cupy_stand_in as stand_in
from tests.support.cuda_backend import Tensor
class Device(str):
    type = "cuda"
def empty(shape, dtype="float32"):
    with cupy.cuda.Device(1):
        tensor = Tensor(cupy.empty(shape, as_dtype(dtype)))
    tensor.device = Device("cuda:1")
    return tensor
for dtype in ("float32", "float64", "float16", "bfloat16"):
    want = pk.HeNormal(seed=3)({SHAPE}, dtype)
    orthogonal = pk.Orthogonal(seed=3, sampler="native")
    with stand_in.installed({str(cache)!r}) as cupy:
        real, keras.ops.empty = keras.ops.empty, empty
        found = pk.HeNormal(seed=3)({SHAPE}, dtype)
        if dtype != "float64":
            assert [call[2] for call in stand_in.names("launch")] == [1]
            assert type(found) is Tensor
            found = found.array._host
        before = len(stand_in.names("launch"))
        orthogonal({SHAPE}, dtype)
        assert len(stand_in.names("launch")) == before == (dtype != "float64")
        keras.ops.empty = real
        found = found.numpy() if dtype == "float64" else found
        assert found.tobytes() == want.view(torch.uint8).numpy().tobytes()
print("done")
"""
    assert run_python(code, env={"KERAS_BACKEND": "torch"}).stdout == "done\n"
