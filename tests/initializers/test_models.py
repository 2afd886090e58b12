# SPDX-License-Identifier: Apache-2.0
"""Maps of parameters' names to initializers: matches, streams, JSON, tables."""

from __future__ import annotations

import fnmatch
import json
import math
import pickle
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import philinit as pi
from philinit.initializers.models import (
    Keep,
    Padded,
    ParameterMap,
    Parts,
    Scaled,
    Stacked,
    dry_run,
    initialize,
    normalized,
)
from tests.support.initializers import same

QKV, EXPERTS = ("qkv", ("a", "b")), ("experts", "experts.{}")
EVERYTHING: list[Any] = [
    ("*.bias", pi.Zeros()),
    ("*.ln_?.weight", pi.Ones()),
    (re.compile(r"h\.(\d+)\..*c_proj\.weight"), Scaled(pi.Normal(0, 0.02), "1/sqrt(2L)", depth=12)),
    (re.compile(r"LAYERS\.(?P<layer>\d+)", re.I), Scaled(pi.HeNormal(), (1.0, 0.5, 0.25))),
    ("*.qkv.*", Parts([(8, pi.GlorotUniform()), (None, pi.Uniform(-1, 1))], rename=QKV)),
    ("*.experts.*", Stacked(Parts([pi.Normal(), Keep()], axis=1), rename=EXPERTS)),
    ("wte", Padded(pi.TruncatedNormal(0, 0.02, -math.inf, 3, after_cut=True), (0, -1))),
    ("frozen/*", Keep()),
    ("seeded", pi.Orthogonal(seed=5)),
    ("*", pi.VarianceScaling(1.0, "fan_in", lower=-3, upper=3, after_cut=False)),
]


def arrays(shapes: dict[str, tuple[int, ...]], dtype: Any = np.float32) -> dict[str, Any]:
    return {name: np.full(shape, 7, dtype) for name, shape in shapes.items()}


def test_values_are_those_of_single_calls_on_the_key_of_the_name() -> None:
    parameters = ParameterMap(
        [("*.bias", pi.Zeros()), ("enc/*", pi.HeNormal()), ("*", pi.Normal())]
    )
    shapes = {"enc/0/kernel:0": (8, 6), "enc.0.bias": (6,), "dec.kernel": (6, 4)}
    weights = arrays(shapes)
    assert initialize(weights, parameters, seed=3) is weights
    assert same(weights["enc/0/kernel:0"], pi.HeNormal(seed=3).named("enc.0.kernel")((8, 6)))
    assert same(weights["dec.kernel"], pi.Normal(seed=3).named("dec.kernel")((6, 4)))
    assert not weights["enc.0.bias"].any()
    one = parameters.initializer("enc/0/kernel", (8, 6), seed=3)
    assert one == pi.HeNormal(seed=3).named("enc.0.kernel")
    # Neither order nor company matters.
    alone = initialize(arrays({"dec.kernel": (6, 4)}), parameters, seed=3)
    assert same(alone["dec.kernel"], weights["dec.kernel"])


def test_seeds_and_names_that_were_given_stay() -> None:
    parameters = ParameterMap({"a": pi.Normal(seed=5, names=("mine",)), "b": pi.Normal()})
    found = parameters.initializers({"a": 2, "b": 2}, seed=3)
    assert found["a"] == pi.Normal(seed=5, names=("mine", "a"))
    assert found["b"] == pi.Normal(seed=3, names=("b",))
    assert not found["b"].from_entropy  # type: ignore[attr-defined]


def test_the_first_pattern_that_matches_counts() -> None:
    parameters = ParameterMap(
        [(re.compile(r"\.1\."), pi.Ones()), ("a.*", pi.Zeros()), ("a.?.w", pi.Constant(2.0))]
    )
    assert parameters.find("a.1.w", 3) == pi.Ones()
    assert parameters.find("a/2/w", 3) == pi.Zeros()
    assert parameters.find("A.2.w", 3) is None  # case counts
    assert (parameters + ParameterMap({"*": pi.Normal()})).find("A.2.w", 3) is not None
    first = ParameterMap({"*": pi.Ones()}) + parameters
    assert first.find("a.2.w", 3) == pi.Ones() and len(first) == 4


