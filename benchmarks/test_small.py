# SPDX-License-Identifier: Apache-2.0
"""The runner of the benchmark of small tensors, tiny; each must is held against its own figure."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

import bench_small
import ratios
import report


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two rounds of one call."""
    path = tmp_path_factory.mktemp("small") / "small.json"
    arguments = ["--shape", "8", "8", "--rounds", "2", "--calls", "1", "--json", str(path)]
    assert bench_small.main(arguments) == 0
    made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return made


def test_every_library_that_is_installed_is_measured(document: dict[str, Any]) -> None:
    names = {row["what"] for row in document["results"]}
    assert "init(shape)" in names
    for library, what in zip(
        ("tensorflow", "keras", "torch", "jax"), bench_small.MUSTS, strict=True
    ):
        there = importlib.util.find_spec(library) is not None
        assert (what in names) is there
        assert (library in document["missing"]) is not there
    assert all(len(times) == 2 for row in document["results"] for times in row["seconds"].values())


def test_they_reach_the_table_of_musts_and_the_report(document: dict[str, Any]) -> None:
    rows = {row.what: row for row in ratios.rows({"results": [], "small": document})}
    for row in document["results"]:
        if row["must"] is not None:
            found = rows[ratios.SMALL[row["what"]]]
            assert (found.measured, found.reached) == (row["figure"], row["reached"])
    machine: dict[str, Any] = {"processor": "x", "threads": 1, "system": "y", "versions": {}}
    rest = {"machine": machine, "quick": False, "complete": False, "results": [], "left_out": []}
    text = report.markdown({"date": "2026-01-01-000000", "small": document, **rest})
    assert "### A small tensor" in text and "| `init(shape)` |" in text


@pytest.mark.parametrize(
    ("what", "own", "peer", "figure", "reached"),
    [
        ("pit.variable", 1.1, 1.0, 1.1, True),
        ("pit.variable", 1.2, 1.0, 1.2, False),
        ("philinit.keras.GlorotUniform", 1.0, 3.0, 3.0, True),
        ("philinit.keras.GlorotUniform", 1.0, 2.9, 2.9, False),
        ("pt.fill_", 15e-6, 1.0, 15.0, True),
        ("pj.array", 61e-6, 1.0, 61.0, False),
        ("init(shape)", 1e-6, None, 1.0, None),
    ],
)
def test_musts(what: str, own: float, peer: float | None, figure: float, reached: Any) -> None:
    seconds = {"philinit": [own, 2 * own]} | ({} if peer is None else {"peer": [9.0, peer]})
    result = bench_small.Result(what, "", seconds)
    assert result.figure == pytest.approx(figure)
    assert result.reached is reached
