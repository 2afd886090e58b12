# SPDX-License-Identifier: Apache-2.0
"""Constants and identities: rounded once, refused where a dtype cannot hold them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import philinit as pi


@pytest.mark.parametrize("value", [0.1, -1 / 3, 1.0, 1e-7, 6e-8, 65504.0, 1 + 2**-9, 1 + 3 * 2**-9])
def test_constants_are_rounded_once_to_nearest_even(value: float) -> None:
    for dtype in (np.float32, np.float64, np.float16):
        assert pi.constant(3, dtype, value=value).tolist() == [float(dtype(value))] * 3
    # bfloat16 by exact arithmetic: 8 significant bits, ties to even (Python rounds so).
    step = Fraction(2) ** (math.frexp(value)[1] - 8)
    assert (
        pi.constant(3, "bfloat16", value=value).tolist()
        == [round(Fraction(value) / step) * step] * 3
    )


def test_a_constant_is_not_rounded_twice() -> None:
    value = 1 + 2**-8 + 2**-40  # float32 makes a tie of it, which would go down to 1
    assert float(pi.constant((), "bfloat16", value=value)) == 1 + 2**-7


@pytest.mark.parametrize(
    ("make", "dtype", "message"),
    [
        (
            lambda: pi.Constant(65505),
            "float16",
            "`value` must fit into float16, which ends at 65504.0",
        ),
        (lambda: pi.Constant(-1e39), "float32", "`value` must fit into float32"),
        (
            lambda: pi.Constant(1e-9),
            "float16",
            "`value` must not vanish in float16; got value=1e-09",
        ),
        (lambda: pi.Identity(1e6), "float16", "`gain` must fit into float16"),
        (lambda: pi.Orthogonal(1e6), "float16", "`gain` must fit into float16"),
    ],
)
def test_a_constant_the_dtype_cannot_hold(make: Any, dtype: str, message: str) -> None:
    out = np.full((2, 2), 7, dtype)
    with pytest.raises(ValueError, match=message):
        make().fill(out)
    assert (out == 7).all()


def test_negative_zero_keeps_its_sign() -> None:
    assert np.signbit(pi.constant((), value=-0.0))
    assert not np.signbit(pi.zeros(()))


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (0, 2)])
def test_identity(shape: tuple[int, int]) -> None:
    assert pi.identity(shape, gain=0.5).tolist() == (0.5 * np.eye(*shape)).tolist()


@given(st.data())
def test_any_shard_of_an_identity(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    index = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape
    )
    w = pi.Identity(3.0).shard(shape, index)
    assert w.tolist() == (3.0 * np.eye(*shape))[index].tolist()
