# SPDX-License-Identifier: Apache-2.0
"""How panels of Householder reflectors lie in memory, and the tiles that are multiplied."""

from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from philinit.kernels.constants import REFLECTORS, REFLECTORS_AT_ONCE
from philinit.kernels.cpu.simd.products import ROWS, VECTORS
from philinit.kernels.cpu.simd.types import VectorType, f32x16, f64x8


class Layout(NamedTuple):
    """Of panels of a dtype: rows of `REFLECTORS` numbers, side by side."""

    number: Any  # Numba's type
    cast: Any  # what makes one
    vector: VectorType
    size: int  # bytes of a number
    row: int  # bytes of a row of a panel
    strip: int  # columns that are multiplied at once
    line: int  # bytes of their row in scratch


def layout(name: str) -> Layout:
    """That of "float32" or "float64"."""
    number: Any = {"float32": types.float32, "float64": types.float64}[name]
    vector = {"float32": f32x16, "float64": f64x8}[name]
    size, line = number.bitwidth // 8, 64 * VECTORS
    cast = np.dtype(name).type
    return Layout(number, cast, vector, size, size * REFLECTORS, line // size, line)


assert REFLECTORS_AT_ONCE % ROWS == 0 and REFLECTORS_AT_ONCE % (8 * VECTORS) == 0
assert REFLECTORS % REFLECTORS_AT_ONCE == 0 and REFLECTORS % (16 * VECTORS) == 0
