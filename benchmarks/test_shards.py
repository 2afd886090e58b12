# SPDX-License-Identifier: Apache-2.0
"""The runner of the shards' ratios, and the table over hosts, small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench_shards
import philinit as pi
import scale

SMALL = ["--table", "2**30", "--columns", "2**12", "--hosts", "64", "--tile", "2**14"]


def test_ratios_of_shards_run(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "shards.json"
    assert bench_shards.main(["--size", "4096", "--rounds", "1", "--json", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    assert {(r["part"], r["row"]) for r in results} == {
        (part, row)
        for part in ("aligned", "not aligned", "apart", "by number", bench_shards.BY_KEY)
        for row in (16, 128, 1024)
    }
    assert len({(r["distribution"], r["dtype"], r["threads"]) for r in results}) in (12, 24)
    assert all(r["ratio"] > 0 for r in results)
    assert {r["bound"] for r in results if r["part"] == "by number"} == {1.6, 1.2, 1.1}
    assert {r["bound"] for r in results if r["part"] == bench_shards.BY_KEY} == {1.15}
    assert "must be" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("rule", ["GlorotUniform", "HeNormal", "Normal"])
def test_shards_of_a_virtual_table_are_the_oracles(rule: str, dtype: str, capsys: Any) -> None:
    assert scale.main([*SMALL, "--picks", "2", "--init", rule, "--dtype", dtype]) == 0
    out = capsys.readouterr().out
    assert "exchanged between hosts: 0 bytes" in out
    for layout in ("rows", "columns", "boxes", "rows by number"):
        assert f"{layout}: " in out


def test_the_table_of_the_issue_at_full_size_and_small_tiles(capsys: Any) -> None:
    assert scale.main(["--tile", "2**12", "--picks", "1", "--checks", "4"]) == 0
    assert "2^45 weights, 128 TiB, over 4,096 hosts" in capsys.readouterr().out


def test_a_wrong_weight_is_found(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    right = scale.element
    monkeypatch.setattr(scale, "element", lambda *a: np.nextafter(right(*a), np.float32(1)))
    assert scale.main([*SMALL, "--picks", "1"]) == 1
    assert "wrong elements" in capsys.readouterr().out


def test_an_element_alone_is_that_of_the_tensor() -> None:
    init = pi.Normal(seed=3)
    whole = init((40,), "float64")
    one = scale.element(init.distribution_for((40,)), whole.dtype, init.key, 37)
    assert one.tobytes() == whole[37].tobytes()
