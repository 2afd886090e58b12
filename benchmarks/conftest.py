# SPDX-License-Identifier: Apache-2.0
"""Size of the benchmarks: PHILINIT_BENCH_SIZE weights, small where nothing is timed."""

from __future__ import annotations

import os
from typing import Any

import pytest

from philinit.tools.measure.machine import machine_facts

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> int:
    """Weights of the large workloads."""
    untimed = request.config.getoption("benchmark_disable")
    return int(os.environ.get("PHILINIT_BENCH_SIZE", 1 << 16 if untimed else 1 << 26))


def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: Any) -> None:
    """The machine as our documents have it, so that compare.py can tell one from another."""
    machine_info.update(machine_facts())
