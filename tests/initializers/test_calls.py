# SPDX-License-Identifier: Apache-2.0
"""One interface: calls, fills, outputs, shards, progress."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.dtypes import as_dtype
from tests.support.initializers import ALL, EVERY, name_of, same


@pytest.mark.parametrize("dtype", EVERY)
@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_call_fill_and_out_write_the_same(init: Any, dtype: str) -> None:
    shape = (4, 3, 5) if not isinstance(init, pi.Identity) else (4, 6)
    w = init(shape, dtype)
    assert w.shape == shape
    assert w.dtype == (as_dtype(dtype))
    assert w.ctypes.data % 64 == 0
    assert w.flags.c_contiguous
    assert w.flags.writeable
    assert same(init(shape, dtype), w)  # pure
    out = np.full(shape, 7, w.dtype)
    assert init(shape, out=out) is out
    assert same(out, w)
    out = np.full(shape, 7, w.dtype)
    assert init.fill(out, threads=1) is out
    assert same(out, w)
    assert same(pickle.loads(pickle.dumps(init))(shape, dtype, threads=2), w)


def test_float32_is_the_default_dtype() -> None:
    assert pi.GlorotUniform()((2, 2)).dtype == np.float32
    assert pi.zeros(3).dtype == np.float32


INDICES = [
    (slice(1, 3), slice(None), slice(2, 5)),
    (slice(2, 4),),
    (..., slice(1, 4)),
    (2, slice(1, 3)),
    (..., -1),
    (1, 2, 3),
    slice(2, 2),
    ...,
]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_a_shard_is_that_part_of_the_tensor(init: Any, index: Any) -> None:
    shape: tuple[int, ...] = (4, 3, 6)
    if isinstance(init, pi.Identity):
        shape = (9, 7)
        index = index[:2] if isinstance(index, tuple) else index
    expected = np.asarray(init(shape, "float64")[index])
    assert same(init.shard(shape, index, "float64"), expected)
    assert same(init(shape, "float64", shard=pi.Shard(shape, index)), expected)
    out = np.full(expected.shape, 7.0)
    assert init.fill(out, shard=pi.Shard(shape, index)) is out
    assert same(out, expected)


def test_a_shard_far_beyond_two_to_the_32_needs_no_memory_for_the_rest() -> None:
    init, shape = pi.GlorotUniform(seed=42), (1 << 36, 1 << 26)
    row = (1 << 36) - 5
    w = init.shard(shape, (slice(row, row + 2), slice(3, 12)))
    expected = np.empty(9, np.float32)
    for i in range(2):
        offset = ((row + i) << 26) + 3
        pi.fill(expected, init.distribution_for(shape), pi.Key.from_seed(42), offset)
        assert same(w[i], expected)


@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_progress_ends_at_the_size_of_what_was_asked(init: Any) -> None:
    matrix = isinstance(init, pi.Identity)
    shape, index = ((6, 8), slice(1, 4)) if matrix else ((6, 2, 4), (slice(1, 4), slice(0, 1)))
    seen: list[tuple[int, int]] = []
    init(shape, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (48, 48)
    seen.clear()
    part = init.shard(shape, index, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (part.size, part.size)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {part.size}
    seen.clear()
    init((0, *shape[1:]), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 0)]
