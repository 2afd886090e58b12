# SPDX-License-Identifier: Apache-2.0
"""Import, first fill and peaks of memory in fresh processes, and the runner of the ratios."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ratios
from processes import FIRST_FILL, import_seconds, memory_extras, run


@pytest.mark.parametrize("module", ["numpy", "philinit"])
def test_import(benchmark: Any, module: str) -> None:
    benchmark.group = "import in a fresh process"
    seconds = benchmark.pedantic(import_seconds, args=(module,), rounds=5)
    benchmark.extra_info["seconds"] = seconds
    assert seconds > 0


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "nothing cached"])
def test_first_fill(benchmark: Any, cached: bool, tmp_path: Path) -> None:
    benchmark.group = "first fill in a fresh process"
    if cached:
        run(FIRST_FILL, PHILINIT_CACHE_DIR=str(tmp_path))
    folders = iter(range(10))

    def first() -> float:
        folder = tmp_path if cached else tmp_path / str(next(folders))
        return float(run(FIRST_FILL, PHILINIT_CACHE_DIR=str(folder)))

    benchmark.extra_info["seconds"] = benchmark.pedantic(first, rounds=3)


def test_peak_memory(benchmark: Any, size: int) -> None:
    benchmark.group = "peak memory in a fresh process"
    extras = benchmark.pedantic(memory_extras, args=(max(size, 1 << 20),), rounds=1)
    benchmark.extra_info.update(extras)
    assert set(extras) == {"build", "sparse_step", "dense_step"}


def test_ratios_run(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "ratios.json"
    small = ["--size", "65536", "--rounds", "1", "--scaling", str(1 << 20), "--json", str(path)]
    assert ratios.main(small) == 0
    document = json.loads(path.read_text(encoding="utf-8"))
    assert len(document["table"]) == 19
    assert "ratio within this run" in capsys.readouterr().out


def test_a_wrong_answer_is_caught_before_timing() -> None:
    from contenders import CONTENDERS, check

    contender = CONTENDERS["philinit truncated float32"]
    made = contender.prepare(1 << 16, None)()
    check(contender, made, 1 << 16)
    with pytest.raises(AssertionError, match="philinit truncated float32"):
        check(contender, made * 1.02, 1 << 16)