@given(st.text("ab.*?[]!-", min_size=1, max_size=8), st.text("ab.", min_size=1, max_size=8))
def test_strings_match_as_fnmatch_does(pattern: str, name: str) -> None:
    expected = re.compile(fnmatch.translate(pattern)).match(name) is not None
    assert (ParameterMap({pattern: pi.Ones()}).find(name, 1) is not None) == expected


def test_a_callable_gives_initializers_by_name_and_shape() -> None:
    def by_rank(name: str, shape: tuple[int, ...]) -> Any:
        return pi.Zeros() if len(shape) == 1 else pi.GlorotUniform() if name != "x" else None

    weights = initialize(arrays({"w": (4, 6), "b": (6,)}), by_rank, seed=1)
    assert same(weights["w"], pi.GlorotUniform(seed=1).named("w")((4, 6)))
    with pytest.raises(ValueError, match=r"no match for x \(4, 6\)"):
        initialize(arrays({"x": (4, 6)}), by_rank, seed=1)
    with pytest.raises(TypeError, match="w: `parameters` must give a philinit initializer"):
        ParameterMap(lambda name, shape: 5).find("w", 3)
    with pytest.raises(TypeError, match="callable has no entries"):
        ParameterMap(by_rank).to_json()


# --- as values -----------------------------------------------------------------------------------


def test_json_pickle_repr_and_equality() -> None:
    parameters = ParameterMap(EVERYTHING)
    assert parameters == ParameterMap(EVERYTHING) and hash(parameters) == hash(
        ParameterMap(list(EVERYTHING))
    )
    text = parameters.to_json()
    assert ParameterMap.from_json(text) == parameters
    assert json.loads(text) == parameters.get_config()
    assert text.count('"seed"') == 1  # only the one that was given
    assert pickle.loads(pickle.dumps(parameters)) == parameters
    names = vars(pi) | vars(pi.models) | {"re": re, "float": float}
    assert eval(repr(parameters), names) == parameters
    assert "entropy" not in repr(parameters)
    assert parameters != ParameterMap(EVERYTHING[1:])
    with pytest.raises(AttributeError, match="entries"):
        parameters.entries = ()


GAINS = st.one_of(
    st.floats(1e-3, 1e3),
    st.sampled_from(sorted(pi.models.FORMULAS)),
    st.lists(st.floats(1e-3, 1e3), min_size=3, max_size=3),
)
LEAVES = st.one_of(
    st.builds(pi.Normal, st.floats(-1, 1), st.floats(0, 1)),
    st.builds(pi.Constant, st.floats(-4, 4)),
    st.builds(pi.GlorotUniform, gain=st.none() | st.floats(0.1, 2)),
    st.builds(pi.Orthogonal, st.floats(0.1, 2), seed=st.integers(-5, 5)),
    st.builds(lambda cut: pi.TruncatedNormal(lower=-cut, after_cut=True), st.floats(0.1, 9)),
)
TREES = st.recursive(
    LEAVES | st.builds(Scaled, LEAVES, GAINS, st.just(3)),
    lambda inner: (
        st.builds(Parts, st.lists(inner, min_size=1, max_size=3), axis=st.integers(-1, 1))
        | st.builds(Stacked, axis=st.integers(0, 2), initializer=inner)
        | st.builds(Padded, inner, st.lists(st.integers(-3, 3), max_size=2))
    ),
    max_leaves=4,
)
PATTERNS = st.text(min_size=1, max_size=9) | st.builds(
    re.compile, st.sampled_from(["a", r"^\d+$", r"(?P<layer>\d)\."]), st.sampled_from([0, re.I])
)


@given(st.lists(st.tuples(PATTERNS, TREES), min_size=1, max_size=4))
def test_every_map_comes_back_from_json(entries: Any) -> None:
    parameters = ParameterMap(entries)
    assert ParameterMap.from_json(parameters.to_json()) == parameters
    assert ParameterMap.from_json(parameters.to_json()).to_json() == parameters.to_json()


