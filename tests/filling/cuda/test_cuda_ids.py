# SPDX-License-Identifier: Apache-2.0
"""Rows whose ids lie on the device: looked at once, never copied there, refused elsewhere.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it.
"""

from __future__ import annotations

import os
import sys
import types
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

import philinit as pi
from philinit.filling.cuda import prepare
from philinit.kernels.cuda import arguments
from tests.support import cupy_stand_in as stand_in
from tests.support.cuda_backend import KEY, UNIFORM, Tensor, launches, needs_gxx, stream_at
from tests.support.tensorflow_gpus import two_gpus

pytestmark = needs_gxx

IDS = [7, 0, 39, 7, 12]


def table() -> Any:
    return pi.fill(np.empty((40, 30), np.float32), UNIFORM, KEY)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16])
def test_ids_on_the_device_are_checked_once_and_never_copied_there(cupy: Any, kind: Any) -> None:
    with cupy.cuda.Device(1):
        ids = cupy.asarray(np.array(IDS, kind).reshape(5, 1))
        outs = [cupy.empty((5, 1, 30), np.float32) for _ in range(2)]
    rows = pi.Rows((40, 30), ids)
    assert (rows.shape, rows.last) == ((5, 1, 30), 39)
    assert type(rows.ids) is cupy.ndarray
    del stand_in.calls[:], ids
    for out in outs:
        pi.fill(out, UNIFORM, KEY, shard=rows)
    assert [call[0] for call in stand_in.calls if call[0] in ("asarray", "synchronize")] == []
    for out in outs:
        assert cupy.asnumpy(out).tobytes() == table()[IDS].tobytes()


def test_ids_on_the_device_can_go_into_a_cuda_graph(cupy: Any) -> None:
    rows, out = pi.Rows((40, 30), cupy.asarray(np.array(IDS))), cupy.empty((5, 30), np.float32)
    prepare(UNIFORM)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        pi.fill(out, UNIFORM, KEY, shard=rows)
        stream.end_capture().launch()
    with stream:
        assert cupy.asnumpy(out).tobytes() == table()[IDS].tobytes()


def test_ids_on_the_device_that_are_wrong_or_elsewhere_are_refused(cupy: Any) -> None:
    for bad, got in (([3, -1], "-1"), ([40, 3], "40"), ([2**63], str(2**63))):
        with pytest.raises(ValueError, match=rf"must lie in \[0, 40\).*; got {got}$"):
            pi.Rows((40, 30), cupy.asarray(np.array(bad)))
    with pytest.raises(TypeError, match=r"`ids` must be integers; got ids of dtype float32"):
        pi.Rows((40, 30), cupy.asarray(np.zeros(3, np.float32)))
    rows = pi.Rows((40, 30), cupy.asarray(np.array(IDS)))
    with cupy.cuda.Device(1):
        other = cupy.empty((5, 30), np.float32)
    with pytest.raises(ValueError, match=r"on the device that is filled.*on cuda:0 for cuda:1"):
        pi.fill(other, UNIFORM, KEY, shard=rows)
    host = np.zeros((5, 30), np.float32)
    sentence = r"`ids` must be in CPU memory.* on cuda:0: .*pass cupy.asnumpy\(ids\)"
    with pytest.raises(TypeError, match=sentence):
        pi.fill(host, UNIFORM, KEY, shard=rows)
    with pytest.raises(TypeError, match=sentence):
        pi.Identity().rows((40, 30), rows.ids)
    assert not host.any()
    assert launches() == []


# --- ids of other libraries ----------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The addresses of the ids that kernels were told."""
    found: list[int] = []
    real = arguments.argument

    def spy(runs: Any, kernel: Any, out: int, ids: int, resident: int) -> Any:
        found.append(ids)
        return real(runs, kernel, out, ids, resident)

    monkeypatch.setattr(arguments, "argument", spy)
    return found


def by_torch(monkeypatch: pytest.MonkeyPatch, pointer: int) -> None:
    """`Tensor` is torch's, whose current stream is the one at `pointer`."""
    torch: Any = types.ModuleType("torch")
    torch.Tensor = Tensor
    stream = types.SimpleNamespace(cuda_stream=pointer)
    torch.cuda = types.SimpleNamespace(current_stream=lambda device: stream)
    monkeypatch.setitem(sys.modules, "torch", torch)


def made_on(cupy: Any, stream: Any, kind: Any = np.int64) -> Any:
    """Ids that their owner's stream has yet to make."""
    array = cupy.empty(5, kind)
    with stream:
        array[...] = cupy.asarray(np.array(IDS, kind))
    return array


def called(init: Any, how: str, ids: Any, **call: Any) -> Any:
    return (
        init.rows((40, 30), ids, **call) if how == "number" else init.rows_by_key(30, ids, **call)
    )


