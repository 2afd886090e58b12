# SPDX-License-Identifier: Apache-2.0
"""Two JAX processes with four CPU devices each, which talk to each other.

The cases are the functions of tests/support/engines/jax_cluster.py.
"""

import pytest

from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Workers("jax_cluster", tmp_path_factory.mktemp("cluster"), count=2, env=JAX) as workers:
        yield workers


def test_g1_two_processes_fill_what_they_can_address(cluster):
    assert cluster.passes("every_mesh")


def test_two_processes_trace_their_own_shards(cluster):
    assert cluster.passes("traced")


def test_two_processes_train(cluster):
    assert cluster.passes("training")


def test_g4_peak_memory_of_a_process_is_its_shards(cluster):
    assert cluster.passes("memory")
