# SPDX-License-Identifier: Apache-2.0
"""Fills captured into CUDA graphs: what works, and one sentence for what would break a capture.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it, tests/gpu is for real
ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Normal
from philinit.filling.cuda import prepare
from tests.support import cupy_stand_in as stand_in
from tests.support.cuda_backend import KEY, UNIFORM, Tensor, launches, needs_gxx, on_cpu

pytestmark = needs_gxx

ROWS = pi.Rows((40, 30), [7, 0, 39, 7])


def test_replays_write_the_same_weights(cupy: Any) -> None:
    out, stream = cupy.empty(99, np.float32), cupy.cuda.Stream(non_blocking=True)
    prepare(UNIFORM)
    with stream:
        stream.begin_capture()
        pi.fill(out, UNIFORM, KEY, 5)
        graph = stream.end_capture()
        for _ in range(2):
            out[...] = 0.0
            graph.launch(stream)
            stream.synchronize()
            assert out._host.tobytes() == on_cpu(99, 5).tobytes()


def test_prepare_loads_what_a_capture_needs_and_fills_nothing(cupy: Any) -> None:
    prepare(Normal(0.0, 0.02), "bfloat16", sampler="native", device=1)
    assert stand_in.names("load") == [("load", 1)] * 2
    assert launches() == []
    box = pi.Shard((40, 30), (slice(None), slice(3, 9)))
    with cupy.cuda.Device(1), cupy.cuda.Stream(non_blocking=True) as stream:
        whole = cupy.empty((40, 30), pi.dtypes.as_dtype("bfloat16"))
        part = cupy.empty(box.shape, whole.dtype)
        stream.begin_capture()
        pi.fill(whole, Normal(0.0, 0.02), KEY)
        pi.fill(part, Normal(0.0, 0.02), KEY, shard=box)
        stream.end_capture()
    assert len(launches()) == 2
    assert len(stand_in.names("load")) == 2


@pytest.mark.parametrize("device", [2, -1])
def test_prepare_refuses_what_fills_refuse(cupy: Any, device: int) -> None:
    with pytest.raises(
        ValueError, match=rf'one of the 2 CUDA devices.*; got device="cuda:{device}'
    ):
        prepare(UNIFORM, device=device)
    with pytest.raises(ValueError, match=r"`sampler` must be"):
        prepare(UNIFORM, sampler="keras")
    with pytest.raises(NotImplementedError, match=r"float64: use sampler"):
        prepare(Normal(), "float64", sampler="tensorflow")


def test_what_would_break_a_capture_is_refused_before_it_does(cupy: Any) -> None:
    out, stream = cupy.empty((4, 30), np.float32), cupy.cuda.Stream(non_blocking=True)
    foreign = Tensor(cupy.empty((4, 30), np.float32))  # of a library that names no stream
    prepare(UNIFORM)
    with stream:
        stream.begin_capture()
        for text, call in (
            (r"find its kernel loaded; philinit\.filling\.cuda\.prepare", lambda: pi.fill(
                out, Normal(), KEY)),
            (r"find the ids of rows on the device: pass a CuPy array", lambda: pi.fill(
                out, UNIFORM, KEY, shard=ROWS)),
            (r"cannot wait to report its `progress`", lambda: pi.fill(
                out, UNIFORM, KEY, progress=print)),
            (r"memory that names its stream: pass a CuPy array", lambda: pi.fill(
                foreign, UNIFORM, KEY)),
        ):  # fmt: skip
            with pytest.raises(RuntimeError, match=f"captured into a CUDA graph a fill .*{text}"):
                call()
        pi.fill(out, UNIFORM, KEY)  # and the capture goes on
        graph = stream.end_capture()
        graph.launch()
        stream.synchronize()
    assert out._host.tobytes() == on_cpu(120).tobytes()
    assert len(launches()) == 1
