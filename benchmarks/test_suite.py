# SPDX-License-Identifier: Apache-2.0
"""The runner of the suite, tiny; its tables and pictures, of what was measured and of nothing."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import bounds
import figures
import ratios
import report
import suite
from bench_small import MUSTS
from philinit.cli.console import open_console
from philinit.tools.bench.contenders import CONTENDERS
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import WORKLOADS

FEW = ("memset", "philinit", "NumPy, SFC64")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A quick run of a few contenders with tiny tensors."""
    folder = tmp_path_factory.mktemp("results")
    options = argparse.Namespace(
        quick=True,
        only=["distributions", "models", "starts", "curves"],
        seconds=300.0,
        weights=1 << 16,
    )
    with Workers() as workers:
        one = suite.Suite(options, workers)
        one.names = list(FEW)
        record = suite.Record(one, folder)
        assert suite.run(one, record, open_console())
    written = record.finish()
    assert [path.suffix for path in written] == [".json", ".md"]  # the README's stay as they are
    made: dict[str, Any] = json.loads(written[0].read_text(encoding="utf-8"))
    made["markdown"] = written[1].read_text(encoding="utf-8")
    return made


def test_every_distribution_is_measured_by_everybody_in_both_memories(
    document: dict[str, Any],
) -> None:
    rows = {(r["workload"], r["contender"], r["memory"], r["dtype"]) for r in document["results"]}
    for workload in figures.DISTRIBUTIONS:
        for name in FEW:
            if (workload, name) == ("1 GiB truncated normal", "NumPy, SFC64"):
                continue
            assert {
                (workload, name, "new", "float32"),
                (workload, name, "resident", "float32"),
            } <= rows
        for dtype in ("bfloat16", "float16", "float64", "float8_e4m3fn"):
            assert (workload, "philinit", "resident", dtype) in rows
    assert all(len(r["seconds"]) >= 3 for r in document["results"])
    skips = {(skip["contender"], skip["reason"]) for skip in document["left_out"]}
    assert ("NumPy, SFC64", "has no truncated normal") in skips
    assert not any(skip["failed"] for skip in document["left_out"])


def test_what_is_measured_is_held_against_the_musts(document: dict[str, Any]) -> None:
    by_what = {row["what"]: row for row in document["ratios"]}
    assert len(by_what) == 34
    slowest = by_what["float32 between [-3, 3], [0, inf), [-1, 2]: the slowest / normal"]
    assert 0 < slowest["measured"] <= 1  # the normal itself is among them
    assert by_what["uniform float32, share of memset"]["measured"] > 0
    assert by_what["(64, 64) Glorot uniform"]["measured"] > 0
    assert by_what["truncated float32 / keras HeNormal"]["measured"] is None
    assert by_what["truncated float32 / keras HeNormal"]["reached"] is None


def test_the_markdown_has_every_result_and_says_that_it_is_no_measurement(
    document: dict[str, Any],
) -> None:
    text = document["markdown"]
    assert text.startswith("quick run: not for comparison; incomplete; ")
    for heading in ("### Uniform, 65,536 weights", "### What must be reached", "### Left out"):
        assert heading in text
    for row in document["results"]:
        assert f"| `{row['title']}`" in text


def test_both_pictures_are_drawn(document: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first = [path.read_bytes() for path in figures.draw(document, tmp_path)]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scaling.svg", "throughput.svg"]
    assert [path.read_bytes() for path in figures.draw(document, tmp_path)] == first
    assert all(b"<svg" in text for text in first)


def test_nothing_measured_is_no_error() -> None:
    machine: dict[str, Any] = {"processor": "x", "threads": 1, "system": "y", "versions": {}}
    empty: dict[str, Any] = {"date": "2026-01-01-000000", "machine": machine, "quick": False}
    empty |= {"complete": False, "results": [], "left_out": []}
    assert all(row.measured is None for row in ratios.rows(empty))
    assert "not measured" in report.markdown(empty)


def test_every_must_can_be_measured() -> None:
    results = [
        {
            "workload": workload.name,
            "contender": name,
            "title": name,
            "memory": memory,
            "dtype": dtype,
            "weights": 1000,
            "nbytes": 4000,
            "share": 1,
            "seconds": [1.0, 1.0],
        }
        for workload in WORKLOADS
        for name in CONTENDERS
        for memory in ("new", "resident")
        for dtype in ("float32", "bfloat16", "float64", "float8_e4m3fn")
    ]
    points = [{"weights": 1 << bits, "seconds": [float(1 << bits)]} for bits in (24, 26)]
    document = {
        "results": results,
        "processes": {
            "import_seconds": [1.0, 1.0],
            "first_fill_seconds": [0.1, 1.0],
            "memory_extra_bytes": {"build": 0, "sparse_step": 0, "dense_step": 0},
        },
        "small": {"results": [{"what": what, "figure": 1.0} for what in MUSTS]},
        "curves": [{"contender": "philinit", "dtype": "bfloat16", "points": points}],
        "new_memory": {
            "results": [{"title": t, "share": 1.0, "best": 1.0, "times": 1.0} for t in ratios.NEW]
        },
        "bounds": {d: {name: [1.0, 1.0] for name in bounds.DRAWN} for d in bounds.DTYPES},
    }
    assert all(row.measured is not None for row in ratios.rows(document))


@pytest.mark.skipif(os.name != "posix", reason="signals as a terminal sends them")
def test_ctrl_c_keeps_what_there_is(tmp_path: Path) -> None:
    command = [sys.executable, "-u", suite.__file__, "--quick", "--weights", "65536"]
    parent = subprocess.Popen(
        [*command, "--only", "starts", "--only", "processes", "--folder", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert parent.stdout is not None
        for line in parent.stdout:
            if "starts done" in line:
                break
        time.sleep(0.2)
        os.killpg(parent.pid, signal.SIGINT)
        out, err = parent.communicate(timeout=60)
    finally:
        parent.kill()
        parent.wait()
    assert parent.returncode == 130, out + err
    assert "Traceback" not in out + err
    (path,) = tmp_path.glob("bench-*.json")
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept["complete"] is False
    assert [row["contender"] for row in kept["starts"]] == ["philinit"]
