# SPDX-License-Identifier: Apache-2.0
"""Every word there is: both float32 normals against the float64 map, which mpmath vouches for.

The maps are odd in k = w | 1, so the 2**30 positive values of k are all there is to check.
`test_accuracy.py` holds the float64 map to mpmath within 5e-15, far below what is measured here.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numba import njit

from philinit.kernels.cpu import distributions as d
from philinit.kernels.cpu.simd.lanes import shuffle
from philinit.kernels.cpu.simd.memory import store
from philinit.kernels.cpu.simd.operators import bits, constant, convert, select, splat
from philinit.kernels.cpu.simd.types import f32x8, f64x8, i32x8, i32x16, i64x8, u32x16
from philinit.kernels.tails import masses

pytestmark = pytest.mark.slow

lane_words = constant(u32x16, list(range(1, 33, 2)))
low_half = shuffle(i32x8, range(8))
high_half = shuffle(i32x8, range(8, 16))
low_floats = shuffle(f32x8, range(8))
high_floats = shuffle(f32x8, range(8, 16))


@njit
def errors_of_eight(x, k, m, worst, largest):
    want = d.standard_bounded64(convert(i64x8, k) << 32, m[0], m[1], m[2], m[3])
    got = convert(f64x8, x)
    error = (got - want) / want
    error = select(error > 0.0, error, error * -1.0)
    return select(error > worst, error, worst), select(got > largest, got, largest)


def scanner(number):
    @njit(nogil=True)
    def scan(start, count, m, out):
        """Largest relative error and largest x over k = start + 1, start + 3, ..."""
        worst, largest = splat(f64x8, 0.0), splat(f64x8, 0.0)
        for first in range(start, start + 2 * count, 32):
            w = lane_words() + first
            x = number(w)
            k = bits(i32x16, w)
            worst, largest = errors_of_eight(low_floats(x, x), low_half(k, k), m, worst, largest)
            worst, largest = errors_of_eight(high_floats(x, x), high_half(k, k), m, worst, largest)
        store(out, worst)
        store(out + 64, largest)

    return scan


@pytest.mark.parametrize(
    ("number", "bound", "reach"),
    [
        (d.standard_normal32, float("inf"), float.fromhex("0x1.8ebc94p+2")),
        (d.standard_truncated32, 2.0, 2.0),
    ],
    ids=["normal", "truncated"],
)
def test_all_words(number, bound: float, reach: float) -> None:
    below, above, inside, center = masses(-bound, bound)
    scan = scanner(number)
    parts = 64
    out = np.zeros((parts, 2, 8))
    m = (below, above, inside * 2.0**-64, center)

    def run(i: int) -> None:
        scan(i * 2**31 // parts, 2**30 // parts, m, out[i].ctypes.data)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, range(parts)))
    worst, largest = out[:, 0].max(), out[:, 1].max()
    print(f"largest relative error {worst:.3e}, largest x {float(largest).hex()}")
    assert 1e-7 < worst < 2.4e-7
    assert largest == reach


def test_odd_symmetry() -> None:
    """F(-k) = -F(k) bit for bit, on a million words and their complements."""
    for number in (d.standard_normal32, d.standard_truncated32):

        @njit
        def mirrored(w, out, number=number):
            store(out, number(splat(u32x16, w)))
            store(out + 64, number(splat(u32x16, ~w)))

        out = np.zeros((2, 16), np.float32)
        rng = np.random.default_rng(7)
        for w in [0, 1, 2**31 - 1, *map(int, rng.integers(0, 2**31, 2000))]:
            mirrored(w, out.ctypes.data)
            assert out[0, 0] == -out[1, 0]
