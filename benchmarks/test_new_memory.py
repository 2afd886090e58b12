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


@pytest.mark.parametrize(
    ("share", "best", "measured"), [(5.0, 0.9, 0.9), (0.7, 0.9, 0.7), (0.9, 0.7, 0.7)]
)
def test_a_slow_memset_flatters_no_share(share: float, best: float, measured: float) -> None:
    found = [{"title": title, "share": share, "best": best, "times": 1.0} for title in ratios.NEW]
    shares = [row for row in ratios.new_memory({"results": found}) if "of memset" in row.what]
    assert [row.measured for row in shares] == [measured] * len(ratios.NEW)
