# SPDX-License-Identifier: Apache-2.0
"""float32 to the 16-bit dtypes, to nearest and ties to even: 2 x 16 numbers to 32 at once."""

from __future__ import annotations

from numba import njit

from philinit.kernels.cpu.simd import (
    bits,
    convert,
    f32x16,
    i32x16,
    select,
    shuffle,
    splat,
    to_half,
    u16x16,
    u16x32,
    u32x16,
)
from philinit.kernels.cpu.target import has_feature

lower_16 = shuffle(u16x32, range(0, 64, 2))
upper_16 = shuffle(u16x32, range(1, 64, 2))
join = shuffle(u16x32, range(32))


@njit
def to_bfloat16(a, b):
    """The upper half of the bits, plus one if the lower half is past the middle."""
    a, b = bits(u16x32, a), bits(u16x32, b)
    kept, dropped = upper_16(a, b), lower_16(a, b)
    # A tie (0x8000) rounds up where the kept part is odd.
    up = dropped > splat(u16x32, 0x8000) - (kept & 1)
    return select(up, kept + 1, kept)


@njit
def half_by_instruction(x):
    return to_half(x)


@njit
def half_by_arithmetic(x):
    """The same bits without a conversion instruction; |x| below 65520."""
    b = bits(u32x16, x)
    magnitude = b & 0x7FFFFFFF
    normal = (magnitude + (((magnitude >> 13) & 1) + 0xFFF) - (112 << 23)) >> 13
    # Below 2**-14 float16 counts in 2**-24, which is the spacing of float32 at 0.5.
    subnormal = bits(u32x16, bits(f32x16, magnitude) + 0.5) - 0x3F000000
    small = bits(i32x16, magnitude) < 0x38800000
    return convert(u16x16, select(small, subnormal, normal) | ((b >> 16) & 0x8000))


half = half_by_instruction if has_feature("f16c") else half_by_arithmetic


@njit
def to_float16(a, b):
    return join(half(a), half(b))
