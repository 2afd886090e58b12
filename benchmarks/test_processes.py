# SPDX-License-Identifier: Apache-2.0
"""Import, first fill and peaks of memory in fresh processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from philinit.tools.bench.contenders import CONTENDERS
from processes import FIRST_FILL, import_seconds, memory_extras, run
from starts import LARGE, start


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
    pytest.importorskip("tensorflow")
    benchmark.group = "peak memory in a fresh process"
    extras = benchmark.pedantic(memory_extras, args=(max(size, 1 << 20),), rounds=1)
    benchmark.extra_info.update(extras)
    assert set(extras) == {"build", "sparse_step", "dense_step"}


def test_the_start_of_philinit_and_the_peak_of_its_tensor() -> None:
    seconds, extra = start(CONTENDERS["philinit"], LARGE.at_most(1 << 23))
    assert 0 < seconds < 100
    if extra is None:
        pytest.skip("this system does not let a process reset its peak")
    assert extra < 8 << 20  # G4: one buffer; the rest is what the kernel counts in batches
