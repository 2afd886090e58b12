# SPDX-License-Identifier: Apache-2.0
"""Settings of the test run: a calm TensorFlow, a hypothesis that repeats itself, what is slow."""

import os
from fnmatch import fnmatch

import pytest
from hypothesis import settings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# No deadline: the first call of a kernel compiles it.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Marked slow, besides what marks itself: tests that count through all words, compile for another
# processor, or start processes that import a framework each.
SLOW = (
    "tests/kernels/test_exhaustive*",
    "tests/kernels/test_targets*",
    "tests/kernels/test_compiler*",
    "tests/kernels/cuda/*",
    "tests/filling/cuda/*",
    "tests/files/*::test_the_benchmark_runs*",
    "tests/hardening/*",
    "tests/cli/test_bench*",
    "tests/cli/test_command_line*",
    "tests/cli/test_demo*",
    "tests/cli/test_doctor*",
    "tests/docs/test_guides*",
    "tests/jax/*",
    "tests/keras/*backends*",
    "tests/keras/*digits*",
    "tests/keras/*training*",
    "tests/release/*",
    "tests/tensorflow/test_dtensor*",
    "tests/tensorflow/test_servers*",
    "tests/tensorflow/*::test_g4_peak_memory*",
    "tests/tensorflow/*::test_imports_may_outlive*",
    "tests/tensorflow/*::test_more_*",
    "tests/tensorflow/*::test_strategies_over_cpus*",
    "tests/tf1/*::test_g4_a_graphs_variable*",
    "tests/torch/*",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(fnmatch(item.nodeid, f"{pattern}*") for pattern in SLOW):
            item.add_marker("slow")
