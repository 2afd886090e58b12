# SPDX-License-Identifier: Apache-2.0
"""Dirac, DeltaOrthogonal, Sparse: values, shards, dtypes, what is refused."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from scipy import stats

import philinit as pi
from philinit.initializers.config import describe, described
from philinit.initializers.models import DeltaOrthogonal, Dirac, Parts, Scaled, Sparse, dry_run
from philinit.parts import Rows, Shard
from tests.support.initializers import DTYPES, same

ALL: list[tuple[Any, tuple[int, ...]]] = [
    (Dirac(), (3, 3, 5, 8)),
    (Dirac(2.5, groups=3, in_axis=1, out_axis=0), (9, 2, 4, 5)),
    (DeltaOrthogonal(seed=1), (5, 4, 8)),
    (DeltaOrthogonal(0.5, in_axis=1, out_axis=0, seed=2, names=("a", 3)), (8, 8, 2, 3, 3)),
    (Sparse(0.3, seed=3), (10, 7)),
    (Sparse(0.75, 2.0, seed=4, names=("b",)), (33, 5)),
]


@pytest.mark.parametrize(("init", "shape"), ALL)
def test_they_are_values(init: Any, shape: Any) -> None:
    names = {"Dirac": Dirac, "DeltaOrthogonal": DeltaOrthogonal, "Sparse": Sparse}
    assert eval(repr(init), names) == init and hash(eval(repr(init), names)) == hash(init)
    assert pickle.loads(pickle.dumps(init)) == init
    assert described(json.loads(json.dumps(describe(init)))) == init
    if not isinstance(init, Dirac):
        assert init.named("x").names == (*init.names, "x")
        assert not np.array_equal(init(shape), init.named("x")(shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("init", "shape"), ALL)
def test_shards_and_rows_are_cut_out_of_the_whole(init: Any, shape: Any, dtype: str) -> None:
    whole = init(shape, dtype)
    index = (slice(1, 3), *(slice(0, n, 1) for n in shape[1:-1]), slice(2, shape[-1]))
    assert same(init.shard(shape, index, dtype), np.ascontiguousarray(whole[index]))
    assert same(init.rows(shape, [2, 0, 2], dtype), whole[[2, 0, 2]])
    out = np.full(Shard(shape, index).shape, 7, whole.dtype)
    init.fill(out, shard=Shard(shape, index))
    assert same(out, np.ascontiguousarray(whole[index]))
    calls: list[Any] = []
    init(shape, dtype, progress=lambda *c: calls.append(c), shard=Rows(shape, [1]))
    assert calls[-1] == (whole.size // shape[0],) * 2
    assert same(init(shape, dtype, threads=1), whole)


def test_dirac_hands_on_each_channel() -> None:
    kernel = Dirac(2.0)((3, 4, 5, 8))
    expected = np.zeros((3, 4, 5, 8), np.float32)
    expected[1, 2, range(5), range(5)] = 2.0
    assert np.array_equal(kernel, expected)
    assert Dirac()((3, 0, 4)).shape == (3, 0, 4)


def test_the_matrix_of_a_delta_orthogonal_kernel_is_orthogonal() -> None:
    kernel = DeltaOrthogonal(3.0, seed=1)((4, 3, 6, 9), "float64")
    matrix = kernel[1, 1].copy()  # (size - 1) // 2
    assert abs(matrix @ matrix.T - 9.0 * np.eye(6)).max() < 1e-12
    kernel[1, 1] = 0
    assert not kernel.any()
    assert DeltaOrthogonal(seed=1)((0, 2, 3)).size == 0


def test_all_sets_of_zeros_are_equally_likely() -> None:
    x = Sparse(0.5, seed=1)((4, 60_000))
    sets = ((x == 0) * np.array([[1], [2], [4], [8]])).sum(axis=0)
    found = np.unique(sets, return_counts=True)[1]
    assert len(found) == 6 and stats.chisquare(found).pvalue > 1e-6  # 4 choose 2
    both = ((x[0] == 0)[:-1] == (x[0] == 0)[1:]).mean()  # columns do not follow each other
    assert abs(both - 0.5) < 4.75 * 0.5 / 60_000**0.5


def test_numbers_between_the_zeros_are_those_of_normal() -> None:
    x, y = Sparse(0.4, 0.1, seed=5)((50, 40)), pi.Normal(0, 0.1, seed=5)((50, 40))
    assert np.array_equal(x[x != 0], y[x != 0])
    assert not Sparse(1.0, seed=1)((5, 4)).any()
    assert Sparse(0.0, 0.1, seed=5)((50, 40)).all()


def test_they_go_where_other_initializers_go() -> None:
    assert np.array_equal(Scaled(Dirac(), 2.0)((3, 2, 2)), Dirac(2.0)((3, 2, 2)))
    halves = Parts([Dirac(), DeltaOrthogonal(seed=1)], axis=-1)((3, 2, 4))
    assert np.array_equal(halves[..., :2], Dirac()((3, 2, 2)))
    rows = dry_run({"c": np.empty((3, 2, 2))}, {"*": Dirac()}, seed=1).rows()
    assert rows[0]["stddev"] is None


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: Dirac()((3, 4)), ValueError, "`shape` must have at least 3 axes"),
        (lambda: Dirac(groups=3)((3, 4, 4)), ValueError, "`groups` must divide the channels out"),
        (lambda: Dirac(groups=2.0), TypeError, "`groups` must be an int"),
        (lambda: Dirac(groups=0), ValueError, "`groups` must be at least 1"),
        (lambda: Dirac(in_axis=(0, 1)), TypeError, "`in_axis` must be one axis"),
        (lambda: Dirac(in_axis=1, out_axis=1), ValueError, "must not share an axis"),
        (lambda: Dirac(in_axis=5)((3, 4, 4)), ValueError, "`in_axis` must lie in"),
        (lambda: Dirac(1e300)((3, 4, 4)), ValueError, "`gain` must fit into float32"),
        (lambda: Dirac(float("nan")), ValueError, "`gain` must be finite"),
        (lambda: DeltaOrthogonal()((3, 8, 4)), ValueError, "not have more channels in than out"),
        (lambda: DeltaOrthogonal()((8, 8)), ValueError, "`shape` must have at least 3 axes"),
        (lambda: DeltaOrthogonal("2"), TypeError, "`gain` must be a real number"),
        (lambda: Sparse(0.5)((3,)), ValueError, "`shape` must have 2 axes for a sparse"),
        (lambda: Sparse(-0.1), ValueError, r"`sparsity` must be in \[0, 1\]"),
        (lambda: Sparse(0.5, -1.0), ValueError, "`stddev` must"),
        (lambda: Sparse(0.5, 1e300)((3, 3)), ValueError, "float32"),
        (
            lambda: dry_run({"c": np.empty((3, 3), np.float16)}, {"c": Sparse(0.5, 1e9)}, 1),
            ValueError,
            "^c: .*float16",
        ),
    ],
)
def test_what_is_refused(call: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        call()
