# SPDX-License-Identifier: Apache-2.0
"""The runner of the benchmark of compiled programs, tiny, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

SCRIPT = str(Path(__file__).with_name("bench_compiled.py"))  # sets what JAX reads at import


def test_every_must_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "compiled.json"
    command = [sys.executable, SCRIPT, "--size", "2**16", "--rounds", "2", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(path.read_text(encoding="utf-8"))
    rows = document["rows"]
    assert [row["must"] for row in rows if row["must"] is not None] == [40.0, 0.8, 40.0, 40.0]
    assert all(row["figure"] is not None for row in rows if "peak" not in row["what"])
    assert {len(times) for times in document["seconds"]["large"].values()} == {2}
