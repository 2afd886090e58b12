# SPDX-License-Identifier: Apache-2.0
"""Runs: where the elements of a part lie, as few stretches as can be."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from philinit.parts import Shard, runs_of


@given(st.data())
def test_a_shard_is_as_few_runs_as_can_be(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=6)))
    starts = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    lengths = tuple(data.draw(st.integers(1, n - s)) for n, s in zip(shape, starts, strict=True))
    index = tuple(slice(s, s + n) for s, n in zip(starts, lengths, strict=True))
    offsets = np.arange(math.prod(shape)).reshape(shape)[index].ravel().tolist()
    runs = runs_of(shape, starts, lengths)
    assert [i for start, n in runs for i in range(start, start + n)] == offsets
    assert all(a + n < b for (a, n), (b, _) in itertools.pairwise(runs))
    assert runs.span == offsets[-1] - offsets[0] + 1
    # Axes that could be one are one: nothing is left to merge.
    assert all(outer[1] != inner[0] * inner[1] for outer, inner in itertools.pairwise(runs.axes))
    assert all(count > 1 for count, _ in runs.axes)


def test_a_shard_of_a_convolution_kernel_needs_one_axis_of_runs() -> None:
    shard = Shard((3, 3, 256, 512), (slice(None), slice(None), slice(64, 128)))
    assert shard.as_runs.axes == ((9, 256 * 512),)
    assert shard.as_runs.length == 64 * 512
