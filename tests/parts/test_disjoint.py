# SPDX-License-Identifier: Apache-2.0
"""No counter block is used twice: by rows by key, rows by number, tensors, names and neighbors.

The proof is in kernels/README.md, section 1. Here are its numbers, the counters that kernels really
use (Philox is a bijection: words tell their counter), and 10^8 words without a repeated block.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import philinit as pi
from philinit.filling import fill as door
from philinit.kernels.table import KERNELS, make
from philinit.keyed import WIDTH_LIMIT, rows_of
from philinit.parts import Rows
from philinit.targets import Target
from tests.support import reference_words as rw
from tests.support.planted import assert_caught

WORDS = make("words")
ALL = 1 << 128
halves = st.one_of(st.sampled_from([0, 1, 2**63 - 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1))
columns = st.one_of(st.sampled_from([0, 1, 2**34 - 1]), st.integers(0, 2**34 - 1))
blocks = st.one_of(st.sampled_from([0, 2**62, 2**63 - 1]), st.integers(0, 2**63 - 1))


def words(key: pi.Key, part: Any) -> rw.Array:
    """The random words that a part is made of, counter block by counter block."""
    out = np.empty(part.shape, np.uint32)
    with mock.patch.object(door, "_planner", return_value=lambda *_: WORDS):
        door.draw(Target(out, part.global_shape, part), None, key)  # type: ignore[arg-type]
    return out.reshape(-1, 4)


def counter(block: Any, key: pi.Key) -> int:
    return rw.inverse_philox4x32(block.tolist(), key.words)


# --- the numbers of the proof --------------------------------------------------------------------


def test_counters_of_rows_and_of_tensors_are_as_few_as_the_proof_says() -> None:
    for kernel in KERNELS.values():
        per_block = 4 // kernel.words
        assert WIDTH_LIMIT // per_block * kernel.reserved <= 1 << 34
        weights = 1 << (64 if kernel.reserved == 1 else 57)
        assert weights // per_block * kernel.reserved <= 1 << 63


@given(halves, halves, halves, halves, columns, columns, blocks)
def test_counters_of_one_stream(
    low: int, high: int, k1: int, k2: int, m1: int, m2: int, n: int
) -> None:
    base = high << 64 | low
    one, other = ((base + (1 << 63) + (k << 64) + m) % ALL for k, m in ((k1, m1), (k2, m2)))
    assert (one == other) == ((k1, m1) == (k2, m2))
    assert (base + n) % ALL not in (one, other)


@given(halves, halves, halves, columns, blocks)
def test_counters_of_two_streams(high1: int, high2: int, k: int, m: int, n: int) -> None:
    row, tensor = ((high1 << 64) + (1 << 63) + (k << 64) + m) % ALL, ((high2 << 64) + n) % ALL
    assert row >> 63 & 1 == 1
    assert tensor >> 63 & 1 == 0


@given(st.integers(-(2**127), 2**128 - 1), st.one_of(st.integers(), st.text()))
def test_bases_of_seeds_and_names_have_a_lower_half_of_zeros(seed: int, name: int | str) -> None:
    key = pi.Key.from_seed(seed)
    assert key.base % (1 << 64) == key.fold_in(name).base % (1 << 64) == 0


# --- the counters that kernels use ---------------------------------------------------------------


@given(st.integers(-(2**127), 2**128 - 1), st.lists(halves, min_size=1, max_size=5))
def test_the_kernels_counters_are_those_of_the_proof(seed: int, keys: list[int]) -> None:
    key, width = pi.Key.from_seed(seed), 24
    found = words(key, rows_of(width, keys)).reshape(len(keys), -1, 4)
    for row, row_key in zip(found, keys, strict=True):
        for m in (0, 5):
            assert counter(row[m], key) == (key.base + (1 << 63) + (row_key << 64) + m) % ALL
    ids = [row_key % (1 << 53) for row_key in keys]
    found = words(key, Rows((1 << 53, width), ids)).reshape(len(keys), -1, 4)
    for row, number in zip(found, ids, strict=True):
        assert counter(row[0], key) == key.base + number * width // 4


# --- 10^8 words ----------------------------------------------------------------------------------


def drawn(scale: int) -> Iterator[rw.Array]:
    """Words of many streams close to each other, each block of them meant to be drawn once.

    Of every stream the beginning, rows by number from there to the last of 2^62 words, and rows by
    key: small ones, those around every power of two, those that make the upper half of the counter
    small or another stream's, and any.
    """
    init = pi.Uniform(seed=42)
    keys = [pi.Key.from_seed(seed) for seed in (41, 42, 43, -1, 0, 2**64 - 2, 2**64, 2**127)]
    keys += [init.named(name).key for name in ("a", "b", "0", 0, 1, "a/b")]
    keys += [init.named("a").named(name).key for name in ("b", 0)]
    rng = np.random.default_rng(16)
    powers = {(sign << n) + d for sign in (1, -1) for n in range(64) for d in (-1, 0, 1)}
    powers = {power % 2**64 for power in powers}
    bases = {k.base >> 64 for k in keys}
    for key in keys:
        near = {(b - (key.base >> 64) + d) % 2**64 for b in (0, *bases) for d in (-1, 0, 1)}
        chosen = rng.integers(0, 2**64, 5 * scale, np.uint64).tolist()
        row_keys = np.array(sorted({*range(scale), *powers, *near, *chosen}), np.uint64)
        yield words(key, rows_of(256, row_keys))
        whole = 1 << 54
        ids = {*range(scale, 2 * scale), *(whole - 1 - i for i in range(scale))}
        ids |= {(1 << n) + d for n in range(40, 54) for d in (-1, 0, 1)}
        ids.update(rng.integers(2 * scale, whole, scale).tolist())
        yield words(key, Rows((whole, 256), np.array(sorted(ids))))
        yield words(key, Rows((whole, 256), np.arange(scale)))
    # As if two seeds had the same key words, and bases next to each other.
    for d in (1, 2, 2**32, 2**63):
        neighbor = dataclasses.replace(keys[0], base=(keys[0].base + (d << 64)) % ALL)
        yield words(neighbor, Rows((1 << 54, 256), np.arange(scale)))
        yield words(neighbor, Rows((1 << 54, 256), (1 << 54) - 1 - np.arange(scale)))


def check_no_block_twice(scale: int, least: int) -> None:
    found = np.concatenate([part.view(np.uint64) for part in drawn(scale)])
    assert 2 * found.size >= least
    # Two blocks of 128 bits that are not the same counter's agree in 64 with probability 2^-64.
    first = np.sort(found[:, 0])
    repeated = np.unique(first[1:][first[1:] == first[:-1]])
    for half in repeated.tolist():
        same = found[found[:, 0] == half]
        assert len(np.unique(same[:, 1])) == len(same), f"a block is there twice: {same[0]}"


def test_a_hundred_million_words_without_a_repeated_block() -> None:
    check_no_block_twice(2400, 10**8)


@pytest.mark.parametrize("mark", [0, 1 << 59], ids=["no mark", "a mark that tensors reach"])
def test_a_layout_without_the_mark_is_caught(mark: int) -> None:
    """The twin that must fail: rows by key where tensors and rows by number are."""
    with mock.patch.object(door, "ROWS_BY_KEY", mark):
        assert_caught(check_no_block_twice, 50, 10**6, match="a block is there twice")
