# SPDX-License-Identifier: Apache-2.0
"""The CUDA backend and TensorFlow's GPU path, driven through a stand-in for CuPy.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it, tests/gpu is for real
ones. Expected bits are those of the CPU backend, which has tests of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.filling import devices as backends
from philinit.filling import dlpack, memory
from philinit.filling.cuda import compiler as cuda_compiler
from philinit.filling.cuda import launch as cuda
from philinit.kernels.constants import CALLED
from philinit.kernels.libm import libm
from philinit.kernels.plan import plan
from philinit.kernels.table import make
from philinit.tools.selftest.cases import described
from philinit.tools.selftest.golden import SHA256
from tests.support import cuda_host
from tests.support import cupy_stand_in as stand_in
from tests.support import reference as r

KEY = pi.Key.from_seed(42)
UNIFORM = Uniform(-0.1, 0.1)
DTYPES = ("float32", "float64", "float16", "bfloat16")
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
PARTS = [f"philinit, boxes {n} wide" for n in (16, 128, 1024)] + ["philinit, rows of 128"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cubins")


@pytest.fixture
def cupy(cache: Path) -> Iterator[Any]:
    with stand_in.installed(cache) as module:
        yield module


needs_gxx = pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")
pytestmark = needs_gxx


def on_cpu(count: int, offset: int = 0, dtype: str = "float32", **keywords: Any) -> Any:
    what = keywords.pop("distribution", UNIFORM)
    return pi.fill(np.empty(count, as_dtype(dtype)), what, KEY, offset, **keywords)


def launches() -> list[stand_in.Call]:
    return stand_in.names("launch")


# --- where ---------------------------------------------------------------------------------------


def test_device_strings(cupy: Any) -> None:
    assert backends.resolve_device("cpu") == "cpu"
    assert backends.resolve_device("cuda") == "cuda:0"
    assert backends.resolve_device("cuda:1") == "cuda:1"
    with cupy.cuda.Device(1):
        assert backends.resolve_device("cuda") == "cuda:1"
    with pytest.raises(ValueError, match=r'one of the 2 CUDA devices.*; got device="cuda:2"'):
        backends.resolve_device("cuda:2")
    for bad in ("gpu", "cuda:", "cuda:-1", "cuda:x", "CUDA", ""):
        with pytest.raises(ValueError, match=r'must be "cpu", "cuda" or "cuda:N"; got device='):
            backends.resolve_device(bad)
    with pytest.raises(TypeError, match=r"must be a string such as"):
        backends.resolve_device(0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "statement",
    [
        "pi.glorot_uniform((3, 4), seed=1, device='cuda')",
        "pi.zeros((3,), device='cuda:0')",
        "pi.GlorotUniform(seed=1).shard((4, 4), slice(2), device='cuda')",
        "pi.fill(OnCuda(), pi.distributions.Uniform(-1, 1), pi.Key.from_seed(1))",
        "pi.GlorotUniform(seed=1).fill(OnCuda())",
    ],
)
def test_without_cupy_the_extras_are_named(statement: str) -> None:
    code = f"""
import sys, numpy as np, philinit as pi
sys.modules["cupy"] = None
class OnCuda:
    def __dlpack_device__(self):
        return 2, 0
try:
    {statement}
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "the cuda backend needs CuPy: pip install" in done.stdout, done.stderr
    assert '"philinit[cuda12]"' in done.stdout and '"philinit[cuda13]"' in done.stdout


def test_with_cupy_but_no_device_cuda_is_quoted(cache: Path) -> None:
    said = "cudaErrorInsufficientDriver: CUDA driver version is insufficient"
    with stand_in.installed(cache, error=said), pytest.raises(RuntimeError, match=said):
        pi.glorot_uniform((3, 4), seed=1, device="cuda")
    with (
        stand_in.installed(cache, devices=0),
        pytest.raises(RuntimeError, match=r"CUDA said: there is none"),
    ):
        pi.glorot_uniform((3, 4), seed=1, device="cuda:0")


