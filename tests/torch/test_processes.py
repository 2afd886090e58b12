# SPDX-License-Identifier: Apache-2.0
"""Four processes, for real: each fills its shards, and together they assemble the whole.

The cases are the functions of tests/support/engines/torch_group.py.
"""

import pytest

pytest.importorskip("torch")
from tests.support.workers import Workers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    env = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with Workers("torch_group", tmp_path_factory.mktemp("group"), count=4, env=env) as workers:
        yield workers


def test_shards_of_every_axis_assemble_the_whole(group):
    assert group.passes("shards_of_every_axis")


def test_placements_on_a_2x2_mesh_assemble_the_whole_and_replicas_agree(group):
    assert group.passes("placements_on_a_2x2_mesh")


def test_fsdp2_fills_trains_saves_and_loads(group):
    assert group.passes("fsdp2")


def test_fsdp2_goes_on_after_an_interruption(group):
    assert group.passes("fsdp2_after_an_interruption")


def test_fsdp2_in_bfloat16_with_mixed_precision(group):
    assert group.passes("fsdp2_in_bfloat16_with_mixed_precision")


def test_fsdp2_on_axis_1(group):
    assert group.passes("fsdp2_on_axis_1")


def test_fsdp2_with_replicas(group):
    assert group.passes("fsdp2_with_replicas")


def test_tensor_parallelism(group):
    assert group.passes("tensor_parallel")


def test_fsdp2_with_tensor_parallelism(group):
    assert group.passes("fsdp2_with_tensor_parallelism")


def test_modules_by_a_map_of_names(group):
    assert group.passes("modules_by_a_map_of_names")


def test_memory_is_that_of_the_shards(group):
    assert group.passes("memory_is_that_of_the_shards")
