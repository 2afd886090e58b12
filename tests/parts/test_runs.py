# SPDX-License-Identifier: Apache-2.0
"""Runs: where the elements of a part lie, as few stretches as can be; and long ones, written."""

from __future__ import annotations

import itertools
import math
from unittest import mock

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import philinit as pi
from philinit.dtypes import FLOAT8, NAMES, as_dtype
from philinit.filling import cpu
from philinit.parts import Shard
from philinit.runs import runs_of


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


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(NAMES),
    sampler=st.sampled_from(["native", "tensorflow"]),
    threads=st.sampled_from([1, 3]),
)
def test_g1_long_runs_past_the_caches(
    data: st.DataObject, name: str, sampler: str, threads: int
) -> None:
    """Lines that bypass the caches, the ends of runs that cannot, and the bytes around."""
    dtype = as_dtype(name)
    assume(sampler == "native" or name not in FLOAT8)  # TensorFlow draws no float8
    width = data.draw(st.sampled_from([700, 1024, 4097, 9000]))
    low = data.draw(st.integers(0, width - 500))
    high = data.draw(st.integers(low + 400, width))
    rows, before = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 80))
    part = pi.Shard((rows, width), (slice(0, rows), slice(low, high)))
    nbytes = rows * (high - low) * dtype.itemsize
    memory = np.full(before + nbytes + 80, 0xA5, np.uint8)
    out = memory[before : before + nbytes].view(dtype).reshape(part.shape)
    init = pi.Normal(seed=9, sampler=sampler)
    with mock.patch.object(cpu, "STREAMING_BYTES", 0):
        init.fill(out, shard=part, threads=threads)
    assert out.tobytes() == init((rows, width), dtype)[:, low:high].tobytes()
    assert (np.delete(memory, slice(before, before + nbytes)) == 0xA5).all()
