# SPDX-License-Identifier: Apache-2.0
"""`philinit selftest`: it finds what is wrong, says so, and its hashes are those of the oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("click")
pytest.importorskip("rich")
pytest.importorskip("psutil")

from philinit.filling import cpu
from philinit.filling.cuda import launch as cuda
from philinit.kernels.table import KERNELS
from philinit.tools.selftest import cases as _selftest
from philinit.tools.selftest import golden as _golden
from tests.support import cuda_host
from tests.support import cupy_stand_in as stand_in
from tests.support import reference as r

SHIPPED = Path(_golden.__file__).with_name("golden.json")


def philinit(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "philinit", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )


def quiet(*_: Any) -> None:
    pass


# --- what it compares with -----------------------------------------------------------------------


def test_g9_the_shipped_hashes_are_those_of_the_oracle() -> None:
    assert SHIPPED.read_bytes() == (r.DATA / "golden.json").read_bytes(), (
        "run python -m tests.support.cases"
    )


def test_the_known_answers_are_random123s() -> None:
    known = json.loads((r.DATA / "philox4x32.json").read_text(encoding="utf-8"))["random123"]
    assert [tuple(row[1:]) for row in known if row[0] == 10] == list(_selftest.KNOWN_ANSWERS)


def test_every_kernel_takes_part() -> None:
    named = {case.name.partition("-")[0] for case in _selftest.cases("cuda:0")}
    # One kernel draws all formats of float8, each of which takes part.
    formats = {name for name in named if "_float8_" in name}
    assert named | {name.partition("_float8_")[0] + "_float8" for name in formats} >= set(KERNELS)
    assert {name.partition("_float8_")[2] for name in formats} == {
        name.removeprefix("float8_") for name in r.FLOAT8
    }


# --- verdicts ------------------------------------------------------------------------------------


def test_the_cpu_passes() -> None:
    seen: list[tuple[int, int, str]] = []
    report = _selftest.check("cpu", lambda *a: seen.append(a))
    assert report.passed
    assert report.count(_selftest.EQUAL) == len(_selftest.cases("cpu")) > len(_golden.SHA256)
    assert [done for done, _, _ in seen] == list(range(len(report.outcomes) + 1))


def test_one_wrong_bit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(target: Any, plan: Any, *rest: Any, real: Any = cpu.fill) -> None:
        real(target, plan, *rest)
        view = target.view
        if plan.kernel.name == "normal_float16" and view.size > 4:
            view.view("u2")[77_777] ^= 1
        if plan.kernel.name == "words" and view.size == 4:
            view.view("u4")[3] ^= 1 << 31

    monkeypatch.setattr(cpu, "fill", spoiled)
    report = _selftest.check("cpu", quiet)
    assert not report.passed
    wrong = [o.case for o in report.outcomes if o.verdict == _selftest.DIFFERENT]
    assert wrong[0] == "Random123's known answers"
    assert {name.partition("-")[0] for name in wrong[1:]} == {"normal_float16"}
    assert len(wrong) == 3


@pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")
def test_cuda_devices_pass_through_the_stand_in(tmp_path: Path) -> None:
    with stand_in.installed(tmp_path):
        assert _selftest.devices() == (["cpu", "cuda:0", "cuda:1"], "")
        report = _selftest.check("cuda:1", quiet)
        assert {call[2] for call in stand_in.names("launch")} == {1}
    assert report.failure == ""
    assert report.title == "stand-in for a GPU"
    assert report.passed
    skipped = [o for o in report.outcomes if o.verdict == _selftest.SKIPPED]
    assert all("tensorflow" in o.case for o in skipped)
    assert all('use sampler="native"' in o.note for o in skipped)
    # TensorFlow's float64 normals, and others without golden hashes where the libm is unknown.
    assert len(skipped) >= 2


@pytest.mark.skipif(cuda_host.compiler() is None, reason="needs g++")
def test_a_wrong_gpu_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that lose the high half of the counter: all is right but what lies far out."""

    def lossy(*arguments: Any, real: Any = cuda._launch) -> None:
        *first, offset = arguments
        real(*first, offset % 2**34)

    monkeypatch.setattr(cuda, "_launch", lossy)
    with stand_in.installed(tmp_path):
        report = _selftest.check("cuda", quiet)
    assert not report.passed
    assert report.outcomes[0].verdict == _selftest.EQUAL  # known answers are near the start
    assert report.count(_selftest.DIFFERENT) >= len(_golden.SHA256)


def test_a_device_that_cannot_be_used_fails_with_a_sentence(tmp_path: Path) -> None:
    with stand_in.installed(tmp_path, error="cudaErrorNoDevice: none"):
        report = _selftest.check("cuda:0", quiet)
        found, why = _selftest.devices()
    assert not report.passed
    assert "cudaErrorNoDevice" in report.failure
    assert found == ["cpu"]
    assert "cudaErrorNoDevice" in why


# --- the command ---------------------------------------------------------------------------------


def test_the_command_prints_a_table_writes_json_and_returns_0(tmp_path: Path) -> None:
    path = tmp_path / "selftest.json"
    done = philinit("selftest", "--device", "cpu", "--json", str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cpu" in done.stdout
    assert "passed" in done.stdout
    document = json.loads(path.read_text(encoding="utf-8"))
    (device,) = document["devices"]
    assert device["device"] == "cpu"
    assert device["passed"] is True
    assert {o["verdict"] for o in device["outcomes"]} == {"equal"}
    assert document["machine"]["versions"]["python"]


def test_the_command_says_why_there_is_no_gpu() -> None:
    found, why = _selftest.devices()
    if len(found) > 1:
        pytest.skip("there is a GPU")
    done = philinit("selftest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no CUDA device" in done.stdout
    assert why[:60] in " ".join(done.stdout.split())


def test_the_command_returns_1_for_a_mismatch_and_for_a_missing_device() -> None:
    code = """
import sys
from philinit.tools.selftest import golden as _golden
name = next(name for name in _golden.SHA256 if name.startswith("uniform_float32"))
_golden.SHA256[name] = ("0" * 64,) * 2
from philinit.cli.selftest import selftest
selftest(["--device", "cpu"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 different" in done.stdout
    assert "uniform_float32" in done.stdout
    if _selftest.devices()[0] == ["cpu"]:
        done = philinit("selftest", "--device", "cuda:0")
        assert done.returncode == 1
        assert "the cuda backend needs" in done.stdout


def test_an_unknown_device_is_refused() -> None:
    done = philinit("selftest", "--device", "tpu")
    assert done.returncode != 0
    assert '`device` must be "cpu", "cuda" or "cuda:N"' in done.stdout + done.stderr
