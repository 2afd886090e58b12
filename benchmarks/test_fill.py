# SPDX-License-Identifier: Apache-2.0
"""Each contender on one large workload; its answer is checked before it is timed."""

from __future__ import annotations

from typing import Any

import pytest

from contenders import CONTENDERS, check
from philinit.dtypes import as_dtype


@pytest.mark.parametrize("name", CONTENDERS)
def test_fill(benchmark: Any, name: str, size: int) -> None:
    contender = CONTENDERS[name]
    call = contender.prepare(size, None)
    check(contender, call(), size)
    benchmark.group = f"{contender.memory} memory, {size:,} weights"
    benchmark.pedantic(call, rounds=3 if contender.slow else 7, warmup_rounds=1)
    nbytes = size * as_dtype(contender.dtype).itemsize
    benchmark.extra_info.update(contender=name, dtype=contender.dtype, bytes=nbytes, checked=True)
    if benchmark.stats is not None:
        benchmark.extra_info["GB/s"] = nbytes / benchmark.stats.stats.min / 1e9
