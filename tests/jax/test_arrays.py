# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.array and sharded: any sharding, any mesh, and always the bits of ``init(shape)``.

The cases are the functions of tests/support/engines/jax_shards.py, on eight CPU devices.
"""

import pytest

from tests.support.pages import needs_huge_pages
from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    with Workers("jax_shards", tmp_path_factory.mktemp("shards"), env=JAX) as workers:
        yield workers


def test_g1_1_to_8_shards_on_every_axis_are_the_whole_tensor(shards):
    assert shards.passes("every_axis")


def test_g1_shards_of_every_mesh_are_the_whole_tensor(shards):
    assert shards.passes("meshes")


def test_an_array_on_one_device_is_the_whole_tensor(shards):
    assert shards.passes("one_device")


def test_rows_by_key(shards):
    assert shards.passes("rows_by_key")


def test_arrays_of_every_dtype(shards):
    assert shards.passes("dtypes")


def test_initializers_that_are_not_elementwise_or_draw_nothing(shards):
    assert shards.passes("other_initializers")


def test_each_shard_is_computed_once(shards):
    assert shards.passes("each_shard_is_computed_once")


def test_shards_of_devices_other_than_cpus_are_copied_there(shards):
    assert shards.passes("device_memory")


def test_a_step_that_donates_an_array_overwrites_it(shards):
    assert shards.passes("donation")


def test_sharded_weights_train_like_whole_ones(shards):
    assert shards.passes("training")


def test_large_arrays_are_made_in_memory_that_nobody_has_written(shards):
    assert shards.passes("unwritten")


def test_a_mesh_that_is_set_leaves_such_memory_to_each_device(shards):
    assert shards.passes("unwritten_within_a_mesh")


def test_without_such_memory_zeros_are_stored_first(shards):
    assert shards.passes("unwritten_is_not_to_be_had")


@needs_huge_pages
def test_memory_of_large_arrays_is_advised_before_it_is_written(shards):
    assert shards.passes("huge_pages")


def test_bad_input_is_one_sentence(shards):
    assert shards.passes("bad_input")


def test_examples_of_the_documentation_run(shards):
    assert shards.passes("documentation")


def test_g4_peak_memory_is_the_shards_and_a_donating_step_needs_no_more(tmp_path):
    with Workers("jax_shards", tmp_path, env=JAX) as fresh:
        assert fresh.passes("memory")
