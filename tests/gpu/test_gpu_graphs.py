# SPDX-License-Identifier: Apache-2.0
"""Fills in CUDA graphs of CuPy and torch, on a real GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Normal
from philinit.filling.cuda import prepare
from tests.support.cuda_backend import KEY, UNIFORM, on_cpu
from tests.support.gpus import alone, needs_gpu

pytestmark = needs_gpu

IDS = np.random.default_rng(1).integers(0, 1 << 20, 2000)
TABLE = (1 << 20, 64)


def test_a_graph_of_cupy_writes_the_same_weights_at_each_replay(cupy: Any) -> None:
    out, stream = cupy.empty(1 << 20, np.float32), cupy.cuda.Stream(non_blocking=True)
    prepare(Normal())
    with stream:
        stream.begin_capture()
        pi.fill(out, Normal(), KEY, 5)
        graph = stream.end_capture()
    want = on_cpu(1 << 20, 5, distribution=Normal())
    for _ in range(2):
        out.fill(0)
        cupy.cuda.Device().synchronize()
        graph.launch(stream)
        stream.synchronize()
        assert out.get().tobytes() == want.tobytes()


def test_a_graph_of_torch(torch: Any) -> None:
    tensor = torch.zeros(1 << 20, device="cuda")
    prepare(UNIFORM)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        pi.fill(tensor, UNIFORM, KEY, 9)
    tensor.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert tensor.cpu().numpy().tobytes() == on_cpu(1 << 20, 9).tobytes()


def test_ids_on_the_device_in_a_graph(cupy: Any) -> None:
    rows, out = pi.Rows(TABLE, cupy.asarray(IDS)), cupy.empty((2000, 64), np.float32)
    prepare(UNIFORM)
    stream = cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream:
        stream.begin_capture()
        pi.fill(out, UNIFORM, KEY, shard=rows)
        graph = stream.end_capture()
    for seed in range(50):  # memory of ids that a graph had staged would be somebody else's now
        other = pi.Rows(TABLE, np.random.default_rng(seed).integers(0, 1 << 20, 2000))
        pi.fill(cupy.empty((2000, 64), np.float32), UNIFORM, KEY, shard=other)
    out.fill(0)
    cupy.cuda.Device().synchronize()
    graph.launch(stream)
    stream.synchronize()
    want = pi.fill(np.empty((2000, 64), np.float32), UNIFORM, KEY, shard=pi.Rows(TABLE, IDS))
    assert out.get().tobytes() == want.tobytes()


def test_what_a_graph_cannot_hold_is_refused_and_the_capture_goes_on(cupy: Any) -> None:
    """The first fill of a kind of its process, ids in CPU memory, and progress."""
    alone(
        """
out, stream = cupy.empty((2000, 64), np.float32), cupy.cuda.Stream(non_blocking=True)
rows = pi.Rows((1 << 20, 64), np.arange(2000))
pi.fill(out, D, K)
pi.fill(out, D, K, shard=rows)
with stream:
    stream.begin_capture()
    for call in (
        lambda: pi.fill(out, Normal(), K),
        lambda: pi.fill(out, D, K, shard=rows),
        lambda: pi.fill(out, D, K, progress=print),
    ):
        try:
            call()
        except RuntimeError as error:
            assert "captured into a CUDA graph" in str(error), error
        else:
            raise AssertionError("it was taken")
    pi.fill(out, D, K)
    graph = stream.end_capture()
out.fill(0)
cupy.cuda.Device().synchronize()
graph.launch(stream)
stream.synchronize()
same(out, cpu(2000 * 64))
"""
    )


def test_the_first_fill_of_a_kind_in_a_graph_of_torch_is_one_sentence(torch: Any) -> None:
    alone(
        """
import torch
tensor = torch.zeros(4096, device="cuda")
torch.cuda.synchronize()
try:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        pi.fill(tensor, D, K)
except RuntimeError as error:
    assert "philinit.filling.cuda.prepare" in str(error), error
else:
    raise AssertionError("it was taken")
"""
    )


@pytest.mark.parametrize("mode", ["Global", "ThreadLocal", "Relaxed"])
def test_capture_modes(cupy: Any, mode: str) -> None:
    out, stream = cupy.empty(4096, np.float32), cupy.cuda.Stream(non_blocking=True)
    prepare(UNIFORM)
    with stream:
        stream.begin_capture(getattr(cupy.cuda.runtime, f"streamCaptureMode{mode}"))
        pi.fill(out, UNIFORM, KEY)
        stream.end_capture().launch(stream)
    stream.synchronize()
    assert out.get().tobytes() == on_cpu(4096).tobytes()
