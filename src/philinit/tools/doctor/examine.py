# SPDX-License-Identifier: Apache-2.0
"""What `philinit doctor` finds: facts of this machine, and live tests in processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

from philinit.tools.doctor import machine, software
from philinit.tools.doctor.finding import ABSENT, FAILED, OK, Finding
from philinit.tools.measure.measuring import cpus

TIMEOUT = 180.0  # seconds for a live test; importing TensorFlow takes most of them


@dataclass(frozen=True)
class Probe:
    """A live test: the function of this name in `_doctor_probes`, run if `package` is installed."""

    name: str
    section: str
    title: str
    package: str
    remedy: str


def _install(extra: str) -> str:
    return f'pip install --upgrade "philinit[{extra}]"'


HAND_OFF = "hand-offs without a copy"
PROBES = (
    Probe("kernels", "processor", "kernels", "numpy", f"unset {' '.join(machine.OVERRIDES)}"),
    Probe("numpy_out", HAND_OFF, "numpy out=", "numpy", "philinit selftest"),
    Probe("numpy_memmap", HAND_OFF, "numpy memmap", "numpy", "export TMPDIR=/a/folder/with/room"),
    Probe("tensorflow_variable", HAND_OFF, "tf.Variable", "tensorflow", _install("tensorflow")),
    Probe(
        "tensorflow_from_dlpack", HAND_OFF, "tf from_dlpack", "tensorflow", _install("tensorflow")
    ),
    Probe("keras_layer", HAND_OFF, "keras layer", "keras", _install("keras")),
    Probe("torch_tensor", HAND_OFF, "torch tensor", "torch", _install("torch")),
    Probe("jax_array", HAND_OFF, "jax from_dlpack", "jax", _install("jax")),
    Probe("cupy_array", "gpu", "cupy array", "cupy", _install(machine.cuda_extra())),
)


LOOKS = (
    software.versions,
    machine.processor,
    machine.threads,
    machine.memory,
    software.cache,
    software.libm,
    machine.gpu,
)

_children: set[subprocess.Popen[str]] = set()  # live tests that are running


def examine(live: bool, progress: Callable[[int, int], object]) -> list[Finding]:
    """Everything, section by section; the live tests only if asked for.

    `progress(done, total)` counts live tests.
    """
    found: list[Finding] = []
    for look in LOOKS:
        try:
            found += look()
        except Exception as error:  # on a system that nobody has thought of
            text = f"{type(error).__name__}: {error}"
            found.append(Finding(look.__name__, "all of it", FAILED, text))
    if live:
        found += _run_all(progress)
    sections = list(dict.fromkeys(finding.section for finding in found))
    return sorted(found, key=lambda finding: sections.index(finding.section))


def _run_all(progress: Callable[[int, int], object]) -> list[Finding]:
    found = []
    with ThreadPoolExecutor(min(4, cpus(None))) as pool:
        try:
            for finding in pool.map(run, PROBES):
                found.append(finding)
                progress(len(found), len(PROBES))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in list(_children):
                child.kill()
            raise
    return found


def run(probe: Probe) -> Finding:
    """One live test, in a process of its own: a crash or a hang there is a finding here."""

    def failed(text: str) -> Finding:
        return Finding(probe.section, probe.title, FAILED, text, probe.remedy)

    def absent(text: str) -> Finding:
        return Finding(probe.section, probe.title, ABSENT, text)

    if probe.package == "cupy" and not machine.has_driver():
        return absent("there is no NVIDIA driver")
    if find_spec(probe.package) is None:
        return absent("not installed")
    child = subprocess.Popen(
        [sys.executable, "-m", "philinit.tools.doctor.probes", probe.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    _children.add(child)
    try:
        out, err = child.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return failed(f"no answer after {TIMEOUT:.0f} s")
    finally:
        child.kill()
        child.communicate()
        _children.discard(child)
    lines = out.splitlines()
    if child.returncode < 0:
        return failed(f"the process was ended by {signal.Signals(-child.returncode).name}")
    if child.returncode or not lines:
        return failed(err.strip().rpartition("\n")[2] or f"exit code {child.returncode}")
    answer = json.loads(lines[-1])
    if not answer["works"]:
        return failed(answer["text"])
    return Finding(probe.section, probe.title, OK, answer["text"])


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing failed that should work here."""
    return all(finding.state != FAILED for finding in findings)
