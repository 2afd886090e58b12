# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels for runs, compiled by g++: a box of a tensor, or rows by number, bit for bit.

Expected weights are the CPU's of consecutive indices. `tests/support/cuda_host.py` says what that
proves.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.kernels import cuda
from philinit.kernels.cuda import arguments as cuda_runs
from philinit.keys import Key
from philinit.parts import Rows, Runs, Shard
from tests.kernels.test_cuda_kernels import KEY, ONE_EACH, Drawn, on_cpu, per_block, sparse
from tests.support import cuda_host
from tests.support import reference as r

pytestmark = pytest.mark.skipif(
    cuda_host.compiler() is None,
    reason="g++ compiles the CUDA kernels for this test; it is missing",
)

by_case = pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.plan.kernel.name)
END = Key((5, 6), (1 << 128) - 256 * 7)  # the counter wraps within the first weights


def library(source: str | None = None) -> cuda_host.Library:
    return cuda_host.build(source, "runs")


def launch(
    into: cuda_host.Library,
    case: Drawn,
    runs: Runs,
    address: int,
    key: Key,
    resident: int,
    *grid: Any,
) -> int:
    """`resident` threads at once: the fewer, the more steps a thread takes."""
    p, ids = case.plan, 0 if runs.ids is None else runs.ids.ctypes.data
    extent = cuda_runs.argument(runs, p.kernel, address, ids, resident)
    block, skip = divmod(runs.origin, per_block(case))
    counter = (key.base + block * p.kernel.reserved) % (1 << 128)
    return into.launch(p.kernel.name, address, extent, skip, counter, key.words, p.parameters, *grid)


def on_gpu(
    case: Drawn,
    runs: Runs,
    key: Key = KEY,
    grid: int = 3,
    block: int = 256,
    shift: int = 0,
    resident: int = 1,
    into: cuda_host.Library | None = None,
) -> r.Array:
    """`shift` is the number of weights from an aligned address; nothing around may change."""
    dtype, count = r.DTYPES[case.dtype], runs.size
    memory = np.full(64 + (count + shift) * dtype.itemsize + 64, 0xA5, np.uint8)
    start = 64 - memory.ctypes.data % 64 % 64 + shift * dtype.itemsize
    address = memory.ctypes.data + start
    launch(into or library(), case, runs, address, key, resident, grid, block)
    out = np.ndarray(count, dtype, memory, offset=start).copy()
    memory[start:][: out.nbytes] = 0xA5
    assert (memory == 0xA5).all(), "bytes before or behind were written"
    return out


def same(case: Drawn, runs: Runs, key: Key = KEY, **how: Any) -> None:
    """The runs, one by one, from the CPU's loop over consecutive weights."""
    want = np.concatenate([on_cpu(case, count, start, key) for start, count in runs])
    r.assert_same_bits(on_gpu(case, runs, key, **how), want, (runs, how))


def rows(length: int, stride: int, count: int, origin: int = 0, **more: Any) -> Runs:
    return Runs(origin, length, ((count, stride),), **more)


# --- the bits ------------------------------------------------------------------------------------


@st.composite
def boxes(draw: st.DrawFn) -> Shard:
    """Boxes of small tensors, uneven ones and single places of an axis among them."""
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=5)))
    shape = (*shape[:-1], draw(st.integers(1, 70)))
    index: list[Any] = []
    for n in shape:
        if draw(st.integers(0, 5)) == 0:
            index.append(draw(st.integers(0, n - 1)))
        else:
            start = draw(st.integers(0, n - 1))
            index.append(slice(start, draw(st.integers(start + 1, n))))
    return Shard(shape, tuple(index))


@st.composite
def launches(draw: st.DrawFn) -> dict[str, Any]:
    """Any alignment, grid, and number of steps that a thread takes."""
    return {
        "shift": draw(st.integers(0, 8)),
        "grid": draw(st.integers(1, 4)),
        "block": draw(st.sampled_from([1, 32, 96, 256])),
        "resident": draw(st.sampled_from([1, 5, 50, 10**6])),
    }


