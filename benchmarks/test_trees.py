# SPDX-License-Identifier: Apache-2.0
"""The runners of the benchmarks of JAX's trees and of peaks of memory, small."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

jax = pytest.importorskip("jax")

import bench_peaks  # noqa: E402
import bench_trees  # noqa: E402  (JAX may be missing)
from model_results import sizes  # noqa: E402


def test_bench_trees_runs(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "trees.json"
    one = {"uniform": bench_trees.INITIALIZERS["uniform"]}  # JAX compiles for each of them
    monkeypatch.setattr(bench_trees, "INITIALIZERS", one)
    assert bench_trees.main(["--max-params", "2**17", "--rounds", "1", "--json", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))["jax"]
    assert [r["what"].split(", ")[-1] for r in results] == [*bench_trees.INITIALIZERS]
    assert all(set(r["seconds"]) == set(bench_trees.CONTENDERS) for r in results)
    assert all(r["bound"] == 10 and r["weights"] < 2**18 for r in results)
    assert "must be" in capsys.readouterr().out


def test_the_tree_of_gpt2_xl_has_its_parameters() -> None:
    init = bench_trees.gpt2(jax.nn.initializers.zeros, *sizes(1 << 31))
    shapes = jax.tree.leaves(jax.eval_shape(lambda key: init(key), jax.random.key(0)))
    assert sum(math.prod(leaf.shape) for leaf in shapes) == 1_557_611_200


def test_other_moments_are_caught_before_timing() -> None:
    tree = {"kernel": jax.nn.initializers.normal(0.02)(jax.random.key(1), (256, 256))}
    bench_trees.assert_drawn("as it is", tree, 0.02)
    with pytest.raises(AssertionError, match=r"wider: \['kernel'\] has other moments"):
        bench_trees.assert_drawn("wider", tree, 0.022)


def test_bench_peaks_runs(tmp_path: Path, capsys: Any) -> None:
    path, case = tmp_path / "peaks.json", "JAX, pij.initialize"
    arguments = ["--max-params", "2**18", "--case", case, "--json", str(path)]
    assert bench_peaks.main(arguments) == 0
    (row,) = json.loads(path.read_text(encoding="utf-8"))["peaks"]
    assert row["what"] == case and row["bound"] == 64 << 20
    assert case in capsys.readouterr().out
