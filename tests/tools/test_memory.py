# SPDX-License-Identifier: Apache-2.0
"""Peaks of memory, and memset."""

from pathlib import Path

import numpy as np
import pytest

from philinit.tools.measure import memory
from philinit.tools.measure.memory import Peak


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_peak_sees_memory_that_was_given_back():
    size = 64 << 20
    with Peak() as peak:
        np.ones(size, np.uint8)
    if peak.extra is None:
        pytest.skip("this system does not let a process reset its peak")
    slack = 8 << 20  # the kernel counts resident pages in batches
    assert size - slack < peak.extra < size + slack
    with Peak() as idle:
        pass
    assert idle.extra < slack


@pytest.mark.parametrize("size", [1000, 3 * memory.ALONE + 5])
def test_memset_writes_every_byte(size):
    buffer = np.zeros(size, np.uint8)
    assert memory.memset(buffer, 3) is buffer
    assert (buffer == memory.BYTE).all()
