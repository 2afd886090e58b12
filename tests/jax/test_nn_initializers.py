# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.nn.initializers: JAX's names, signatures and distributions, philinit's weights.

The cases are the functions of tests/support/engines/jax_nn.py, on eight CPU devices.
"""

import pytest

from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")


@pytest.fixture(scope="module")
def initializers(tmp_path_factory):
    with Workers("jax_nn", tmp_path_factory.mktemp("nn"), env=JAX) as workers:
        yield workers


def test_every_name_and_signature_is_that_of_the_installed_jax(initializers):
    assert initializers.passes("names_and_signatures")


def test_weights_are_those_of_philinits_initializers_for_keys_of_every_kind(initializers):
    assert initializers.passes("weights")


def test_each_device_computes_its_own_shard(initializers):
    assert initializers.passes("shards")


def test_distributions_are_those_of_jax(initializers):
    assert initializers.passes("distributions")


def test_orthogonal_matrices_along_any_axis_and_in_the_middle_of_a_kernel(initializers):
    assert initializers.passes("orthogonal")


def test_dtypes_are_read_as_jax_reads_them(initializers):
    assert initializers.passes("dtypes")


def test_bad_input_is_one_sentence(initializers):
    assert initializers.passes("bad_input")


def test_it_differs_from_jax_as_the_page_says(initializers):
    assert initializers.passes("differences")


def test_what_is_returned_compares_hashes_and_pickles(initializers):
    assert initializers.passes("objects")


@pytest.mark.parametrize("library", ["flax_linen", "flax_nnx", "haiku", "equinox"])
def test_it_goes_wherever_one_of_jaxs_goes(initializers, library):
    assert initializers.passes(library)
