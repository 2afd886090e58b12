# SPDX-License-Identifier: Apache-2.0
"""G1: any part of a tensor, and rows by number, have the bits of the whole tensor.

Expected are contiguous fills, which test_samplers.py compares with the oracle, and the oracle.
"""

from __future__ import annotations

import gc
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.filling.fill import fill
from philinit.keys import Key
from philinit.parts import Rows, Shard
from philinit.runs import Runs
from tests.support import cases
from tests.support import reference as r
from tests.support.cases import ONE_EACH, Case

KEY = Key.from_seed(99)

by_case = pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.name)


@pytest.fixture(scope="module", autouse=True)
def _libm_of_glibc() -> Iterator[None]:
    with cases.libm_of("glibc"):
        yield


def part(case: Case, shard: Any, key: Key = KEY, offset: int = 0, **how: Any) -> r.Array:
    """The weights of a part, between guards that nobody may write."""
    dtype = r.DTYPES[case.dtype]
    lead = how.pop("lead", 16)
    memory = np.full(lead + shard.size + 64, 7.0, dtype)
    out = memory[lead : lead + shard.size].reshape(shard.shape)
    fill(out, case.distribution, key, offset, shard=shard, sampler=case.sampler, **how)
    assert (memory[:lead] == 7).all()
    assert (memory[lead + shard.size :] == 7).all()
    return out


def run_by_run(case: Case, runs: Runs, key: Key = KEY) -> r.Array:
    """The same weights as contiguous fills, one a run."""
    out = np.empty(runs.size, r.DTYPES[case.dtype])
    done = 0
    for start, length in runs:
        fill(out[done : done + length], case.distribution, key, start, sampler=case.sampler)
        done += length
    return out


def check(case: Case, shard: Any, key: Key = KEY, offset: int = 0, **how: Any) -> None:
    found = part(case, shard, key, offset, **how)
    assert found.tobytes() == run_by_run(case, shard.as_runs.after(offset), key).tobytes()


# --- G1: every kernel ----------------------------------------------------------------------------


@by_case
def test_g1_shards_of_any_kernel_are_the_tensor(case: Case) -> None:
    shape = (13, 5, 37)
    whole = np.empty(shape, r.DTYPES[case.dtype])
    fill(whole, case.distribution, KEY, sampler=case.sampler)
    for index in [
        (slice(2, 11), slice(1, 4), slice(3, 20)),
        (slice(None), slice(None), slice(0, 4)),
        (slice(None), 2),
        (..., 36),
        (slice(1, 12), slice(0, 5), slice(0, 37)),
        (slice(0, 13), slice(0, 4), slice(None)),
    ]:
        found = part(case, Shard(shape, index))
        assert found.tobytes() == np.ascontiguousarray(whole[index]).tobytes(), index


@by_case
def test_g1_rows_by_number_are_the_tensor(case: Case) -> None:
    ids = np.array([[3, 28, 0], [7, 7, 3]])
    for columns in (1, 4, 19, 700):
        whole = np.empty((29, columns), r.DTYPES[case.dtype])
        fill(whole, case.distribution, KEY, sampler=case.sampler)
        found = part(case, Rows(whole.shape, ids))
        assert found.tobytes() == whole[ids].tobytes()


@by_case
def test_g1_runs_longer_than_a_tile(case: Case) -> None:
    """Tiles of one piece: written where they belong, although they begin inside a block."""
    for start in (0, 1, 6):
        check(case, Shard((3, 9000), (slice(None), slice(start, start + 5001))))


SOME = [
    *(Case(f"{d}", Uniform(-1, 1), d) for d in ("float32", "bfloat16", "float64")),
    Case("truncated float32", TruncatedNormal(0, 1), "float32"),
    Case("normal float16", Normal(0, 1), "float16"),
    Case("tensorflow truncated", TruncatedNormal(0, 1), "float32", "tensorflow"),
    Case("tensorflow normal", Normal(0, 1), "bfloat16", "tensorflow"),
]


@by_case
@pytest.mark.parametrize("length", [479, 955, 958, 1024])
def test_g1_runs_of_half_a_tile(case: Case, length: int) -> None:
    """From there on a run has tiles to itself, even where all begin at one index of a block."""
    for column in (0, 2, 3):
        check(case, Shard((6, 2048), (slice(1, 6), slice(column, column + length))))


by_some = pytest.mark.parametrize("case", SOME, ids=lambda case: case.kernel)


@by_some
@settings(deadline=None)
@given(data=st.data())
def test_g1_any_shard_at_any_offset_on_any_number_of_threads(
    case: Case, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4)))
    index = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape
    )
    offset = data.draw(st.one_of(st.integers(0, 300), st.integers(0, 1 << 70)))
    threads, lead = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 33))
    check(case, Shard(shape, index), offset=offset, threads=threads, lead=lead)


