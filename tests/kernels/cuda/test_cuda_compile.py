# SPDX-License-Identifier: Apache-2.0
"""What NVRTC makes of the CUDA kernels, without a GPU: no spills, every rounding as written."""

import re

import pytest

import gpu_code
from philinit.kernels import cuda

pytestmark = pytest.mark.skipif(
    gpu_code.missing() is not None,
    reason=f"the CUDA kernels cannot be compiled: no {gpu_code.missing()}",
)

ARCHS = (75, 80, 86, 90, 100, 120)
PLAIN = 90  # the GPU whose machine code is looked at in detail

# Instructions a weight in the main loop on sm_90, counted with NVRTC 13.5; 5 % more may be another
# compiler. Loops are counted whole, rare paths and both libms included.
BUDGET = {
    "words": 11.0,
    "uniform_float32": 12.5,
    "uniform_float64": 24.5,
    "uniform_float16": 13.8,
    "uniform_bfloat16": 13.8,
    "uniform_clamped_float16": 16.8,
    "uniform_clamped_bfloat16": 16.8,
    "normal_float32": 30.8,
    "normal_float16": 32.0,
    "normal_bfloat16": 32.0,
    "truncated_float32": 26.8,
    "truncated_float16": 28.9,
    "truncated_bfloat16": 28.9,
    "truncated_clamped_float16": 31.0,
    "truncated_clamped_bfloat16": 31.0,
    "uniform_float8": 22.9,
    "uniform_clamped_float8": 23.9,
    "normal_float8": 37.9,
    "truncated_float8": 36.9,
    "truncated_clamped_float8": 37.9,
    "bounded_float8": 44.9,
    "bounded_far_float8": 402.4,
    "bounded_float32": 37.8,
    "bounded_float16": 38.0,
    "bounded_bfloat16": 38.0,
    "bounded_float64": 413.5,
    "bounded_far_float32": 400.0,
    "bounded_far_float16": 400.2,
    "bounded_far_bfloat16": 403.9,
    "tensorflow_uniform_float32": 15.2,
    "tensorflow_uniform_float64": 27.0,
    "tensorflow_uniform_float16": 37.1,
    "tensorflow_uniform_bfloat16": 28.8,
    "tensorflow_normal_float32": 163.5,
    "tensorflow_normal_float16": 191.9,
    "tensorflow_normal_bfloat16": 177.4,
    "tensorflow_truncated_float32": 179.0,
    "tensorflow_truncated_float16": 208.9,
    "tensorflow_truncated_bfloat16": 194.4,
}
# What keeps the float32 kernels bound by the memory of an H100.
MOST = {
    "uniform_float32": 20.0,
    "truncated_float32": 29.0,
    "normal_float32": 36.0,
    "bounded_float32": 39.0,
}


@pytest.fixture(scope="module")
def plain() -> bytes:
    return gpu_code.cubin(PLAIN)


@pytest.fixture(scope="module")
def code(plain: bytes) -> dict[str, list[gpu_code.Instruction]]:
    return gpu_code.machine_code(plain)


def lines(code: dict[str, list[gpu_code.Instruction]]) -> list[str]:
    return [f"{name} {i.address:x} {i.text}" for name, kernel in code.items() for i in kernel]


def local_memory(kernel: list[gpu_code.Instruction]) -> list[str]:
    return [i.text for i in kernel if i.name in ("LDL", "STL")]


@pytest.mark.parametrize("arch", ARCHS)
def test_every_kernel_compiles_and_nothing_spills(arch: int, plain: bytes) -> None:
    found = gpu_code.resources(plain if arch == PLAIN else gpu_code.cubin(arch))
    assert set(found) == set(cuda.KERNELS)
    for name, used in found.items():
        assert (used["STACK"], used["LOCAL"]) == (0, 0), name
        # 1024 threads of a multiprocessor at once; 768 of float8, which take four blocks a step
        assert used["REG"] <= (80 if name.endswith("float8") else 64), name
        assert used["SHARED"] <= 10_240, name


