# SPDX-License-Identifier: Apache-2.0
"""The runner of orthogonal matrices beside LAPACK's, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bench_orthogonal


def test_orthogonal_matrices_beside_lapack_run(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "orthogonal.json"
    assert bench_orthogonal.main(["--quick", "--rounds", "1", "--json", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert [tuple(r["shape"]) for r in results] == list(bench_orthogonal.SHAPES[:3])
    assert all(r["ratio"] > 0 and r["bound"] == 3.0 for r in results)
    assert all(error < 1e-6 for r in results for error in r["errors"].values())
    assert "must be" in capsys.readouterr().out
