# SPDX-License-Identifier: Apache-2.0
"""What `philinit doctor` reads off the machine: CPU, threads, pages, GPU."""

import functools
import math
import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from philinit.filling.pages import wanted
from philinit.filling.quota import affinity, cgroup_cpus
from philinit.tools.doctor.findings import ABSENT, FAILED, NOTE, OK, Finding
from philinit.tools.measure.machine import free_memory, machine_facts
from philinit.tools.measure.memory import huge_share

REGISTERS = ((r"%zmm", 512), (r"%ymm", 256), (r"%xmm", 128), (r"\bv\d+\.4s", 128))
FEATURES = ("sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "neon", "fullfp16")
OVERRIDES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")

PROBE_BYTES = 64 << 20  # how much memory is written to see its pages


# ---------------------------------------------------------------------------- processor, threads


def processor() -> list[Finding]:
    """What the CPU can do, and how wide the vectors are that kernels are compiled to."""
    import llvmlite.binding as llvm

    from philinit.kernels.cpu.simd.target import cpu, has_feature

    finding = functools.partial(Finding, "processor")
    host = llvm.get_host_cpu_features()
    known = " ".join(name for name in FEATURES if host.get(name)) or "none of note"
    found = [
        finding("name", OK, str(machine_facts()["processor"])),
        finding("features", OK, known),
    ]
    bits, most = vector_bits(*cpu()), vector_bits(llvm.get_host_cpu_name(), host.flatten())
    text = f"{bits or 'unknown'} bits, compiled for {cpu()[0]}"
    given = [variable for variable in OVERRIDES if os.environ.get(variable) is not None]
    if not given:
        return [*found, finding("vector width", OK, text)]
    text += f", by {' and '.join(given)}"
    remedy = f"unset {' '.join(given)}"
    if lacking := [name for name in FEATURES if has_feature(name) and not host.get(name)]:
        text += f"; this CPU has no {' '.join(lacking)}"
        return [*found, finding("vector width", FAILED, text, remedy)]
    if bits != most:
        text += f"; this CPU has {most}"
        state = FAILED if bits > most else NOTE
        return [*found, finding("vector width", state, text, remedy)]
    return [*found, finding("vector width", OK, text)]


def vector_bits(name: str, features: str) -> int:
    """Width of the registers that LLVM adds sixteen float32 in, for a CPU; 0 where unknown."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    machine = target.create_target_machine(cpu=name, features=features, opt=3)
    module = llvm.parse_assembly(
        "define <16 x float> @add(<16 x float> %a, <16 x float> %b) {\n"
        "  %sum = fadd <16 x float> %a, %b\n"
        "  ret <16 x float> %sum\n"
        "}\n"
    )
    assembly = machine.emit_assembly(module)
    return next((bits for register, bits in REGISTERS if re.search(register, assembly)), 0)


def threads() -> list[Finding]:
    """How many threads fill, and who says so."""
    from philinit.filling.threads import default_threads

    finding = functools.partial(Finding, "processor", "threads")
    chosen = os.environ.get("PHILINIT_NUM_THREADS")
    there, allowed, quota = os.cpu_count() or 1, affinity(), cgroup_cpus()
    try:
        count = default_threads()
    except ValueError as error:
        return [finding(FAILED, str(error), "unset PHILINIT_NUM_THREADS")]
    if chosen is not None:
        text = f"{count}, as PHILINIT_NUM_THREADS says; this process may use {allowed} CPUs"
    elif quota is not None and count < allowed:
        text = f"{count}: the container's quota is {quota:g} of {there} CPUs"
    elif allowed < there:
        text = f"{count}: the CPUs of {there} that this process may use"
    else:
        text = f"{count}: all CPUs"
    if quota is not None and (most := max(1, math.ceil(quota))) < count:
        text += f"; but the container's quota is {quota:g}"
        return [finding(NOTE, text, f"export PHILINIT_NUM_THREADS={most}")]
    if count > allowed:
        return [finding(NOTE, text, f"export PHILINIT_NUM_THREADS={allowed}")]
    return [finding(OK, text)]


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8").strip()
    except OSError:
        return ""


# ---------------------------------------------------------------------------- memory


def memory() -> list[Finding]:
    """What is free, and on which pages new arrays lie."""
    free = Finding("memory", "free", OK, f"{free_memory() / (1 << 30):.1f} GiB")
    policy = _read(Path("/sys/kernel/mm/transparent_hugepage/enabled"))
    chosen = policy.partition("[")[2].partition("]")[0]
    share = _huge_share()
    if not chosen or share is None:
        text = "this system does not tell of huge pages"
        return [free, Finding("memory", "huge pages", ABSENT, text)]
    text = f"used for {share:.0%} of a new array; the system's policy is {chosen}"
    finding = functools.partial(Finding, "memory", "huge pages")
    try:
        asked = wanted()
    except ValueError as error:
        return [free, finding(FAILED, str(error), "unset PHILINIT_HUGE_PAGES")]
    if chosen == "never":
        remedy = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"
    elif os.environ.get("NUMPY_MADVISE_HUGEPAGE") == "0":
        remedy = "unset NUMPY_MADVISE_HUGEPAGE"
    elif not asked:
        text += "; frameworks' memory is left as it is, as PHILINIT_HUGE_PAGES says"
        remedy = "unset PHILINIT_HUGE_PAGES"
    elif share >= 0.5:
        return [free, finding(OK, text)]
    else:  # fragmented
        remedy = "echo 1 | sudo tee /proc/sys/vm/compact_memory"
    return [free, finding(NOTE, text + ": new memory fills slowly", remedy)]


def _huge_share() -> float | None:
    """The share of a new array that the system puts on huge pages; None where it does not say."""
    from philinit.filling.memory import address, empty

    array = empty((PROBE_BYTES,), np.dtype(np.uint8))
    array.fill(1)
    return huge_share(address(array), PROBE_BYTES)


# ---------------------------------------------------------------------------- GPU


def gpu() -> list[Finding]:
    """The NVIDIA driver, and whether CuPy is there to use it."""
    if not has_driver():
        return [Finding("gpu", "driver", ABSENT, "there is no NVIDIA driver")]
    text = next((line.strip() for line in _read(_DRIVER).splitlines()), "an NVIDIA driver")
    found = [Finding("gpu", "driver", OK, text)]
    if find_spec("cupy") is None:
        text = 'not installed, so that device="cuda" cannot be used'
        remedy = f'pip install "philinit[{cuda_extra()}]"'
        found.append(Finding("gpu", "cupy", NOTE, text, remedy))
    return found


_DRIVER = Path("/proc/driver/nvidia/version")
_FIRST_FOR_CUDA13 = 580  # the driver's version


def has_driver() -> bool:
    """Whether this machine has an NVIDIA driver."""
    return _DRIVER.exists() or (sys.platform == "win32" and shutil.which("nvidia-smi") is not None)


def cuda_extra() -> str:
    """The extra of philinit that brings what the driver takes; "cuda13" where it cannot be told."""
    match = re.search(r"Kernel Module.*?\s(\d+)\.\d+", _read(_DRIVER))
    return "cuda12" if match and int(match[1]) < _FIRST_FOR_CUDA13 else "cuda13"
