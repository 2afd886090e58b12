# SPDX-License-Identifier: Apache-2.0
"""What demo and benchmarks measure with: memory, memset, and numbers held against theory."""

from __future__ import annotations

import ctypes
import importlib.metadata
import math
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import philinit
from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype

ALPHA = 1e-6  # chance that one min or max of a correct sample is called off
Z_BOUND = 4.5  # the same for one mean or stddev: 7e-6
VERSIONED = ("numpy", "numba", "tensorflow", "tensorflow-cpu", "keras", "torch", "jax", "jaxlib")
BLOCK = 1 << 20  # elements: statistics read this much at a time


def _status(field: str) -> int | None:
    """Bytes of VmRSS or VmHWM of this process; None where there is no /proc."""
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    lines = (line.split() for line in text.splitlines() if line.startswith(field + ":"))
    return next((int(words[1]) * 1024 for words in lines), None)


class Peak:
    """Peak of resident memory inside a `with` block, beyond what was resident at its start."""

    extra: int | None = None

    def __enter__(self) -> Peak:
        """Forget earlier peaks; where the system refuses, `extra` stays None."""
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            self._start = _status("VmRSS")
        except OSError:
            self._start = None
        return self

    def __exit__(self, *_: object) -> None:
        """Read the peak."""
        end = _status("VmHWM")
        if self._start is not None and end is not None:
            self.extra = end - self._start


def cpus(threads: int | None) -> int:
    """Threads to use: as asked, or the CPUs that this process may run on."""
    if threads is not None:
        return threads
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def split_memset(
    buffer: np.ndarray[Any, Any], pool: ThreadPoolExecutor, count: int
) -> np.ndarray[Any, Any]:
    """memset of an array, each of `count` threads on one piece of it; returns the array."""
    bounds = [buffer.nbytes * i // count for i in range(count + 1)]

    def clear(i: int) -> None:
        ctypes.memset(buffer.ctypes.data + bounds[i], 0x5A, bounds[i + 1] - bounds[i])

    list(pool.map(clear, range(count)))
    return buffer


def memset_rates(nbytes: int, threads: int | None) -> dict[str, float]:
    """Bytes a second of memset by all threads: first touch of fresh pages, then resident.

    The byte is not 0: some processors clear lines without sending the zeros to memory, at two or
    three times the rate of any other value, and that is no limit for weights.
    """
    buffer = np.empty(nbytes, np.uint8)
    count = cpus(threads)
    seconds = []
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(int, range(count)))  # the threads exist before the clock starts
        for _ in range(8):
            start = time.perf_counter()
            split_memset(buffer, pool, count)
            seconds.append(time.perf_counter() - start)
    return {"fresh": nbytes / seconds[0], "resident": nbytes / min(seconds[1:])}


def _widen(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """float64 copy of a block; bfloat16 by a shift, since its cast is slow."""
    if block.dtype.name == "bfloat16":
        block = (block.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return block.astype(np.float64)


def statistics(
    weights: np.ndarray[Any, Any], threads: int | None, step: int = 1
) -> dict[str, float]:
    """Mean, stddev, min and max of 1-D weights, block by block without another copy.

    With a `step` of more than 1 only each `step`-th block of `BLOCK` elements is read.
    """
    starts = range(0, weights.size, step * BLOCK)
    size = read_by(weights.size, step)

    def part(start: int) -> tuple[float, float, float, float]:
        x = _widen(weights[start : start + BLOCK])
        return float(x.sum()), float(np.einsum("i,i->", x, x)), float(x.min()), float(x.max())

    with ThreadPoolExecutor(cpus(threads)) as pool:
        parts = list(pool.map(part, starts))
    sums, squares, lows, highs = zip(*parts, strict=True)
    mean = math.fsum(sums) / size
    variance = math.fsum(squares) / size - mean * mean
    return {
        "mean": mean,
        "stddev": math.sqrt(max(variance, 0.0)),
        "min": min(lows),
        "max": max(highs),
    }


def read_by(size: int, step: int) -> int:
    """How many of `size` weights `statistics` reads."""
    return sum(min(BLOCK, size - start) for start in range(0, size, step * BLOCK))


def verdict(
    found: dict[str, float], wanted: Distribution, size: int, dtype: str, slack: float = 0.0
) -> dict[str, Any]:
    """z of mean and stddev, and whether min and max are inside the support and near its ends.

    mean: z = (m - mu) sqrt(n) / sigma. stddev: z = (s - sigma) 2 sqrt(n / (k - 1)) / sigma, k the
    kurtosis. An end of density p is missed by more than ln(1 / alpha) / (n p) with chance alpha.
    Ends count as the dtype rounds them; a normal has none. `slack` is what each of the four may be
    off beyond that, in units of the weights: some generators draw few levels.
    """
    mu, sigma = wanted.moments()
    low, high = wanted.support()
    rounded = as_dtype(dtype).type  # an end that the dtype cannot hold may be rounded outwards
    low, high = min(low, float(rounded(low))), max(high, float(rounded(high)))
    if isinstance(wanted, Uniform):
        kurtosis, density = 1.8, 1.0 / (high - low)
    elif type(wanted) is Normal:
        kurtosis, density = 3.0, math.inf
    else:  # cut at +-2: E x^2 = 1 - 2 r, E x^4 = 3 E x^2 - 8 r, r = 2 phi(2) / mass
        assert isinstance(wanted, TruncatedNormal)
        ratio = 2.0 * math.exp(-2.0) / math.sqrt(2.0 * math.pi) / wanted.mass()
        square = 1.0 - 2.0 * ratio
        kurtosis = (3.0 * square - 8.0 * ratio) / square**2
        density = ratio / 2.0 / wanted.stddev
    bits = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}[dtype]
    gap = math.log(1.0 / ALPHA) / (size * density) + max(-low, high) * 2.0 ** (1 - bits)
    of_mean, of_stddev = (sigma / math.sqrt(size * k) for k in (1.0, 4.0 / (kurtosis - 1.0)))
    off_mean, off_stddev = found["mean"] - mu, found["stddev"] - sigma
    endless = math.isinf(high)
    return {
        "z_mean": off_mean / of_mean,
        "z_stddev": off_stddev / of_stddev,
        "mean_ok": abs(off_mean) < Z_BOUND * of_mean + slack,
        "stddev_ok": abs(off_stddev) < Z_BOUND * of_stddev + slack,
        "min_ok": endless or low - slack <= found["min"] <= low + gap + slack,
        "max_ok": endless or high - gap - slack <= found["max"] <= high + slack,
    }


def free_memory() -> int:
    """Bytes that a process may still take: what the system has, or what the container leaves."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            left = int(Path(limit).read_text("ascii")) - int(Path(used).read_text("ascii"))
        except (OSError, ValueError):  # no such file, or "max"
            continue
        free = min(free, left)
    return max(free, 0)


def machine_facts(threads: int | None) -> dict[str, Any]:
    """Where a figure was measured: system, processor, threads, versions."""
    versions = {"philinit": philinit.__version__, "python": platform.python_version()}
    for name in VERSIONED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "threads": cpus(threads),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
