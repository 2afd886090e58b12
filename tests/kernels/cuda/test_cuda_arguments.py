# SPDX-License-Identifier: Apache-2.0
"""What CUDA's loop over runs is told: the numbers that the host computes, and their arithmetic."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from philinit.kernels import cuda
from philinit.kernels.cuda import arguments
from philinit.kernels.table import Kernel, Parameters
from philinit.runs import Runs
from tests.support import cuda_host
from tests.support.cuda_runs import library, rows

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        cuda_host.compiler() is None,
        reason="g++ compiles the CUDA kernels for this test; it is missing",
    ),
]

# --- arithmetic ----------------------------------------------------------------------------------

QUOTIENTS = """
extern "C" __global__ void philinit_quotients(void *out, const Extent extent, u32 n, u64, u64, u32,
                                              u32, Parameters) {
  *(u32 *)out = extent.threads_of_run.quotient(n);
}
"""
EDGES = [*range(1, 40), *(2**k + d for k in range(6, 31) for d in (-1, 0, 1)), 2**31 - 2, 2**31 - 1]


def test_quotients_are_exact() -> None:
    into = library(cuda.source("words", "runs") + QUOTIENTS)
    extent, out = np.zeros(1, arguments.RUNS), np.empty(1, np.uint32)
    rng = np.random.default_rng(1)
    for value in (*EDGES, *rng.integers(1, 2**31, 100).tolist()):
        extent["threads_of_run"] = found = arguments.divisor(value)
        assert max(found) < 1 << 32
        for n in (
            0,
            value - 1,
            value,
            3 * value - 1,
            3 * value,
            2**31 - 1,
            2**31 // value * value - 1,
        ):
            n = min(n, 2**31 - 1)
            into.launch("quotients", out.ctypes.data, extent, n, 0, (0, 0), Parameters(), 1, 1)
            assert out[0] == n // value, (n, value)


def test_the_carries_in_ptx_make_a_sum_of_128_bits() -> None:
    """The one piece of the loop that g++ does not compile, worked out by hand."""
    (text,) = re.findall(
        r"asm\((\"{[^;]*;[^;]*add\.cc.*?)\);", cuda.source("words", "runs"), re.DOTALL
    )
    lines = re.findall(r"(addc?(?:\.cc)?|mov)\.u32 (%?\w+), (%?\w+)(?:, (%?\w+))?;", text)
    assert [line[0] for line in lines] == ["add.cc", "addc.cc", "addc.cc", "addc", *["mov"] * 3]
    names = {f"%{i}": name for i, name in enumerate(re.findall(r'"\+?r"\(([\w.]+)\)', text))}
    assert len(names) == 8
    rng = np.random.default_rng(2)
    for _ in range(300):
        parts = [int(w) for w in rng.choice([0, 1, 2**31, 2**32 - 1], 7)]
        registers = dict(zip(["c0", "c1", "c2", "c3", "c.c0", "c.c1", "c.c2"], parts, strict=True))
        registers["c.c3"] = 0
        before = [sum(registers[p + f"c{i}"] << 32 * i for i in range(4)) for p in ("", "c.")]
        carry = 0
        for operation, target, *from_ in lines:
            total = sum(registers[names.get(name, name)] for name in from_ if name)
            total += carry if operation.startswith("addc") else 0
            registers[names.get(target, target)], carry = total % 2**32, total >> 32
        after = sum(registers[f"c.c{i}"] << 32 * i for i in range(4))
        assert after == sum(before) % 2**128


# --- what the host computes ----------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> Runs:
    """Runs of up to eleven axes."""
    length = draw(st.integers(1, 9))
    axes, stride = [], length + 1
    for count in draw(st.lists(st.integers(1, 3), min_size=1, max_size=11)):
        axes.append((count, stride))
        stride *= count + 1
    runs = Runs(draw(st.integers(0, 2**70)), length, tuple(axes[::-1]))
    if draw(st.booleans()):
        count = runs.axes[0][0]
        ids = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count))
        return replace(runs, ids=np.array(ids, np.int64))
    return runs


@settings(max_examples=300, deadline=None)
@given(layouts(), st.sampled_from(list(cuda.KERNELS.values())), st.integers(1, 300))
def test_parts_are_the_runs_in_order_and_each_fits_a_launch(
    runs: Runs, kernel: Kernel, most: int
) -> None:
    for limit in (None, most):
        parts = list(arguments.parts(runs, kernel, limit))
        assert [run for part in parts for run in part] == list(runs)
        for part in parts:
            assert len(part.axes) <= arguments.AXES
            assert limit is None or not part.axes or part.size <= limit
        assert len({bool(part.axes) for part in parts}) == 1
    if len(runs.axes) <= arguments.AXES:
        assert len(list(arguments.parts(runs, kernel))) == 1


@pytest.mark.parametrize("name", ["uniform_float32", "uniform_float64", "uniform_float16"])
def test_numbers_of_a_launch_stay_below_two_to_the_31(name: str) -> None:
    kernel = cuda.KERNELS[name]
    for length, stride, count in (
        (1 << 14, 1 << 15, 1 << 20),
        (1, 3, 1 << 36),
        ((1 << 31) - 1, 1 << 31, 40),
        (5, 11, (1 << 33) + 3),
    ):
        runs = rows(length, stride, count, 3)
        parts = list(arguments.parts(runs, kernel))
        assert sum(part.size for part in parts) == runs.size
        steps = length // cuda.group(kernel) + 2
        assert len(parts) <= 2 + 2 * count * steps // (1 << 31)
        for part in parts:
            extent = arguments.argument(part, kernel, 2, 0, 1)
            threads = int(extent["threads_of_run"]["value"][0])
            assert int(extent["threads"][0]) == part.count * threads < 1 << 31
            assert part.count * arguments.steps_of_run(part, kernel, 2) < 1 << 31
    for part in arguments.parts(rows(1 << 31, 1 << 32, 3), kernel):
        assert part.axes == ()


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 60), st.integers(1, 10**5))
def test_threads_cover_the_steps_of_a_run(length: int, count: int, resident: int) -> None:
    """Few of them idle, and one step each where the device could hold more threads."""
    kernel = cuda.KERNELS["uniform_float32"]
    runs = rows(length, length + 4, count)
    extent = arguments.argument(runs, kernel, 0, 0, resident)[0]
    steps, most = int(extent["steps"]), int(extent["steps_of_thread"])
    assert steps == arguments.steps_of_run(runs, kernel, 0)
    threads = int(extent["threads_of_run"]["value"])
    taken = [
        range(
            first := lane + lane // arguments.LANES * arguments.LANES * (most - 1),
            min(first + arguments.LANES * (most - 1) + 1, steps),
            arguments.LANES,
        )
        for lane in range(threads)
    ]
    assert sorted(step for steps in taken for step in steps) == list(range(steps))
    assert most == 1 or count * steps >= 2 * resident
    assert threads * (most + 1) <= 2 * steps  # never worse than one step each
