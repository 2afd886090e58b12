# SPDX-License-Identifier: Apache-2.0
"""The GPU benchmark on the stand-in; what the stand-in has, and what it would catch.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it, tests/gpu is for real
ones.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.filling.cuda import compiler as cuda_compiler
from philinit.filling.cuda import launch as cuda
from philinit.kernels.plan import plan
from tests.support import cupy_stand_in as stand_in
from tests.support.cuda_backend import KEY, UNIFORM, needs_gxx, on_cpu
from tests.support.gpus import GPUS
from tests.support.paths import ROOT, SOURCES, TESTS, python_files

pytestmark = needs_gxx

PARTS = [
    *(f"philinit, boxes {n} wide" for n in (16, 128, 1024)),
    "philinit, boxes 128 wide, from an odd column on",
    "philinit, rows of 128, ids there",
    "philinit, rows of 128, ids checked and copied",
]
PEERS = ["cupy.random", "cupy.random.Generator", "cuRAND PHILOX4_32_10"]


# --- the benchmark -------------------------------------------------------------------------------


def test_the_gpu_benchmark_runs_to_its_end(
    cupy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, small, and with times that mean nothing; so that it cannot rot."""
    import bench_gpu

    for peer in ("torch", "tensorflow", "jax"):
        monkeypatch.setitem(sys.modules, peer, None)
    monkeypatch.setattr(bench_gpu, "WARM_UP", 0.0)
    monkeypatch.setattr(bench_gpu, "cold_starts", lambda *_: [["from the cache", 1.5, 0.25]])
    kept: list[int] = []
    real = bench_gpu.Run.write

    def write(run: Any) -> None:
        real(run)
        kept.append(len(json.loads(path.read_text())["measured"]))

    monkeypatch.setattr(bench_gpu.Run, "write", write)
    path = tmp_path / "gpu.json"
    arguments = ["--sizes", "12,13", "--rounds", "2", "--json", str(path), "--device", "cuda:1"]
    assert bench_gpu.main(arguments) == 0
    measured = json.loads(path.read_text())["measured"]
    assert kept == [*range(1, len(measured) + 1), len(measured)]  # each as it comes
    assert {(m["contender"], m["weights"]) for m in measured} == {
        (name, 1 << bits) for name in (*PEERS, "philinit", *PARTS) for bits in (12, 13)
    }
    assert all(len(m[times]) == 2 for m in measured for times in ("ms", "memset_ms", "host_ms"))
    sets = stand_in.names("memset")
    assert {(call[2], call[3]) for call in sets} >= {(0x5A, 4 << 12), (0x5A, 2 << 13)}
    table = path.with_suffix(".md").read_text()
    assert table in capsys.readouterr().out
    assert "| 2^13 | bfloat16 | truncated normal | philinit |" in table
    assert "Measured on stand-in for a GPU, 20" in table
    rates, small = table.split("which the L2 cache holds")
    assert "| 2^12 | float32 |" in rates and "| 2^12 | bfloat16 |" not in rates
    assert "| 2^12 | bfloat16 |" in small and "GB/s" not in small
    assert "A fresh process, from the cache: CuPy 1.50 s, first fill 0.25 s." in table


def test_a_result_of_which_the_host_is_the_limit_is_marked() -> None:
    import bench_gpu

    for host, events, marked in ((0.9, True, True), (0.8, True, False), (1.0, False, False)):
        clock = "device events" if events else "host clock"
        result = bench_gpu.Result("philinit", "uniform", "float32", 1 << 20, clock)
        result.ms, result.memset_ms, result.host_ms = [1.0], [0.5], [host]
        assert ("the host is the limit" in bench_gpu._named(result)) == marked


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
    cupy: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench_gpu

    real = cuda._launch
    monkeypatch.setattr(cuda, "_launch", lambda *a: real(*a[:-1], a[-1] + 1))
    monkeypatch.setattr(bench_gpu, "WARM_UP", 0.0)
    monkeypatch.setattr(bench_gpu, "cold_starts", lambda *_: [])
    assert (
        bench_gpu.main(["--sizes", "12", "--no-peers", "--json", str(tmp_path / "gpu.json")]) == 1
    )
    assert "other bits than the CPU's" in capsys.readouterr().out


# --- what `make gpu-check` runs ------------------------------------------------------------------


