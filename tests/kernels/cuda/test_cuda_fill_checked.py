# SPDX-License-Identifier: Apache-2.0
"""CUDA's loop over consecutive weights: sizes that no test can write, and planted mistakes."""

from typing import Any

import numpy as np
import pytest

from philinit.kernels import cuda
from philinit.keys import Key
from tests.support import cuda_host
from tests.support import reference as r
from tests.support import reference_words as rw
from tests.support.cuda_cases import (
    FLOAT,
    HALF,
    KEY,
    NORMAL,
    ONE_EACH,
    TENSORFLOW,
    TRUNCATED,
    Drawn,
    by_case,
    launch,
    on_cpu,
    same,
    sparse,
)
from tests.support.mistakes import Mistake, assert_caught

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        cuda_host.compiler() is None,
        reason="g++ compiles the CUDA kernels for this test; it is missing",
    ),
]

# --- sizes that no test can write ----------------------------------------------------------------


def check_huge(case: Drawn, library: cuda_host.Library | None = None) -> None:
    """2**32 + 1003 weights and more in one launch, of which a few thread blocks are run."""
    library = library or cuda_host.build()
    dtype = r.DTYPES[case.dtype]
    count = (1 << 32 if dtype.itemsize > 2 else 1 << 33) + 1003
    grid = 1 << 20  # threads of a grid: 2**28 steps of 16 bytes
    weights = 256 * 16 // dtype.itemsize  # of a thread block's step
    starts, ran = range(0, count, grid * weights), (0, 77, grid - 1)
    offset = 4
    if (
        case.plan.kernel.reserved > 1
    ):  # the grid starts anew where c0 wraps: every 2**24 counter blocks
        starts, ran, offset = range(0, count, 1 << 26), (0, 77), 0
    with sparse(count * dtype.itemsize + 64) as memory:
        view = np.ndarray(count, dtype, memory)
        for block in ran:
            launch(
                library,
                case,
                view.ctypes.data,
                count,
                offset,
                KEY,
                grid,
                256,
                range(block, block + 1),
            )
        for start in starts:
            for first in (start + block * weights for block in ran):
                last = min(first + weights, count)
                if first < last:
                    r.assert_same_bits(
                        view[first:last].copy(), on_cpu(case, last - first, offset + first), first
                    )
        assert not view[weights : weights + 1000].astype(np.float64).any()
        del view


@by_case(
    [case for case in ONE_EACH if case.plan.kernel.name.startswith(("uniform", "tensorflow_tr"))]
)
def test_indices_beyond_2_to_the_32(case: Drawn) -> None:
    check_huge(case)


def check_idle(case: Drawn, library: cuda_host.Library | None = None) -> None:
    """Threads number 2**32 and more have nothing to do in a small tensor."""
    for offset in (0, 1):
        out = np.zeros(2000, r.DTYPES[case.dtype])
        for block in (1 << 24, (1 << 24) + 1):
            grid = (1 << 24) + 2, 256, range(block, block + 1)
            launch(library or cuda_host.build(), case, out.ctypes.data, 2000, offset, KEY, *grid)
        assert not out.any(), "a thread beyond the work wrote"


def test_thread_numbers_beyond_2_to_the_32() -> None:
    for case in ONE_EACH:
        check_idle(case)


