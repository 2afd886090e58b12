# SPDX-License-Identifier: Apache-2.0
"""Rows by key: a pure function of initializer, key and column, as THE STREAM says, on any road."""

from __future__ import annotations

import gc
import json
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import philinit as pi
from philinit.filling import cpu
from philinit.filling.fill import draw
from philinit.keyed import ROWS_BY_KEY, RowsByKey, rows_of
from philinit.keys import Key
from philinit.targets import Target
from tests.support import cases
from tests.support import reference as r
from tests.support import reference_words as rw
from tests.support.cases import CASES, ONE_EACH, Case

VECTORS = json.loads((r.DATA / "vectors.json").read_text())["rows by key"]
KEY = Key.from_seed(99)

by_case = pytest.mark.parametrize("case", ONE_EACH, ids=lambda case: case.name)
row_keys = st.one_of(
    st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)


@pytest.fixture(scope="module", autouse=True)
def _libm_of_glibc() -> Iterator[None]:
    with cases.libm_of("glibc"):
        yield


def rows(case: Case, width: int, keys: Any, key: Key = KEY, threads: int | None = None) -> r.Array:
    """Rows by key, between guards that nobody may write."""
    part, lead = rows_of(width, keys), 19
    memory = np.full(part.size + 80, 7.0, r.DTYPES[case.dtype])
    out = memory[lead : lead + part.size].reshape(part.shape)
    target = Target(out, part.global_shape, part, threads)
    draw(target, case.distribution, key, case.sampler)
    assert (memory[:lead] == 7).all()
    assert (memory[lead + part.size :] == 7).all()
    return out


def check(case: Case, width: int, keys: list[int], key: Key = KEY, **how: Any) -> None:
    wanted = {k: case.weights(rw.row_stream(key, k), 0, width) for k in set(keys)}
    found = rows(case, width, np.array(keys, np.uint64), key, **how)
    for row, row_key in zip(found, keys, strict=True):
        r.assert_same_bits(row, wanted[row_key], (case.name, width, row_key))


# --- the stream ----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: f"{row['seed']}, {row['row key']}")
def test_g9_vectors(row: dict[str, Any]) -> None:
    key, row_key = Key.from_seed(row["seed"]), row["row key"]
    assert rw.row_stream(key, row_key).base == int(row["counter"], 16)
    assert set(row["weights"]) == {case.name for case in cases.ROW_CASES}
    for case in cases.ROW_CASES:
        found = rows(case, 7, row_key, key)
        assert r.hex_numbers(found) == row["weights"][case.name], case.name
    block = int(row["words"][0], 16), *(int(word, 16) for word in row["words"][1:4])
    assert rw.inverse_philox4x32(block, key.words) == int(row["counter"], 16)


def test_the_table_in_the_specification_is_that_of_the_vectors() -> None:
    text = (r.DATA.parents[1] / "kernels" / "README.md").read_text(encoding="utf-8")
    found = re.findall(
        r"\| (\d+) \| (\d[\d^]*)[^|]* \| ((?:\w{8} ?){4}) \| ((?:\w{8} ?){4}) \|", text
    )
    wanted = {(row["seed"], row["row key"]): row for row in VECTORS}
    numbers = {"0": 0, "1": 1, "2^64": 2**64 - 1}
    assert len(found) == 3
    for seed, row_key, counter, words in found:
        row = wanted[int(seed), numbers[row_key]]
        assert "".join(reversed(counter.split())) == row["counter"]
        assert words.split() == row["words"][:4]


@by_case
def test_every_kernel_gives_the_oracles_rows(case: Case) -> None:
    keys = [0, 5, 2**63, 5, 2**64 - 1, *range(2**40, 2**40 + 30)]
    for width in (1, 2, 3, 4, 5, 7, 8, 20, 33):
        check(case, width, keys)
    check(case, 500, keys[:8])
    check(case, 2001, keys[:3])


@pytest.mark.parametrize("base", [2**128 - 256, 2**63 - 256 * 5, 2**64 - 256, 2**127])
@by_case
def test_counters_carry_past_every_word(case: Case, base: int) -> None:
    """No seed has such a base, but a key may."""
    check(case, 37, [0, 1, 2**64 - 1, 2**63, 1], Key((5, 6), base))