INIT = pi.Uniform(-0.1, 0.1, seed=42)
by_call = pytest.mark.parametrize("how", ["number", "key"])


@by_call
@pytest.mark.parametrize("owner", ["cupy", "torch", "other", "interface", "no stream", "read-only"])
def test_ids_of_any_owner_are_read_where_they_are(
    cupy: Any, owner: str, how: str, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When their own stream has made them, and before it goes on."""
    theirs = cupy.cuda.Stream.null
    if owner in ("torch", "interface"):
        theirs = stream_at(cupy, 77)
    if owner == "torch":
        by_torch(monkeypatch, 77)
    array = made_on(cupy, theirs)
    ids: Any = Tensor(array)
    if owner == "cupy":
        ids = array
    elif owner not in ("torch", "other"):
        own = array.__cuda_array_interface__
        told = {"stream": 77 if owner == "interface" else None}
        told |= {"data": (array.data.ptr, True)} if owner == "read-only" else {}
        ids = types.SimpleNamespace(array=array, __cuda_array_interface__={**own, **told})
    wanted = called(INIT, how, IDS)
    ours = theirs if owner == "cupy" else cupy.cuda.Stream(non_blocking=True)
    with ours:
        out = cupy.empty((5, 30), np.float32)
        called(INIT, how, ids, out=out)
    with theirs:
        array[...] = 0  # as if the memory had gone to somebody else
    theirs.synchronize()
    ours.synchronize()
    assert out._host.tobytes() == wanted.tobytes()
    assert read == [array.data.ptr]


@by_call
def test_narrow_ids_are_made_wider_on_the_device(cupy: Any, how: str, read: list[int]) -> None:
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        array = made_on(cupy, stream, np.int32)
        made = called(INIT, how, array, device="cuda")
        assert cupy.asnumpy(made).tobytes() == called(INIT, how, IDS).tobytes()
    assert read and read != [array.data.ptr]


@by_call
def test_ids_elsewhere_than_the_rows_are_refused(cupy: Any, how: str) -> None:
    name = "ids" if how == "number" else "keys"
    ids = Tensor(made_on(cupy, cupy.cuda.Stream.null))
    with pytest.raises(TypeError, match=rf"`{name}` must be in CPU memory.*got {name} on cuda:0:"):
        called(INIT, how, ids)
    with pytest.raises(ValueError, match=r"got ids on cuda:0 for cuda:1: copy them"):
        called(INIT, how, ids, device="cuda:1")
    assert launches() == []


def test_what_a_cuda_graph_holds_of_ids(cupy: Any) -> None:
    """Keys, which nobody has to look at; numbers only of a part that was made before."""
    prepare(UNIFORM)
    out, keys = cupy.empty((5, 30), np.float32), cupy.asarray(np.array(IDS))
    other = made_on(cupy, stream_at(cupy, 77))
    apart = types.SimpleNamespace(
        array=other, __cuda_array_interface__={**other.__cuda_array_interface__, "stream": 77}
    )
    cupy.cuda.Stream.null.synchronize()  # the keys are there
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError, match=r"CUDA graph a fill must not look at the ids"):
            INIT.rows((40, 30), keys, out=out)
        with pytest.raises(RuntimeError, match=r"CUDA graph a fill must not wait for the stream"):
            INIT.rows_by_key(30, apart, out=out)
        INIT.rows_by_key(30, keys, out=out)
        stream.end_capture().launch()
        assert cupy.asnumpy(out).tobytes() == INIT.rows_by_key(30, IDS).tobytes()


def test_tensorflows_ids_on_a_gpu(
    cupy: Any, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorFlow has no GPU here: the stand-in takes the memory of its CPU for one's."""
    tf = pytest.importorskip("tensorflow")
    import philinit.tensorflow as pit
    from philinit.tensorflow import memory

    two_gpus(monkeypatch)
    monkeypatch.setattr(memory, "memory_of", lambda tensor: "GPU:0")
    ids = tf.constant(IDS, tf.int64)
    made = pit.rows(INIT, (40, 30), ids, device="GPU:0")
    assert made.numpy().tobytes() == INIT.rows((40, 30), IDS).tobytes()
    made = pit.rows_by_key(INIT, 30, tf.Variable(ids), device="GPU:0")
    assert made.numpy().tobytes() == INIT.rows_by_key(30, IDS).tobytes()
    assert read[0] == np.asarray(memoryview(ids)).ctypes.data
    with pytest.raises(TypeError, match=r"`ids` must be in CPU memory.*got ids on cuda:0:"):
        pit.rows(INIT, (40, 30), ids, device="CPU:0")
    assert stand_in.names("asarray") == []
