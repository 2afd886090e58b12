# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.initializer, traced or not, as JAX and Flax call theirs.

The cases are the functions of tests/support/engines/jax_initializer.py, on eight CPU devices.
"""

import pytest

from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")


@pytest.fixture(scope="module")
def initializer(tmp_path_factory):
    with Workers("jax_initializer", tmp_path_factory.mktemp("initializer"), env=JAX) as workers:
        yield workers


def test_weights_are_those_of_the_words_of_the_key(initializer):
    assert initializer.passes("keys")


def test_traced_weights_have_the_bits_of_the_eager_call(initializer):
    assert initializer.passes("tracing")


def test_each_device_computes_its_own_shard_inside_jit(initializer):
    assert initializer.passes("traced_shards")


def test_weights_of_every_dtype_traced_or_not(initializer):
    assert initializer.passes("dtypes")


def test_bad_input_is_one_sentence_traced_or_not(initializer):
    assert initializer.passes("bad_input")


def test_flax_linen(initializer):
    assert initializer.passes("flax_linen")


def test_flax_nnx(initializer):
    assert initializer.passes("flax_nnx")
