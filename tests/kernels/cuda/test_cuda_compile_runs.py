# SPDX-License-Identifier: Apache-2.0
"""What NVRTC makes of the CUDA kernels for runs, without a GPU.

All of them are compiled for one GPU. For the others, and where code is compared, a few stand for
all: maps and tables are those of tests/kernels/test_cuda_compile.py, and the loop around them
depends on the bytes of a weight, on the counter blocks that are reserved for it, and on how many
registers are left.
"""

import pytest

import gpu_code
from philinit.kernels import cuda
from tests.kernels.cuda.test_cuda_compile import (
    ARCHS,
    LOOSE,
    PLAIN,
    lines,
    local_memory,
    rounded_otherwise,
)

pytestmark = pytest.mark.skipif(
    gpu_code.missing() is not None,
    reason=f"the CUDA kernels cannot be compiled: no {gpu_code.missing()}",
)

SOME = (
    "uniform_float64",
    "uniform_float16",
    "uniform_float8",
    "normal_float32",
    "bounded_bfloat16",
    "bounded_far_bfloat16",
    "tensorflow_truncated_bfloat16",
)

# Instructions a weight on sm_90, counted with NVRTC 13.5, by the shortest way from a 16-byte store
# to the next: in the same run, and in a new one.
BUDGET = {
    "words": (14.3, 29.0),
    "uniform_float32": (15.8, 30.5),
    "uniform_float64": (32.0, 62.0),
    "uniform_float16": (15.9, 24.8),
    "uniform_bfloat16": (15.9, 24.8),
    "uniform_clamped_float16": (18.9, 27.8),
    "uniform_clamped_bfloat16": (18.9, 27.8),
    "normal_float32": (34.3, 49.0),
    "normal_float16": (32.9, 41.8),
    "normal_bfloat16": (32.9, 41.8),
    "truncated_float32": (30.3, 45.0),
    "truncated_float16": (30.0, 38.9),
    "truncated_bfloat16": (30.0, 38.9),
    "truncated_clamped_float16": (33.0, 41.9),
    "truncated_clamped_bfloat16": (33.0, 41.9),
    "uniform_float8": (24.8, 29.1),
    "uniform_clamped_float8": (25.8, 30.0),
    "normal_float8": (39.8, 44.0),
    "truncated_float8": (38.8, 43.1),
    "truncated_clamped_float8": (39.7, 44.1),
    "bounded_float8": (46.8, 51.0),
    "bounded_far_float8": (183.1, 187.6),
    "bounded_float32": (41.3, 56.0),
    "bounded_float16": (40.3, 49.2),
    "bounded_bfloat16": (40.3, 49.2),
    "bounded_float64": (187.0, 217.0),
    "bounded_far_float32": (177.0, 191.8),
    "bounded_far_float16": (175.9, 184.9),
    "bounded_far_bfloat16": (178.3, 187.3),
    "tensorflow_uniform_float32": (18.5, 33.3),
    "tensorflow_uniform_float64": (34.5, 64.5),
    "tensorflow_uniform_float16": (39.3, 48.2),
    "tensorflow_uniform_bfloat16": (29.9, 38.8),
    "tensorflow_normal_float32": (65.8, 80.5),
    "tensorflow_normal_float16": (95.0, 103.9),
    "tensorflow_normal_bfloat16": (80.7, 89.5),
    "tensorflow_truncated_float32": (82.0, 97.3),
    "tensorflow_truncated_float16": (112.0, 121.2),
    "tensorflow_truncated_bfloat16": (97.8, 106.8),
}
# What keeps short rows of the three float32 kernels at 1.4 times the memory's time on an H100.
MOST = {"uniform_float32": 32.0, "truncated_float32": 47.0, "normal_float32": 49.5}


@pytest.fixture(scope="module")
def all_of_them() -> bytes:
    return gpu_code.cubin(PLAIN, cuda.source(None, "runs"))


@pytest.fixture(scope="module")
def code(all_of_them: bytes) -> dict[str, list[gpu_code.Instruction]]:
    return gpu_code.machine_code(all_of_them)


def check_resources(name: str, used: dict[str, int]) -> None:
    assert (used["STACK"], used["LOCAL"]) == (0, 0), name
    # As in test_cuda_compile.py.
    assert used["REG"] <= (80 if name.endswith("float8") else 64), name
    assert used["SHARED"] <= 10_240, name


def test_every_kernel_compiles_and_nothing_spills(all_of_them: bytes) -> None:
    found = gpu_code.resources(all_of_them)
    assert set(found) == set(cuda.KERNELS)
    for name, used in found.items():
        check_resources(name, used)


@pytest.mark.parametrize("arch", [arch for arch in ARCHS if arch != PLAIN])
def test_some_kernels_compile_for_other_gpus_and_nothing_spills(arch: int) -> None:
    for name in SOME:
        found = gpu_code.resources(gpu_code.cubin(arch, cuda.source(name, "runs")))
        check_resources(name, found[name])


def test_16_byte_stores_and_no_local_memory(code: dict[str, list[gpu_code.Instruction]]) -> None:
    for name, kernel in code.items():
        assert sum(i.text.startswith("STG.E.128") for i in kernel) == 2, (
            name
        )  # plain runs, and others
        assert local_memory(kernel) == [], name


def test_options_that_change_arithmetic_change_nothing(
    code: dict[str, list[gpu_code.Instruction]],
) -> None:
    for name in SOME:
        loose = gpu_code.cubin(PLAIN, cuda.source(name, "runs"), LOOSE)
        changed = {name: gpu_code.machine_code(loose)[name]}
        assert lines(changed) == lines({name: code[name]})


def test_every_float_operation_is_rounded_to_nearest() -> None:
    for name in SOME:
        text = gpu_code.ptx(PLAIN, cuda.source(name, "runs"), options=LOOSE)
        assert rounded_otherwise(text) == set()
        assert ".approx" not in text


def test_the_shortest_turn_is_the_whole_loop_where_nothing_is_rare() -> None:
    code = gpu_code.machine_code(gpu_code.cubin(PLAIN, cuda.source("uniform_float32")))
    loop = gpu_code.main_loop(code["uniform_float32"])
    assert sorted(gpu_code.shortest_turn(code["uniform_float32"])) == loop


def test_instructions_a_weight(code: dict[str, list[gpu_code.Instruction]]) -> None:
    counts = {
        name: tuple(
            len(gpu_code.shortest_turn(code[name], new_run)) / cuda.group(kernel)
            for new_run in (False, True)
        )
        for name, kernel in cuda.KERNELS.items()
    }
    print({name: tuple(round(n, 1) for n in both) for name, both in counts.items()})
    over = {
        name: both
        for name, both in counts.items()
        if any(n > 1.05 * most for n, most in zip(both, BUDGET[name], strict=True))
    }
    assert over == {}
    assert all(counts[name][1] <= most for name, most in MOST.items())
    assert set(BUDGET) == set(cuda.KERNELS)
