# SPDX-License-Identifier: Apache-2.0
"""float32 to the dtypes of 16 and 8 bits, to nearest and ties to even: 64 bytes at once."""

from typing import Any

from numba import njit

from philinit.kernels.cpu.simd.lanes import shuffle
from philinit.kernels.cpu.simd.operators import (
    bits,
    convert,
    fma,
    minimum,
    select,
    splat,
    to_bfloat,
    to_half,
)
from philinit.kernels.cpu.simd.target import has_feature
from philinit.kernels.cpu.simd.types import (
    f32x16,
    i8x64,
    i16x32,
    i32x16,
    u8x64,
    u16x16,
    u16x32,
    u32x16,
)

lower_16 = shuffle(u16x32, range(0, 64, 2))
upper_16 = shuffle(u16x32, range(1, 64, 2))
join = shuffle(u16x32, range(32))


@njit
def bfloat_by_instruction(a, b):
    return to_bfloat(a, b)


@njit
def bfloat_by_arithmetic(a, b):
    """The upper half of the bits, plus one if the lower half is past the middle."""
    a, b = bits(u16x32, a), bits(u16x32, b)
    kept, dropped = upper_16(a, b), lower_16(a, b)
    # A tie (0x8000) rounds up where the kept part is odd.
    up = dropped > splat(u16x32, 0x8000) - (kept & 1)
    return select(up, kept + 1, kept)


# The plan keeps subnormal numbers away from the maps in float32 arithmetic, where the instruction
# is right; the float64 maps can come upon one.
to_bfloat16_exact = bfloat_by_arithmetic
to_bfloat16 = bfloat_by_instruction if has_feature("avx512bf16") else bfloat_by_arithmetic


def _between(signed: Any, unsigned: Any) -> Any:
    @njit
    def moved(packed, p):
        below = minimum(bits(signed, packed), p.high_bits)
        return minimum(bits(unsigned, below), p.low_bits)

    return moved


# Floats moved into [low, high] with low < 0 < high, given as bits. Read as signed integers,
# positive floats are in order and negative ones below them; read as unsigned integers, negative
# floats are in the order of their magnitudes, above all positive.
between, between8 = _between(i16x32, u16x32), _between(i8x64, u8x64)


@njit
def as_it_is(packed, p):
    return packed


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


# Of two vectors of words: their lowest bytes, then their highest ones; and of two such results.
ends_of_words = shuffle(u8x64, (*range(0, 128, 4), *range(3, 128, 4)))
lowest_bytes, highest_bytes = (
    shuffle(u8x64, (*range(i, i + 32), *range(i + 64, i + 96))) for i in (0, 32)
)


@njit(forceinline=True)
def float8_in_word(x, p):
    """A float8 in the highest bit, its sign, and the lowest byte, the rest of it plus `offset`."""
    b = bits(u32x16, x)
    exponent, least = bits(i32x16, b & 0x7F800000), splat(i32x16, p.least)
    power = bits(u32x16, select(exponent < least, least, exponent)) | (b & 0x80000000)
    # Float32 counts there in what float8 counts in at x: the sum is x rounded to that, whose lowest
    # bits are the mantissa of float8, with the leading 1 if it has one.
    total = bits(u32x16, fma(bits(f32x16, power), 1 << p.shift, x))
    return bits(u8x64, total + (total >> p.shift))


@njit(forceinline=True)
def to_float8(a, b, c, d, p):
    """In the format that `p` describes; the numbers are no larger than its largest one."""
    low = ends_of_words(float8_in_word(a, p), float8_in_word(b, p))
    high = ends_of_words(float8_in_word(c, p), float8_in_word(d, p))
    return (lowest_bytes(low, high) - p.offset) | (highest_bytes(low, high) & 0x80)


@njit(forceinline=True)
def without_negative_zero(packed, p):
    """-0 becomes 0 in formats that take its bits for NaN."""
    return select(bits(i8x64, packed) < p.negative, splat(u8x64, 0), packed)
