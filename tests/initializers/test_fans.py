# SPDX-License-Identifier: Apache-2.0
"""fans: Keras's own function for the default axes, JAX's formula for explicit ones, bad axes."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from philinit.checks import as_shape
from philinit.initializers.fans import compute_fans

SHAPES = st.lists(st.integers(0, 7), max_size=6).map(tuple)


@given(SHAPES)
def test_default_axes_equal_keras_for_every_rank(shape: tuple[int, ...]) -> None:
    keras = pytest.importorskip("keras.src.initializers.random_initializers")
    assert compute_fans(shape) == keras.compute_fans(shape)


@pytest.mark.parametrize(
    ("shape", "axes", "fans"),
    [
        ((), {}, (1, 1)),
        ((7,), {}, (7, 7)),
        ((3, 5), {}, (3, 5)),
        ((3, 3, 256, 512), {}, (2304, 4608)),
        ((0, 5), {}, (0, 5)),
        # As JAX counts: size of the axes times everything that has no role.
        ((512, 3, 3, 256), {"in_axis": -1, "out_axis": 0}, (2304, 4608)),
        ((8, 64, 512), {"in_axis": (0, 1), "out_axis": 2}, (512, 512)),
        ((8, 64, 512), {"in_axis": 2, "out_axis": [0, 1]}, (512, 512)),
        ((12, 64, 256), {"batch_axis": 0}, (64, 256)),
        ((12, 5, 64, 256), {"batch_axis": (0,)}, (320, 1280)),
        ((9,), {"in_axis": (), "out_axis": 0}, (1, 9)),
        ((4, 9), {"in_axis": np.int64(1), "out_axis": np.int32(0)}, (9, 4)),
        ((1 << 40, 1 << 40), {}, (1 << 40, 1 << 40)),
        ((1 << 40, 1 << 40, 8, 2), {}, (1 << 83, 1 << 81)),
    ],
)
def test_fans(shape: tuple[int, ...], axes: dict[str, Any], fans: tuple[int, int]) -> None:
    assert compute_fans(shape, **axes) == fans
    assert all(type(fan) is int for fan in compute_fans(shape, **axes))


@given(st.data())
def test_explicit_axes_follow_the_formula(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    roles = [data.draw(st.sampled_from("iobr")) for _ in shape]
    signed = [axis - len(shape) * data.draw(st.integers(0, 1)) for axis in range(len(shape))]
    sizes = {
        role: math.prod(n for n, r in zip(shape, roles, strict=True) if r == role)
        for role in "iobr"
    }

    def axes(role: str) -> list[int]:
        return [axis for axis, r in zip(signed, roles, strict=True) if r == role]

    expected = (sizes["i"] * sizes["r"], sizes["o"] * sizes["r"])
    assert compute_fans(shape, axes("i"), axes("o"), axes("b")) == expected


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"in_axis": 2}, "`in_axis` must lie in [-2, 2) for a shape with 2 axes; got in_axis=2"),
        ({"out_axis": (0, -3)}, "`out_axis` must lie in [-2, 2)"),
        ({"in_axis": (0, 0)}, "`in_axis` must not repeat an axis; got in_axis=(0, 0)"),
        ({"in_axis": (0, -2)}, "`in_axis` must not repeat an axis; got in_axis=(0, -2)"),
        ({"in_axis": 1}, "`in_axis` and `out_axis` must not share an axis; got in_axis=1"),
        ({"in_axis": -1}, "`in_axis` and `out_axis` must not share an axis; got in_axis=-1"),
        ({"batch_axis": 0}, "`in_axis` and `batch_axis` must not share an axis"),
        ({"batch_axis": [-1]}, "`out_axis` and `batch_axis` must not share an axis"),
    ],
)
def test_axes_that_do_not_fit(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        compute_fans((3, 4), **axes)


def test_explicit_axes_on_a_vector_name_its_one_axis() -> None:
    with pytest.raises(
        ValueError, match=re.escape("`in_axis` must lie in [-1, 1) for a shape with 1 axis")
    ):
        compute_fans((3,), in_axis=-2, out_axis=0)


@pytest.mark.parametrize("axis", [1.0, True, "0", None, [0.5], (True,), np.True_])
def test_axes_of_the_wrong_type(axis: Any) -> None:
    with pytest.raises(
        TypeError, match="`in_axis` must be an int or a sequence of ints; got in_axis="
    ):
        compute_fans((3, 4), in_axis=axis)


@pytest.mark.parametrize("shape", [(2, 3), [2, 3], (np.int64(2), np.uint8(3)), np.array([2, 3])])
def test_shapes_become_tuples_of_python_ints(shape: Any) -> None:
    assert as_shape(shape) == (2, 3)
    assert [type(n) for n in as_shape(shape)] == [int, int]


def test_an_int_alone_is_the_shape_of_a_vector() -> None:
    assert as_shape(5) == (5,)
    assert as_shape(np.int32(5)) == (5,)


@pytest.mark.parametrize(
    "shape", [2.0, (2.0, 3), "23", None, (None, 3), True, (True, 2), (np.True_,), b"1"]
)
def test_shapes_of_the_wrong_type(shape: Any) -> None:
    with pytest.raises(TypeError, match=r"`shape` must hold ints only; got .* of type "):
        as_shape(shape)


@pytest.mark.parametrize("shape", [-1, (2, -3), [np.int64(-1)]])
def test_negative_dimensions(shape: Any) -> None:
    with pytest.raises(ValueError, match="`shape` must not hold negative dimensions; got shape="):
        as_shape(shape)
