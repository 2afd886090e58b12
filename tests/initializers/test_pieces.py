# SPDX-License-Identifier: Apache-2.0
"""Initializers made of others: each part has the values, fans and stream of a tensor of its own."""

from __future__ import annotations

import itertools
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import philinit as pi
from philinit import distributions
from philinit.initializers.models import FORMULAS, Keep, Padded, Parts, Scaled, Stacked, windows
from tests.support.initializers import DTYPES, same

SMALL = pi.Normal(0, 0.02, seed=1)
EACH: list[Any] = [
    Parts([pi.GlorotUniform(seed=1), pi.HeNormal(seed=1), pi.Zeros()], axis=1),
    Parts([(5, SMALL), (None, pi.Ones()), (3, pi.Uniform(seed=2))], axis=-2, names=("a", 3)),
    Parts([SMALL, SMALL], rename=("qk", ("q", "k"))).named("h.0.qk.weight"),
    Stacked(pi.GlorotNormal(seed=1), axis=0),
    Stacked(Scaled(pi.HeUniform(seed=1), "1/sqrt(2(i+1))"), axis=1),
    Stacked(Stacked(pi.Constant(2.0)), names=("a",)),
    Stacked(pi.Identity(2.0)),
    Stacked(pi.Orthogonal(seed=3), axis=2),
    Scaled(Scaled(pi.GlorotUniform(seed=2), 0.5), (0.1, 0.2), layer=1),
    Padded(pi.TruncatedNormal(seed=4), (0, -2)),
    Parts([Stacked(SMALL), Padded(pi.Normal(seed=2), 1)], axis=1),
]


def name_of(init: Any) -> str:
    return repr(init)[:60]


SHAPE = (6, 12, 4)


@pytest.mark.parametrize("init", EACH, ids=name_of)
def test_config_json_pickle_repr_and_equality(init: Any) -> None:
    for each in (init, init.named("x.qk").named(3)):
        config = json.loads(json.dumps(each.get_config(), allow_nan=False))
        assert type(each).from_config(config) == each
        assert pickle.loads(pickle.dumps(each)) == each
        assert eval(repr(each), vars(pi) | vars(pi.models)) == each
        assert hash(each) == hash(pickle.loads(pickle.dumps(each)))
    assert init != init.named("y")


@pytest.mark.parametrize("init", EACH, ids=name_of)
@pytest.mark.parametrize("dtype", DTYPES)
def test_g1_every_shard_is_that_of_the_whole(init: Any, dtype: str) -> None:
    whole = init(SHAPE, dtype)
    assert same(init(SHAPE, dtype, threads=2), whole)
    ranges = [[slice(None), slice(1, n - 1), slice(0, 0), n // 2] for n in SHAPE]
    for index in itertools.product(*ranges):
        assert same(init.shard(SHAPE, index, dtype), whole[index]), index


def test_parts_are_tensors_of_their_own() -> None:
    q, k = pi.GlorotUniform(seed=7), pi.HeNormal(seed=7)
    w = Parts([(16, q), (None, k), (8, pi.Ones())], axis=1).named("attention")((32, 40))
    assert same(w[:, :16].copy(), q.named("attention").named(0)((32, 16)))
    assert same(w[:, 16:32].copy(), k.named("attention").named(1)((32, 16)))
    assert (w[:, 32:] == 1).all()
    packed = Parts([q, q, q], rename=("qkv_proj", ("q_proj", "k_proj", "v_proj")))
    w = packed.named("h.3.qkv_proj.weight")((48, 32))
    for start, name in ((0, "q"), (16, "k"), (32, "v")):
        assert same(w[start : start + 16], q.named(f"h.3.{name}_proj.weight")((16, 32)))


def test_slices_of_a_stack_are_tensors_of_their_own() -> None:
    init = pi.HeUniform(seed=7)
    w = Stacked(init).named("layers.mlp.kernel")((3, 16, 8))
    for i in range(3):
        assert same(w[i], init.named("layers.mlp.kernel").named(i)((16, 8)))
    renamed = Stacked(init, axis=1, rename=("layers", "layers.{}")).named("layers.mlp.kernel")
    w = renamed((16, 3, 8))
    for i in range(3):
        assert same(w[:, i].copy(), init.named(f"layers.{i}.mlp.kernel")((16, 8)))
    by_depth = Stacked(Scaled(SMALL, "1/sqrt(2(i+1))"))((3, 64, 64))
    for i in range(3):
        expected = pi.Normal(0, 0.02 * (1 / math.sqrt(2 * (i + 1))), seed=1).named(i)
        assert same(by_depth[i], expected((64, 64)))
    experts = Stacked(Scaled(SMALL, (1.0, 3.0), layer=1))((4, 8, 8))  # the layer was said
    assert same(experts[2], pi.Normal(0, 0.06, seed=1).named(2)((8, 8)))


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        ("1/sqrt(L)", 1 / math.sqrt(12)),
        ("1/sqrt(2L)", 1 / math.sqrt(24)),
        (" 1 / sqrt(2 * L) ", 1 / math.sqrt(24)),
        ("1/sqrt(i+1)", 1 / math.sqrt(4)),
        ("1 / sqrt(2 (i + 1))", 1 / math.sqrt(8)),
        (0.5, 0.5),
        ([1.0, 2.0, 3.0, 4.0, *[1.0] * 8], 4.0),
    ],
)
def test_gains_by_depth(gain: Any, expected: float) -> None:
    scaled = Scaled(pi.Normal(0.5, 0.02, seed=1), gain, depth=12, layer=3)
    assert scaled.distribution_for((4, 4)) == distributions.Normal(0.5 * expected, 0.02 * expected)
    assert scaled.key == pi.Normal(seed=1).key
    uniform = Scaled(pi.Uniform(-1, 2, seed=1), gain, depth=12, layer=3)
    assert uniform.distribution_for(4) == distributions.Uniform(-expected, 2 * expected)


