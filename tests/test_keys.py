# SPDX-License-Identifier: Apache-2.0
"""keys: seeds to keys as TensorFlow makes them, names to sub-keys, and what is refused."""

import json
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from philinit.keys import Key, as_seed, fresh_seed
from tests.support import reference as r
from tests.support import reference_words as rw

KNOWN = json.loads((r.DATA / "keys.json").read_text())


def refused(kind: type[Exception], message: str, call: Any, *args: Any) -> None:
    with pytest.raises(kind, match=f"^{re.escape(message)}$"):
        call(*args)


# --- from_seed -----------------------------------------------------------------------------------


@given(seed=st.integers(-(2**127), 2**128 - 1))
def test_g3_seeds_are_scrambled_as_tensorflow_does(seed: int) -> None:
    assert Key.from_seed(seed) == rw.key_of_seed(seed)


@pytest.mark.parametrize(
    "seed",
    [0, 1, -1, 42, 2**31 - 1, 2**32, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64]
    + [-(2**63) - 1, 2**128 - 1, -(2**127)],
)
def test_g9_seeds_have_their_frozen_keys(seed: int) -> None:
    entry = KNOWN["seeds"][str(seed)]
    key = Key.from_seed(seed)
    assert [f"{w:08x}" for w in key.words] == entry["words"]
    assert f"{key.base:032x}" == entry["base"]


def test_g3_the_words_are_those_of_tensorflow() -> None:
    tf = pytest.importorskip("tensorflow")
    for seed in (0, 1, -1, 42, 2**31 - 1, -(2**31), 2**40 + 5, 2**63 - 1, -(2**63)):
        bits = tf.random.stateless_uniform(
            [11], tf.constant([seed, 0], tf.int64), None, None, tf.uint32, alg="philox"
        )
        assert bits.numpy().tolist() == rw.words(Key.from_seed(seed), 0, 11).tolist()


def test_negative_seeds_are_their_twos_complement() -> None:
    assert Key.from_seed(-1) == Key.from_seed(2**64 - 1)
    assert Key.from_seed(-(2**63)) == Key.from_seed(2**63)
    assert Key.from_seed(-(2**63) - 1) == Key.from_seed(2**128 - 2**63 - 1)
    assert Key.from_seed(-(2**127)) == Key.from_seed(2**127)


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8, np.uint64])
def test_numpy_integers_are_seeds(kind: Any) -> None:
    assert Key.from_seed(kind(5)) == Key.from_seed(5)


def test_a_thousand_seeds_give_a_thousand_streams() -> None:
    firsts = {tuple(rw.words(Key.from_seed(s), 0, 4).tolist()) for s in range(-500, 500)}
    assert len(firsts) == 1000


@pytest.mark.parametrize("seed", [1.0, "1", b"1", [1], (1, 2), np.float32(1), np.array([1, 2]), {}])
def test_other_types_are_no_seeds(seed: Any) -> None:
    message = f"`seed` must be an int or None; got seed={seed!r} of type {type(seed).__name__}"
    refused(TypeError, message, Key.from_seed, seed)


@pytest.mark.parametrize("seed", [True, False, np.True_])
def test_bools_are_no_seeds(seed: Any) -> None:
    message = re.escape(f"`seed` must be an int or None; got seed={seed!r}")
    with pytest.raises(TypeError, match=f"^{message}( of type \\w+)?$"):
        as_seed(seed)


@pytest.mark.parametrize("seed", [2**128, -(2**127) - 1, 10**60])
def test_seeds_beyond_128_bits(seed: int) -> None:
    refused(
        ValueError, f"`seed` must lie in [-2**127, 2**128); got seed={seed}", Key.from_seed, seed
    )


def test_none_draws_fresh_entropy() -> None:
    assert len({fresh_seed() for _ in range(100)}) == 100
    assert all(0 <= fresh_seed() < 2**128 for _ in range(100))
    assert Key.from_seed(None) != Key.from_seed(None)


# --- fold_in -------------------------------------------------------------------------------------