kernels = st.sampled_from(ONE_EACH)
offsets = st.one_of(st.integers(0, 9), st.sampled_from([2**34 - 333, 2**58 - 77, 2**66 - 333]))


@settings(max_examples=400, deadline=None)
@given(kernels, boxes(), offsets, launches())
def test_any_box_is_that_of_the_whole_tensor(
    case: Drawn, box: Shard, offset: int, how: dict[str, Any]
) -> None:
    runs = box.layout.after(offset)
    if not runs.axes:
        runs = rows(runs.length, 1, 1, runs.origin)  # one run of them
    whole = on_cpu(case, math.prod(box.global_shape), offset).reshape(box.global_shape)
    want = np.ascontiguousarray(whole[box.index]).reshape(-1)
    r.assert_same_bits(on_gpu(case, runs, **how), want, (box, offset, how))


@settings(max_examples=200, deadline=None)
@given(
    kernels, st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 70), launches()
)
def test_rows_by_number_in_any_order_and_more_than_once(
    case: Drawn, ids: list[int], length: int, how: dict[str, Any]
) -> None:
    whole = on_cpu(case, 31 * length).reshape(31, length)
    runs = Rows((31, length), ids).layout
    r.assert_same_bits(on_gpu(case, runs, **how), whole[ids].reshape(-1), (ids, length, how))


def test_there_are_two_loops() -> None:
    assert cuda.source("words", "runs") != cuda.source("words")
    with pytest.raises(ValueError, match=r"`loop` must be one of \('fill', 'runs'\); got loop='x'"):
        cuda.source("words", "x")
    assert f"#define LANES {cuda_runs.LANES} " in cuda.source(None, "runs")
    assert f"Axis axes[{cuda_runs.AXES}];" in cuda.source(None, "runs")


@by_case
def test_every_length_lead_and_base(case: Drawn) -> None:
    for length in (*range(1, 20), 31, 32, 33, 64, 127):
        for origin in range(4):
            stride = length + (length + origin) % 5  # 0 to 4 weights between two runs
            same(case, rows(length, stride, 7, origin), shift=(length + origin) % 9, grid=1)
    same(case, rows(4000, 4004, 3, 8))
    same(case, rows(4001, 4003, 3, 9), shift=1)