@given(st.text(min_size=1, max_size=12))
def test_normalized_names_stay_as_they_are(name: str) -> None:
    once = normalized(name + "x")
    assert normalized(once) == once and "/" not in once


# --- all or nothing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "error", "text"),
    [
        ({"a": pi.Ones()}, ValueError, r"no match for b\.w \(2, 3\), c \(4,\)$"),
        ({"c": pi.Identity(), "*": pi.Ones()}, ValueError, r"^c: `shape` must have 2 axes"),
        ({"c": pi.Constant(1e300), "*": pi.Ones()}, ValueError, r"^c: `value` must fit into"),
        (
            {"c": Parts([pi.Ones()] * 3), "*": pi.Ones()},
            ValueError,
            r"^c: `parts` must fill axis 0",
        ),
        (
            {"c": Scaled(pi.Normal(), "1/sqrt(i+1)"), "*": pi.Ones()},
            ValueError,
            r"^c: `layer` must",
        ),
        ({"c": Padded(pi.Normal(), 4), "*": pi.Ones()}, ValueError, r"^c: `padding` must be rows"),
        ({"a": pi.Ones}, TypeError, r"`entries` must be pairs of a pattern.*got \('a', <class"),
        ({b"a": pi.Ones()}, TypeError, "`entries` must be pairs of a pattern"),
        ([(re.compile(b"a"), pi.Ones())], TypeError, "`entries` must be pairs of a pattern"),
        ({}, ValueError, "at least one pattern"),
        (pi.Ones(), TypeError, "`entries` must be pairs"),
        (5, TypeError, "`entries` must be pairs"),
    ],
)
def test_nothing_is_written_when_anything_is_refused(
    parameters: Any, error: Any, text: str
) -> None:
    weights = arrays({"a": (3,), "b/w": (2, 3), "c": (4,)})
    for call in (initialize, dry_run):
        with pytest.raises(error, match=text):
            call(weights, parameters, seed=1)
    assert all((array == 7).all() for array in weights.values())


def test_names_seeds_and_arrays_that_are_refused() -> None:
    parameters = {"*": pi.Ones()}
    with pytest.raises(ValueError, match=r"must differ; got a\.b twice"):
        initialize(arrays({"a.b": (3,), "a/b": (3,)}), parameters, seed=1)
    for seed in (None, 1.5, True):
        with pytest.raises(TypeError, match="`seed` must be an int"):
            initialize(arrays({"a": (3,)}), parameters, seed=seed)
    with pytest.raises(TypeError, match="`arrays` must be a mapping"):
        initialize([np.zeros(3)], parameters, seed=1)  # type: ignore[type-var]
    with pytest.raises(TypeError, match="names of parameters must be non-empty str"):
        initialize({3: np.zeros(3)}, parameters, seed=1)  # type: ignore[type-var]
    with pytest.raises(ValueError, match="`a` must hold float32"):
        initialize({"a": np.zeros(3, np.int32)}, parameters, seed=1)


def test_progress_counts_all_arrays() -> None:
    calls: list[tuple[int, int]] = []
    weights = arrays({"a": (300, 7), "b": (5,), "c": (0, 3), "d": (4, 4)})
    parameters = {"a": Parts([pi.Normal()] * 7, axis=1), "d": Keep(), "*": pi.Normal()}
    initialize(weights, parameters, seed=1, threads=1, progress=lambda *c: calls.append(c))
    assert calls[-1] == (2121, 2121) and {total for _, total in calls} == {2121}
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


# --- the table -----------------------------------------------------------------------------------


