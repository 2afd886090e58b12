# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's last steps: words or standard normals to the weights of each dtype.

TensorFlow computes in the dtype of the tensor and rounds after every operation. The 16-bit dtypes
are computed here in float32, each result rounded to what the dtype can hold: for one addition or
multiplication of 16-bit floats that is the same.
"""

from typing import Any

from numba import njit

from philinit.kernels.cpu.simd.operators import bits, select
from philinit.kernels.cpu.simd.types import f32x16, f64x8, i32x16, u32x16, u64x8

ONE = 0x3F800000  # the bits of 1.0f
ONE_64 = 0x3FF << 52  # the bits of 1.0


@njit
def nearest_half(x):
    """The float16 nearest to each float32 below 65520, as a float32; ties to even."""
    b = bits(u32x16, x)
    normal = (b + (((b >> 13) & 1) + 0xFFF)) & 0xFFFFE000
    # Below 2**-14 float16 counts in 2**-24, which is the spacing of float32 at 0.5.
    magnitude = b & 0x7FFFFFFF
    subnormal = bits(u32x16, bits(f32x16, magnitude) + 0.5 - 0.5) | (b & 0x80000000)
    return bits(f32x16, select(bits(i32x16, magnitude) < 0x38800000, subnormal, normal))


@njit
def nearest_bfloat(x):
    """The bfloat16 nearest to each float32, as a float32; ties to even."""
    b = bits(u32x16, x)
    return bits(f32x16, (b + (((b >> 16) & 1) + 0x7FFF)) & 0xFFFF0000)


@njit
def uniform32(w, p):
    """The low 23 bits as a number in [0, 1), times the range, plus the minimum."""
    return (bits(f32x16, (w & 0x7FFFFF) | ONE) - 1.0) * p.span + p.minimum


@njit
def uniform64(w, p):
    """The low 20 bits of the first word and the second word."""
    w = bits(u64x8, w)
    return (bits(f64x8, ((w & 0xFFFFF) << 32) | (w >> 32) | ONE_64) - 1.0) * p.span + p.minimum


def uniform16(mantissa_bits: int, nearest: Any) -> Any:
    mask, shift = (1 << mantissa_bits) - 1, 23 - mantissa_bits

    @njit
    def uniform(w, p):
        u = bits(f32x16, ((w & mask) << shift) | ONE) - 1.0
        return nearest(nearest(u * p.span) + p.minimum)

    return uniform


@njit
def scaled32(z, p):
    return bits(f32x16, z) * p.stddev + p.mean


@njit
def scaled64(z, p):
    return bits(f64x8, z) * p.stddev + p.mean


def scaled16(nearest: Any) -> Any:
    @njit
    def scaled(z, p):
        return nearest(nearest(nearest(bits(f32x16, z)) * p.stddev) + p.mean)

    return scaled


uniform_half, uniform_bfloat = uniform16(10, nearest_half), uniform16(7, nearest_bfloat)
scaled_half, scaled_bfloat = scaled16(nearest_half), scaled16(nearest_bfloat)
