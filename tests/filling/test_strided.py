# SPDX-License-Identifier: Apache-2.0
"""Rows that lie apart get the bits of contiguous memory, by one call, and what is between stays.

Expected are contiguous fills, which test_samplers.py compares with the oracle.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

import philinit as pi
from philinit.dtypes import WIDER
from philinit.filling import cpu
from philinit.filling.fill import fill
from philinit.keys import Key
from philinit.parts import Rows, Shard
from tests.support import cases
from tests.support import reference as r
from tests.support.cases import ONE_EACH, Case

KEY = Key.from_seed(99)
BYTE = 0xA5  # of what nobody may write

by_case = pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.name)


@pytest.fixture(scope="module", autouse=True)
def _libm_of_glibc() -> Iterator[None]:
    with cases.libm_of("glibc"):
        yield


def strided(shape: tuple[int, ...], dtype: Any, gaps: Any, lead: int = 0) -> tuple[Any, Any]:
    """(all bytes, a view of this shape `lead` bytes in): so many weights lie between its rows."""
    size, step, strides = np.dtype(dtype).itemsize, 1, [0] * len(shape)
    for axis in range(len(shape) - 1, -1, -1):
        if axis < len(shape) - 1:
            step += gaps[axis]
        strides[axis] = step * size
        step *= shape[axis]
    raw = np.full(64 + lead + step * size + 64, BYTE, np.uint8)
    first = 64 + lead - raw.ctypes.data % 64
    return raw, np.ndarray(shape, dtype, raw, first, tuple(strides))


def contents(raw: Any, view: Any) -> bytes:
    """What is in the view, if nothing beside it was written."""
    found: bytes = view.tobytes()
    bits = view.view(f"u{view.itemsize}")
    bits[...] = int.from_bytes(bytes([BYTE]) * view.itemsize, "little")
    assert (raw == BYTE).all(), "bytes before, between or behind the rows were written"
    return found


def check(case: Case, out: tuple[Any, Any], offset: int = 0, **how: Any) -> None:
    raw, view = out
    want = np.empty(view.shape, view.dtype)
    fill(want, case.distribution, KEY, offset, sampler=case.sampler, **how)
    assert fill(view, case.distribution, KEY, offset, sampler=case.sampler, **how) is view
    assert contents(raw, view) == want.tobytes()


@by_case
def test_rows_of_any_kernel(case: Case) -> None:
    dtype = r.DTYPES[case.dtype]
    for rows, length, gap in ((9, 128, 128), (70, 37, 3), (5, 1, 1), (3, 2500, 1), (200, 4, 4)):
        for offset in (0, 1, 6):
            check(case, strided((rows, length), dtype, [gap], lead=offset), offset)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(ONE_EACH),
    st.lists(st.integers(1, 7), max_size=3),
    st.integers(1, 300),
    st.lists(st.integers(0, 9), min_size=3, max_size=3),
    st.integers(0, 70),
    st.one_of(st.integers(0, 9), st.sampled_from([2**34 - 33, 2**66 - 333])),
)
def test_any_strides_in_any_memory(
    case: Case, outer: list[int], length: int, gaps: list[int], lead: int, offset: int
) -> None:
    check(case, strided((*outer, length), r.DTYPES[case.dtype], gaps, lead), offset)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ONE_EACH), st.data())
def test_any_shard_goes_to_memory_of_any_strides(case: Case, data: Any) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), max_size=3))) + (70,)
    index = []
    for n in shape:
        start = data.draw(st.integers(0, n - 1))
        whole = slice(start, data.draw(st.integers(start, n)))
        index.append(data.draw(st.sampled_from([whole, start]) if n < 70 else st.just(whole)))
    shard = Shard(shape, tuple(index))
    gaps = data.draw(st.lists(st.integers(0, 5), min_size=3, max_size=3))
    check(case, strided(shard.shape, r.DTYPES[case.dtype], gaps), 5, shard=shard)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("length", "gap"), [(128, 128), (7, 1), (100_000, 3)])
def test_threads_and_lines_that_bypass_the_caches(
    length: int, gap: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for memory of many MiB: several chunks, one of which may end in the middle of a row."""
    for name, value in (("STREAMING_BYTES", 0), ("SINGLE", 1), ("SMALLEST_CHUNK", 64)):
        monkeypatch.setattr(cpu, name, value)
    seen: list[tuple[int, ...]] = []
    for case in ONE_EACH:
        shape = max(2, 200_000 // length), length
        for lead in (0, 4):
            out = strided(shape, r.DTYPES[case.dtype], [gap], lead)
            check(case, out, 3, threads=threads, progress=lambda *done: seen.append(done))
            assert seen[-1] == (math.prod(shape),) * 2


def test_rows_by_number_go_to_rows_that_lie_apart() -> None:
    for case in ONE_EACH:
        for row in ((40,), (3, 5)):
            rows = Rows((50, *row), [7, 0, 49, 7, 3])
            check(case, strided(rows.shape, r.DTYPES[case.dtype], [4, 2]), 2, shard=rows)
    grid = Rows((50, 8), [[1, 2], [3, 4]])
    check(ONE_EACH[0], strided(grid.shape, r.DTYPES[ONE_EACH[0].dtype], [0, 2]), shard=grid)
    raw, view = strided(grid.shape, "float32", [3, 2])
    with pytest.raises(NotImplementedError, match="equally far apart where `ids` have several"):
        pi.Normal(seed=1).fill(view, shard=grid)
    assert contents(raw, view) == bytes([BYTE]) * view.nbytes


INITIALIZERS = [
    *(pi.Normal(seed=1), pi.GlorotUniform(seed=1), pi.HeNormal(sampler="tensorflow", seed=1)),
    *(pi.Zeros(), pi.Constant(-1.5), pi.Identity(2.0), pi.Orthogonal(seed=1)),
    *(pi.models.LogUniform(seed=1), pi.models.LogRange(), pi.models.Sparse(0.5, seed=1)),
    pi.models.Padded(pi.Normal(seed=1), (0, -2)),
    pi.models.Scaled(pi.Normal(seed=1), 0.5),
    pi.models.Parts([pi.Normal(seed=1), pi.Ones()], axis=1),
    pi.models.Parts([(3, pi.Normal(seed=1)), pi.Ones()], axis=0),
    pi.models.Stacked(pi.Normal(seed=1), axis=0),
]


@pytest.mark.parametrize("dtype", [*WIDER, "float8_e4m3fn"])
@pytest.mark.parametrize("init", INITIALIZERS, ids=lambda init: type(init).__name__)
def test_every_initializer_writes_rows_that_lie_apart(init: Any, dtype: str) -> None:
    if dtype not in WIDER and getattr(init, "sampler", "native") != "native":
        return  # refused: tests/kernels/test_plan.py
    shape, part = (10, 74), (slice(2, 9), slice(1, 73))
    raw, view = strided(shape, pi.dtypes.as_dtype(dtype), [5])
    want = init(shape, dtype)
    init.fill(view)
    assert contents(raw, view) == want.tobytes()
    init(shape, out=view[part], shard=part)
    assert view[part].tobytes() == want[part].tobytes()
    if isinstance(init, pi.models.Parts | pi.models.Stacked) or not init.elementwise:
        return
    ids = np.array([[9, 0], [3, 9]])
    raw, view = strided((2, 2, 74), view.dtype, [0, 5])
    init.rows(shape, ids, out=view)
    assert contents(raw, view) == want[ids].tobytes()


def test_convolutions_are_written_apart() -> None:
    for init in (pi.models.Dirac(), pi.models.DeltaOrthogonal(seed=1), pi.models.LogRange()):
        raw, view = strided((3, 4, 5, 8), "float32", [1, 0, 3])
        init.fill(view)
        assert contents(raw, view) == init((3, 4, 5, 8)).tobytes()


F4 = np.zeros((8, 8), np.float32)


@pytest.mark.parametrize(
    "out",
    [
        as_strided(F4, (8, 8), (0, 4)),
        as_strided(F4, (3, 8), (28, 4)),
        as_strided(F4, (3, 3, 4), (32, 8, 4)),
        F4[::-1],
        F4[:, ::-1],
        F4[:, ::2],
        F4.T,
        as_strided(F4.view(np.uint8)[:, 1:5].copy().view(np.float32), (8, 1), (0, 4)),
        np.zeros((4, 33), np.uint8)[:, :32].view(np.float32),
    ],
)
def test_rows_that_overlap_or_come_in_another_order_are_refused(out: Any) -> None:
    before = out.copy()
    for init in (pi.Uniform(seed=1), pi.Ones()):
        with pytest.raises(ValueError, match=r"must be C-contiguous; got shape .* bytes: pass"):
            init.fill(out)
    assert np.array_equal(out, before)
