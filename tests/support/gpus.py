# SPDX-License-Identifier: Apache-2.0
"""The CUDA devices of this machine, and what tests on them share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from philinit.tools.selftest import cases
from tests.support.processes import Done, run_python

DEVICES, WHY = cases.devices()
GPUS = DEVICES[1:]
needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(not GPUS, reason=f"no CUDA device: {WHY}")]
by_gpu = pytest.mark.parametrize("device", GPUS or ["cuda"])


def busy(cupy: Any, milliseconds: float = 30.0) -> Any:
    """Queue work on the current stream that takes some such time; keep what is returned."""
    array, stream = cupy.empty(1 << 28, np.float32), cupy.cuda.get_current_stream()
    for _ in range(max(1, int(milliseconds / 0.7))):
        cupy.cuda.runtime.memsetAsync(array.data.ptr, 1, array.nbytes, stream.ptr)
    return array


START = """
import os, sys, numpy as np, cupy, philinit as pi
from philinit.distributions import Normal, TruncatedNormal, Uniform
D, K = Uniform(-0.1, 0.1), pi.Key.from_seed(42)
def cpu(count, offset=0, what=D, dtype=np.float32):
    return pi.fill(np.empty(count, dtype), what, K, offset)
def same(found, want):
    assert cupy.asnumpy(found).tobytes() == want.tobytes(), "other bits than the CPU's"
"""


def alone(code: str, **environment: object) -> Done:
    """Run code that spoils its process in one of its own; a failure shows what it printed."""
    return run_python(START + code, env=environment)
