# SPDX-License-Identifier: Apache-2.0
"""The runner of the benchmark of models, small; wrong moments stop it before anything is timed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import bench_models  # noqa: E402  (torch may be missing)
from model_results import STDDEV, VOCABULARY  # noqa: E402


def test_bench_models_runs(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "models.json"
    assert bench_models.main(["--max-params", "2**20", "--rounds", "1", "--json", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))["torch"]
    assert [r["what"].split(", ")[-1] for r in results] == [
        *("12 layers", "uniform_", "normal_", "trunc_normal_ at 2 stddev")
    ]
    assert all(set(r["seconds"]) == set(bench_models.CONTENDERS) for r in results)
    assert [r["bound"] for r in results] == [8.0, 10.0, 10.0, 100.0]
    assert "must be" in capsys.readouterr().out


def test_gpt2_xl_has_its_parameters() -> None:
    with torch.device("meta"):
        model = bench_models.GPT2(1600, 48, VOCABULARY)
    assert sum(p.numel() for p in model.parameters()) == 1_557_611_200


def test_other_moments_are_caught_before_timing() -> None:
    model = bench_models.made(64, 1, 1000)
    model.apply(bench_models.init_weights)
    bench_models.assert_drawn("as it is", model, STDDEV)
    with pytest.raises(AssertionError, match=r"wider: .*weight has other moments"):
        bench_models.assert_drawn("wider", model, STDDEV * 1.1)