@by_case
@pytest.mark.parametrize("power", [32, 34, 58, 64, 66, 120])
def test_counter_words_carry_within_and_between_runs(case: Drawn, power: int) -> None:
    for key in (KEY, END):
        for origin in ((1 << power) // case.plan.kernel.reserved - 701, (1 << power) - 701):
            same(case, rows(50, 61, 23, max(origin, 0)), key, grid=1)
            same(case, rows(1500, 1501, 2, max(origin, 0)), key, grid=1, shift=3)


@by_case
def test_spans_up_to_two_to_the_62(case: Drawn) -> None:
    axes = (3, 3 << 59), (2, 1 << 45), (5, (1 << 33) + 1), (2, 77)
    for key in (KEY, END):
        runs = Runs((1 << 62) - 5, 19, axes)
        assert runs.span < 1 << 62
        same(case, runs, key, grid=1)
        ids = np.array([5, 2**61 // 20, 0, 2**61 // 20 - 1], np.int64)
        same(case, rows(40, 40, 4, (1 << 63) - 41, ids=ids), key, grid=1)


@by_case
def test_any_grid_and_any_number_of_steps_a_thread(case: Drawn) -> None:
    for grid, block in ((1, 256), (2, 256), (7, 32), (40, 256), (1, 1), (5, 3)):
        for resident in (1, 40, 10**6):
            same(case, rows(100, 104, 9), grid=grid, block=block, resident=resident)
            same(case, rows(257, 301, 3, 1), grid=grid, block=block, resident=resident)


@by_case
def test_128_bit_stores_wherever_the_address_allows(case: Drawn) -> None:
    group = cuda.group(case.plan.kernel)
    memory = np.empty(16 * 600 + 64, np.uint8)
    base = memory.ctypes.data + -memory.ctypes.data % 16
    item = r.DTYPES[case.dtype].itemsize

    def stores(runs: Runs, shift: int = 0) -> int:
        return launch(library(), case, runs, base + shift * item, KEY, 1, 1)

    assert stores(rows(5 * group, 6 * group, 9)) == 45
    assert stores(rows(100 * group, 101 * group, 5)) == 500
    assert stores(rows(5 * group, 5 * group, 4, ids=np.array([7, 1, 7, 0]))) == 20
    assert stores(rows(5 * group + 1, 6 * group, 4)) in (5, 10)  # one run is aligned, or two
    assert stores(rows(5 * group, 6 * group, 9, 1)) == 0
    if group == 8:  # two counter blocks a store: half a step before the run is what is needed
        assert stores(rows(4 + 8 * 5, 64, 5), 4) == 25
        assert stores(rows(8 * 5, 48, 5, 4)) == 25
    else:
        assert stores(rows(5 * group, 6 * group, 9), 1) == 0


# --- numbers that no test can write --------------------------------------------------------------

FLOAT = Drawn(Uniform(0.25, 0.75), "float32")
HALF = Drawn(Uniform(-0.05, 0.05), "float16")
NORMAL = Drawn(Normal(0.5, 0.02), "float32")
TENSORFLOW = Drawn(TruncatedNormal(0, 1), "float32", "tensorflow")


def check_huge(case: Drawn, into: cuda_host.Library | None = None) -> None:
    """Nearly 2**31 threads and 2**33 weights in one launch, of which a few thread blocks run."""
    into = into or library()
    dtype, group = r.DTYPES[case.dtype], cuda.group(case.plan.kernel)
    grid = 1 << 20
    for length, count in ((4 * group, (1 << 29) - 1), (1, (1 << 31) - 1)):
        runs = rows(length, length + 4, count)
        per_run = cuda_runs.steps_of_run(runs, case.plan.kernel, 0)
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
    extent, out = np.zeros(1, cuda_runs.RUNS), np.empty(1, np.uint32)
    rng = np.random.default_rng(1)
    for value in (*EDGES, *rng.integers(1, 2**31, 100).tolist()):
        extent["threads_of_run"] = found = cuda_runs.divisor(value)
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
    runs: Runs, kernel: cuda.Kernel, most: int
) -> None:
    for limit in (None, most):
        parts = list(cuda_runs.parts(runs, kernel, limit))
        assert [run for part in parts for run in part] == list(runs)
        for part in parts:
            assert len(part.axes) <= cuda_runs.AXES
            assert limit is None or not part.axes or part.size <= limit
        assert len({bool(part.axes) for part in parts}) == 1
    if len(runs.axes) <= cuda_runs.AXES:
        assert len(list(cuda_runs.parts(runs, kernel))) == 1


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
        parts = list(cuda_runs.parts(runs, kernel))
        assert sum(part.size for part in parts) == runs.size
        steps = length // cuda.group(kernel) + 2
        assert len(parts) <= 2 + 2 * count * steps // (1 << 31)
        for part in parts:
            extent = cuda_runs.argument(part, kernel, 2, 0, 1)
            threads = int(extent["threads_of_run"]["value"][0])
            assert int(extent["threads"][0]) == part.count * threads < 1 << 31
            assert part.count * cuda_runs.steps_of_run(part, kernel, 2) < 1 << 31
    for part in cuda_runs.parts(rows(1 << 31, 1 << 32, 3), kernel):
        assert part.axes == ()


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 60), st.integers(1, 10**5))
def test_threads_cover_the_steps_of_a_run(length: int, count: int, resident: int) -> None:
    """Few of them idle, and one step each where the device could hold more threads."""
    kernel = cuda.KERNELS["uniform_float32"]
    runs = rows(length, length + 4, count)
    extent = cuda_runs.argument(runs, kernel, 0, 0, resident)[0]
    steps, most = int(extent["steps"]), int(extent["steps_of_thread"])
    assert steps == cuda_runs.steps_of_run(runs, kernel, 0)
    threads = int(extent["threads_of_run"]["value"])
    taken = [
        range(
            first := lane + lane // cuda_runs.LANES * cuda_runs.LANES * (most - 1),
            min(first + cuda_runs.LANES * (most - 1) + 1, steps),
            cuda_runs.LANES,
        )
        for lane in range(threads)
    ]
    assert sorted(step for steps in taken for step in steps) == list(range(steps))
    assert most == 1 or count * steps >= 2 * resident
    assert threads * (most + 1) <= 2 * steps  # never worse than one step each


