# SPDX-License-Identifier: Apache-2.0
"""Shard: every run against NumPy's own indexing of an array of offsets."""

from __future__ import annotations

import itertools
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from philinit.parts import Shard


@st.composite
def shards(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    shape = tuple(draw(st.lists(st.integers(0, 6), max_size=5)))
    entries: list[Any] = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        if n > 0 and draw(st.booleans()):
            entries.append(draw(st.integers(-n, n - 1)))
            continue
        start, stop = sorted((draw(st.integers(0, n)), draw(st.integers(0, n))))
        if start > 0 and draw(st.booleans()):
            start -= n  # counted from the end
        open_ends = draw(st.integers(0, 3))
        step = draw(st.sampled_from([None, 1]))
        entries.append(
            slice(None if open_ends & 1 else start, None if open_ends & 2 else stop, step)
            if start >= 0 or stop == n
            else slice(start, stop, step)
        )
    missing = len(shape) - len(entries)
    if draw(st.booleans()):
        entries.insert(draw(st.integers(0, len(entries))) if missing == 0 else len(entries), ...)
    return shape, tuple(entries)


@given(shards())
def test_runs_are_the_offsets_of_the_shard_in_c_order(case: tuple[tuple[int, ...], Any]) -> None:
    shape, index = case
    offsets = np.arange(math.prod(shape)).reshape(shape)[index]
    shard = Shard(shape, index)
    assert shard.shape == offsets.shape
    assert shard.size == offsets.size
    runs = list(shard.runs())
    assert [i for start, n in runs for i in range(start, start + n)] == offsets.ravel().tolist()
    # As few as can be: no two of them meet.
    assert all(n > 0 for _, n in runs)
    assert all(a + n < b for (a, n), (b, _) in itertools.pairwise(runs))


@given(shards())
def test_shards_compare_hash_pickle_and_print_as_their_index(
    case: tuple[tuple[int, ...], Any],
) -> None:
    shard = Shard(*case)
    again = Shard(case[0], shard.index)
    assert again == shard
    assert hash(again) == hash(shard)
    assert pickle.loads(pickle.dumps(shard)) == shard
    assert eval(repr(shard)) == shard


def test_offsets_beyond_two_to_the_32_and_two_to_the_62_are_exact() -> None:
    rows, columns = 1 << 40, 1 << 24
    shard = Shard((rows, columns), (slice(rows - 2, rows), slice(3, 8)))
    assert list(shard.runs()) == [((rows - 2) * columns + 3, 5), ((rows - 1) * columns + 3, 5)]
    whole = Shard((rows, columns), ...)
    assert list(whole.runs()) == [(0, 1 << 64)]


def test_runs_of_a_huge_shard_come_one_by_one() -> None:
    runs = Shard((1 << 40, 2), (slice(5, None), 1)).runs()
    assert list(itertools.islice(runs, 2)) == [(11, 1), (13, 1)]


@pytest.mark.parametrize(
    "index", [3, slice(1, 2), ..., (), (..., 0), np.int64(3), (slice(np.int8(1), 2),)]
)
def test_one_entry_needs_no_tuple(index: Any) -> None:
    offsets = np.arange(24).reshape(4, 6)[index]
    shard = Shard((4, 6), index)
    assert [
        i for start, n in shard.runs() for i in range(start, start + n)
    ] == offsets.ravel().tolist()
    assert shard.shape == offsets.shape


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (
            slice(0, 5),
            ValueError,
            "`index` must stay inside the global shape; got 5 on axis 0 of length 4",
        ),
        (
            slice(-5, None),
            ValueError,
            "`index` must stay inside the global shape; got -5 on axis 0",
        ),
        (
            (0, 6),
            ValueError,
            "`index` must stay inside the global shape; got 6 on axis 1 of length 6",
        ),
        ((0, -7), ValueError, "`index` must stay inside the global shape; got -7 on axis 1"),
        (
            slice(0, 4, 2),
            ValueError,
            "`index` must hold slices of step 1; got slice(0, 4, 2) on axis 0",
        ),
        (slice(None, None, -1), ValueError, "`index` must hold slices of step 1"),
        (
            slice(3, 1),
            ValueError,
            "`index` must hold slices with start <= stop; got slice(3, 1, None)",
        ),
        ((0, 0, 0), ValueError, "`index` must have at most one entry an axis; got 3 entries"),
        ((..., ...), ValueError, "`index` must hold at most one Ellipsis"),
        (
            None,
            TypeError,
            "`index` must hold ints, slices of ints, and at most one Ellipsis; got index=None",
        ),
        (True, TypeError, "`index` must hold ints, slices of ints"),
        (1.0, TypeError, "`index` must hold ints, slices of ints"),
        ([0, 1], TypeError, "`index` must hold ints, slices of ints"),
        (slice(0.0, 2), TypeError, "`index` must hold ints, slices of ints"),
    ],
)
def test_bad_index(index: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        Shard((4, 6), index)


def test_bad_global_shape() -> None:
    with pytest.raises(ValueError, match="`shape` must not hold negative dimensions"):
        Shard((4, -1), ())
