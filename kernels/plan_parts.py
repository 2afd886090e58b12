# SPDX-License-Identifier: Apache-2.0
"""What a plan is, and what every way to make one needs."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit.distributions import describe
from philinit.dtypes import largest


@dataclass(frozen=True)
class Plan:
    """A kernel's name, the random words that one weight takes, and the kernel's parameters."""

    kernel: str
    words: int
    parameters: Any  # eight float64, as a ctypes array: its address goes to the kernel
    reserved: int = 1  # counter blocks from the block of one group of weights to that of the next


def unknown(distribution: Any) -> TypeError:
    """The error for what is no distribution."""
    return TypeError(
        "`distribution` must be a Uniform, Normal or TruncatedNormal; "
        f"got distribution={distribution!r}"
    )


def make(kernel: str, dtype: np.dtype[Any], *parameters: float, reserved: int = 1) -> Plan:
    """A plan of up to eight parameters."""
    values = (*parameters, *[0.0] * (8 - len(parameters)))
    return Plan(
        f"{kernel}_{dtype.name}",
        2 if dtype.itemsize == 8 else 1,
        (ctypes.c_double * 8)(*values),
        reserved,
    )


def check_overflow(reach: float, dtype: np.dtype[Any], what: Any) -> None:
    """Refuse to draw what reaches beyond `dtype`; the message speaks of `what`."""
    if reach > largest(dtype):
        raise ValueError(
            f"the numbers drawn must stay below {largest(dtype):.6g}, the largest {dtype.name}; "
            f"got {describe(what)}"
        )