@by_some
@settings(deadline=None)
@given(data=st.data())
def test_g1_any_rows(case: Case, data: st.DataObject) -> None:
    rows, columns = data.draw(st.integers(1, 1 << 55)), data.draw(st.integers(0, 100))
    ids = data.draw(st.lists(st.integers(0, rows - 1), max_size=70))
    check(case, Rows((rows, columns), ids))


@by_some
@pytest.mark.parametrize("position", [1 << 32, 1 << 64, 1 << 96, 1 << 128])
def test_counters_carry_inside_and_between_runs(case: Case, position: int) -> None:
    """Words 1 to 3 of the counter change in the middle of a tile, of a run, and between runs."""
    reserved = 256 if case.kernel == "tensorflow truncated" else 1
    for blocks in (3, 40, 77, 700):
        key = Key(KEY.words, (position - blocks * reserved) % (1 << 128))
        for length in (1, 12, 30, 1000):
            check(case, Shard((60, 2 * length + 1), (slice(None), slice(1, 1 + length))), key)
        check(case, Rows((4000, 3), np.arange(3999, -1, -7)), key)


def test_runs_are_far_apart_in_a_virtual_tensor_of_2_to_the_62() -> None:
    shape = (1 << 31, 1 << 31)
    for case in SOME:
        last = slice((1 << 31) - 21, (1 << 31) - 3)
        check(case, Shard(shape, (slice((1 << 31) - 3, None), last)))
        check(case, Shard(shape, (slice(0, 40), last)))
        check(case, Rows((1 << 58, 16), [(1 << 58) - 1, 0, 1 << 57]))


@by_some
def test_parts_of_many_chunks_are_the_same_on_any_number_of_threads(case: Case) -> None:
    shards = [
        Shard((700, 3000), (slice(None), slice(1, 2000))),
        Shard((200_000, 17), (slice(3, None), slice(2, 16))),
        Rows((1 << 40, 31), np.random.default_rng(5).integers(0, 1 << 40, 50_000)),
    ]
    for shard in shards:
        one = part(case, shard, threads=1)
        for threads in (2, 5):
            assert part(case, shard, threads=threads).tobytes() == one.tobytes()
    check(case, Shard((90, 4000), (slice(None), slice(1, 3999))), threads=3)


def test_parts_that_are_streamed_past_the_caches() -> None:
    """Above 16 MiB: rows that fill whole lines, and rows that do not."""
    case = SOME[0]
    for columns in (slice(0, 64), slice(4, 68), slice(1, 65)):
        for lead in (16, 1):
            check(case, Shard((70_000, 128), (slice(None), columns)), lead=lead)


def test_progress_counts_the_weights_of_the_part() -> None:
    seen: list[tuple[int, int]] = []
    shard = Shard((300_000, 17), (slice(None), slice(0, 16)))
    part(SOME[0], shard, threads=1, progress=lambda done, total: seen.append((done, total)))
    assert len(seen) > 3
    assert [d for d, _ in seen] == sorted({d for d, _ in seen})
    assert seen[-1] == (shard.size, shard.size)


def test_a_part_takes_no_memory_but_its_own() -> None:
    """A million runs: neither a list of them nor a copy of the weights."""
    out = np.empty((1_000_000, 4), np.float32)
    shard = Shard((1_000_000, 8), (slice(None), slice(2, 6)))
    fill(out, Uniform(), KEY, shard=shard, threads=1)
    gc.collect()
    tracemalloc.start()
    fill(out, Uniform(), KEY, shard=shard, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


# --- bad parts -----------------------------------------------------------------------------------


def test_bad_parts_are_refused_before_a_byte_is_written() -> None:
    out = np.full((4, 3), 7.0, np.float32)
    with pytest.raises(TypeError, match=re.escape("`shard` must be a Shard(global_shape, index)")):
        fill(out, Uniform(), KEY, shard=slice(0, 4))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`out` must have the shape of the shard; got out of"):
        fill(out, Uniform(), KEY, shard=Rows((9, 3), [1, 2]))
    with pytest.raises(ValueError, match=re.escape("all weights must end at 2**126")):
        fill(out, Uniform(), KEY, 1 << 126, shard=Shard((4, 6), (slice(None), slice(0, 3))))
    far = Shard((3, 1 << 62), (slice(None), slice(0, 1)))
    with pytest.raises(ValueError, match=re.escape("`shard` must span at most 2**62 weights")):
        fill(out[0:1].reshape(3, 1), Uniform(), KEY, shard=far)
    assert (out == 7).all()
