# SPDX-License-Identifier: Apache-2.0
"""Random words: known answers, the carry of the counter, and the oracle's own Philox."""

import functools
import json
from typing import Any

import numpy as np
import pytest

from philinit import keys
from philinit.filling import cpu, memory
from philinit.kernels.table import make
from philinit.keys import Key
from philinit.targets import Target
from tests.support import reference as r
from tests.support import reference_words as rw

KNOWN = json.loads((r.DATA / "philox4x32.json").read_text())
ANSWERS = [
    (rounds, *([int(word, 16) for word in text.split()] for text in texts))
    for rounds, *texts in KNOWN["random123"]
]
known_answers = pytest.mark.parametrize(("rounds", "counter", "key", "words"), ANSWERS)
WORDS = make("words")


def filled(key: Key, first: int, count: int, threads: int | None = None) -> r.Array:
    out = np.empty(count, np.uint32)
    cpu.fill(Target(out, out.shape, threads=threads), WORDS, key, first)
    return out


def base(counter: list[int]) -> int:
    return sum(word << 32 * i for i, word in enumerate(counter))


@known_answers
def test_random123_known_answers_by_the_oracle(
    rounds: int, counter: list[int], key: list[int], words: list[int]
) -> None:
    assert list(rw.philox4x32(counter, key, rounds)) == words
    assert list(keys.philox4x32(tuple(counter), tuple(key), rounds)) == words
    assert rw.inverse_philox4x32(words, key, rounds) == base(counter)


@pytest.fixture(scope="module")
def vector_philox() -> Any:
    from numba import njit

    from philinit.kernels.cpu.philox import BLOCKS, begin, philox4x32, u64xN
    from philinit.kernels.cpu.simd.operators import splat
    from philinit.kernels.cpu.words import store_words

    @functools.cache
    def kernel(rounds: int) -> Any:
        words_of = philox4x32(rounds)

        @njit(error_model="numpy")  # type: ignore[untyped-decorator]
        def run(address, c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
            c0, c1, c2, c3 = splat(u64xN, c0), splat(u64xN, c1), splat(u64xN, c2), splat(u64xN, c3)
            state = begin(c0, c1, c2, c3)
            store_words(address, words_of(state, state, state, k0, k1))

        return run

    def words(counter: list[int], key: list[int], rounds: int) -> r.Array:
        out = memory.empty((4 * BLOCKS,), r.FLOAT32)
        kernel(rounds)(out.ctypes.data, *counter, *key)
        return out.view(np.uint32).reshape(-1, 4)

    return words


@known_answers
def test_random123_known_answers_in_every_lane_of_the_kernel(
    vector_philox: Any, rounds: int, counter: list[int], key: list[int], words: list[int]
) -> None:
    found = vector_philox(counter, key, rounds)
    assert found.tolist() == [words] * len(found)


@pytest.mark.parametrize(
    ("counter", "key", "words"), [answer[1:] for answer in ANSWERS if answer[0] == 10]
)
def test_random123_known_answers_by_fill(
    counter: list[int], key: list[int], words: list[int]
) -> None:
    assert filled(Key((key[0], key[1]), base(counter)), 0, 4).tolist() == words


def test_cpp26_ten_thousandth_value() -> None:
    case = KNOWN["c++26"]
    key = Key(tuple(case["key"]))
    nth = 4 * case["block"] + case["word"]
    assert nth == 9999
    assert filled(key, nth, 1).tolist() == [case["value"]]
    assert filled(key, 0, nth + 1)[-1] == case["value"]
    assert rw.philox4x32([case["block"], 0, 0, 0], case["key"])[case["word"]] == case["value"]


def test_the_two_oracles_agree() -> None:
    rng = np.random.default_rng(1)
    for bits in (0, 32, 64, 96, 128):
        start = ((1 << bits) - 3) % (1 << 128)
        key = Key(tuple(int(k) for k in rng.integers(0, 1 << 32, 2)), start)
        expected = []
        for block in range(6):
            n = (start + block) % (1 << 128)
            expected += rw.philox4x32([n >> s & rw.M32 for s in (0, 32, 64, 96)], key.words)
        assert rw.words(key, 0, 24).tolist() == expected
        assert rw.words(key, 5, 9).tolist() == expected[5:14]


@pytest.mark.parametrize("bits", [32, 64, 96, 128])
@pytest.mark.parametrize("threads", [1, 3])
def test_g1_the_counter_carries_into_every_word(bits: int, threads: int) -> None:
    for before in (0, 1, 3, 37, 9000):
        key = Key((0x12345678, 0x9ABCDEF0), ((1 << bits) - before) % (1 << 128))
        for first, count in ((0, 200), (4 * before - 2, 7), (1, 4 * before + 600)):
            if first < 0:
                continue
            r.assert_same_bits(
                filled(key, first, count, threads), rw.words(key, first, count), (before, first)
            )


@pytest.mark.parametrize("bits", [32, 34, 64, 66, 98, 125])
def test_g1_words_past_large_offsets(bits: int) -> None:
    key = Key((7, 11), (1 << 128) - 5)
    for first in ((1 << bits) - 1001, (1 << bits) - 4, 1 << bits):
        r.assert_same_bits(filled(key, first, 2003), rw.words(key, first, 2003), first)


@pytest.mark.parametrize("first", [0, 1, 2, 3, 5, 2047, 2048])
def test_words_of_every_small_count(first: int) -> None:
    key = Key.from_seed(3)
    expected = rw.words(key, first, 300)
    for count in (*range(1, 70), 127, 128, 129, 255, 256, 300):
        r.assert_same_bits(filled(key, first, count), expected[:count], count)


def test_the_check_would_catch_one_wrong_bit() -> None:
    right = rw.words(Key((0, 0)), 0, 100)
    wrong = right.copy()
    wrong[57] ^= 1
    with pytest.raises(AssertionError, match=r"1 of 100 differ, first \[57\]"):
        r.assert_same_bits(wrong, right)
