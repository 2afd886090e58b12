# SPDX-License-Identifier: Apache-2.0
"""philinit.jax.traced: the stream in XLA's own operations.

The cases are the functions of tests/support/engines/jax_programs.py, on eight CPU devices.
"""

import pytest

from tests.support.workers import JAX, Workers, needs

needs("jax", "jaxlib")

DEVICES = "--xla_force_host_platform_device_count=8"
# What lets XLA reorder and contract floating-point arithmetic, and what forbids it.
FAST = f"{DEVICES} --xla_cpu_enable_fast_math=true --xla_cpu_fast_math_honor_nans=false"
STRICT = f"{DEVICES} --xla_cpu_enable_fast_math=false --xla_cpu_enable_fast_min_max=false"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    with Workers("jax_programs", tmp_path_factory.mktemp("programs"), env=JAX) as workers:
        yield workers


@pytest.fixture(scope="module", params=[FAST, STRICT], ids=["fast-math", "strict"])
def flagged(request, tmp_path_factory):
    env = JAX | {"XLA_FLAGS": request.param}
    with Workers("jax_programs", tmp_path_factory.mktemp("flagged"), env=env) as workers:
        yield workers


def test_bits_of_the_oracle_with_and_without_fast_math(flagged):
    assert flagged.passes("bits")


def test_bits_of_the_kernels_with_and_without_fast_math(flagged):
    assert flagged.passes("samples")


def test_bits_of_the_oracle_op_by_op(programs):
    assert programs.passes("op_by_op")


def test_arithmetic_is_on_integers_alone(programs):
    assert programs.passes("integers_alone")


def test_weights_are_those_of_the_words_of_the_key(programs):
    assert programs.passes("keys")


def test_another_seed_compiles_nothing(programs):
    assert programs.passes("seeds_share_programs")


def test_jit_vmap_scan_grad_eval_shape(programs):
    assert programs.passes("transformations")


def test_each_device_computes_its_own_part(programs):
    assert programs.passes("devices")


def test_shards_and_rows_traced_or_not(programs):
    assert programs.passes("parts")


def test_parts_inside_shard_map(programs):
    assert programs.passes("manual_parts")


def test_programs_are_exported_for_all_platforms(programs):
    assert programs.passes("export")


def test_bad_input_is_one_sentence(programs):
    assert programs.passes("bad_input")
