# SPDX-License-Identifier: Apache-2.0
"""The runner of the benchmark of new memory, tiny, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import ratios

pytest.importorskip("tensorflow")
pytest.importorskip("keras")

SCRIPT = str(Path(__file__).with_name("bench_new_memory.py"))  # sets what libraries read at import


def test_every_must_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    command = [sys.executable, SCRIPT, "--size", "2**16", "--rounds", "4", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(path.read_text(encoding="utf-8"))
    assert "must be" in done.stdout
    for row in document["results"]:
        assert len(row["memset"]) == 4
        assert len(row["seconds"]) == (3 if row["peer"] else 4)
        assert row["share"] > 0
    left_out = document["left_out"]
    measured = [row.measured is not None for row in ratios.new_memory(document)]
    assert all(measured) or left_out
