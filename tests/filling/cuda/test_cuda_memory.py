# SPDX-License-Identifier: Apache-2.0
"""Memory of CuPy, torch and others on a device; what is refused, with nothing launched.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it, tests/gpu is for real
ones.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.cuda_views import on_cuda
from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.filling.cuda import launch as cuda
from philinit.kernels.constants import CALLED
from philinit.kernels.plan import plan
from philinit.kernels.table import make
from tests.support import cupy_stand_in as stand_in
from tests.support.cuda_backend import (
    KEY,
    UNIFORM,
    Tensor,
    by_dtype,
    launches,
    needs_gxx,
    on_cpu,
    stream_at,
)

pytestmark = needs_gxx


# --- memory of others ----------------------------------------------------------------------------


def test_a_cupy_array_is_filled_on_its_device_and_the_current_stream(cupy: Any) -> None:
    with cupy.cuda.Device(1):
        out = cupy.empty((3, 100), np.float32)
    stream = cupy.cuda.Stream()
    with stream:
        assert pi.fill(out, UNIFORM, KEY) is out
    (launch,) = launches()
    assert launch[2:4] == (1, stream.ptr)
    with cupy.cuda.Device(1):
        stream.synchronize()
    assert out._host.tobytes() == on_cpu(300).tobytes()


@by_dtype
@pytest.mark.parametrize("pointer", [0, 2, 77])
def test_a_torch_tensor_is_filled_on_torchs_stream(
    cupy: Any, dtype: str, pointer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch: Any = types.ModuleType("torch")
    torch.Tensor, torch.uint8 = Tensor, "uint8"
    stream = types.SimpleNamespace(cuda_stream=pointer)
    torch.cuda = types.SimpleNamespace(current_stream=lambda device: stream)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with cupy.cuda.Device(1):
        tensor = Tensor(cupy.empty(99, as_dtype(dtype)))
    assert pi.fill(tensor, UNIFORM, KEY) is tensor
    (launch,) = launches()
    assert launch[2:4] == (1, pointer)
    assert tensor.streams == [-1]  # so that nobody waits
    assert stand_in.names("synchronize") == []
    with cupy.cuda.Device(1):
        stream_at(cupy, pointer).synchronize()
    assert tensor.array._host.tobytes() == on_cpu(99, 0, dtype).tobytes()


@by_dtype
def test_other_dlpack_producers_are_waited_for(cupy: Any, dtype: str) -> None:
    with cupy.cuda.Device(1):
        tensor = Tensor(cupy.empty((3, 33), as_dtype(dtype)))
    init = pi.Uniform(-0.1, 0.1, seed=42)
    with cupy.cuda.Stream(non_blocking=True):
        assert init.fill(tensor) is tensor
    assert tensor.streams == [1]  # the legacy default stream, which the fill is queued on
    assert [call[2:4] for call in launches()] == [(1, 0)]
    assert tensor.array._host.tobytes() == on_cpu(99, 0, dtype).tobytes()
    assert [call[2] for call in launches()] == [1]
    assert init((3, 33), out=tensor) is tensor


class Interface:
    """What a numba.cuda array looks like."""

    def __init__(self, array: Any, **changes: Any) -> None:
        own = array.__cuda_array_interface__
        self.array = array
        self.__cuda_array_interface__ = {**own, "stream": None, **changes}


@pytest.mark.parametrize("pointer", [None, 1, 2, 88])
def test_the_cuda_array_interface(cupy: Any, pointer: int | None) -> None:
    with cupy.cuda.Device(1):
        out = Interface(cupy.empty((9, 11), np.float32), stream=pointer)
    assert pi.fill(out, UNIFORM, KEY) is out
    (launch,) = launches()
    stream = {None: 0, 1: 0}.get(pointer, pointer)
    assert launch[2:4] == (1, stream)
    waited = stand_in.names("synchronize") != []
    assert waited == (pointer is None)
    with cupy.cuda.Device(1):
        stream_at(cupy, stream).synchronize()
    assert out.array._host.tobytes() == on_cpu(99).tobytes()


def test_an_interface_without_a_stream_waits_for_the_work_before(cupy: Any) -> None:
    """And not only for the fill: what its owner has queued must not overwrite the weights."""
    array = cupy.empty((9, 11), np.float32)
    array[...] = 7.0  # by its owner, on the default stream, and still under way
    with cupy.cuda.Stream(non_blocking=True):
        pi.fill(Interface(array), UNIFORM, KEY)
    assert array._host.tobytes() == on_cpu(99).tobytes()
    assert [call[3] for call in launches()] == [0]


def test_an_empty_cuda_array_interface_has_no_address(cupy: Any) -> None:
    out = Interface(cupy.empty((3, 0), np.float32), data=(0, False))
    assert pi.fill(out, UNIFORM, KEY) is out
    assert launches() == []


# --- G8: a sentence, and nothing launched --------------------------------------------------------


def test_g8_arguments_that_are_wrong_launch_nothing(cupy: Any) -> None:
    out = cupy.empty((4, 6), np.float32)
    init, lack = pi.GlorotUniform(seed=1), "must lie on the device asked for"
    with cupy.cuda.Device(1):
        other = cupy.empty((4, 6), np.float32)
    host = np.full((4, 6), 7.0, np.float32)
    bytes_ = cupy.empty(100, np.uint8)
    wrong: list[tuple[type[Exception], str, Any]] = [
        (ValueError, "C-contiguous; got shape", lambda: pi.fill(out.T, UNIFORM, KEY)),
        (ValueError, "got dtype=int32", lambda: pi.fill(out.view(np.int32), UNIFORM, KEY)),
        (
            ValueError,
            f"{lack}; got out in CPU memory",
            lambda: init((4, 6), out=host, device="cuda"),
        ),
        (ValueError, f"{lack}; .*cuda device", lambda: init((4, 6), out=out, device="cpu")),
        (ValueError, f"{lack}; .*of cuda:1", lambda: init((4, 6), out=other, device="cuda:0")),
        (ValueError, "must have the shape asked for", lambda: init((6, 4), out=out)),
        (ValueError, "must be that of `out`", lambda: init((4, 6), "float16", out=out)),
        (ValueError, "`offset` must not be negative", lambda: pi.fill(out, UNIFORM, KEY, -1)),
        (ValueError, "must end at 2", lambda: pi.fill(out, UNIFORM, KEY, 2**126 - 23)),
        (TypeError, "`key` must be a Key", lambda: pi.fill(out, UNIFORM, 42)),
        (ValueError, "must be at least 1", lambda: pi.fill(out, UNIFORM, KEY, threads=0)),
        (
            ValueError,
            "the bounds must hold",
            lambda: pi.fill(out, Uniform(1 + 1e-9, 1 + 2e-9), KEY),
        ),
        (
            ValueError,
            "at a multiple of 4 bytes on a cuda device",
            lambda: pi.fill(bytes_[2:42].view(np.float32), UNIFORM, KEY),
        ),
        (
            ValueError,
            "must be writable; got a read-only Interface",
            lambda: pi.fill(Interface(out, data=(out.data.ptr, True)), UNIFORM, KEY),
        ),
        (
            ValueError,
            "must be a multiple of 256",
            lambda: pi.fill(out, TruncatedNormal(), pi.Key((1, 2), 3), sampler="tensorflow"),
        ),
        (MemoryError, "needs 4611686018427387904 bytes", lambda: init((2**60,), device="cuda")),
    ]
    for kind, text, call in wrong:
        with pytest.raises(kind, match=text):
            call()
    assert launches() == []
    assert (host == 7.0).all()
    for good in ("cuda", "cuda:1"):
        assert init((4, 6), out=other, device=good) is other


def test_g8_float64_normals_of_tensorflow_name_the_native_sampler(cupy: Any) -> None:
    for what in (Normal(), TruncatedNormal()):
        with pytest.raises(NotImplementedError, match=r'float64: use sampler="native"'):
            pi.fill(cupy.empty(9, np.float64), what, KEY, sampler="tensorflow")
    assert launches() == []


def test_g8_a_libm_that_gpus_cannot_follow_names_the_native_sampler(cupy: Any) -> None:
    found = plan(Normal(), np.dtype(np.float32), "tensorflow")
    for name in ("log_kind", "trigonometry_kind"):
        changed = make(found.kernel.name, **(found.values() | {name: CALLED}))
        with pytest.raises(NotImplementedError, match=r'the libm of this system: use sampler="nat'):
            cuda.fill(cupy.empty(9, np.float32), changed, KEY, 0)
    assert launches() == []


def test_bfloat16_needs_a_cupy_that_knows_it(cache: Path) -> None:
    with (
        stand_in.installed(cache, **{"no bfloat16": True}),
        pytest.raises(NotImplementedError, match=r"bfloat16 on a cuda device needs CuPy 14"),
    ):
        pi.glorot_uniform((3, 4), "bfloat16", seed=1, device="cuda")


def test_tensors_that_refuse_are_quoted(cupy: Any) -> None:
    class Refuses(Tensor):
        def __dlpack__(self, **_: Any) -> Any:
            raise BufferError("Can't export tensors that require gradient")

    with pytest.raises(ValueError, match=r"Refuses refused: .*require gradient"):
        pi.fill(Refuses(cupy.empty(3, np.float32)), UNIFORM, KEY)


class AcceleratorError(RuntimeError):
    """As torch's own, of what an earlier kernel has done."""


