# SPDX-License-Identifier: Apache-2.0
"""Keras's layouts on its JAX backend: each device draws its part of the same weights.

The cases are the functions of tests/support/engines/jax_keras.py, on eight CPU devices.
"""

import pytest

from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib", "keras")


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    with Workers("jax_keras", tmp_path_factory.mktemp("layouts"), env=JAX) as workers:
        yield workers


def test_model_parallel_weights_are_drawn_part_by_part(layouts):
    assert layouts.passes("model_parallel")


def test_data_parallel_replicas_are_alike(layouts):
    assert layouts.passes("data_parallel")


def test_layouts_spread_one_tensor(layouts):
    assert layouts.passes("layouts")
