# SPDX-License-Identifier: Apache-2.0
"""The runner of the benchmark of programs, tiny, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jax")

SCRIPT = str(Path(__file__).with_name("bench_programs.py"))  # sets what JAX reads when imported


def test_every_distribution_is_measured_in_every_dtype(tmp_path: Path) -> None:
    path = tmp_path / "programs.json"
    command = [sys.executable, SCRIPT, "--size", "2**12", "--rounds", "2", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert len({(row["what"], row["dtype"]) for row in results}) == len(results) == 18
    for row in results:
        assert row["faster"] > 0
        assert {len(times) for times in row["seconds"].values()} == {2}
    assert "times jax.random" in done.stdout
