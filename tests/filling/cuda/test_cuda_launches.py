# SPDX-License-Identifier: Apache-2.0
"""What is launched for a fill, and its bits, which are those of the CPU backend.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it, tests/gpu is for real
ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Distribution, Normal, TruncatedNormal
from philinit.dtypes import as_dtype
from philinit.filling.cuda import compiler as cuda_compiler
from philinit.filling.cuda import launch as cuda
from philinit.kernels.constants import CALLED
from philinit.kernels.libm import libm
from philinit.tools.selftest.cases import described
from philinit.tools.selftest.golden import SHA256
from tests.support import cuda_host
from tests.support import cupy_stand_in as stand_in
from tests.support import reference as r
from tests.support.cuda_backend import KEY, UNIFORM, by_dtype, launches, needs_gxx, on_cpu

pytestmark = needs_gxx


# --- launches ------------------------------------------------------------------------------------


def test_launch_geometry() -> None:
    geometry = cuda_compiler.launch_geometry
    assert geometry(1, 132) == (1, 256)
    assert geometry(256, 132) == (1, 256)
    assert geometry(257, 132) == (2, 256)
    assert geometry(1 << 18, 132, 100) == (1024, 256)
    assert geometry(1 << 31, 132) == (132 * 8, 256)
    assert geometry(1 << 61, 148, 6) == (148 * 6, 256)
    assert geometry(1 << 31, 132, 0) == (132, 256)  # CUDA knows no answer
    for count in (1, 1000, 2**31 + 1, 2**40):
        grid, threads = geometry(count, 3, 2)
        assert 1 <= grid <= 6
        assert grid * threads >= min(count, 6 * 256)


def test_one_launch_with_the_arguments_of_the_specification(cupy: Any) -> None:
    w = pi.fill(cupy.empty(10_000, np.float64), UNIFORM, KEY, 7)
    (launch,) = launches()
    _, name, device, stream, grid, block, out, count, skip, loop = launch
    assert (name, loop, device, stream) == ("uniform_float64", "fill", 0, 0)
    assert (out, count, skip) == (w.data.ptr, 10_000, 1)
    assert block == (256,)
    assert grid == (stand_in.MULTIPROCESSORS * stand_in.RESIDENT,)
    assert stand_in.names("synchronize") == []  # as CuPy's own operations


@by_dtype
def test_more_weights_than_32_bits_can_count(cupy: Any, dtype: str) -> None:
    """Looked at as it is queued; nobody has the memory to run it."""
    count, size = 2**32 + 1003, as_dtype(dtype).itemsize
    held = cupy.cuda.UnownedMemory(1 << 40, count * size, None, 0)
    out = cupy.ndarray((count,), as_dtype(dtype), cupy.cuda.MemoryPointer(held, 0))
    pi.fill(out, UNIFORM, KEY, 2**33 + 1)
    part = out[2**32 + 1 :]
    pi.fill(part, UNIFORM, KEY, 2**33 + 1 + 2**32 + 1)
    whole, rest = launches()
    assert whole[6:8] == (1 << 40, count)
    assert rest[6:8] == ((1 << 40) + (2**32 + 1) * size, 1002)


def test_the_counter_is_a_128_bit_sum(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(cuda_host.Library, "launch", lambda _, *a: seen.append(a[3:6]))
    for key, offset, dtype, sampler, what, want in (
        (pi.Key((1, 2), 2**128 - 2), 8 * 2**64 + 13, "float32", "native", UNIFORM, (1, 2**65 + 1)),
        (pi.Key((1, 2), 7), 2**125 + 1, "float64", "native", UNIFORM, (1, 2**124 + 7)),
        (pi.Key((1, 2), 512), 4 * 2**60 + 2, "float16", "tensorflow", TruncatedNormal(),
         (2, 2**68 + 512)),
    ):  # fmt: skip
        out = pi.fill(cupy.empty(3, as_dtype(dtype)), what, key, offset, sampler=sampler)
        cupy.asnumpy(out)
        skip, counter, words = seen.pop()
        assert (skip, counter) == want
        assert words == (1, 2)


@by_dtype
def test_empty_outputs_launch_nothing(cupy: Any, dtype: str) -> None:
    seen: list[tuple[int, int]] = []
    for shape in ((0,), (3, 0, 2)):
        w = pi.uniform(
            shape, seed=1, dtype=dtype, device="cuda", progress=lambda *a: seen.append(a)
        )
        assert w.shape == shape
        pi.zeros(shape, dtype, device="cuda")
    assert launches() == []
    assert seen == [(0, 0)] * 2


def test_a_rank_0_tensor(cupy: Any) -> None:
    w = pi.uniform((), low=-0.1, high=0.1, seed=42, device="cuda")
    assert w.shape == ()
    assert cupy.asnumpy(w).tobytes() == on_cpu(1).tobytes()


def test_progress_waits_for_each_piece(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "PIECE", 1000)
    seen: list[tuple[int, int]] = []
    ran: list[int] = []

    def progress(done: int, total: int) -> None:
        seen.append((done, total))
        ran.append(sum(call[2] for call in stand_in.names("run")))

    w = pi.fill(cupy.empty(3500, np.float32), UNIFORM, KEY, 2**34 - 1700, progress=progress)
    assert seen == [(1000, 3500), (2000, 3500), (3000, 3500), (3500, 3500)]
    assert ran == [1000, 2000, 3000, 3500]
    assert len(launches()) == 4
    assert w._host.tobytes() == on_cpu(3500, 2**34 - 1700).tobytes()


def test_an_exception_in_progress_comes_through(cupy: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(cuda, "PIECE", 1000)

    def fail(done: int, total: int) -> None:
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match=r"enough"):
        pi.fill(cupy.empty(3500, np.float32), UNIFORM, KEY, progress=fail)
    assert len(launches()) < 4


# --- the same bits as the CPU --------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SHA256 if name != "words"])
def test_g2_the_bits_of_the_cpu_backend(cupy: Any, name: str) -> None:
    what, dtype, sampler = described(name)
    for count, offset, start in ((1, 0, 0), (4003, 2**40 + 3, 1), (2050, 2**34 - 1001, 3)):
        base = cupy.empty(count + 8, dtype)
        out = base[start : start + count]
        pi.fill(out, what, KEY, offset, sampler=sampler)
        want = pi.fill(np.empty(count, dtype), what, KEY, offset, sampler=sampler)
        r.assert_same_bits(cupy.asnumpy(out), want, name)
        whole = cupy.asnumpy(base).view(np.uint8)  # and nothing beside it
        edge = start * dtype.itemsize
        assert (whole[:edge] == stand_in.POISON).all()
        assert (whole[edge + count * dtype.itemsize :] == stand_in.POISON).all()


NORMALS: list[tuple[str, Distribution]] = [
    (dtype, what)
    for dtype in ("float32", "float16", "bfloat16")
    for what in (Normal(0.5, 2.0), TruncatedNormal(0.0, 0.1))
]


@pytest.mark.parametrize(("dtype", "what"), NORMALS)
def test_g3_tensorflows_normals(cupy: Any, dtype: str, what: Distribution) -> None:
    if CALLED in (libm().log, libm().trigonometry):
        pytest.skip("this system's libm is none that a GPU computes")
    out = cupy.empty(1003, as_dtype(dtype))
    pi.fill(out, what, KEY, 4 * 2**24 - 401, sampler="tensorflow")
    want = on_cpu(1003, 4 * 2**24 - 401, dtype, distribution=what, sampler="tensorflow")
    r.assert_same_bits(cupy.asnumpy(out), want)


def test_keys_and_counters_of_128_bits(cupy: Any) -> None:
    key = pi.Key((0xFFFFFFFF, 0xDEADBEEF), 2**128 - 3)
    out = pi.fill(cupy.empty(1001, np.float32), UNIFORM, key, 5)
    want = pi.fill(np.empty(1001, np.float32), UNIFORM, key, 5)
    assert cupy.asnumpy(out).tobytes() == want.tobytes()


@by_dtype
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_device_gives_cupy_arrays(cupy: Any, dtype: str, device: str) -> None:
    for init in (pi.GlorotUniform(seed=3), pi.HeNormal(seed=3), pi.Normal(0.0, 0.5, seed=3)):
        w = init((31, 17), dtype, device=device)
        assert type(w) is cupy.ndarray
        assert (w.shape, w.dtype) == ((31, 17), as_dtype(dtype))
        assert w.device.id == int(device.endswith("1"))
        assert w.flags.c_contiguous
        assert cupy.asnumpy(w).tobytes() == init((31, 17), dtype).tobytes()
    assert {call[2] for call in launches()} == {int(device.endswith("1"))}
    assert cupy.cuda.Device().id == 0  # left as it was


@by_dtype
def test_shards(cupy: Any, dtype: str) -> None:
    init = pi.HeNormal(seed=5)
    whole = init((40, 30), dtype)
    for index in ((slice(3, 9), slice(None)), (slice(3, 9), slice(5, 8)), (7, slice(4, 30))):
        w = init.shard((40, 30), index, dtype, device="cuda")
        assert cupy.asnumpy(w).tobytes() == np.ascontiguousarray(whole[index]).tobytes()
        out = cupy.empty(whole[index].shape, as_dtype(dtype))
        assert init.fill(out, shard=pi.Shard((40, 30), index)) is out
        assert cupy.asnumpy(out).tobytes() == np.ascontiguousarray(whole[index]).tobytes()


@by_dtype
def test_constants(cupy: Any, dtype: str) -> None:
    for init in (pi.Constant(-0.3), pi.Zeros(), pi.Ones(), pi.Constant(-0.0), pi.Identity(2.0)):
        for device in ("cuda:0", "cuda:1"):
            w = init((6, 9), dtype, device=device)
            assert cupy.asnumpy(w).tobytes() == init((6, 9), dtype).tobytes()
    box = (slice(2, 5), slice(1, 7))
    w = pi.Identity(3.0).shard((6, 9), box, dtype, device="cuda")
    want = pi.Identity(3.0)((6, 9), dtype)[box]
    assert cupy.asnumpy(w).tobytes() == np.ascontiguousarray(want).tobytes()


def test_orthogonal_names_the_cpu(cupy: Any) -> None:
    with pytest.raises(NotImplementedError, match=r'made in CPU memory.*device="cpu"'):
        pi.orthogonal((3, 4), seed=1, device="cuda")
    assert launches() == []