def test_the_real_cupy_without_a_driver() -> None:
    """The one test here that calls CuPy itself: what it raises where there is no driver."""
    code = """
import philinit as pi
try:
    import cupy
except ImportError:
    print("skip: CuPy is not installed")
    raise SystemExit
if cupy.cuda.is_available():
    print("skip: there is a GPU")
    raise SystemExit
try:
    pi.glorot_uniform((3, 4), seed=1, device="cuda")
except RuntimeError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.stdout.startswith("skip"):
        pytest.skip(done.stdout.strip())
    assert done.stdout.startswith("the cuda backend needs a CUDA device; CUDA said: cudaError")


# --- the compiler --------------------------------------------------------------------------------


def test_kernels_are_compiled_once_and_loaded_once_a_device(tmp_path: Path) -> None:
    init = pi.GlorotUniform(seed=1)
    with stand_in.installed(tmp_path) as cupy:
        for _ in range(2):
            for device in ("cuda:0", "cuda:1"):
                init((4, 4), device=device)
        assert len(stand_in.names("compile")) == 1
        assert stand_in.names("load") == [("load", 0), ("load", 1)]
        ((_, options),) = stand_in.names("compile")
        assert options == (*cuda_compiler.OPTIONS, "-arch=sm_90")
        assert "-fmad=false" in options
        assert not any("fast" in option or "ftz" in option for option in options)
        del cupy
    with stand_in.installed(tmp_path):  # another process, as far as memory goes
        init((4, 4), device="cuda")
        assert stand_in.names("compile") == []
    for file in tmp_path.iterdir():  # a damaged file is not loaded
        file.write_bytes(file.read_bytes()[:-1])
    with stand_in.installed(tmp_path):
        init((4, 4), device="cuda")
        assert len(stand_in.names("compile")) == 1


def test_an_unwritable_cache_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with stand_in.installed(tmp_path / "file" / "folder") as cupy:
        w = pi.uniform((5,), low=-0.1, high=0.1, seed=42, device="cuda")
        assert cupy.asnumpy(w).tobytes() == on_cpu(5).tobytes()


def test_architectures() -> None:
    assert cuda_compiler.target(90, (75, 80, 90)) == ("-arch=sm_90", "cubin")
    assert cuda_compiler.target(120, (75, 80, 90)) == ("-arch=compute_90", "ptx")
    assert cuda_compiler.target(86, (75, 80, 90)) == ("-arch=compute_80", "ptx")
    with pytest.raises(
        RuntimeError, match=r"must have compute capability 7\.5 or newer.* has 6\.1"
    ):
        cuda_compiler.target(61, (75, 80))


def test_a_missing_nvrtc_is_one_sentence(cupy: Any, tmp_path: Path) -> None:
    def missing() -> None:
        raise RuntimeError("DynamicLibNotFoundError: libnvrtc.so\nand more")

    cupy.cuda.nvrtc.getVersion = missing
    with pytest.raises(ImportError, match=r"needs NVRTC.*pip install nvidia-cuda-nvrtc") as caught:
        pi.glorot_uniform((3, 4), seed=1, device="cuda")
    assert "\n" not in str(caught.value)


def test_the_real_nvrtc_takes_the_kernels_with_these_options(tmp_path: Path) -> None:
    """Without a device: what a GPU of compute capability 9.0 would be given."""
    code = """
try:
    import cupy
    cupy.cuda.nvrtc.getVersion()
except Exception as error:
    print("skip:", error)
    raise SystemExit
from philinit.filling.cuda import compiler as cuda_compiler
for loop in ("fill", "runs"):
    code = cuda_compiler.machine_code(cupy, 90, "uniform_float32", loop)
    print(code[:4] == bytes([127]) + b"ELF")
