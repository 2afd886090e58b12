# SPDX-License-Identifier: Apache-2.0
"""Whether memory holds the weights of a stream, told by kernels that compare and do not write."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from philinit.filling.cpu import LARGEST_CHUNK, Windows
from philinit.filling.memory import address
from philinit.kernels.cpu.compiler import kernel
from philinit.kernels.table import Plan
from philinit.keys import Key


def holds(found: np.ndarray[Any, Any], plan: Plan, key: Key, start: int) -> bool:
    """Whether every bit of `found` is that of weights `start`, `start + 1`, ... of a stream.

    It stops at the first chunk with a difference.
    """
    equal = ctypes.c_int64()  # weights before the first difference of a chunk
    where = ctypes.addressof(equal)  # the last argument of these kernels
    call = kernel(plan.kernel.name, "verify")
    task = Windows(call, found, address(found), plan, key, start, where)
    return all(task.write(*chunk) == equal.value for chunk in task.chunks(LARGEST_CHUNK))
