# SPDX-License-Identifier: Apache-2.0
"""CUDA's loop over runs: numbers that no test can write, and planted mistakes."""

from typing import Any

import numpy as np
import pytest

from philinit.kernels import cuda
from philinit.kernels.cuda.arguments import steps_of_run
from philinit.runs import Runs
from tests.support import cuda_host
from tests.support import reference as r
from tests.support.cuda_cases import FLOAT, HALF, KEY, ONE_EACH, TENSORFLOW, Drawn, on_cpu, sparse
from tests.support.cuda_runs import END, launch, library, rows, same
from tests.support.mistakes import Mistake, assert_caught

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        cuda_host.compiler() is None,
        reason="g++ compiles the CUDA kernels for this test; it is missing",
    ),
]

# --- numbers that no test can write --------------------------------------------------------------


def check_huge(case: Drawn, into: cuda_host.Library | None = None) -> None:
    """Nearly 2**31 threads and 2**33 weights in one launch, of which a few thread blocks run."""
    into = into or library()
    dtype, group = r.DTYPES[case.dtype], cuda.group(case.plan.kernel)
    grid = 1 << 20
    for length, count in ((4 * group, (1 << 29) - 1), (1, (1 << 31) - 1)):
        runs = rows(length, length + 4, count)
        per_run = steps_of_run(runs, case.plan.kernel, 0)
        assert count * per_run < 1 << 31
        with sparse(runs.size * dtype.itemsize + 64) as memory:
            view = np.ndarray((count, length), dtype, memory)
            ran = 0, 77, grid - 1
            for block in ran:
                some = grid, 256, range(block, block + 1)
                launch(into, case, runs, view.ctypes.data, KEY, 1 << 40, *some)
            for start in range(0, count * per_run, grid * 256):
                for block in ran:
                    first = -(-(start + block * 256) // per_run)
                    last = min((start + block * 256 + 256) // per_run, count)
                    for run in {first, last - 1} if first < last else ():
                        want = on_cpu(case, length, run * (length + 4))
                        r.assert_same_bits(view[run].copy(), want, run)
            assert not view[300 * 256 : 301 * 256].astype(np.float64).any()
            del view


@pytest.mark.parametrize("case", [FLOAT, HALF], ids=str)
def test_numbers_of_threads_up_to_two_to_the_31(case: Drawn) -> None:
    check_huge(case)


def check_idle(case: Drawn, into: cuda_host.Library | None = None) -> None:
    """Threads number 2**31, 2**32 and more have nothing to do in a small tensor."""
    out = np.zeros(2000, r.DTYPES[case.dtype])
    for block in (1 << 23, 1 << 24, (1 << 24) + 1):
        grid = (1 << 24) + 2, 256, range(block, block + 1)
        launch(into or library(), case, rows(20, 24, 100), out.ctypes.data, KEY, 1, *grid)
    assert not out.any(), "a thread beyond the work wrote"


def test_thread_numbers_beyond_two_to_the_32() -> None:
    for case in ONE_EACH:
        check_idle(case)


def check_written_once(case: Drawn, into: cuda_host.Library | None = None) -> None:
    """Each weight is written by one thread, once in a launch: what a test of values cannot see."""
    grid = 9
    for length, resident, shift in ((40, 1, 0), (7, 10**6, 0), (41, 1, 1)):
        runs = rows(length, length + 8, 5)
        written = np.zeros(runs.size, int)
        for thread in range(grid):
            memory = np.zeros(runs.size + 16, r.DTYPES[case.dtype])
            base = memory[-memory.ctypes.data % 16 // memory.itemsize + shift :][: runs.size]
            some = grid, 1, range(thread, thread + 1)
            launch(into or library(), case, runs, base.ctypes.data, KEY, resident, *some)
            written += base.view(f"u{base.itemsize}") != 0
        assert (written == 1).all(), written


def test_every_weight_is_written_once() -> None:
    for case in ONE_EACH:
        check_written_once(case)


# --- planted mistakes ----------------------------------------------------------------------------


def check_ragged(case: Drawn, into: cuda_host.Library) -> None:
    for length, origin in ((1, 0), (16, 0), (37, 1), (70, 2), (128, 4), (131, 3)):
        for shift in (0, 1, 4):
            runs = Runs(origin, length, ((2, 2001), (3, 500), (2, length + 4)))
            same(case, runs, into=into, grid=1, shift=shift)
            ids = np.array([5, 1, 5, 0])
            same(case, rows(length, length + 3, 4, origin, ids=ids), into=into, grid=1)
    same(case, rows(601, 611, 3), into=into, grid=1, block=2)
    apart = Runs(1, 37, ((2, 2001), (3, 500)), None, (300, 77))
    same(case, apart, into=into, grid=1)


def check_carries(case: Drawn, into: cuda_host.Library) -> None:
    for power in (34, 66):
        same(case, rows(150, 157, 11, (1 << power) // case.plan.kernel.reserved - 701), into=into)
    same(case, Runs(0, 50, ((3, 1 << 60), (2, 1 << 34), (2, 77))), into=into)
    same(case, rows(150, 157, 20), END, into=into)


def check_stores(case: Drawn, into: cuda_host.Library) -> None:
    memory = np.empty(512, np.uint8)
    base = memory.ctypes.data + -memory.ctypes.data % 16 + 8
    stores = launch(into, case, rows(44, 64, 3), base, KEY, 1, 1)
    assert stores == 15, "not all that is aligned was stored at once, or written otherwise"


MISTAKES: dict[str, tuple[Any, ...]] = {
    "carry into the high half lost": (FLOAT, check_carries, "+ n2 + (low < start)", "+ n2"),
    "high half of reserved blocks lost": (
        *(TENSORFLOW, check_carries, "(block >> 32) * K::RESERVED >> 32"),
        "0",
    ),
    "reserved blocks forgotten between steps": (
        *(TENSORFLOW, check_ragged, "LANES * K::BLOCKS * K::RESERVED"),
        "LANES * K::BLOCKS",
    ),
    "borrow of the block before lost": (
        HALF,
        check_ragged,
        "high -= low < BEFORE * K::RESERVED;",
        "",
    ),
    "block before not taken": (HALF, check_stores, "% 16 / BYTES * K::WEIGHTS;", "* 0;"),
    "second block of a step is the first": (
        *(HALF, check_ragged, "b ? c.after(b * K::RESERVED) : c"),
        "c",
    ),
    "ids not looked at": (FLOAT, check_ragged, "indices ? indices[run] : run", "run"),
    "steps in the place of strides": (
        *(FLOAT, check_ragged, "distance<&Axis::stride>"),
        "distance<&Axis::step>",
    ),
    "where a run goes forgotten": (FLOAT, check_ragged, ": runs.place(run)", ": (u64)run * length"),
    "start of a run in 32 bits": (
        *(FLOAT, check_carries, "u64 sum = 0;"),
        "u32 sum = 0;",
    ),
    "what comes before the run written": (
        *(FLOAT, check_ragged, "u32 from = step * STEP - lead;"),
        "u32 from = step * STEP;",
    ),
    "tail guard dropped": (FLOAT, check_ragged, "if (from + j < length)", "if (j < STEP)"),
    "vector stores at any address": (
        *(FLOAT, check_ragged, "(u32)(u64)here % 16 ? 0 : first_ragged"),
        "first_ragged",
    ),
    "last step of a run taken for whole": (
        *(FLOAT, check_ragged, "length - STEP + 1);"),
        "length);",
    ),
    "lanes of the second chunk forgotten": (FLOAT, check_ragged, "mine / LANES * reach", "0"),
    "grid-stride forgotten": (FLOAT, check_ragged, "i += stride)", "i = runs.threads)"),
    "stride off by one": (FLOAT, check_written_once, "i += stride)", "i += stride - 1)"),
    "quotient of half the number": (
        FLOAT,
        check_ragged,
        "(u64)(2 * n) * factor",
        "(u64)n * factor",
    ),
    "which runs are plain forgotten": (FLOAT, check_ragged, "if (runs.plain)", "if (true)"),
    "32-bit address": (FLOAT, check_huge, "(place + (i64)", "((u32)place + (i64)"),
    "32-bit thread number": (
        *(FLOAT, check_idle, "(u64)blockIdx.x * blockDim.x"),
        "blockIdx.x * blockDim.x",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught(name: str) -> None:
    mistake = Mistake(*MISTAKES[name])
    assert_caught(mistake, cuda.source(mistake.case.plan.kernel.name, "runs"), library)


def test_the_checks_of_planted_mistakes_pass_without_them() -> None:
    for case, check in {(case, check) for case, check, _, _ in MISTAKES.values()}:
        check(case, library(cuda.source(case.plan.kernel.name, "runs")))
