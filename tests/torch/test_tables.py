# SPDX-License-Identifier: Apache-2.0
"""Rows of a table by number, as torch tensors."""

import re

import numpy as np
import pytest

import philinit as pi
from philinit.initializers.base import Initializer

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.torch_tensors import same  # noqa: E402

INIT, SHAPE = pt.layout(pi.GlorotUniform(seed=42)), (9, 2, 3)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("ids", [5, [], [0, 0, 8], [[1], [3]]], ids=str)
def test_the_rows_are_those_of_the_whole(dtype, ids):
    ids = np.array(ids, np.int64)
    whole = INIT(SHAPE, dtype)
    for given in (ids, ids.tolist(), torch.from_numpy(ids), torch.from_numpy(ids).int()):
        found = pt.rows(INIT, SHAPE, given, getattr(torch, dtype), threads=1)
        assert found.dtype == getattr(torch, dtype) and not found.requires_grad
        assert same(found, whole[ids])


def test_a_table_that_no_memory_holds():
    shape, ids = (1 << 55, 128), torch.tensor([0, 12_345_678_901, (1 << 55) - 1])
    assert same(pt.rows(INIT, shape, ids), INIT.rows(shape, ids.numpy()))
    strided = torch.arange(8)[::3]
    assert same(pt.rows(INIT, SHAPE, strided), INIT(SHAPE)[::3])


def test_the_dtype_is_torchs_default():
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.bfloat16):
            torch.set_default_dtype(dtype)
            assert pt.rows(INIT, SHAPE, torch.tensor([1])).dtype == dtype
    finally:
        torch.set_default_dtype(before)


def test_g4_no_copy_is_made():
    class Where(Initializer):
        def _write(self, target):
            target.view[...] = 1
            places.append(target.view.__array_interface__["data"][0])

    places = []
    assert pt.rows(Where(), SHAPE, torch.tensor([1, 2])).data_ptr() == places[0]


def test_progress_counts_what_is_written():
    done = []
    pt.rows(INIT, SHAPE, [1, 2], progress=lambda *counts: done.append(counts))
    assert done[-1] == (12, 12)


def _meta():
    return torch.zeros(3, dtype=torch.int64, device="meta")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((SHAPE, [9]), ValueError, "`ids` must lie in [0, 9), the rows that there are; got 9"),
        ((SHAPE, torch.tensor([-1])), ValueError, "`ids` must lie in [0, 9)"),
        ((SHAPE, torch.tensor([1.0])), TypeError, "`ids` must be integers; got ids of dtype float"),
        ((SHAPE, torch.tensor([True])), TypeError, "`ids` must be integers; got ids of dtype bool"),
        (((), 0), ValueError, "`global_shape` must have at least one axis"),
        ((SHAPE, _meta()), TypeError, "with values, or an array; got a Tensor on device 'meta'"),
        ((SHAPE, [0], torch.int32), ValueError, "`dtype` must be one of torch.float"),
        ((SHAPE, [0], "float32"), ValueError, "`dtype` must be one of torch.float"),
    ],
    ids=str,
)
def test_what_is_refused(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        pt.rows(INIT, *arguments)


def test_the_fans_must_be_torchs():
    with pytest.raises(ValueError, match="`init` must have the fans of torch's weights"):
        pt.rows(pi.HeNormal(seed=1), (9, 4), [0])
    with pytest.raises(TypeError, match="`init` must be a philinit initializer"):
        pt.rows("normal", (9, 4), [0])
