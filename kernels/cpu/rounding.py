# SPDX-License-Identifier: Apache-2.0
"""float32 to the 16-bit dtypes, to nearest and ties to even: 2 x 16 numbers to 32 at once."""

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
    u8x32,
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


@njit
def between(packed, p):
    """16-bit floats moved into [low, high] with low < 0 < high, given as bits.

    Read as signed integers, positive floats are in order and negative ones below them; read as
    unsigned integers, negative floats are in the order of their magnitudes, above all positive.
    """
    below = minimum(bits(i16x32, packed), p.high_bits)
    return minimum(bits(u16x32, below), p.low_bits)


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


lowest_bytes, highest_bytes = (shuffle(u8x32, range(i, 128, 4)) for i in (0, 3))
join_bytes = shuffle(u8x64, range(64))


@njit(forceinline=True)
def code_of_float8(x, p):
    """The magnitude of a float8, plus a constant, in the lowest byte; |x| up to the largest."""
    b = bits(u32x16, x)
    exponent, least = bits(i32x16, b & 0x7F800000), splat(i32x16, p.least)
    power = bits(u32x16, select(exponent < least, least, exponent)) | (b & 0x80000000)
    # A number so much larger that float32 counts there in the spacing of float8 at x: the sum
    # is rounded to it, and its lowest bits count from the power of two below |x|.
    total = bits(u32x16, fma(bits(f32x16, power), 1 << p.shift, x))
    return bits(u8x64, total + (total >> p.shift))


@njit(forceinline=True)
def to_float8(a, b, c, d, p):
    """4 x 16 numbers to the bits of a float8 whose format is in `p`: see the plan."""
    low = lowest_bytes(code_of_float8(a, p), code_of_float8(b, p))
    high = lowest_bytes(code_of_float8(c, p), code_of_float8(d, p))
    code = join_bytes(low, high) - p.offset
    low = highest_bytes(bits(u8x64, a), bits(u8x64, b))
    sign = join_bytes(low, highest_bytes(bits(u8x64, c), bits(u8x64, d))) & 0x80
    return select(bits(i8x64, code) > p.unsigned, code | sign, code)
