# SPDX-License-Identifier: Apache-2.0
"""Size of the benchmarks: PHILINIT_BENCH_SIZE weights, small where nothing is timed."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> int:
    """Weights of the large workloads."""
    untimed = request.config.getoption("benchmark_disable")
    return int(os.environ.get("PHILINIT_BENCH_SIZE", 1 << 16 if untimed else 1 << 26))
