# SPDX-License-Identifier: Apache-2.0
"""First contact with a GPU, in one command of less than nine minutes: `make gpu-check`.

Facts of the machine, the self-test, the tests of tests/gpu, each kernel under NVIDIA's sanitizers
where they are installed, and the benchmark. A step that fails, or that lacks its tool, is a line of
the summary; what it printed is in build/gpu-check. Nothing is installed, and no network is used.

    python -m tests.gpu.check [--budget 525] [--steps facts,selftest,tests,sanitizers,bench]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.gpus import GPUS, WHY
from tests.support.paths import ROOT

OUT = ROOT / "build" / "gpu-check"
STEPS = ("facts", "selftest", "tests", "sanitizers", "bench")
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")

FACTS = """
import importlib.metadata, os, platform, sys
print(sys.version, platform.platform(), platform.libc_ver(), os.cpu_count(), "CPUs")
for name in ("numpy", "numba", "ml_dtypes", "cupy-cuda12x", "cupy-cuda13x", "torch", "jax",
             "tensorflow", "keras", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12", "pytest"):
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        print(name, "missing")
import cupy
print("NVRTC", cupy.cuda.nvrtc.getVersion(), cupy.cuda.nvrtc.getSupportedArchs())
print(cupy.cuda.runtime.getDeviceProperties(0))
"""


def commands(steps: list[str]) -> Iterator[tuple[str, int, list[str] | str]]:
    """Names, limits in seconds and commands; a str says why there is none."""
    python = sys.executable
    smi, sanitizer = shutil.which("nvidia-smi"), _sanitizer()
    if "facts" in steps:
        yield "nvidia-smi", 30, [smi, "-q"] if smi else "no nvidia-smi"
        yield "facts", 60, [python, "-c", FACTS]
    if "selftest" in steps:
        yield "selftest", 120, [python, "-m", "philinit", "selftest"]
    if "tests" in steps:
        yield "tests", 240, [python, "-m", "pytest", "-q", "-m", "gpu", "-ra", "tests/gpu"]
    if "sanitizers" in steps:
        kernels = [python, "-m", "tests.gpu.every_kernel"]
        yield "every kernel", 60, kernels
        for tool in TOOLS:
            watched = [str(sanitizer), "--tool", tool, "--error-exitcode", "9", *kernels]
            yield tool, 120, watched if sanitizer else "no compute-sanitizer"
    if "bench" in steps:
        json = str(OUT / "bench.json")
        yield "bench", 240, [python, "benchmarks/bench_gpu.py", "--quick", "--json", json]


def _sanitizer() -> str | None:
    here = Path("/usr/local/cuda/bin/compute-sanitizer")
    return shutil.which("compute-sanitizer") or (str(here) if here.exists() else None)


def step(name: str, limit: float, command: list[str] | str) -> tuple[bool, str]:
    """Whether it went well, and its line of the summary."""
    if isinstance(command, str) or limit < 5:
        return True, f"{name:14} skipped    {command if isinstance(command, str) else 'time is up'}"
    begin = time.monotonic()
    log = OUT / f"{name.replace(' ', '-')}.log"
    with log.open("w", encoding="utf-8") as file:
        try:
            code: int | None = subprocess.run(
                command, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=limit, check=False
            ).returncode
        except subprocess.TimeoutExpired:
            code = None
    last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
    word = "ok" if code == 0 else "time is up" if code is None else f"exit {code}"
    took = time.monotonic() - begin
    return code == 0, f"{name:14} {word:10} {took:4.0f} s  {''.join(last)[:110]}"


def main() -> int:
    """0 where nothing failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--budget", type=float, default=525.0, help="seconds for all")
    parser.add_argument("--steps", type=lambda text: text.split(","), default=list(STEPS))
    options = parser.parse_args()
    if not GPUS:
        print(f"make gpu-check needs a CUDA device: {WHY}")
        return 1
    OUT.mkdir(parents=True, exist_ok=True)
    until, failed, lines = time.monotonic() + options.budget, 0, []
    for name, limit, command in commands(options.steps):
        well, line = step(name, min(limit, until - time.monotonic()), command)
        failed += not well
        lines.append(line)
        print(line, flush=True)
        (OUT / "summary.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{failed} of {len(lines)} steps failed; written: {OUT.relative_to(ROOT)}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
