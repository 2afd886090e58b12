# SPDX-License-Identifier: Apache-2.0
"""How many CPUs this process may keep busy: its affinity, and the quotas of its container."""

from __future__ import annotations

import functools
import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def affinity() -> int:
    """CPUs that the system lets this process run on."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def available_cpus() -> int:
    """`affinity`, or fewer where a quota is worth less time, rounded up."""
    quota = _quota()
    return affinity() if quota is None else min(affinity(), max(1, math.ceil(quota)))


@functools.cache
def _quota() -> float | None:
    return cgroup_cpus(CGROUP)


def cgroup_cpus(root: Path = CGROUP, own: Path = Path("/proc/self/cgroup")) -> float | None:
    """CPUs that the quotas of this process's cgroup and its parents leave; None for no quota."""
    lines = _read(own).splitlines()
    groups = {line.split(":")[1]: line.split(":", 2)[2].strip("/") for line in lines}
    unified = root / groups.get("", "")
    folders = [f for f in (unified, *unified.parents) if f.is_relative_to(root)]
    found = [_read(folder / "cpu.max").split() for folder in folders]  # "150000 100000"
    found += [  # version 1
        [_read(root / name / f"cpu.cfs_{n}_us") for n in ("quota", "period")]
        for name in ("cpu", "cpu,cpuacct")
    ]  # no quota is "max 100000", or in version 1 a quota of -1
    numbers = [(int(w[0]), int(w[1])) for w in found if w and all(map(str.isdecimal, w))]
    return min((quota / period for quota, period in numbers), default=None)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""