def test_what_draws_nothing_is_scaled() -> None:
    assert (Scaled(pi.Constant(3.0), 0.5)((2, 3)) == 1.5).all()
    assert not Scaled(pi.Zeros(), 0.5)((2, 3)).any()
    assert same(Scaled(pi.Identity(), 0.5)((2, 3)), pi.Identity(0.5)((2, 3)))
    assert same(Scaled(pi.Orthogonal(seed=1), 3)((4, 3)), pi.Orthogonal(3.0, seed=1)((4, 3)))
    assert Scaled(pi.Ones(), 0.5).distribution_for(3) is None


def test_padding_leaves_the_other_rows_as_they_are() -> None:
    table = pi.Normal(seed=1)((10, 4))
    padded = Padded(pi.Normal(seed=1), (0, -3))
    got = padded((10, 4))
    assert not got[[0, 7]].any()
    kept = [1, 2, 3, 4, 5, 6, 8, 9]
    assert same(got[kept], table[kept])
    ids = np.array([[7, 8], [1, 0]])
    assert same(padded.rows((10, 4), ids), got[ids])


def test_what_is_kept_is_not_written() -> None:
    out = np.full((10, 4), 7, np.float32)
    assert Keep()((10, 4), out=out) is out and (out == 7).all()
    Parts([(8, pi.Zeros()), (None, Keep())]).fill(out)
    assert not out[:8].any() and (out[8:] == 7).all()
    with pytest.raises(ValueError, match="`out` must be given to be left as it is"):
        Keep()((10, 4))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("block", "row"), [(7, 1 << 16), (40, 1 << 16), (64, 4), (1, 1)])
def test_windows_are_written_in_blocks_of_any_size(
    axis: int, block: int, row: int, monkeypatch: Any
) -> None:
    init = Parts([SMALL, pi.Uniform(seed=1)], axis=axis)
    whole = init((6, 8, 10))
    monkeypatch.setattr(windows, "_BLOCK", block)
    monkeypatch.setattr(windows, "_ROW", row)
    assert same(init((6, 8, 10)), whole)
    assert same(init.shard((6, 8, 10), (slice(1, 5), 3, slice(2, 9))), whole[1:5, 3, 2:9])


def test_g4_windows_need_little_memory() -> None:
    import tracemalloc

    out = np.empty((1 << 12, 1 << 12), np.float32)
    init = Parts([SMALL, SMALL], axis=1)
    init.fill(out[:8])
    tracemalloc.start()
    init.fill(out)
    assert tracemalloc.get_traced_memory()[1] < 6 << 20
    tracemalloc.stop()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.integers(0, 2), st.data())
