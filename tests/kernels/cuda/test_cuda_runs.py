# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels for runs, compiled by g++: parts of a tensor, rows by number or key, each bit.

Expected weights are the CPU's of consecutive indices. `tests/support/cuda_host.py` says what that
proves.
"""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from philinit.kernels import cuda
from philinit.kernels.cuda import arguments
from philinit.keyed import ROWS_BY_KEY, rows_of
from philinit.keys import Key
from philinit.parts import Rows, Shard
from philinit.runs import Runs
from tests.support import cuda_host
from tests.support import reference as r
from tests.support.cuda_cases import KEY, ONE_EACH, Drawn, on_cpu
from tests.support.cuda_runs import END, launch, library, on_gpu, rows, same
from tests.support.reference_words import row_stream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        cuda_host.compiler() is None,
        reason="g++ compiles the CUDA kernels for this test; it is missing",
    ),
]

by_case = pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.plan.kernel.name)


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
    runs = box.as_runs.after(offset)
    if not runs.axes:
        runs = rows(runs.length, 1, 1, runs.origin)  # one run of them
    whole = on_cpu(case, math.prod(box.global_shape), offset).reshape(box.global_shape)
    want = np.ascontiguousarray(whole[box.index]).reshape(-1)
    r.assert_same_bits(on_gpu(case, runs, **how), want, (box, offset, how))


@settings(max_examples=300, deadline=None)
@given(kernels, boxes(), offsets, launches(), st.lists(st.integers(0, 9), min_size=5, max_size=5))
def test_rows_that_are_written_apart(
    case: Drawn, box: Shard, offset: int, how: dict[str, Any], gaps: list[int]
) -> None:
    strides, step = [], 1
    for length, gap in zip(box.shape[::-1], (0, *gaps), strict=False):
        step += gap
        strides.insert(0, step)
        step *= length
    runs = box.runs_into(strides).after(offset)
    if not runs.axes:
        return
    whole = on_cpu(case, math.prod(box.global_shape), offset).reshape(box.global_shape)
    want = np.ascontiguousarray(whole[box.index]).reshape(-1)
    r.assert_same_bits(on_gpu(case, runs, **how), want, (box, offset, how, strides))


@settings(max_examples=200, deadline=None)
@given(
    kernels, st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 70), launches()
)
def test_rows_by_number_in_any_order_and_more_than_once(
    case: Drawn, ids: list[int], length: int, how: dict[str, Any]
) -> None:
    whole = on_cpu(case, 31 * length).reshape(31, length)
    runs = Rows((31, length), ids).as_runs
    r.assert_same_bits(on_gpu(case, runs, **how), whole[ids].reshape(-1), (ids, length, how))


@settings(max_examples=200, deadline=None)
@given(
    kernels,
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20),
    st.integers(1, 70),
    st.sampled_from([KEY, END, Key((5, 6), (1 << 63) - 256 * 7)]),
    launches(),
)
def test_rows_by_key_in_any_order_and_more_than_once(
    case: Drawn, keys: list[int], length: int, key: Key, how: dict[str, Any]
) -> None:
    keys += [keys[0], 2**64 - 1]
    begin = Key(key.words, (key.base + ROWS_BY_KEY) % (1 << 128))
    want = np.concatenate([on_cpu(case, length, 0, row_stream(key, k)) for k in keys])
    got = on_gpu(case, rows_of(length, keys).runs_into(None), begin, **how)
    r.assert_same_bits(got, want, (keys, length, how))


def test_there_are_two_loops() -> None:
    assert cuda.source("words", "runs") != cuda.source("words")
    with pytest.raises(ValueError, match=r"`loop` must be one of \('fill', 'runs'\); got loop='x'"):
        cuda.source("words", "x")
    assert f"#define LANES {arguments.LANES} " in cuda.source(None, "runs")
    assert f"Axis axes[{arguments.AXES}];" in cuda.source(None, "runs")


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
