# SPDX-License-Identifier: Apache-2.0
"""The list of kernels, one for all devices, and plans: a kernel with its parameters."""

from __future__ import annotations

import ctypes
import functools
from dataclasses import dataclass
from typing import NamedTuple


class Kernel(NamedTuple):
    """What a kernel draws: sizes, and the names of its parameters in the order of the struct."""

    name: str
    itemsize: int  # bytes of a weight
    words: int = 1  # random words of a weight
    reserved: int = 1  # counter blocks from the block of one group of weights to that of the next
    floats: tuple[str, ...] = ()  # parameters in float64
    integers: tuple[str, ...] = ()  # parameters in int64


LINEAR = ("scale", "middle")
NORMAL = ("stddev", "mean")
ENDS = ("low", "high")
ENDS_BITS = ("low_bits", "high_bits")  # the ends as bits of the dtype
FLOAT8 = ("least", "shift", "offset", "negative")  # a format of 8 bits: see `plan._make`
MASSES = ("lower_mass", "upper_mass", "scale", "center")
BOUNDED = ("mean", *ENDS, *MASSES, "spacing")
SPAN = ("span", "minimum")
LIBM = ("log_kind", "trigonometry_kind", "log", "sin", "cos")  # see `philinit.kernels.libm`

# TensorFlow's truncated normal: each group of four float32 starts this many counter blocks after
# the one before, each group of two float64 half as many.
RESERVED_BLOCKS = 256
box_muller = functools.partial(Kernel, floats=NORMAL, integers=LIBM)

# In 16 and 8 bits a number can round past its bounds: "clamped" kernels prevent that for any
# bounds, those without the word by fewer integer operations, but only where low < 0 < high.
_ROWS = (
    Kernel("words", itemsize=4),
    Kernel("uniform_float32", itemsize=4, floats=LINEAR),
    Kernel("uniform_float64", itemsize=8, words=2, floats=LINEAR),
    Kernel("uniform_float16", itemsize=2, floats=LINEAR, integers=ENDS_BITS),
    Kernel("uniform_bfloat16", itemsize=2, floats=LINEAR, integers=ENDS_BITS),
    Kernel("uniform_clamped_float16", itemsize=2, floats=LINEAR + ENDS),
    Kernel("uniform_clamped_bfloat16", itemsize=2, floats=LINEAR + ENDS),
    Kernel("normal_float32", itemsize=4, floats=NORMAL),
    Kernel("normal_float16", itemsize=2, floats=NORMAL),
    Kernel("normal_bfloat16", itemsize=2, floats=NORMAL),
    Kernel("truncated_float32", itemsize=4, floats=NORMAL),
    Kernel("truncated_float16", itemsize=2, floats=NORMAL, integers=ENDS_BITS),
    Kernel("truncated_bfloat16", itemsize=2, floats=NORMAL, integers=ENDS_BITS),
    Kernel("truncated_clamped_float16", itemsize=2, floats=NORMAL + ENDS),
    Kernel("truncated_clamped_bfloat16", itemsize=2, floats=NORMAL + ENDS),
    Kernel("bounded_float32", itemsize=4, floats=BOUNDED),
    Kernel("bounded_float16", itemsize=2, floats=BOUNDED),
    Kernel("bounded_bfloat16", itemsize=2, floats=BOUNDED),
    Kernel("bounded_float64", itemsize=8, words=2, floats=NORMAL + ENDS + MASSES),
    Kernel("bounded_far_float32", itemsize=4, floats=NORMAL + ENDS + MASSES),
    Kernel("bounded_far_float16", itemsize=2, floats=NORMAL + ENDS + MASSES),
    Kernel("bounded_far_bfloat16", itemsize=2, floats=NORMAL + ENDS + MASSES),
    Kernel("uniform_float8", itemsize=1, floats=LINEAR, integers=FLOAT8 + ENDS_BITS),
    Kernel("uniform_clamped_float8", itemsize=1, floats=LINEAR + ENDS, integers=FLOAT8),
    Kernel("normal_float8", itemsize=1, floats=NORMAL, integers=FLOAT8),
    Kernel("truncated_float8", itemsize=1, floats=NORMAL, integers=FLOAT8 + ENDS_BITS),
    Kernel("truncated_clamped_float8", itemsize=1, floats=NORMAL + ENDS, integers=FLOAT8),
    Kernel("bounded_float8", itemsize=1, floats=BOUNDED, integers=FLOAT8),
    Kernel("bounded_far_float8", itemsize=1, floats=NORMAL + ENDS + MASSES, integers=FLOAT8),
    Kernel("tensorflow_uniform_float32", itemsize=4, floats=SPAN),
    Kernel("tensorflow_uniform_float64", itemsize=8, words=2, floats=SPAN),
    Kernel("tensorflow_uniform_float16", itemsize=2, floats=SPAN),
    Kernel("tensorflow_uniform_bfloat16", itemsize=2, floats=SPAN),
    box_muller("tensorflow_normal_float32", itemsize=4),
    box_muller("tensorflow_normal_float64", itemsize=8, words=2),
    box_muller("tensorflow_normal_float16", itemsize=2),
    box_muller("tensorflow_normal_bfloat16", itemsize=2),
    box_muller("tensorflow_truncated_float32", itemsize=4, reserved=RESERVED_BLOCKS),
    box_muller("tensorflow_truncated_float64", itemsize=8, words=2, reserved=RESERVED_BLOCKS // 2),
    box_muller("tensorflow_truncated_float16", itemsize=2, reserved=RESERVED_BLOCKS),
    box_muller("tensorflow_truncated_bfloat16", itemsize=2, reserved=RESERVED_BLOCKS),
)
KERNELS = {row.name: row for row in _ROWS}


# --- plans ---------------------------------------------------------------------------------------

FLOATS, INTEGERS = 8, 6  # what the struct of parameters has room for


class Parameters(ctypes.Structure):
    """The parameters of any kernel, as CPU kernels read and CUDA kernels take them."""

    _fields_ = (("floats", ctypes.c_double * FLOATS), ("integers", ctypes.c_int64 * INTEGERS))


@dataclass(frozen=True, eq=False, slots=True)
class Plan:
    """A kernel and its parameters; `address` is where a CPU kernel finds them."""

    kernel: Kernel
    parameters: Parameters
    address: int

    def values(self) -> dict[str, float]:
        """The parameters by name."""
        kernel, held = self.kernel, self.parameters
        return dict(
            [
                *zip(kernel.floats, held.floats, strict=False),
                *zip(kernel.integers, held.integers, strict=False),
            ]
        )


def make(kernel: str, **values: float) -> Plan:
    """The plan of a kernel, whose every parameter is given by its name."""
    row = KERNELS[kernel]
    if values.keys() != {*row.floats, *row.integers}:
        raise TypeError(f"{kernel} takes {row.floats} and {row.integers}; got {tuple(values)}")
    parameters = Parameters(
        tuple(values[name] for name in row.floats), tuple(values[name] for name in row.integers)
    )
    return Plan(row, parameters, ctypes.addressof(parameters))
