# SPDX-License-Identifier: Apache-2.0
"""Where CUDA memory is asked for, and kernels compiled for its devices.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it, tests/gpu is for real
ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import philinit as pi
from philinit.filling import devices as backends
from philinit.filling.cuda import compiler as cuda_compiler
from tests.support import cupy_stand_in as stand_in
from tests.support.cuda_backend import needs_gxx, on_cpu

pytestmark = needs_gxx


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
    with pytest.raises(RuntimeError, match=r"must have compute capability 7\.5 or newer.* has 7\."):
        cuda_compiler.target(70, (75, 80))
    assert cuda_compiler.target(70, (50, 60, 70)) == ("-arch=sm_70", "cubin")


@pytest.mark.parametrize("capability", [35, 61, 69])
def test_gpus_that_are_too_old_are_one_sentence(cache: Path, capability: int) -> None:
    text = rf"compute capability 7\.0 or newer; it has {capability / 10}: use device=\"cpu\"$"
    with stand_in.installed(cache, capability=str(capability)) as cupy:
        cupy.cuda.nvrtc.getSupportedArchs = lambda: (35, 61, 90)  # NVRTC would take it
        with pytest.raises(RuntimeError, match=text):
            pi.glorot_uniform((3, 4), seed=1, device="cuda")
        assert stand_in.names("compile") == []


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
