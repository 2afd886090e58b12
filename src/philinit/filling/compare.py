# SPDX-License-Identifier: Apache-2.0
"""Whether memory holds the weights of a stream, told by kernels that compare and do not write."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from philinit.filling.cpu import LARGEST_CHUNK, _Fill
from philinit.kernels.plan import Plan
from philinit.keys import Key


class StreamComparison(_Fill):
    """The memory `found`, against weights `offset`, `offset + 1`, ... of a stream."""

    loop = "verify"

    def __init__(self, found: np.ndarray[Any, Any], plan: Plan, key: Key, offset: int) -> None:
        super().__init__(found, plan, key, offset)
        self.known = ctypes.c_int64()
        self.streaming = ctypes.addressof(self.known)  # the last argument of these kernels

    def equal(self) -> bool:
        """Whether every bit is as it should be; stops at the first chunk with a difference."""
        return all(self.write(*c) == self.known.value for c in self.chunks(LARGEST_CHUNK))