"""
    where = {**os.environ, "PHILINIT_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=where, capture_output=True, text=True, check=False
    )
    if done.stdout.startswith("skip"):
        pytest.skip(done.stdout.strip().partition("\n")[0])
    assert done.stdout.split() == ["True", "True"], done.stderr
    kept = sorted(file.name.partition("-")[2] for file in tmp_path.iterdir())
    assert kept == ["fill-uniform_float32.cubin", "runs-uniform_float32.cubin"]


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


class Tensor:
    """What a torch CUDA tensor looks like; it lives in memory of the stand-in."""

    def __init__(self, array: Any) -> None:
        self.array, self.device, self.streams = array, "cuda", []

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.array.data.device_id

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
        self.streams.append(stream)
        return dlpack.to_capsule(self.array._host)


@by_dtype
@pytest.mark.parametrize("pointer", [0, 2, 77])
def test_a_torch_tensor_is_filled_on_torchs_stream(
    cupy: Any, dtype: str, pointer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch: Any = types.ModuleType("torch")
    torch.Tensor = Tensor
    stream = types.SimpleNamespace(cuda_stream=pointer)
    torch.cuda = types.SimpleNamespace(current_stream=lambda device: stream)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with cupy.cuda.Device(1):
        tensor = Tensor(cupy.empty(99, as_dtype(dtype)))
    assert pi.fill(tensor, UNIFORM, KEY) is tensor
    (launch,) = launches()
    assert launch[2:4] == (1, pointer)
    assert tensor.streams == [pointer or 1]  # so that nobody waits
    assert stand_in.names("synchronize") == []
    with cupy.cuda.Device(1):
        cupy.cuda.Stream(pointer).synchronize()
    assert tensor.array._host.tobytes() == on_cpu(99, 0, dtype).tobytes()


@by_dtype
def test_other_dlpack_producers_are_waited_for(cupy: Any, dtype: str) -> None:
    with cupy.cuda.Device(1):
        tensor = Tensor(cupy.empty((3, 33), as_dtype(dtype)))
    init = pi.Uniform(-0.1, 0.1, seed=42)
    assert init.fill(tensor) is tensor
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
        cupy.cuda.Stream(stream).synchronize()
    assert out.array._host.tobytes() == on_cpu(99).tobytes()


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


@pytest.mark.parametrize("module", ["jaxlib._jax", "tensorflow.python.framework.ops"])
def test_immutable_arrays_on_a_gpu_are_refused(cupy: Any, module: str) -> None:
    kind = type("Array", (Tensor,), {"__module__": module})
    with pytest.raises(TypeError, match=r"must be memory that can be written in place"):
        pi.fill(kind(cupy.empty(3, np.float32)), UNIFORM, KEY)
    assert launches() == []


def test_cuda_memory_is_known_without_cupy() -> None:
    assert not memory.on_cuda(np.zeros(3))
    assert not memory.on_cuda([1.0])
    assert not memory.on_cuda(np.zeros(3).view(np.memmap))
    assert memory.on_cuda(types.SimpleNamespace(__cuda_array_interface__={}))
    assert memory.on_cuda(Tensor(types.SimpleNamespace(data=types.SimpleNamespace(device_id=0))))


# --- the benchmark -------------------------------------------------------------------------------


def test_the_gpu_benchmark_runs_to_its_end(
    cupy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, small, and with times that mean nothing; so that it cannot rot."""
    import bench_gpu

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    path = tmp_path / "gpu.json"
    arguments = ["--sizes", "12,13", "--rounds", "2", "--json", str(path), "--device", "cuda:1"]
    assert bench_gpu.main(arguments) == 0
    measured = json.loads(path.read_text())["measured"]
    assert {(m["contender"], m["weights"]) for m in measured} == {
        (name, 1 << bits)
        for name in ("memset", "cupy.random", "cuRAND Philox", "philinit", *PARTS)
        for bits in (12, 13)
    }
    assert all(len(m["ms"]) == 2 for m in measured)
    sets = stand_in.names("memset")
    assert {(call[2], call[3]) for call in sets} >= {(0x5A, 4 << 12), (0x5A, 2 << 13)}
    table = path.with_suffix(".md").read_text()
    assert table in capsys.readouterr().out
    assert "| 2^13 | bfloat16 | truncated normal | philinit |" in table
    assert "Measured on stand-in for a GPU, 20" in table


