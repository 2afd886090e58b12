# SPDX-License-Identifier: Apache-2.0
"""Rows whose ids lie on the device: looked at once, never copied there, refused elsewhere.

No GPU takes part: tests/support/cupy_stand_in.py says what stands for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.filling.cuda import prepare
from tests.support import cupy_stand_in as stand_in
from tests.support.cuda_backend import KEY, UNIFORM, launches, needs_gxx

pytestmark = needs_gxx

IDS = [7, 0, 39, 7, 12]


def table() -> Any:
    return pi.fill(np.empty((40, 30), np.float32), UNIFORM, KEY)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint16])
def test_ids_on_the_device_are_checked_once_and_never_copied_there(cupy: Any, kind: Any) -> None:
    with cupy.cuda.Device(1):
        ids = cupy.asarray(np.array(IDS, kind).reshape(5, 1))
        outs = [cupy.empty((5, 1, 30), np.float32) for _ in range(2)]
    rows = pi.Rows((40, 30), ids)
    assert (rows.shape, rows.last) == ((5, 1, 30), 39)
    assert type(rows.ids) is cupy.ndarray
    del stand_in.calls[:], ids
    for out in outs:
        pi.fill(out, UNIFORM, KEY, shard=rows)
    assert [call[0] for call in stand_in.calls if call[0] in ("asarray", "synchronize")] == []
    for out in outs:
        assert cupy.asnumpy(out).tobytes() == table()[IDS].tobytes()


def test_ids_on_the_device_can_go_into_a_cuda_graph(cupy: Any) -> None:
    rows, out = pi.Rows((40, 30), cupy.asarray(np.array(IDS))), cupy.empty((5, 30), np.float32)
    prepare(UNIFORM)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        stream.begin_capture()
        pi.fill(out, UNIFORM, KEY, shard=rows)
        stream.end_capture().launch()
    with stream:
        assert cupy.asnumpy(out).tobytes() == table()[IDS].tobytes()


def test_ids_on_the_device_that_are_wrong_or_elsewhere_are_refused(cupy: Any) -> None:
    for bad, got in (([3, -1], "-1"), ([40, 3], "40"), ([2**63], str(2**63))):
        with pytest.raises(ValueError, match=rf"must lie in \[0, 40\).*; got {got}$"):
            pi.Rows((40, 30), cupy.asarray(np.array(bad)))
    with pytest.raises(TypeError, match=r"`ids` must be integers; got ids of dtype float32"):
        pi.Rows((40, 30), cupy.asarray(np.zeros(3, np.float32)))
    rows = pi.Rows((40, 30), cupy.asarray(np.array(IDS)))
    with cupy.cuda.Device(1):
        other = cupy.empty((5, 30), np.float32)
    with pytest.raises(ValueError, match=r"on the device that is filled.*on cuda:0 for cuda:1"):
        pi.fill(other, UNIFORM, KEY, shard=rows)
    host = np.zeros((5, 30), np.float32)
    with pytest.raises(TypeError, match=r"must be in CPU memory.*pass cupy.asnumpy\(ids\)"):
        pi.fill(host, UNIFORM, KEY, shard=rows)
    with pytest.raises(TypeError, match=r"must be in CPU memory.*pass cupy.asnumpy\(ids\)"):
        pi.Identity().rows((40, 30), rows.ids)
    assert not host.any()
    assert launches() == []
