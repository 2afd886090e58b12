# SPDX-License-Identifier: Apache-2.0
"""philinit.jax on CUDA, without a GPU: the cases are those of tests/support/engines/jax_cuda.py."""

import pytest

from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")


@pytest.fixture(scope="module")
def cuda(tmp_path_factory):
    with Workers("jax_cuda", tmp_path_factory.mktemp("cuda"), env=JAX) as workers:
        yield workers


def test_weights_are_queued_on_the_stream_of_the_program(cuda):
    assert cuda.passes("weights")


def test_what_cuda_cannot_do_is_an_error_of_xlas(cuda):
    assert cuda.passes("errors")


def test_a_program_for_cuda_calls_philinit(cuda):
    assert cuda.passes("programs")
