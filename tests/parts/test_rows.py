# SPDX-License-Identifier: Apache-2.0
"""Rows by number: those of the whole tensor, of every initializer."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.parts import Rows
from tests.support import reference as r
from tests.support import reference_words as rw

INITS = [
    pi.GlorotUniform(seed=1),
    pi.HeNormal(seed=2, sampler="tensorflow"),
    pi.Constant(0.5),
    pi.Orthogonal(seed=3),
    pi.Identity(2.0),
]


@pytest.mark.parametrize("init", INITS, ids=lambda init: type(init).__name__)
@pytest.mark.parametrize("ids", [5, [], [0, 0, 8], [[1], [3]], np.arange(9, dtype=np.uint8)])
def test_rows_are_those_of_the_whole_tensor(init: Any, ids: Any) -> None:
    whole = init((9, 6), "float32")
    expected = whole[np.asarray(ids, np.int64)]
    found = init.rows((9, 6), ids)
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()
    out = np.empty(expected.shape, np.float32)
    assert init.fill(out, shard=Rows((9, 6), ids)) is out
    assert out.tobytes() == expected.tobytes()


def test_a_row_of_a_table_beyond_all_memory_is_what_the_oracle_says() -> None:
    init, shape = pi.GlorotUniform(seed=7), (1 << 55, 128)
    for row in (0, 12_345_678_901, (1 << 55) - 1):
        expected = r.weights(
            init.distribution_for(shape), r.FLOAT32, rw.key_of_seed(7), row * 128, 128
        )
        assert init.rows(shape, row).tobytes() == expected.tobytes()


def test_ids_are_copied_so_that_nobody_changes_a_part() -> None:
    ids = np.array([1, 2])
    rows = Rows((5, 3), ids)
    ids[0] = 99
    assert rows.ids.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("shape", "ids", "error", "message"),
    [
        ((5, 3), [0, 5], ValueError, "`ids` must lie in [0, 5), the rows that there are; got 5"),
        ((5, 3), [-1], ValueError, "`ids` must lie in [0, 5), the rows that there are; got -1"),
        ((5, 3), 2**64, TypeError, "`ids` must be integers; got ids of dtype object"),
        ((5, 3), [0.0], TypeError, "`ids` must be integers; got ids of dtype float64"),
        ((5, 3), [True], TypeError, "`ids` must be integers; got ids of dtype bool"),
        ((5, 3), "3", TypeError, "`ids` must be integers"),
        ((), 0, ValueError, "`global_shape` must have at least one axis"),
        ((0, 3), [0], ValueError, "`ids` must lie in [0, 0)"),
        ((1 << 62, 2), [0], ValueError, "`global_shape` must hold at most 2**62 elements"),
    ],
)
def test_bad_rows(shape: Any, ids: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=re.escape(message)):
        pi.GlorotUniform(seed=1).rows(shape, ids)