def test_the_gpu_benchmark_without_a_device_is_one_sentence(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import bench_gpu

    with stand_in.installed(cache, error="cudaErrorNoDevice: none"):
        assert bench_gpu.main([]) == 1
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "cudaErrorNoDevice" in said


def test_the_gpu_benchmark_refuses_wrong_bits(
    cupy: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench_gpu

    real = cuda._launch
    monkeypatch.setattr(cuda, "_launch", lambda *a: real(*a[:-1], a[-1] + 1))
    assert bench_gpu.main(["--sizes", "12", "--no-peers"]) == 1
    assert "other bits than the CPU's" in capsys.readouterr().out


# --- the stand-in and CuPy -----------------------------------------------------------------------


def dotted(thing: Any, name: str) -> Iterator[str]:
    """The public names below a module, namespace or class of the stand-in."""
    for part, value in vars(thing).items():
        if part.startswith("_") and part not in ("__cuda_array_interface__", "__dlpack__"):
            continue
        yield f"{name}.{part}"
        if isinstance(value, (types.SimpleNamespace, type)) and part != "random":
            yield from dotted(value, f"{name}.{part}")


def test_the_stand_in_has_no_name_that_cupy_lacks(cupy: Any) -> None:
    """So that no call in the backend is to a function that there is not."""
    names = [name for name in dotted(cupy, "cupy") if name != "cupy.cuda.Stream.queue"]
    assert "cupy.cuda.UnownedMemory" in names
    assert "cupy.cuda.Stream.from_external" in names
    names += [f"cupy.random.{n}" for n in ("Generator", "Philox4x3210", "random_sample")]
    names += ["cupy.cuda.driver.funcGetAttribute", "cupy.asnumpy", "cupy.cuda.is_available"]
    device = ("id", "compute_capability", "attributes", "mem_info", "__enter__")
    names += [f"cupy.cuda.Device.{n}" for n in device]
    names += [f"cupy.ndarray.{n}" for n in ("data", "device", "__dlpack_device__")]
    code = f"""
try:
    import cupy
except ImportError:
    print("skip")
    raise SystemExit
def lacks(name):
    thing = cupy
    for part in name.split(".")[1:]:
        if not hasattr(thing, part):
            return True
        thing = getattr(thing, part)
print([name for name in {names} if lacks(name)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.stdout.startswith("skip"):
        pytest.skip("CuPy is not installed")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


# --- the stand-in can fail -----------------------------------------------------------------------


def test_the_stand_in_would_catch_reading_too_early(cupy: Any) -> None:
    w = pi.uniform((99,), low=-0.1, high=0.1, seed=42, device="cuda")
    assert (w._host.view(np.uint8) == stand_in.POISON).all()
    cupy.cuda.get_current_stream().synchronize()
    assert w._host.tobytes() == on_cpu(99).tobytes()


def test_the_stand_in_would_catch_the_wrong_device_and_freed_memory(cupy: Any) -> None:
    out = cupy.empty(99, np.float32)
    found = plan(UNIFORM, np.dtype(np.float32), "native")
    with cupy.cuda.Device(1):
        kernel = cuda_compiler.loaded(cupy, 1, found.kernel.name)
        with pytest.raises(AssertionError, match=r"memory of another device"):
            cuda._launch(kernel, out.data.ptr, 99, found, KEY, 0)
    with pytest.raises(AssertionError, match=r"a kernel of another device"):
        cuda._launch(kernel, out.data.ptr, 99, found, KEY, 0)
    pi.fill(out, UNIFORM, KEY)
    del out
    with pytest.raises(AssertionError, match=r"given back before the kernel ran"):
        cupy.cuda.get_current_stream().synchronize()