def check_written_once(case: Drawn, library: cuda_host.Library | None = None) -> None:
    """Each weight is written by one thread, once in a launch: what a test of values cannot see."""
    library = library or cuda_host.build()
    count, grid = 203, 9
    for offset, shift in ((0, 0), (1, 0), (0, 1)):
        written = np.zeros(count, int)
        for thread in range(grid):
            memory = np.zeros(count + 16, r.DTYPES[case.dtype])
            base = memory[-memory.ctypes.data % 16 // memory.itemsize + shift :][:count]
            launch(
                *(library, case, base.ctypes.data, count, offset, KEY),
                *(grid, 1, range(thread, thread + 1)),
            )
            written += base.view(f"u{base.itemsize}") != 0
        assert (written == 1).all(), written


def test_every_weight_is_written_once() -> None:
    for case in ONE_EACH:
        check_written_once(case)


# --- planted mistakes ----------------------------------------------------------------------------


def check_ragged(case: Drawn, library: cuda_host.Library) -> None:
    for count, offset in ((1, 0), (701, 1), (702, 2), (703, 3), (4099, 0)):
        same(case, count, offset, library=library, grid=1)
        same(case, count, offset, library=library, grid=1, shift=1)


def check_many(case: Drawn, library: cuda_host.Library) -> None:
    same(case, 100_000, library=library)


def check_carries(case: Drawn, library: cuda_host.Library) -> None:
    for power in (34, 66, 128):
        offset = 0 if power == 128 else (1 << power) // case.plan.kernel.reserved - 701
        same(case, 1501, offset, Key((5, 6), 0 if power < 128 else rw.M64 << 64), library=library)


GUARD = "weight >= first && weight < count"
NEXT_STEP = "b += stride * K::BLOCKS"
TABLE_READY = "__syncthreads();\n    rows = opaque_shared(&table[0][0]"
ADDRESS = "mine + (u64)b * BYTES, tile.block(even, b));"

MISTAKES: dict[str, tuple[Any, ...]] = {
    "tail guard dropped": (FLOAT, check_ragged, GUARD, "weight >= first"),
    "head guard dropped": (FLOAT, check_ragged, GUARD, "weight < count"),
    "counter's high word lost": (FLOAT, check_carries, "high += next < low;", ""),
    "counter word 1 lost": (FLOAT, check_carries, "~(u32)low / K::RESERVED + 1;", "1u << 31;"),
    "nine rounds": (FLOAT, check_ragged, "PHILOX_ROUNDS = 10", "PHILOX_ROUNDS = 9"),
    "grid-stride forgotten": (FLOAT, check_ragged, NEXT_STEP, "b = stepped"),
    "stride off by one": (
        *(FLOAT, check_written_once, NEXT_STEP),
        "b += (stride - 1) * K::BLOCKS",
    ),
    "stride of the rest off by one": (
        *(FLOAT, check_written_once, "i < rest; i += stride"),
        "i < rest; i += stride - 1",
    ),
    "tail order swapped": (FLOAT, check_ragged, "(out) = a.x[i];", "(out) = a.x[N - 1 - i];"),
    "halves swapped": (HALF, check_ragged, "16 * (i % 2)", "16 * (1 - i % 2)"),
    "second block of a step is the first": (
        *(HALF, check_ragged, "tile.block(odd, b));"),
        "tile.block(even, b));",
    ),
    "bounds not kept in 16 bits": (
        *(TRUNCATED, check_many, "__vmins2(packed, high)"),
        "packed",
    ),
    "fma split": (
        *(NORMAL, check_ragged, "fma32(standard(w), stddev, mean)"),
        "add32(mul32(standard(w), stddev), mean)",
    ),
    "no barrier behind the table": (
        *(NORMAL, check_ragged, TABLE_READY),
        TABLE_READY.partition("\n")[2],
    ),
    "vector stores at any base": (FLOAT, check_ragged, "(u64)base % 16 == 0 && ", ""),
    "32-bit address": (FLOAT, check_huge, ADDRESS, ADDRESS.replace("(u64)", "")),
    "32-bit count": (FLOAT, check_huge, "while (count) {", "while (count = (u32)count) {"),
    "32-bit index in the rest": (
        *(FLOAT, check_huge, "(u64)b * K::WEIGHTS + j"),
        "b * K::WEIGHTS + j",
    ),
    "32-bit thread number": (
        *(FLOAT, check_idle, "(u64)blockIdx.x * blockDim.x"),
        "blockIdx.x * blockDim.x",
    ),
    "attempts start anew": (TENSORFLOW, check_ragged, "(u64)n + attempt", "(u64)n"),
    "reserved blocks forgotten": (
        *(TENSORFLOW, check_ragged, "draw(stream, b * RESERVED)"),
        "draw(stream, b)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_caught(name: str) -> None:
    mistake = Mistake(*MISTAKES[name])
    assert_caught(mistake, cuda.source(mistake.case.plan.kernel.name), cuda_host.build)


def test_the_checks_of_planted_mistakes_pass_without_them() -> None:
    for case, check in {(case, check) for case, check, _, _ in MISTAKES.values()}:
        check(case, cuda_host.build(cuda.source(case.plan.kernel.name)))
