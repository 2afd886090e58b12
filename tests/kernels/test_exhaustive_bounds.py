# SPDX-License-Identifier: Apache-2.0
"""The float32 map between any bounds beside the float64 map, on every word or on parts of them all.

`test_accuracy.py` holds the float64 map to mpmath within 1e-15, far below what is measured here.
Every word of a pair takes ten seconds, so only the pairs that people draw are looked at whole.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit

from philinit.distributions import TruncatedNormal
from philinit.kernels.cpu import distributions as d
from philinit.kernels.cpu.kernels import parameters_of
from philinit.kernels.cpu.simd.lanes import shuffle
from philinit.kernels.cpu.simd.memory import store
from philinit.kernels.cpu.simd.operators import (
    bits,
    clamp,
    constant,
    convert,
    minimum,
    select,
    splat,
)
from philinit.kernels.cpu.simd.types import f32x8, f64x8, i32x8, i32x16, i64x8, u32x16
from philinit.kernels.plan import plan
from philinit.kernels.table import KERNELS
from philinit.kernels.tails import masses

pytestmark = pytest.mark.slow

INF = math.inf
EVERY_WORD = [(-3.0, 3.0), (0.0, INF), (-1.0, 2.0)]
STRIDES = [
    *((1.0, INF), (-INF, 0.5), (-1.0, 4.0), (-2.0, 2.5), (5.0, 5.125), (-5.0, 5.5), (-0.1, 0.2)),
    *(
        (4.0, 6.0),
        (-6.0, -4.0),
        (0.5, 1.5),
        (-0.0625, 0.0625),
        (-6.5, 7.0),
        (-INF, INF),
        (-INF, 1.15),
    ),
]
PARTS = 1024  # of the words; a thread takes one at a time
STRIDE = 61

# kernels/README.md, section 3. Where the bounds are not symmetric, f has a rounded constant, so
# that near x = 0 the error is absolute: there it is taken relative to FLOOR.
LIMIT, FLOOR = 3.5e-7, 0.25

lane_words = constant(u32x16, list(range(1, 33, 2)))
low_half = shuffle(i32x8, range(8))
high_half = shuffle(i32x8, range(8, 16))
low_floats = shuffle(f32x8, range(8))
high_floats = shuffle(f32x8, range(8, 16))
parameters = parameters_of(KERNELS["bounded_float32"])


@njit
def larger(a, b):
    return select(a > b, a, b)


@njit
def size(a):
    return larger(a, a * -1.0)


@njit
def look_at_eight(x, following, k, p, m, floor, found):
    """Largest error, -smallest x, largest x and largest fall to the following x, of `found` too."""
    want = d.standard_bounded64(convert(i64x8, k) << 32, m[0], m[1], m[2], m[3])
    want = clamp(want, p.low, p.high)
    x = convert(f64x8, x)
    error = size(x - want) / larger(size(want), splat(f64x8, floor))
    fall = (x - convert(f64x8, following)) / larger(size(x), splat(f64x8, 1e-300))
    return (
        larger(error, found[0]),
        larger(x * -1.0, found[1]),
        larger(x, found[2]),
        larger(fall, found[3]),
    )


@njit(nogil=True)
def scan(start, count, address, m, floor, out):
    """`look_at_eight` over k = start + 1, start + 3, ...; nothing follows the last k there is."""
    p = parameters(address)
    none = splat(f64x8, -INF)
    found = (none, none, none, none)
    for first in range(start, start + 2 * count, 32):
        w = lane_words() + first
        k = bits(i32x16, w)
        x, y = d.bounded32(w, p), d.bounded32(bits(u32x16, minimum(k, 2**31 - 3) + 2), p)
        found = look_at_eight(
            low_floats(x, x), low_floats(y, y), low_half(k, k), p, m, floor, found
        )
        x, y, k = high_floats(x, x), high_floats(y, y), high_half(k, k)
        found = look_at_eight(x, y, k, p, m, floor, found)
    store(out, found[0])
    store(out + 64, found[1])
    store(out + 128, found[2])
    store(out + 192, found[3])


@njit
def mirrored(w, address, out):
    p = parameters(address)
    store(out, d.bounded32(splat(u32x16, w), p))
    store(out + 64, d.bounded32(splat(u32x16, ~w), p))


@pytest.mark.parametrize("bound", [0.0625, 1.0, 3.0, 6.5, INF])
def test_odd_symmetry(bound: float) -> None:
    """F(-k) = -F(k) bit for bit, on two thousand words and their complements."""
    drawn = plan(TruncatedNormal(0, 1, -bound, bound), np.dtype(np.float32), "native")
    assert drawn.kernel.name == "bounded_float32"
    out = np.zeros((2, 16), np.float32)
    for w in [0, 1, 2**31 - 1, *map(int, np.random.default_rng(7).integers(0, 2**31, 2000))]:
        mirrored(w, drawn.address, out.ctypes.data)
        assert out[0, 0] == -out[1, 0] != 0.0


@pytest.mark.parametrize(
    ("lower", "upper", "stride"),
    [(*b, 1) for b in EVERY_WORD] + [(*b, STRIDE) for b in STRIDES],
)
def test_all_words(lower: float, upper: float, stride: int) -> None:
    """Accurate, inside the bounds, in order but for two units in the last place."""
    drawn = plan(TruncatedNormal(0, 1, lower, upper), np.dtype(np.float32), "native")
    assert drawn.kernel.name == "bounded_float32"
    below, above, inside, center = masses(lower, upper)
    least = 2.0**-31 * (1 - inside / 2)  # where the table ends
    m = (max(below, least), max(above, least), inside * 2.0**-64, center)
    floor = 0.0 if lower == -upper else FLOOR
    starts = range(-(2**31), 2**31, 2**32 // PARTS)
    starts = [*starts[:-1:stride], starts[-1]]
    out = np.zeros((len(starts), 4, 8))

    def run(i: int) -> None:
        scan(starts[i], 2**31 // PARTS, drawn.address, m, floor, out[i].ctypes.data)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(len(starts))))
    worst, smallest, largest, fall = out.max(axis=(0, 2)) * (1, -1, 1, 1)
    print(f"error {worst:.3e}, {smallest!r} to {largest!r}, largest fall {fall:.2e}")
    assert 1e-7 < worst < LIMIT
    assert fall <= 2 * 2.0**-23
    assert max(lower, -6.23027) <= smallest < largest <= min(upper, 6.23027)
