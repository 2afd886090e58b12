# SPDX-License-Identifier: Apache-2.0
"""G2: the same bits from the code for AVX2 and for plain x86-64 as from the oracle.

The host's own code (AVX-512 where there is) has its turn in test_samplers.py. Here one process
for each other target hashes the golden tensors. It compiles every kernel, once: the name of a
compiled one holds a digest of its sources, of the compilers and of the target.
"""

import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import cases
from tests.support import reference as r

pytestmark = pytest.mark.slow

# NUMBA_CPU_NAME, NUMBA_CPU_FEATURES. The kernels ask for avx512f, avx2, fma and f16c by name.
TARGETS = {
    "avx2": (
        "haswell",
        "+64bit,+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+cx8,+f16c,+fma,+fxsr,+lzcnt,+mmx,+movbe,"
        "+popcnt,+sahf,+sse,+sse2,+sse3,+sse4.1,+sse4.2,+ssse3,+x87,+xsave",
    ),
    "x86-64": ("x86-64", "+64bit,+cmov,+cx8,+fxsr,+mmx,+sse,+sse2,+x87"),
}
# Whose boxes and rows are drawn as well: every way to draw a tile, and each size of a weight.
WITH_PARTS = (
    "uniform_float32",
    "normal_bfloat16",
    "bounded_float64",
    "tensorflow_normal_float32",
    "tensorflow_truncated_float16",
    "tensorflow_truncated_float64",
)
NEEDED = {"avx2": ("avx2", "fma", "bmi2", "f16c"), "x86-64": ("sse2",)}

PROBE = """
import json, sys
sys.path.insert(0, sys.argv[1])
import philinit as pi
from tests.support import cases
from tests.support import reference_orthogonal as ro
from philinit.kernels.cpu.compiler import assembly
from philinit.kernels.cpu.simd.target import cpu
found = {"": {case.name: cases.hashes(case) for case in cases.CASES if not case.uses_libm}}
for kind in ("glibc", "rounded", "system"):
    with cases.libm_of(kind):
        found[kind] = {case.name: cases.hashes(case) for case in cases.CASES if case.uses_libm}
drawn = [case for case in cases.ONE_EACH if case.kernel in sys.argv[2:]]
parts = {case.name: cases.parts_agree(case) for case in drawn}
orthogonal = ro.hashes(lambda *call: pi.Orthogonal(ro.GAIN, seed=ro.SEED)(*call))
code = assembly("normal_float32")
print(json.dumps({
    "cpu": cpu()[0],
    "hashes": found,
    "parts": parts,
    "orthogonal": orthogonal,
    "registers": [name for name in ("zmm", "ymm", "xmm") if "%" + name in code],
}))
"""


def missing(target: str) -> list[str]:
    import llvmlite.binding as llvm

    host = llvm.get_host_cpu_features()
    return [feature for feature in NEEDED[target] if not host.get(feature, False)]


@pytest.fixture(scope="module")
def result_of() -> Iterator[Callable[[str], dict[str, Any]]]:
    """A process for each target that this CPU can run, side by side."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"these targets are for x86-64, this is {platform.machine()}")
    processes = {}
    for target, (name, features) in TARGETS.items():
        if missing(target):
            continue
        environment = os.environ | {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features}
        command = [sys.executable, "-c", PROBE, str(Path(__file__).parents[2]), *WITH_PARTS]
        processes[target] = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    @functools.cache
    def result(target: str) -> dict[str, Any]:
        if target not in processes:
            pytest.skip(f"this CPU has no {', '.join(missing(target))}")
        out, err = processes[target].communicate(timeout=300)
        assert processes[target].returncode == 0, err
        answer: dict[str, Any] = json.loads(out)
        return answer

    yield result
    for process in processes.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("target", TARGETS)
def test_g2_same_bits_on_another_instruction_set(
    result_of: Callable[[str], dict[str, Any]], target: str
) -> None:
    found = result_of(target)
    assert found["cpu"] == TARGETS[target][0]
    assert found["registers"] == {"avx2": ["ymm", "xmm"], "x86-64": ["xmm"]}[target]
    golden = json.loads((r.DATA / "golden.json").read_text())
    known = {"": golden["sha256"], **golden["sha256 by libm"]}
    del known[""]["words"]
    for kind, wanted in known.items():
        hashes = found["hashes"][kind]
        wrong = [name for name in wanted if hashes[name] != wanted[name]]
        assert wrong == [], kind
    assert set(found["hashes"][""]) == set(known[""])


@pytest.mark.parametrize("target", TARGETS)
def test_g2_parts_of_a_tensor_on_another_instruction_set(
    result_of: Callable[[str], dict[str, Any]], target: str
) -> None:
    found = result_of(target)["parts"]
    assert len(found) == len(WITH_PARTS)
    assert all(found.values()), found


@pytest.mark.parametrize("target", TARGETS)
def test_g2_calls_of_the_libm_on_another_instruction_set(
    result_of: Callable[[str], dict[str, Any]], target: str
) -> None:
    """What no file can hold: normals by calls of this machine's libm, float64 ones among them."""
    found = result_of(target)["hashes"]["system"]
    with cases.libm_of("system"):
        own = {case.name: cases.hashes(case) for case in cases.CASES if case.uses_libm}
    assert found == own


@pytest.mark.parametrize("target", TARGETS)
def test_g2_orthogonal_matrices_on_another_instruction_set(
    result_of: Callable[[str], dict[str, Any]], target: str
) -> None:
    golden = json.loads((r.DATA / "orthogonal.json").read_text())
    assert result_of(target)["orthogonal"] == golden["sha256"]
