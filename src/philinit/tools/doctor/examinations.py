# SPDX-License-Identifier: Apache-2.0
"""What `philinit doctor` finds: facts of this machine, and live tests in processes of their own."""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec

from philinit.tools.doctor import hardware, software
from philinit.tools.doctor.findings import ABSENT, FAILED, Finding
from philinit.tools.measure.children import Children
from philinit.tools.measure.machine import cpus

TIMEOUT = 180.0  # seconds for a live test; importing TensorFlow takes most of them


@dataclass(frozen=True)
class Probe:
    """A live test: the function of this name in `probes`, run if `package` is installed."""

    name: str
    section: str
    title: str
    package: str
    remedy: str


def _install(extra: str) -> str:
    return f'pip install --upgrade "philinit[{extra}]"'


HAND_OFF = "hand-offs without a copy"
PROBES = (
    Probe("kernels", "processor", "kernels", "numpy", f"unset {' '.join(hardware.OVERRIDES)}"),
    Probe("numpy_out", HAND_OFF, "numpy out=", "numpy", "philinit selftest"),
    Probe("numpy_memmap", HAND_OFF, "numpy memmap", "numpy", "export TMPDIR=/a/folder/with/room"),
    Probe("tensorflow_variable", HAND_OFF, "tf.Variable", "tensorflow", _install("tensorflow")),
    Probe(
        "tensorflow_from_dlpack", HAND_OFF, "tf from_dlpack", "tensorflow", _install("tensorflow")
    ),
    Probe("keras_layer", HAND_OFF, "keras layer", "keras", _install("keras")),
    Probe("torch_tensor", HAND_OFF, "torch tensor", "torch", _install("torch")),
    Probe("jax_array", HAND_OFF, "jax from_dlpack", "jax", _install("jax")),
    Probe("jax_program", HAND_OFF, "jax.jit", "jax", _install("jax")),
    Probe("cupy_array", "gpu", "cupy array", "cupy", _install(hardware.cuda_extra())),
)


LOOKS = (
    software.versions,
    hardware.processor,
    hardware.threads,
    hardware.memory,
    software.cache,
    software.libm,
    hardware.gpu,
)


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
    # After Ctrl-C the children end first, so that the pool has nobody to wait for.
    with ThreadPoolExecutor(min(4, cpus())) as pool, _children() as children:
        for finding in pool.map(functools.partial(_run, children), PROBES):
            found.append(finding)
            progress(len(found), len(PROBES))
            children.end(finding.name)
    return found


def _children() -> Children:
    return Children("philinit.tools.doctor.probes", TIMEOUT)


def run(probe: Probe) -> Finding:
    """One live test alone."""
    with _children() as children:
        return _run(children, probe)


def _run(children: Children, probe: Probe) -> Finding:
    """One live test, in a process of its own: a crash or a hang there is a finding here."""

    def finding(state: str, text: str) -> Finding:
        remedy = probe.remedy if state == FAILED else ""
        return Finding(probe.section, probe.title, state, text, remedy)

    if probe.package == "cupy" and not hardware.has_driver():
        return finding(ABSENT, "there is no NVIDIA driver")
    if find_spec(probe.package) is None:
        return finding(ABSENT, "not installed")
    try:
        reply = children.ask(probe.title, {"probe": probe.name}, gpu=probe.package == "cupy")
    except ChildProcessError as error:
        return finding(FAILED, str(error))
    return finding(reply["state"], reply["text"])


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing failed that should work here."""
    return all(finding.state != FAILED for finding in findings)
