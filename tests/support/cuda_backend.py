# SPDX-License-Identifier: Apache-2.0
"""What tests of the CUDA backend draw, what is right, and what was launched."""

from __future__ import annotations

import types
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Uniform
from philinit.dtypes import as_dtype
from philinit.filling import dlpack
from tests.support import cuda_host
from tests.support import cupy_stand_in as stand_in

KEY = pi.Key.from_seed(42)
UNIFORM = Uniform(-0.1, 0.1)
DTYPES = ("float32", "float64", "float16", "bfloat16")
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
needs_gxx = pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")


def on_cpu(count: int, offset: int = 0, dtype: str = "float32", **keywords: Any) -> Any:
    what = keywords.pop("distribution", UNIFORM)
    return pi.fill(np.empty(count, as_dtype(dtype)), what, KEY, offset, **keywords)


def launches() -> list[stand_in.Call]:
    return stand_in.names("launch")


class Tensor:
    """What a torch CUDA tensor looks like; it lives in memory of the stand-in."""

    def __init__(self, array: Any) -> None:
        self.array, self.device, self.streams = array, "cuda", []
        self.dtype = f"torch.{array.dtype.name}"

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.array.data.device_id

    def view(self, dtype: str) -> Tensor:
        seen = Tensor(self.array.view(dtype))
        seen.streams = self.streams
        return seen

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
        self.streams.append(stream)
        return dlpack.to_capsule(self.array._host)


def stream_at(cupy: Any, pointer: int) -> Any:
    """The stream of somebody else that lies at `pointer`."""
    owner = types.SimpleNamespace(__cuda_stream__=lambda: (0, pointer))
    return cupy.cuda.Stream.from_external(owner)