@settings(max_examples=300, deadline=None)
@given(
    case=st.sampled_from(CASES),
    width=st.one_of(st.integers(1, 70), st.sampled_from([128, 1023, 1921])),
    keys=st.lists(row_keys, min_size=1, max_size=40),
    threads=st.sampled_from([1, 3]),
)
def test_g1_any_keys_and_width_in_any_order_and_more_than_once(
    case: Case, width: int, keys: list[int], threads: int
) -> None:
    if width > 70:
        keys = keys[:5]
    check(case, width, keys, threads=threads)


@settings(max_examples=60, deadline=None)
@given(case=st.sampled_from(ONE_EACH), width=st.sampled_from([16, 28, 100, 700, 1024, 4097]))
def test_g1_lines_that_bypass_the_caches_and_many_chunks(case: Case, width: int) -> None:
    keys = np.random.default_rng(width).integers(0, 2**64, 200_000 // width, np.uint64)
    usual = rows(case, width, keys, threads=1)
    with mock.patch.object(cpu, "STREAMING_BYTES", 0), mock.patch.object(cpu, "SINGLE", 0):
        assert rows(case, width, keys, threads=3).tobytes() == usual.tobytes()
    last = case.weights(rw.row_stream(KEY, int(keys[-1])), 0, width)
    r.assert_same_bits(usual[-1], last)


# --- initializers --------------------------------------------------------------------------------


@given(st.lists(st.integers(-(2**63), 2**64 - 1), max_size=6))
def test_negative_keys_are_their_twos_complement(keys: list[int]) -> None:
    init = pi.Uniform(seed=1)
    found = init.rows_by_key(5, keys)
    assert found.shape == (len(keys), 5)
    assert found.tobytes() == init.rows_by_key(5, [k % 2**64 for k in keys]).tobytes()
    for row, row_key in zip(found, keys, strict=True):
        assert row.tobytes() == init.rows_by_key(5, row_key).tobytes()


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint16, np.uint64])
def test_keys_of_any_integer_dtype(dtype: Any) -> None:
    init = pi.Normal(seed=1)
    keys = np.array([[3, 0], [np.iinfo(dtype).min, np.iinfo(dtype).max]], dtype)
    found = init.rows_by_key((2, 3), np.asfortranarray(keys), "bfloat16")
    assert found.shape == (2, 2, 2, 3)
    wanted = [init.rows_by_key(6, int(k), "bfloat16").tobytes() for k in keys.ravel()]
    assert found.tobytes() == b"".join(wanted)


def test_a_row_is_the_same_whatever_comes_with_it() -> None:
    """Evicted and added again, in another batch, order, process: the row's own key decides."""
    init = pi.TruncatedNormal(stddev=0.01, seed=7).named("clicks")
    together = init.rows_by_key(33, [9, 2**63 + 5, -4])
    alone = np.stack([init.rows_by_key(33, key) for key in (9, 2**63 + 5, -4)])
    assert together.tobytes() == alone.tobytes()
    assert init.rows_by_key(20, 9).tobytes() == together[0, :20].tobytes()
    assert together.tobytes() != init.named("other").rows_by_key(33, [9, 2**63 + 5, -4]).tobytes()


def test_fans_are_those_of_the_table_that_the_caller_names() -> None:
    init, shape = pi.GlorotUniform(seed=3), (10**6, 64)
    found = init.rows_by_key(64, [5, 6], global_shape=shape)
    drawn = init.distribution_for(shape)
    assert (
        found.tobytes()
        == pi.Uniform(drawn.low, drawn.high, seed=3).rows_by_key(64, [5, 6]).tobytes()
    )


def test_constants_have_rows_by_key_too() -> None:
    assert pi.Constant(0.5).rows_by_key(3, [1, 2]).tolist() == [[0.5] * 3] * 2


def test_out_device_threads_and_progress_are_those_of_a_call() -> None:
    init, calls = pi.Uniform(seed=3), []
    out = np.empty((300, 1000), np.float16)
    keys = np.arange(300)
    found = init.rows_by_key(1000, keys, out=out, threads=2, progress=lambda *c: calls.append(c))
    assert found is out
    assert calls[-1] == (300_000, 300_000)
    assert out.tobytes() == init.rows_by_key(1000, keys, "float16", device="cpu").tobytes()
    with pytest.raises(ValueError, match=r"`out` must have the shape asked for; got out of shape"):
        init.rows_by_key(999, keys, out=out)