# --- planted mistakes ----------------------------------------------------------------------------

Check = Callable[[Drawn, cuda_host.Library], None]


def check_ragged(case: Drawn, into: cuda_host.Library) -> None:
    for length, origin in ((1, 0), (16, 0), (37, 1), (70, 2), (128, 4), (131, 3)):
        for shift in (0, 1, 4):
            runs = Runs(origin, length, ((2, 2001), (3, 500), (2, length + 4)))
            same(case, runs, into=into, grid=1, shift=shift)
            ids = np.array([5, 1, 5, 0])
            same(case, rows(length, length + 3, 4, origin, ids=ids), into=into, grid=1)
    same(case, rows(601, 611, 3), into=into, grid=1, block=2)


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


# What is drawn, what must notice, and what stands in the source in place of what.
MISTAKES: dict[str, tuple[Drawn, Check, str, str]] = {
    "carry into the high half lost": (FLOAT, check_carries, "+ n2 + (low < start)", "+ n2"),
    "high half of reserved blocks lost": (
        *(TENSORFLOW, check_carries, "(block >> 32) * K::RESERVED >> 32"),
        "0",
    ),
    "reserved blocks forgotten between steps": (
        *(TENSORFLOW, check_ragged, "LANES * K::BLOCKS * K::RESERVED"),
        "LANES * K::BLOCKS",
    ),
    "borrow of the block before lost": (HALF, check_ragged, "high -= low < K::RESERVED;", ""),
    "block before not taken": (HALF, check_stores, "lead += K::WEIGHTS;", ";"),
    "second block of a step is the first": (
        *(HALF, check_ragged, "Stream(c.after(K::RESERVED), keys)"),
        "Stream(c, keys)",
    ),
    "ids not looked at": (FLOAT, check_ragged, "ids ? ids[run] : run", "run"),
    "axes in the wrong order": (
        *(FLOAT, check_ragged, "u32 axis = inner; axis; --axis"),
        "u32 axis = 1; axis <= inner; ++axis",
    ),
    "start of a run in 32 bits": (FLOAT, check_carries, "u64 start = 0;", "u32 start = 0;"),
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
    "32-bit address": (FLOAT, check_huge, "(u64)run * length +", "run * length +"),
    "32-bit thread number": (
        *(FLOAT, check_idle, "(u64)blockIdx.x * blockDim.x"),
        "blockIdx.x * blockDim.x",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_caught(mistake: str) -> None:
    case, check, right, wrong = MISTAKES[mistake]
    source = cuda.source(case.plan.kernel.name, "runs")
    assert source.count(right) == 1, f"{right!r} must stand once in the source"
    spoiled = library(source.replace(right, wrong))
    with pytest.raises((AssertionError, RuntimeError), match=r"differ|written|wrote|aligned|array"):
        check(case, spoiled)


def test_the_checks_of_planted_mistakes_pass_without_them() -> None:
    for case, check in {(case, check) for case, check, _, _ in MISTAKES.values()}:
        check(case, library(cuda.source(case.plan.kernel.name, "runs")))