def test_the_table_has_what_is_expected_and_observed() -> None:
    shapes = {
        "h.3.mlp.c_proj.weight": (512, 256),
        "h.3.mlp.c_proj.bias": (256,),
        "x.qkv.w": (64, 512),
        "wte": (500, 64),
        "frozen.a": (3,),
        "plain": (300, 400),
    }
    weights = arrays(shapes)
    table = dry_run(weights, EVERYTHING, seed=1)
    assert (weights["wte"] == 7).all()
    rows = {row["name"]: row for row in json.loads(json.dumps(table.rows()))}
    assert list(rows) == list(shapes)
    row = rows["h.3.mlp.c_proj.weight"]
    assert row["stddev"] == pytest.approx(0.02 / math.sqrt(24), rel=1e-14)
    assert row["shape"] == [512, 256] and row["dtype"] == "float32" and row["fans"] == []
    assert row["initializer"].startswith("Scaled(initializer=Normal(stddev=0.02)")
    assert rows["plain"]["fans"] == [[300, 400]]
    assert rows["x.qkv.w"]["fans"] == [[8, 512]]
    variance = (8 * 2 / 520 + 56 / 3) / 64  # Glorot's in 8 rows, U[-1, 1) in 56
    assert rows["x.qkv.w"]["stddev"] == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert rows["frozen.a"]["stddev"] is None
    initialize(weights, EVERYTHING, seed=1)
    for row in dry_run(weights, EVERYTHING, seed=1).observed().rows():
        array = weights[row["name"]].astype(np.float64)
        assert row["observed_mean"] == pytest.approx(array.mean(), abs=1e-12)
        assert row["observed_stddev"] == pytest.approx(array.std(), abs=1e-12)
        if row["stddev"]:
            assert row["observed_stddev"] == pytest.approx(row["stddev"], rel=0.05)
    text = str(table).splitlines()
    assert text[0].split()[:4] == ["name", "shape", "dtype", "initializer"]
    assert len(text) == len(shapes) + 2 and text[-1] == "6 parameters, 316,099 weights"
    assert max(map(len, text)) < 160


def test_expected_moments_of_what_draws_nothing() -> None:
    shapes = {"eye": (6, 4), "ortho": (96, 64), "one": (3,), "stack": (3, 64, 32)}
    parameters = {
        "eye": pi.Identity(3.0),
        "ortho": pi.Orthogonal(2.0),
        "one": pi.Constant(2.5),
        "stack": Stacked(Scaled(pi.Orthogonal(), (1.0, 2.0, 3.0))),
    }
    weights = initialize(arrays(shapes, np.float64), parameters, seed=1)
    for row in dry_run(weights, parameters, seed=1).observed().rows():
        second = math.hypot(row["mean"], row["stddev"])
        assert math.hypot(row["observed_mean"], row["observed_stddev"]) == pytest.approx(second)


@pytest.mark.parametrize(
    ("pattern", "name", "layer"),
    [
        (re.compile(r"layers\.(\d+)"), "model.layers.3.up", 3),
        (re.compile(r"stage(\d)\.block(?P<layer>\d+)"), "net.stage1.block2.w", 2),
        (re.compile(r"layers\.\d+"), "model.layers.4.up.0", 4),  # no group: the first number
        (re.compile(r"(a|b)\.w"), "h.5.a.w", 5),  # a group, but no number
        ("*.block_?.*", "x.block_3.7.w", 7),
        ("*", "encoder/6/kernel:0", 6),
    ],
)
def test_the_number_of_a_layer_is_taken_from_its_name(pattern: Any, name: str, layer: int) -> None:
    gains = [1.0 + i for i in range(8)]
    found = ParameterMap([(pattern, Scaled(pi.Normal(0, 1), gains))]).find(name, (2, 2))
    assert found is not None
    assert found.distribution_for(2).stddev == 1.0 + layer
    nested = ParameterMap(
        [(pattern, Stacked(Scaled(pi.Normal(0, 1), gains)))]
    )  # experts of a layer
    weights = initialize({name: np.empty((2, 64, 64))}, nested, seed=1)[name]
    assert weights.std() == pytest.approx(1.0 + layer, rel=0.05)


def test_a_layer_without_a_number_is_an_error() -> None:
    parameters = {"*": Scaled(pi.Normal(), "1/sqrt(i+1)")}
    with pytest.raises(ValueError, match=r"^block_3\.w: `layer` must be known.*a group"):
        initialize(arrays({"block_3.w": (3,)}), parameters, seed=1)
    said = {"*": Scaled(pi.Normal(0, 1), "1/sqrt(i+1)", layer=3)}
    assert dry_run(arrays({"9.w": (3,)}), said, seed=1).rows()[0]["stddev"] == 0.5
