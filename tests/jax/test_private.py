# SPDX-License-Identifier: Apache-2.0
"""What philinit.jax takes from JAX's private parts, and what it says where there is no JAX.

The cases are the functions of tests/support/engines/jax_private.py.
"""

import pytest

from tests.support.processes import run_python
from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    with Workers("jax_private", tmp_path_factory.mktemp("private"), env=JAX) as workers:
        yield workers


def test_tracers_are_known_or_the_import_ends_with_one_sentence(private):
    assert private.passes("tracers")


def test_arrays_are_placed_as_by_device_put_or_one_sentence_says_why_not(private):
    assert private.passes("places")


def test_memory_is_where_jax_says_or_nothing_is_written(private):
    assert private.passes("memory")


def test_the_oldest_version_is_that_of_the_extra(private):
    assert private.passes("versions")


def test_without_jax_the_import_says_what_to_install():
    code = "import sys; sys.modules['jax'] = None; import philinit.jax"
    done = run_python(code, check=False)
    assert 'ImportError: philinit.jax needs JAX: pip install "philinit[jax]"\n' in done.stderr
