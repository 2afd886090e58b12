# SPDX-License-Identifier: Apache-2.0
"""`philinit doctor`: it finds what is broken, names the command that mends it, and never falls."""

import inspect
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("psutil")

from philinit.filling import quota
from philinit.tools.doctor import examinations, hardware, probes, software
from philinit.tools.doctor.findings import ABSENT, FAILED, NOTE, OK, Finding
from tests.support.command_line import philinit, typed
from tests.support.paths import ROOT

SECTIONS = ("versions", "processor", "memory", "compiled code", "tensorflow sampler", "gpu")
BY_NAME = {probe.name: probe for probe in examinations.PROBES}


def quick(**variables):
    """Findings by name, and the exit code."""
    done = philinit("doctor", "--quick", "--json", "-", **variables)
    found = {f["name"]: Finding(**f) for f in json.loads(done.stdout)["findings"]}
    return found, done.returncode


# ---------------------------------------------------------------------------- the whole command


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The whole command, live tests and all: what it printed, its findings, its exit code."""
    path = tmp_path_factory.mktemp("doctor") / "found.json"
    done = philinit("doctor", "--json", path, timeout=300)
    assert path.exists(), done.stdout + done.stderr
    findings = [Finding(**f) for f in json.loads(path.read_text(encoding="utf-8"))["findings"]]
    return done.stdout, findings, done.returncode


def test_everything_that_is_installed_works_here(whole):
    text, findings, code = whole
    failed = [finding for finding in findings if finding.state == FAILED]
    assert failed == []
    assert code == 0, text


def test_each_hand_off_is_tested_live(whole):
    found = {finding.name: finding for finding in whole[1]}
    for probe in examinations.PROBES:
        assert found[probe.title].state in (OK, ABSENT)
    assert found["numpy out="].state == found["numpy memmap"].state == OK
    if found["tensorflow"].state == OK:
        assert "first SGD step" in found["tf.Variable"].text


def test_each_section_stands_once_with_its_findings(whole):
    text, findings, _ = whole
    sections = [finding.section for finding in findings]
    assert sections == sorted(sections, key=sections.index)  # together
    assert set(sections) == {*SECTIONS, examinations.HAND_OFF}
    for finding in findings:
        assert re.search(rf"^  {finding.state} +{re.escape(finding.name)} ", text, re.M), finding
    assert f"{sum(f.state == OK for f in findings)} ok" in text


# ---------------------------------------------------------------------------- what is wrong


def test_a_quick_look_runs_nothing_live():
    found, code = quick()
    assert code == 0, found
    assert {finding.section for finding in found.values()} == set(SECTIONS)
    assert "kernels" in found  # of the cache
    assert "tf.Variable" not in found


def test_wrong_settings_fail_and_are_to_be_unset():
    found, code = quick(
        PHILINIT_NUM_THREADS="many", PHILINIT_LIBM="musl", NUMBA_CPU_FEATURES="+sve,+neon"
    )
    assert code == 1
    assert (found["threads"].state, found["threads"].remedy) == (
        FAILED,
        "unset PHILINIT_NUM_THREADS",
    )
    assert "must be a positive integer; got PHILINIT_NUM_THREADS=many" in found["threads"].text
    assert (found["libm"].state, found["libm"].remedy) == (FAILED, "unset PHILINIT_LIBM")


def test_slow_settings_are_noted(tmp_path):
    found, code = quick(
        PHILINIT_NUM_THREADS="1000",
        PHILINIT_LIBM="system",
        NUMBA_CPU_NAME="generic",
        NUMPY_MADVISE_HUGEPAGE="0",
        PHILINIT_CACHE_DIR=str(tmp_path / "new"),
    )
    assert code == 0
    assert found["threads"].state == NOTE
    assert re.fullmatch(r"export PHILINIT_NUM_THREADS=\d+", found["threads"].remedy)
    assert (found["libm"].state, found["libm"].remedy) == (NOTE, "export PHILINIT_LIBM=rounded")
    if found["vector width"].state != OK:  # a CPU that has no wider vectors than that
        assert found["vector width"].state == NOTE
        assert found["vector width"].remedy == "unset NUMBA_CPU_NAME"
    assert str(tmp_path / "new") in found["folder"].text
    assert not (tmp_path / "new").exists()  # looking makes nothing
    if found["huge pages"].state == NOTE:
        assert found["huge pages"].remedy.endswith(
            ("hugepage/enabled", "unset NUMPY_MADVISE_HUGEPAGE")
        )


POLICY = "/sys/kernel/mm/transparent_hugepage/enabled"


@pytest.mark.parametrize(
    ("policy", "share", "variables", "state", "remedy"),
    [
        ("always [madvise] never", 1.0, {}, OK, ""),
        ("[always] madvise never", 1.0, {}, OK, ""),
        ("always madvise [never]", 0.0, {}, NOTE, f"echo madvise | sudo tee {POLICY}"),
        ("always [madvise] never", 0.0, {"NUMPY_MADVISE_HUGEPAGE": "0"}, NOTE, "unset"),
        ("always [madvise] never", 1.0, {"PHILINIT_HUGE_PAGES": "0"}, NOTE, "unset"),
        ("always [madvise] never", 0.1, {}, NOTE, "echo 1 | sudo tee /proc/sys/vm/compact_memory"),
        ("always [madvise] never", 1.0, {"PHILINIT_HUGE_PAGES": "on"}, FAILED, "unset"),
        ("", 0.0, {}, ABSENT, ""),
    ],
)
def test_huge_pages_and_what_to_do_without(policy, share, variables, state, remedy, monkeypatch):
    for name in ("NUMPY_MADVISE_HUGEPAGE", "PHILINIT_HUGE_PAGES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
        remedy += f" {name}"
    monkeypatch.setattr(hardware, "_read", {hardware.Path(POLICY): policy}.get)
    monkeypatch.setattr(hardware, "_huge_share", lambda: share)
    _, found = hardware.memory()
    assert (found.name, found.state, found.remedy) == ("huge pages", state, remedy)
    chosen = policy.partition("[")[2].partition("]")[0]
    assert f"policy is {chosen}" in found.text or state in (ABSENT, FAILED)


def test_a_remedy_is_one_line_to_be_copied_on_any_terminal():
    for columns, lines in (
        (80, ["  to fix libm: export PHILINIT_LIBM=rounded"]),
        (40, ["  to fix libm:", "    export PHILINIT_LIBM=rounded"]),
        (20, ["  to fix libm:", "    export PHILINIT_LIBM=rounded"]),
    ):
        done = philinit("doctor", "--quick", COLUMNS=str(columns), PHILINIT_LIBM="system")
        assert "\n".join(["", *lines, ""]) in done.stdout


# ---------------------------------------------------------------------------- parts


def test_a_folder_that_cannot_be_written_fails(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PHILINIT_CACHE_DIR", str(tmp_path / "file" / "below"))
    (finding,) = software.cache()
    assert finding.state == FAILED
    assert "Not a directory" in finding.text
    assert finding.remedy.startswith("export PHILINIT_CACHE_DIR=")


def test_damaged_and_foreign_code_is_counted(monkeypatch, tmp_path):
    from philinit.kernels.cache import keep
    from philinit.kernels.cpu.compiler import _digest

    monkeypatch.setenv("PHILINIT_CACHE_DIR", str(tmp_path))
    keep(f"{_digest()}-one.o", b"code")
    (tmp_path / f"{_digest()}-two.o").write_bytes(b"x" * 100)
    keep(f"{'0' * 32}-three.o", b"code")
    folder, kernels, others = software.cache()
    assert folder.state == OK
    assert kernels.state == NOTE
    assert "2 kernels" in kernels.text
    assert "1 damaged" in kernels.text
    assert kernels.remedy == f"rm {tmp_path / f'{_digest()}-two.o'}"
    assert (others.state, others.text[:7]) == (OK, "1 files")
    monkeypatch.setattr(software, "LARGE_CACHE", 10)
    assert software.cache()[2].remedy == f"rm -r {tmp_path}"


@pytest.mark.parametrize(
    ("files", "own", "cpus"),
    [
        ({}, "0::/\n", None),
        ({"cpu.max": "max 100000"}, "0::/\n", None),
        ({"cpu.max": "150000 100000"}, "0::/\n", 1.5),
        ({"a/cpu.max": "400000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b\n", 4.0),
        ({"a/cpu.max": "200000 100000", "a/b/cpu.max": "800000 100000"}, "0::/a/b\n", 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/\n", None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, "1:cpu:/x\n", 0.5),
    ],
)
def test_quotas_of_containers_are_read(files, own, cpus, tmp_path):
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "own").write_text(own)
    assert hardware.cgroup_cpus(tmp_path / "cgroup", tmp_path / "own") == cpus


def test_a_quota_below_the_threads_is_noted(monkeypatch):
    monkeypatch.setattr(hardware, "cgroup_cpus", lambda: 1.5)
    monkeypatch.setenv("PHILINIT_NUM_THREADS", "8")
    (finding,) = hardware.threads()
    assert (finding.state, finding.remedy) == (NOTE, "export PHILINIT_NUM_THREADS=2")
    assert "the container's quota is 1.5" in finding.text


def test_a_quota_that_is_kept_is_told(monkeypatch):
    for module in (hardware, quota):
        monkeypatch.setattr(module, "affinity", lambda: 8)
    monkeypatch.setattr(hardware, "cgroup_cpus", lambda: 1.5)
    monkeypatch.setattr(quota, "_quota", lambda: 1.5)
    monkeypatch.delenv("PHILINIT_NUM_THREADS", raising=False)
    (finding,) = hardware.threads()
    assert (finding.state, finding.remedy) == (OK, "")
    assert finding.text.startswith("2: the container's quota is 1.5 of ")


def test_vector_width_is_that_of_the_machine_code():
    llvm = pytest.importorskip("llvmlite.binding")
    if not llvm.get_process_triple().startswith("x86_64"):
        pytest.skip("names of x86 CPUs")
    widths = {name: hardware.vector_bits(name, "") for name in ("x86-64", "haswell")}
    assert widths == {"x86-64": 128, "haswell": 256}
    assert hardware.vector_bits("skylake-avx512", "") == 512


def test_an_old_library_is_noted(monkeypatch):
    monkeypatch.setattr(software, "_minimum_versions", lambda: {"keras": "99.1"})
    found = {finding.name: finding for finding in software.versions()}
    if found["keras"].state == ABSENT:
        pytest.skip("keras is not installed")
    assert found["keras"].state == NOTE
    assert "philinit is made for 99.1 and newer" in found["keras"].text
    assert found["keras"].remedy == 'pip install --upgrade "philinit[keras]"'


def test_minimum_versions_are_those_of_the_extras():
    least = software._minimum_versions()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    assert f"keras>={least['keras']}" in extras["keras"]
    for _, distribution in software.OPTIONAL.values():
        assert distribution in least


@pytest.mark.parametrize(
    ("version", "extra"), [("535.183.01", "cuda12"), ("580.65.06", "cuda13"), ("", "cuda13")]
)
def test_the_extra_for_cuda_follows_the_driver(version, extra, monkeypatch, tmp_path):
    path = tmp_path / "version"
    path.write_text(f"NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Tue Jan 1 2030\n")
    monkeypatch.setattr(hardware, "_DRIVER", path)
    assert hardware.cuda_extra() == extra
    monkeypatch.setattr(hardware, "find_spec", lambda name: None)
    driver, cupy = hardware.gpu()
    assert driver.state == OK
    assert (cupy.state, cupy.remedy) == (NOTE, f'pip install "philinit[{extra}]"')


def test_a_look_that_fails_is_a_finding(monkeypatch):
    def memory():
        raise OSError("no /proc")

    monkeypatch.setattr(examinations, "LOOKS", (memory, software.libm))
    first, second = examinations.examine(False, lambda *_: None)
    assert (first.section, first.state, first.text) == ("memory", FAILED, "OSError: no /proc")
    assert second.name == "libm"


# ---------------------------------------------------------------------------- live tests


def library(folder, name, code, monkeypatch):
    """Put a false library before all others, for this process's children."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("import os; os.abort()", "the process was ended by SIGABRT"),
        ("import os; os._exit(3)", "exit code 3"),
        ("raise ImportError('libfoo.so is missing')", "ImportError: libfoo.so is missing"),
        ("import sys; sys.exit('no license')", "no license"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_library_that_crashes_is_a_row_and_not_the_end(code, text, tmp_path, monkeypatch):
    library(tmp_path, "torch", code, monkeypatch)
    monkeypatch.setattr(examinations, "find_spec", lambda name: object())
    found = examinations.run(BY_NAME["torch_tensor"])
    assert (found.state, found.text) == (FAILED, text)
    assert found.remedy == 'pip install --upgrade "philinit[torch]"'


def test_a_library_that_hangs_is_a_row(tmp_path, monkeypatch):
    library(tmp_path, "torch", "import time; time.sleep(60)", monkeypatch)
    monkeypatch.setattr(examinations, "find_spec", lambda name: object())
    monkeypatch.setattr(examinations, "TIMEOUT", 1.0)
    assert examinations.run(BY_NAME["torch_tensor"]).text == "no answer after 1 s"


def test_a_copy_is_found(tmp_path, monkeypatch):
    code = """
import numpy
class array:
    def __init__(self, a): self.a = a.copy()
    def unsafe_buffer_pointer(self): return self.a.ctypes.data
    def __array__(self, *_, **__): return self.a
class dlpack: from_dlpack = array
"""
    library(tmp_path, "jax", code, monkeypatch)
    monkeypatch.setattr(examinations, "find_spec", lambda name: object())
    found = examinations.run(BY_NAME["jax_array"])
    assert (found.state, found.text) == (FAILED, "JAX has copied the array")


def test_what_is_not_installed_is_no_failure(monkeypatch):
    monkeypatch.setattr(examinations, "find_spec", lambda name: None)
    for name in ("torch_tensor", "tensorflow_variable", "keras_layer", "jax_array"):
        found = examinations.run(BY_NAME[name])
        assert (found.state, found.text, found.remedy) == (ABSENT, "not installed", "")


def test_one_failure_is_exit_code_1(monkeypatch):
    findings = [Finding("a", "one", OK, "fine"), Finding("a", "two", FAILED, "broken", "mend it")]
    monkeypatch.setattr(examinations, "examine", lambda live, progress: findings)
    done = typed("doctor")
    assert done.returncode == 1
    assert "to fix two: mend it" in done.stdout
    assert "1 ok, 0 note, 1 failed, 0 absent" in done.stdout


def test_every_live_test_exists():
    own = {name: value for name, value in vars(probes).items() if inspect.isfunction(value)}
    tests = [name for name, f in own.items() if f.__module__ == probes.__name__ and name[0] != "_"]
    assert [probe.name for probe in examinations.PROBES] == [*tests[:-1]]
    assert tests[-1] == "answer"


def test_a_gpu_is_looked_at_through_the_stand_in(tmp_path):
    from tests.support import cuda_host
    from tests.support import cupy_stand_in as stand_in

    if cuda_host.compiler() is None:
        pytest.skip("needs g++")
    with stand_in.installed(tmp_path):
        text = probes.cupy_array()
    assert re.search(r"CuPy \S+; cuda:0 .*; cuda:1 .*: the CPU's bits", text)
    assert Path(tmp_path).exists()