def test_what_sanitizers_watch_runs_and_is_compared(
    cupy: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from philinit.kernels.cuda import KERNELS
    from tests.gpu import every_kernel

    found = every_kernel.kinds()
    kernels = {plan(what, dtype, sampler).kernel.name for _, what, dtype, sampler in found}
    assert KERNELS.keys() - kernels == {"words"}
    monkeypatch.setattr(every_kernel, "kinds", lambda: found[::12])
    assert every_kernel.main() == 0
    assert capsys.readouterr().out == f"{9 * len(found[::12])} fills, 0 differ from the CPU's\n"
    real = cuda._launch
    monkeypatch.setattr(cuda, "_launch", lambda *a: real(*a[:-1], a[-1] + 1))
    assert every_kernel.main() == 1


@pytest.mark.skipif(bool(GPUS), reason="there is a GPU")
def test_gpu_check_without_a_device_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.gpu import check

    monkeypatch.setattr(sys, "argv", ["check"])
    assert check.main() == 1
    assert capsys.readouterr().out.startswith("make gpu-check needs a CUDA device: ")
    steps = list(check.commands(list(check.STEPS)))
    assert len(steps) == 10
    assert sum(limit for _, limit, _ in steps[:4]) < 525


# --- the stand-in and CuPy -----------------------------------------------------------------------


def dotted(thing: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The public names below a module, namespace or class of the stand-in, and what they are."""
    for part, value in vars(thing).items():
        if part.startswith("_") and part not in ("__cuda_array_interface__", "__dlpack__"):
            continue
        yield f"{name}.{part}", value
        if isinstance(value, (types.SimpleNamespace, type)) and part != "random":
            yield from dotted(value, f"{name}.{part}")


def written(*folders: Path) -> Iterator[str]:
    """What Python files ask of CuPy, such as "cupy.cuda.Stream.null"."""
    for file in python_files(*folders):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if re.fullmatch(r"cupy(\.\w+)+", name):
                yield name


def parameters(function: Any) -> list[str]:
    """The names of a function's parameters, those by keyword alone with a star before them."""
    return [
        "*" * (parameter.kind is parameter.KEYWORD_ONLY) + name
        for name, parameter in inspect.signature(function).parameters.items()
        if name != "self" and parameter.kind is not parameter.VAR_POSITIONAL
    ]


# What CuPy has: "skip", or the names that it lacks, and the parameters that are others there.
ASK_CUPY = """
import inspect, json, re, sys
try:
    import cupy
except ImportError:
    print("skip")
    raise SystemExit
names, functions = json.load(sys.stdin)
def find(name):
    thing = cupy
    for part in name.split(".")[1:]:
        thing = getattr(thing, part)
    return thing
def exists(name):
    try:
        find(name)
    except AttributeError:
        return False
    except ImportError:  # a library of CUDA that is not here
        functions.pop(name, None)
    return True
def parameters(function):
    try:
        found = str(inspect.signature(function))
    except ValueError:  # Cython's: the first line of the docstring has it
        found = (function.__doc__ or "").strip().partition("\\n")[0]
    if "*args" in found:
        return None
    inside = re.sub(r"'[^']*'|\\[[^\\]]*\\]", "", found[found.index("(") + 1 : found.rindex(")")])
    star, names = "", []
    for part in inside.split(","):
        name = re.split(r"[=:]", part)[0].split()
        if name == ["*"]:
            star = "*"
        elif name and name[-1] not in ("self", "cls", "/") and name[-1][0] != "*":
            names.append(star + name[-1])
    return names
lacking, other = [name for name in names if not exists(name)], {}
for name, ours in functions.items():
    theirs = parameters(find(name)) if exists(name) else None
    if theirs is not None:
        plain = [p for p in theirs if p[0] != "*"]
        positional = [p for p in ours if p[0] != "*"]
        if positional != plain[: len(positional)] or not {p.strip("*") for p in ours} <= {
            p.strip("*") for p in theirs
        }:
            other[name] = ours, theirs
print(json.dumps([lacking, other]))
"""


def test_what_is_asked_of_cupy_is_there_and_takes_what_the_stand_in_takes(cupy: Any) -> None:
    """So that no call in the backend is to a function, or with an argument, that there is not."""
    known = dict(dotted(cupy, "cupy"))
    del known["cupy.cuda.Stream.queue"]
    assert {"cupy.cuda.UnownedMemory", "cupy.cuda.Stream.from_external"} <= known.keys()
    asked = set(written(SOURCES["philinit"], TESTS / "gpu", ROOT / "benchmarks"))
    assert len(asked) > 20
    functions = {
        name: parameters(value)
        for name, value in known.items()
        if callable(value)
        and not name.startswith(("cupy.ndarray", "cupy.random"))
        and not name.endswith("Error")
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK_CUPY],
        input=json.dumps([sorted({*known, *asked}), functions]),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.stdout.startswith("skip"):
        pytest.skip("CuPy is not installed")
    assert done.stdout.strip() == "[[], {}]", done.stdout + done.stderr


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
