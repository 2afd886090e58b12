# SPDX-License-Identifier: Apache-2.0
"""Which logf, sinf and cosf this machine has: TensorFlow's normals depend on it.

glibc's own functions (since 2.28) differ from correctly rounded ones, which later versions have, in
one of 80 to 140 results; any other libm may differ elsewhere. So the functions of this process are
asked for numbers where the two kinds differ; one by one, since not all need have changed at once.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import sys
from dataclasses import dataclass
from typing import Any

from philinit.kernels.constants import CALLED as CALLED
from philinit.kernels.constants import GLIBC, ROUNDED, TURN

KINDS = {"glibc": GLIBC, "rounded": ROUNDED, "system": CALLED}

# n, the bits of the correctly rounded float32 result, and what glibc's result differs by.
LOG_PROBES = (
    (0x79A8CB, 0xBD501947, +1), (0x7D88CB, 0xBC9F5767, +1), (0x6E3E89, 0xBE18EA65, +1),
    (0x5CD66E, 0xBEA4717E, -1), (0x7D8498, 0xBCA06973, +1), (0x7DF82C, 0xBC82FFB6, +1),
    (0x65F539, 0xBE68EDF7, +1), (0x7A0E62, 0xBD42C28A, +1), (0x7D9212, 0xBC9CFA14, +1),
    (0x7946B1, 0xBD5D055B, -1), (0x7E0401, 0xBC7FFCCB, +1), (0x71BE5D, 0xBDF1D5B7, +1),
    (0x6E0CD7, 0xBE1AB865, +1), (0x7E4EB9, 0xBC5A156C, +1), (0x5A0F1F, 0xBEB40043, +1),
    (0x2029BE, 0xBFB0CB8D, -1),
)  # fmt: skip
SIN_PROBES = (
    (0x35E0C1, 0x3EF40E5F, -1), (0x7624D5, 0xBEEE28F9, -1), (0x2A91F, 0x3E055BA1, +1),
    (0x223FA, 0x3DD6CB4D, +1), (0x4CC891, 0xBF164E0C, -1), (0x44BB80, 0xBE6BBE6A, +1),
    (0xF1E13, 0x3F2D0293, +1), (0x39299B, 0x3EA8A2E4, +1), (0x7BF4EB, 0xBE49E809, +1),
    (0x346B98, 0x3F09CDFB, -1), (0x41F09C, 0xBDC2B941, +1), (0x69173, 0x3EA23B13, +1),
    (0x444242, 0xBE548407, +1), (0xC7F44, 0x3F13609F, -1), (0x7BAAA4, 0xBE582EE0, +1),
    (0x47E3A3, 0xBEC15BC3, +1),
)  # fmt: skip
COS_PROBES = (
    (0x1273D3, 0x3F1DF854, +1), (0x6B8586, 0x3F09303C, -1), (0x22511B, 0xBDE86903, +1),
    (0x69A995, 0x3EE9D70A, -1), (0x150E93, 0x3F02FF05, -1), (0x595493, 0xBEA4A5CC, +1),
    (0x6543E0, 0x3E82DBEF, +1), (0x2E6CDA, 0xBF267FD8, +1), (0x501F6F, 0xBF33ECCC, -1),
    (0x6C29B7, 0x3F0FEC8B, -1), (0x2E70D7, 0xBF26A5E5, +1), (0x2ED3F6, 0xBF2A4FAB, +1),
    (0x6A69F6, 0x3EFA7A9C, -1), (0x239D55, 0xBE34BC99, +1), (0x1A19A3, 0x3E923729, +1),
    (0x636D44, 0x3E2B7077, +1),
)  # fmt: skip


@dataclass(frozen=True)
class Libm:
    """The kind of log, the kind of sin and cos, and where log, sin and cos are."""

    log: int
    trigonometry: int
    addresses32: tuple[int, int, int]
    addresses64: tuple[int, int, int]


@functools.cache
def libm() -> Libm:
    """The libm of this process; PHILINIT_LIBM=glibc or =rounded puts another one in its place.

    Raises
    ------
    ValueError
        PHILINIT_LIBM is none of "glibc", "rounded" and "system".
    NotImplementedError
        The C library cannot be found.
    """
    single = [_function(name, ctypes.c_float) for name in ("logf", "sinf", "cosf")]
    double = [_function(name, ctypes.c_double) for name in ("log", "sin", "cos")]
    forced = os.environ.get("PHILINIT_LIBM")
    if forced is None:
        log = _kind(single[0], LOG_PROBES, 2.0**-23)
        sin = _kind(single[1], SIN_PROBES, TURN)
        cos = _kind(single[2], COS_PROBES, TURN)
        trigonometry = sin if sin == cos else CALLED
    elif forced in KINDS:
        log = trigonometry = KINDS[forced]
    else:
        raise ValueError(
            f"PHILINIT_LIBM must be one of {', '.join(KINDS)}, or not set; "
            f"got PHILINIT_LIBM={forced}"
        )
    return Libm(log, trigonometry, _addresses(single), _addresses(double))


def _function(name: str, number: Any) -> Any:
    places = {"win32": "ucrtbase.dll", "linux": "libm.so.6"}
    for place in (places.get(sys.platform), None):  # None: whatever this process has loaded
        try:
            function = getattr(ctypes.CDLL(place), name)
        except (OSError, AttributeError, TypeError):
            continue
        function.restype, function.argtypes = number, [number]
        return function
    raise NotImplementedError(
        f'normals by sampler="tensorflow" need the C library\'s {name}, which was not found on '
        f'{sys.platform}: use sampler="native"'
    )


def _addresses(functions: list[Any]) -> tuple[int, int, int]:
    log, sin, cos = (ctypes.cast(f, ctypes.c_void_p).value or 0 for f in functions)
    return log, sin, cos


def _kind(function: Any, probes: tuple[tuple[int, int, int], ...], unit: float) -> int:
    """Whether a function gives glibc's results at all places, or the correctly rounded ones."""
    found = [
        struct.unpack("<I", struct.pack("<f", function(n * unit)))[0] - rounded
        for n, rounded, _ in probes
    ]
    if found == [glibc for *_, glibc in probes]:
        return GLIBC
    return CALLED if any(found) else ROUNDED
