# SPDX-License-Identifier: Apache-2.0
"""Each contender on each workload, in this process; its answer is checked before it is timed.

Small and untimed among the tests. To look closely at one, alone and not in turns:
`pytest benchmarks/test_fill.py --benchmark-enable -k "MLP and torch"`; PHILINIT_BENCH_SIZE caps
the tensors.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from philinit.dtypes import as_dtype
from philinit.filling.memory import empty
from philinit.tools.bench.calls import CALLS, Task
from philinit.tools.bench.contenders import CONTENDERS, Refused
from philinit.tools.bench.results import Result
from philinit.tools.bench.timings import check
from philinit.tools.bench.workloads import WORKLOADS

BY_NAME = {workload.name: workload for workload in WORKLOADS}


def pairings() -> Iterator[tuple[str, str, str]]:
    """Every workload with every contender that can, and the kinds of memory it writes."""
    for workload in WORKLOADS:
        for name, contender in CONTENDERS.items():
            try:
                contender.function(workload.work)
            except Refused:
                continue
            yield workload.name, name, "new"
            if contender.writes:
                yield workload.name, name, "resident"


@pytest.fixture(autouse=True)
def _no_seed_left() -> Iterator[None]:
    yield
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(None)


@pytest.mark.parametrize(("workload", "name", "memory"), list(pairings()))
def test_fill(benchmark: Any, workload: str, name: str, memory: str, size: int) -> None:
    contender, work = CONTENDERS[name], BY_NAME[workload].work.at_most(size)
    if (missing := contender.missing()) is not None:
        pytest.skip(missing)
    out = empty(work.shape, as_dtype(work.dtype)) if memory == "resident" else None
    try:
        call = CALLS[name](Task(work, contender.function(work), out))
    except Refused as reason:  # no CUDA device
        pytest.skip(str(reason))
    check(contender, work, call())
    benchmark.group = f"{workload}: {work.size:,} weights, {memory} memory"
    benchmark.pedantic(call, rounds=7, warmup_rounds=1)
    share = round(BY_NAME[workload].work.size / work.size)
    result = Result.of(workload, contender, work, memory, share)
    if benchmark.stats is not None:
        result.seconds += benchmark.stats.stats.data
        benchmark.extra_info["GB/s"] = result.rate / 1e9
    benchmark.extra_info.update(asdict(result))