def test_any_lengths_on_any_axis(lengths: list[int], axis: int, data: Any) -> None:
    shape = [3, 4, 5]
    shape[axis] = sum(lengths)
    init = Parts([(n, SMALL) for n in lengths], axis=axis)
    whole = init(tuple(shape))
    start = 0
    for number, n in enumerate(lengths):
        shape[axis] = n
        window = whole.take(range(start, start + n), axis)
        assert same(window, SMALL.named(number)(tuple(shape)))
        start += n
    index = tuple(
        slice(*sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in whole.shape
    )
    assert same(init.shard(whole.shape, index), whole[index])


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Parts(5), TypeError, "`parts` must be a sequence"),
        (lambda: Parts([]), ValueError, "`parts` must hold at least one"),
        (lambda: Parts([3]), TypeError, "`parts` must hold initializers, or pairs"),
        (lambda: Parts([(1, 2)]), TypeError, "`init` must be a philinit initializer"),
        (lambda: Parts([(-1, SMALL)]), ValueError, "lengths that are ints >= 0 or None; got -1"),
        (lambda: Parts([(True, SMALL)]), ValueError, "lengths that are ints >= 0 or None"),
        (lambda: Parts([(1, SMALL), SMALL, SMALL]), ValueError, "of all open, or of one at most"),
        (lambda: Parts([SMALL], axis=1.0), TypeError, "`axis` must be an int"),
        (
            lambda: Parts([SMALL] * 2, rename=("a", "bc")),
            ValueError,
            "must be a name and 2",
        ),
        (lambda: Parts([SMALL] * 2, rename=("a", ["b"])), ValueError, "`rename` must be a name"),
        (lambda: Parts([SMALL] * 2, rename=("a", ["b", "b"])), ValueError, "names that differ"),
        (lambda: Stacked(SMALL, rename=("a", "b")), ValueError, "a new one with a {}"),
        (lambda: Stacked(5), TypeError, "`init` must be a philinit initializer"),
        (lambda: Scaled(Parts([SMALL]), 2), TypeError, "scale each of its parts"),
        (lambda: Scaled(SMALL, 0), ValueError, "`gain` must be positive"),
        (lambda: Scaled(SMALL, []), ValueError, "`gain` must hold a gain for each layer"),
        (lambda: Scaled(SMALL, "L"), ValueError, r"`gain` must be one of 1/sqrt\(L\), "),
        (lambda: Scaled(SMALL, "1/sqrt(L)"), ValueError, "`depth` must be given"),
        (lambda: Scaled(SMALL, (1, 2), depth=3), ValueError, "`depth` must be the number of gains"),
        (lambda: Scaled(SMALL, 1, depth=0), ValueError, "`depth` must be at least 1"),
        (lambda: Scaled(SMALL, 1, layer=-1), ValueError, "`layer` must be at least 0"),
        (lambda: Scaled(SMALL, 1, layer=1.0), TypeError, "`layer` must be an int"),
        (lambda: Stacked(SMALL, names="ab"), TypeError, "`names` must be a sequence of str"),
        (lambda: Parts([SMALL], names=(True,)), TypeError, "`names` must be a sequence of str"),
        (lambda: Padded(SMALL, 1.5), TypeError, "`padding` must be ints"),
    ],
)
def test_parameters_that_are_refused(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("init", "shape", "text"),
    [
        (Parts([SMALL] * 3), (4, 3), r"`parts` must fill axis 0.*3 equal ones for shape=\(4, 3\)"),
        (Parts([(2, SMALL), (3, SMALL)]), (4, 3), r"`parts` must fill axis 0.*\[2, 3\]"),
        (Parts([(5, SMALL), (None, SMALL)]), (4, 3), r"`parts` must fill axis 0"),
        (Parts([SMALL], axis=2), (4, 3), "`axis` must be one of the tensor's"),
        (Stacked(SMALL), (), "`axis` must be one of the tensor's"),
        (Stacked(SMALL, rename=("a", "a.{}")), (4, 3), "`rename` must name a component"),
        (Stacked(SMALL, rename=("a", "a.{}")).named("b.ab"), (4, 3), "`rename` must name"),
        (Scaled(SMALL, "1/sqrt(i+1)"), (4, 3), "`layer` must be known"),
        (Scaled(SMALL, (1.0, 2.0), layer=2), (4, 3), "`layer` must be below `depth`"),
        (Padded(SMALL, 4), (4, 3), "`padding` must be rows of"),
        (Padded(SMALL, 0), (), "`padding` must be rows of"),
        (Parts([pi.Ones(), pi.Constant(1e300)]), (4, 3), "`value` must fit into"),
    ],
)
def test_shapes_that_are_refused_before_anything_is_written(
    init: Any, shape: Any, text: str
) -> None:
    out = np.full(shape, 7, np.float32)
    with pytest.raises(ValueError, match=text):
        init._check(shape, out.dtype)
    with pytest.raises(ValueError, match=text):
        init.fill(out)
    assert (out == 7).all()


def test_rows_by_number_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="rows by number are not made of a tensor in pa"):
        Stacked(SMALL).rows((4, 3), [1, 2])


def test_every_formula_is_named_in_the_documentation() -> None:
    for formula in FORMULAS:
        assert f'"{formula}"' in (Scaled.__doc__ or "")
