# SPDX-License-Identifier: Apache-2.0
"""The runner of the benchmark of resets, small; weights that are not the first ones stop it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

keras = pytest.importorskip("keras")

import tensorflow as tf  # noqa: E402  (both may be missing)

import bench_resets  # noqa: E402
from philinit.keras import dry_run  # noqa: E402


@pytest.fixture(autouse=True)
def _no_seed_left() -> Iterator[None]:
    yield
    tf.random.set_seed(None)


def test_bench_resets_runs(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "resets.json"
    assert bench_resets.main(["--quick", "--rounds", "1", "--json", str(path)]) == 0
    (result,) = json.loads(path.read_text(encoding="utf-8"))["keras"]
    assert set(result["seconds"]) == set(bench_resets.CONTENDERS) and result["bound"] == 3
    assert "must be" in capsys.readouterr().out


def test_what_does_not_reset_is_caught_before_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_resets, "assigned", lambda model: model)
    with pytest.raises(AssertionError, match=r"own initializers, assigned: .* has other weights"):
        bench_resets.reset("three layers", bench_resets.small, 1)


def test_the_map_knows_all_of_resnet50() -> None:
    model = bench_resets.resnet50()
    rows = dry_run(model, bench_resets.FIRST, bench_resets.SEED).rows()
    assert sum(r["stddev"] > 0 for r in rows) == 54
