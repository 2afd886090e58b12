# SPDX-License-Identifier: Apache-2.0
"""The runner of the benchmark of lookups, tiny, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

SCRIPT = str(Path(__file__).with_name("bench_lookups.py"))  # sets what TensorFlow reads at import


def test_each_step_is_timed_on_both_kinds_of_pages(tmp_path: Path) -> None:
    path = tmp_path / "lookups.json"
    command = [sys.executable, SCRIPT, "--size", "2**20", "--rounds", "2", "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds = json.loads(path.read_text(encoding="utf-8"))["seconds"]
    steps = ("dense step", "tf.gather", "sparse update")
    assert list(seconds) == [f"{step}, {pages}" for step in steps for pages in ("small", "huge")]
    assert all(len(times) == 2 for times in seconds.values())