@pytest.mark.parametrize("width", [5, 128, 500])
def test_rows_that_lie_apart(width: int) -> None:
    init, keys = pi.Uniform(seed=3), [7, -1, 2**63, 7]
    memory = np.full((4, width + 3), 7.0, np.float32)
    init.rows_by_key(width, keys, out=memory[:, :width])
    assert memory[:, :width].tobytes() == init.rows_by_key(width, keys).tobytes()
    assert (memory[:, width:] == 7).all()
    apart = np.empty((4, width, 2, 2), np.float32)[:, :, :, :1]
    with pytest.raises((ValueError, NotImplementedError), match="must"):
        init.rows_by_key((width, 2, 1), [1, 2, 3, 4], out=apart)


def test_no_keys_and_no_columns() -> None:
    calls: list[Any] = []
    init = pi.Uniform(seed=3)
    assert init.rows_by_key(5, [], progress=lambda *c: calls.append(c)).shape == (0, 5)
    assert init.rows_by_key(0, [1, 2]).shape == (2, 0)
    assert calls == [(0, 0)]


def test_keys_are_copied_so_that_nobody_changes_a_part() -> None:
    keys = np.array([1, 2])
    part = RowsByKey((1, 3), keys)
    keys[0] = 99
    assert part.ids.tolist() == [1, 2]
    assert not part.ids.flags.writeable
    assert ROWS_BY_KEY == 2**63


def test_g4_rows_take_no_memory_but_their_own() -> None:
    init, keys = pi.Uniform(seed=3), np.arange(250_000)
    out = np.empty((250_000, 4), np.float32)
    init.rows_by_key(4, keys, out=out, threads=1)
    gc.collect()
    tracemalloc.start()
    init.rows_by_key(4, keys, out=out, threads=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


SCALED = "`global_shape` must be given, since GlorotUniform scales with the fans"
OTHER = "`global_shape` must be (rows, width), a table of such rows; got global_shape="


@pytest.mark.parametrize(
    ("init", "width", "keys", "how", "error", "message"),
    [
        ("Uniform", 3, [0.5], {}, TypeError, "`keys` must be integers; got 0.5"),
        (
            "Uniform",
            3,
            np.ones(2),
            {},
            TypeError,
            "`keys` must be integers; got keys of dtype float64",
        ),
        ("Uniform", 3, [True], {}, TypeError, "`keys` must be integers; got keys of dtype bool"),
        ("Uniform", 3, "7", {}, TypeError, "`keys` must be integers; got keys of dtype <U1"),
        ("Uniform", 3, None, {}, TypeError, "`keys` must be integers; got None"),
        ("Uniform", 3, 2**64, {}, ValueError, f"`keys` must lie in [-2**63, 2**64); got {2**64}"),
        (
            "Uniform",
            3,
            [0, -(2**63) - 1],
            {},
            ValueError,
            "`keys` must lie in [-2**63, 2**64); got -",
        ),
        ("Uniform", 3, [2**64, 0.5], {}, ValueError, "`keys` must lie in [-2**63, 2**64)"),
        ("Uniform", -1, [0], {}, ValueError, "must not hold negative dimensions; got shape=(-1,)"),
        (
            "Uniform",
            2**28 + 1,
            [],
            {},
            ValueError,
            "`width` must be at most 2**28 weights; got width=",
        ),
        ("Uniform", 3, [0], {"global_shape": (5, 4)}, ValueError, OTHER + "(5, 4) for width=3"),
        ("Uniform", 3, [0], {"global_shape": ()}, ValueError, OTHER + "() for width=3"),
        ("GlorotUniform", 3, [0], {}, ValueError, SCALED),
        (
            "Orthogonal",
            3,
            [0],
            {},
            NotImplementedError,
            "rows by key are made by initializers that",
        ),
        ("Identity", 3, [0], {}, NotImplementedError, "and by constants; got Identity"),
    ],
)
def test_bad_rows_by_key(
    init: str, width: Any, keys: Any, how: Any, error: type[Exception], message: str
) -> None:
    made = getattr(pi, init)() if init == "Identity" else getattr(pi, init)(seed=1)
    with pytest.raises(error, match=re.escape(message)):
        made.rows_by_key(width, keys, **how)