def test_16_byte_stores_and_no_local_memory(code: dict[str, list[gpu_code.Instruction]]) -> None:
    for name, kernel in code.items():
        assert sum(i.text.startswith("STG.E.128") for i in gpu_code.main_loop(kernel)) == 1, name
        assert local_memory(kernel) == [], name


def test_tables_are_read_16_bytes_at_a_time(code: dict[str, list[gpu_code.Instruction]]) -> None:
    for name, per_weight in {
        "normal_float32": (2, 0),
        "bounded_float32": (2, 0),
        "truncated_float32": (1, 1),
    }.items():
        loads = [i.text.split()[0] for i in gpu_code.main_loop(code[name]) if i.name == "LDS"]
        assert (loads.count("LDS.128"), loads.count("LDS")) == tuple(4 * n for n in per_weight)


# -fmad=true would fuse a product and a sum, and CuPy's -ftz=true lose subnormal numbers.
LOOSE = (*gpu_code.OPTIONS[:-1], "-fmad=true", "-ftz=true")


def test_options_that_change_arithmetic_change_nothing(
    code: dict[str, list[gpu_code.Instruction]],
) -> None:
    assert lines(gpu_code.machine_code(gpu_code.cubin(PLAIN, options=LOOSE))) == lines(code)


SLOPPY = r"""
extern "C" __global__ void philinit_words(float *out, float a, float b) {
  float kept[512] = {};
  for (int i = 0; i < 512; ++i) kept[(int)out[i] & 511] = out[i + 1];
  out[threadIdx.x] = a * b + kept[threadIdx.x % 512] * __sinf(a);
}
"""


def rounded_otherwise(ptx: str) -> set[str]:
    """Float operations that do not say "to nearest", are approximate or lose subnormal numbers."""
    found = set(re.findall(r"\b([a-z]\w*(?:\.\w+)*\.(?:bf16x2|f(?:16|16x2|32|64))[.\w]*)", ptx))
    exact = re.compile(
        r"(ld|st|mov|neg|selp|min|max)\.|setp\.\w+\.f(32|64)$"
        r"|cvt\.rzi\.u32\.f64$"  # of whole parameters
    )
    right = re.compile(r"(add|mul|fma|div|sqrt)\.rn\.f(32|64)$|cvt\.rn\.(f|bf)\d+(x2)?\.[fsu]\d+$")
    return {op for op in found if not (exact.match(op) or right.match(op)) or "ftz" in op}


def test_every_float_operation_is_rounded_to_nearest() -> None:
    """Under options that leave a plain operator unrounded; -fmad=false would mark it."""
    text = gpu_code.ptx(PLAIN, options=LOOSE)
    assert "fma.rn.f32" in text
    assert rounded_otherwise(text) == set()
    assert ".approx" not in text


def test_the_checks_would_catch_plain_operators_and_an_array_with_an_index() -> None:
    assert {"mul.ftz.f32", "sin.approx.ftz.f32"} <= rounded_otherwise(
        gpu_code.ptx(PLAIN, SLOPPY, LOOSE)
    )
    strict, loose = (
        gpu_code.cubin(PLAIN, SLOPPY, options) for options in (gpu_code.OPTIONS, LOOSE)
    )
    assert lines(gpu_code.machine_code(strict)) != lines(gpu_code.machine_code(loose))
    assert local_memory(gpu_code.machine_code(strict)["words"])
    assert gpu_code.resources(strict)["words"]["STACK"] > 0


def test_instructions_a_weight(code: dict[str, list[gpu_code.Instruction]]) -> None:
    counts = {
        name: len(gpu_code.main_loop(code[name])) / cuda.group(kernel)
        for name, kernel in cuda.KERNELS.items()
    }
    print({name: round(n, 1) for name, n in counts.items()})
    over = {name: n for name, n in counts.items() if n > 1.05 * BUDGET[name]}
    assert over == {}
    assert all(counts[name] <= most for name, most in MOST.items())
    assert set(BUDGET) == set(cuda.KERNELS)