@given(
    seed=st.integers(-(2**63), 2**64 - 1),
    data=st.one_of(st.integers(), st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_fold_in_is_the_hash_of_the_specification(seed: int, data: int | str) -> None:
    key = Key.from_seed(seed)
    assert key.fold_in(data) == rw.fold_in(key, data)


@pytest.mark.parametrize("entry", KNOWN["fold_in"], ids=lambda e: f"{e['seed']}-{e['data']!r}")
def test_g9_fold_in_has_its_frozen_keys(entry: dict[str, Any]) -> None:
    key = Key.from_seed(entry["seed"])
    for data in entry["data"]:
        key = key.fold_in(data)
    assert [f"{w:08x}" for w in key.words] == entry["words"]
    assert f"{key.base:032x}" == entry["base"]


def test_an_int_and_its_decimal_string_are_different_data() -> None:
    key = Key.from_seed(1)
    assert key.fold_in(12) != key.fold_in("12")
    assert key.fold_in(np.int64(12)) == key.fold_in(12)


def test_fold_in_depends_on_key_base_and_order() -> None:
    key = Key((1, 2), 3)
    others = [Key((2, 1), 3), Key((1, 3), 3), Key((1, 2), 4), Key((1, 2), 3 + 2**127)]
    assert len({k.fold_in("a") for k in (key, *others)}) == 5
    assert key.fold_in("a").fold_in("b") != key.fold_in("b").fold_in("a")
    assert key.fold_in("ab") != key.fold_in("a").fold_in("b")


def test_folded_streams_share_no_words() -> None:
    """Any two of 4 000 words equal: expected 4000**2 / 2**33 = 0.002 pairs, so none."""
    key = Key.from_seed(7)
    children = [
        key,
        *(key.fold_in(i) for i in range(20)),
        *(key.fold_in(str(i)) for i in range(19)),
    ]
    drawn = np.concatenate([rw.words(k, 0, 100) for k in children])
    assert np.unique(drawn).size == drawn.size
    spoiled = np.concatenate([drawn, rw.words(Key.from_seed(7), 4, 1)])
    assert np.unique(spoiled).size < spoiled.size


def test_fold_in_sets_the_upper_half_of_the_base_only() -> None:
    for i in range(20):
        assert Key((1, 2), 2**128 - 1).fold_in(i).base % 2**64 == 0
        assert Key.from_seed(i).base % 2**64 == 0


@pytest.mark.parametrize("data", [1.5, None, b"name", (1,), np.float64(2)])
def test_other_types_are_no_data(data: Any) -> None:
    message = f"`data` must be an int or a str; got data={data!r} of type {type(data).__name__}"
    refused(TypeError, message, Key.from_seed(0).fold_in, data)


def test_bools_are_no_data() -> None:
    refused(
        TypeError, "`data` must be an int or a str; got data=True", Key.from_seed(0).fold_in, True
    )


# --- Key -----------------------------------------------------------------------------------------


def test_keys_are_values() -> None:
    a, b = Key((1, 2), 3), Key((1, 2), 3)
    assert a == b
    assert hash(a) == hash(b)
    assert a != Key((1, 2), 4)
    assert len({a, b, Key((2, 1), 3)}) == 2
    assert Key((1, 2)).base == 0
    assert repr(a) == "Key(words=(1, 2), base=3)"
    assert eval(repr(a)) == a
    assert pickle.loads(pickle.dumps(a)) == a
    with pytest.raises(AttributeError):
        a.base = 4  # type: ignore[misc]


def test_seeds_that_compare_equal_are_not_confused_by_the_cache() -> None:
    assert Key.from_seed(1) == Key.from_seed(np.uint8(1))
    with pytest.raises(TypeError):
        Key.from_seed(True)  # True == 1, which the cache holds
    with pytest.raises(TypeError):
        Key.from_seed(1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [[1, 2], (1,), (1, 2, 3), 5, None, "ab"])
def test_words_must_be_a_pair(words: Any) -> None:
    refused(TypeError, f"`words` must be a tuple of two ints; got words={words!r}", Key, words)


@pytest.mark.parametrize("words", [(-1, 0), (0, 2**32), (0.0, 1), (True, 1), ("a", "b")])
def test_words_must_have_32_bits(words: Any) -> None:
    refused(ValueError, f"`words` must hold ints in [0, 2**32); got words={words!r}", Key, words)


@pytest.mark.parametrize("base", [-1, 2**128, 1.0, None, True])
def test_the_base_must_have_128_bits(base: Any) -> None:
    refused(
        ValueError, f"`base` must be an int in [0, 2**128); got base={base!r}", Key, (0, 0), base
    )
