# SPDX-License-Identifier: Apache-2.0
"""Rounding to float8: every float32 that a map may give, against ml_dtypes' own cast.

That is all up to the largest number of the format, 2.3 * 10**9 bit patterns of either sign: what
would draw more is refused (tests/kernels/test_plan.py), so nothing saturates.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from numba import njit

from philinit.distributions import Normal
from philinit.kernels.cpu.kernels import parameters_of
from philinit.kernels.cpu.rounding import to_float8, without_negative_zero
from philinit.kernels.cpu.simd.memory import load, store
from philinit.kernels.cpu.simd.types import f32x16
from philinit.kernels.plan import plan
from philinit.kernels.table import KERNELS
from tests.support import exact
from tests.support import reference as r

by_format = pytest.mark.parametrize("name", r.FLOAT8)
load_parameters = parameters_of(KERNELS["normal_float8"])


@njit(nogil=True)
def round_numbers(numbers, count, parameters, out):
    """`count`, a multiple of 64, float32 at one address to float8 at another."""
    p = load_parameters(parameters)
    for j in range(0, 4 * count, 256):
        a, b = load(f32x16, numbers + j), load(f32x16, numbers + j + 64)
        c, d = load(f32x16, numbers + j + 128), load(f32x16, numbers + j + 192)
        store(out + (j >> 2), without_negative_zero(to_float8(a, b, c, d, p), p))


def by_kernel(numbers: r.Array, dtype: np.dtype) -> r.Array:
    out = np.empty(numbers.size, dtype)
    address = plan(Normal(), dtype, "native").address
    round_numbers(numbers.ctypes.data, numbers.size, address, out.ctypes.data)
    return out


@by_format
def test_every_upper_half_with_the_lower_halves_around_ties(name: str) -> None:
    dtype = r.DTYPES[name]
    largest = np.float32(ml_dtypes.finfo(dtype).max)
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    every = (np.arange(1 << 16, dtype=np.uint32)[:, None] << np.uint32(16) | lower).view(np.float32)
    with np.errstate(invalid="ignore"):
        numbers = every[np.abs(every) <= largest]
    numbers = np.resize(numbers, -(-numbers.size // 64) * 64)
    assert np.float32(-largest) in numbers
    got = by_kernel(numbers, dtype)
    r.assert_same_bits(got, numbers.astype(dtype), name)
    r.assert_same_bits(got, exact.rounded(numbers, dtype), name)


@pytest.mark.slow
@by_format
def test_every_number(name: str) -> None:
    dtype, step = r.DTYPES[name], 1 << 22
    largest = int(np.float32(ml_dtypes.finfo(dtype).max).view(np.uint32))

    def compare(start: int) -> int:
        size = np.arange(start, min(start + step, largest + 64), dtype=np.uint32)
        size = np.minimum(size, np.uint32(largest))[: size.size // 64 * 64]
        different = 0
        for sign in (0, 1 << 31):
            numbers = (size | np.uint32(sign)).view(np.float32)
            found = by_kernel(numbers, dtype).view(np.uint8)
            different += np.count_nonzero(found != numbers.astype(dtype).view(np.uint8))
        return different

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(compare, range(0, largest + 1, step))) == 0


def test_the_check_would_catch_rounding_twice() -> None:
    """By way of bfloat16 a number beside a tie becomes one: nearly 1 in 2**8 is off."""
    dtype = r.DTYPES["float8_e4m3fn"]
    numbers = np.random.default_rng(3).uniform(-1, 1, 1 << 16).astype(np.float32)
    twice = numbers.astype(r.BFLOAT16).astype(np.float32)
    different = by_kernel(numbers, dtype).view(np.uint8) != by_kernel(twice, dtype).view(np.uint8)
    assert np.count_nonzero(different) > 100
