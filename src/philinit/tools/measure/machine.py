# SPDX-License-Identifier: Apache-2.0
"""Where something is measured: system, processor, threads, versions, free memory."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from philinit._version import __version__
from philinit.filling.quota import available_cpus

VERSIONED = ("numpy", "numba", "tensorflow", "tensorflow-cpu", "keras", "torch", "jax", "jaxlib")
HEADROOM = 1 << 30  # bytes to leave free: Python, TensorFlow and the blocks of the checks


def cpus(threads: int | None = None) -> int:
    """Threads to use: as asked, or the CPUs that this process may keep busy."""
    return available_cpus() if threads is None else threads


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


def machine_facts(threads: int | None = None) -> dict[str, Any]:
    """Where a figure was measured: system, processor, threads, versions."""
    versions = {"philinit": __version__, "python": platform.python_version()}
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


def machine_line(facts: dict[str, Any]) -> str:
    """The facts in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    return f"{facts['processor']}, {facts['threads']} threads; {versions}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