@pytest.mark.parametrize(
    "error",
    [
        stand_in.CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"),
        MemoryError("out of memory"),
        AcceleratorError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),  # older torch
    ],
)
def test_errors_of_cuda_come_through_as_themselves(cupy: Any, error: Exception) -> None:
    class Fails(Tensor):
        def __dlpack__(self, **_: Any) -> Any:
            raise error

    with pytest.raises(type(error)) as caught:
        pi.fill(Fails(cupy.empty(3, np.float32)), UNIFORM, KEY)
    assert caught.value is error


@pytest.mark.parametrize("module", ["jaxlib._jax", "tensorflow.python.framework.ops"])
def test_immutable_arrays_on_a_gpu_are_refused(cupy: Any, module: str) -> None:
    kind = type("Array", (Tensor,), {"__module__": module})
    with pytest.raises(TypeError, match=r"must be memory that can be written in place"):
        pi.fill(kind(cupy.empty(3, np.float32)), UNIFORM, KEY)
    assert launches() == []


def test_cuda_memory_is_known_without_cupy() -> None:
    assert not on_cuda(np.zeros(3))
    assert not on_cuda([1.0])
    assert not on_cuda(np.zeros(3).view(np.memmap))
    assert on_cuda(types.SimpleNamespace(__cuda_array_interface__={}))
    dlpack = type("OnCuda", (), {"__dlpack_device__": lambda self: (2, 0)})
    assert on_cuda(dlpack())
