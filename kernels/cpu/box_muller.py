# SPDX-License-Identifier: Apache-2.0
"""Pairs of words to pairs of standard normals, as TensorFlow makes them (Box & Muller 1958).

A pair is one 64-bit lane: the lower word gives a radius sqrt(-2 log u), the upper one an angle
2 pi u. TensorFlow uses 23 bits of each word, works in float32 and calls the system's logf, sinf and
cosf. Those work in float64 and round once, and so do we, from the same coefficients; which ones,
`philinit.kernels.libm` finds out.
"""

from typing import Any

from numba import njit, types

from philinit.kernels import constants as c
from philinit.kernels.cpu.simd.lanes import call1, shuffle
from philinit.kernels.cpu.simd.lookup import table64
from philinit.kernels.cpu.simd.operators import (
    bits,
    constant,
    convert,
    fma,
    polynomial,
    select,
    splat,
    sqrt,
)
from philinit.kernels.cpu.simd.target import has_feature
from philinit.kernels.cpu.simd.types import VectorType

N = 32 if has_feature("avx512f") else 8  # pairs at once
u64xN = VectorType(types.uint64, N)
f32xN = VectorType(types.float32, N)
u32xN = VectorType(types.uint32, N)
f64xN = VectorType(types.float64, N)
i64xN = VectorType(types.int64, N)
f32x2N = VectorType(types.float32, 2 * N)
u32x2N = VectorType(types.uint32, 2 * N)
i32x2N = VectorType(types.int32, 2 * N)

MANTISSA = 0x7FFFFF  # what TensorFlow takes of a word: u = 2**-23 n, n = w & MANTISSA
ONE = 0x3F800000  # the bits of 1.0f
TWO_52 = 2.0**52
BITS_OF_TWO_52 = 0x4330000000000000  # with n in the mantissa: 2**52 + n

# -2 log u from n: the factor -2 and the powers of two are in the constants, exactly.
LOG_OFFSET = c.LOG_SPLIT_32 + (23 << 52)
EXPONENT = -(1 << 52)
EXPONENT_UNIT = -2.0 * c.LN2 * 2.0**-52
inverse = table64([v * 2.0**-23 for v in c.LOG_INVERSE])
center = table64([-2.0 * v for v in c.LOG_CENTER])

SMALLEST = 1e-7  # TensorFlow takes this for u = 0 ...
LARGEST = float.fromhex("0x1.01e3b8p+5")  # ... and this is its -2 log u

# Adding this to 2**52 + n rounds n to a multiple of 2**21, a quarter of a turn, whose number then
# stands in the lowest bits.
ROUND_TO_QUARTER = 1.5 * 2.0**73

_interleaved = [i // 2 + N * (i % 2) for i in range(2 * N)]
interleave = shuffle(f32x2N, _interleaved)
twice = shuffle(f32x2N, [i // 2 for i in range(2 * N)])
swap = shuffle(f32x2N, [i ^ 1 for i in range(2 * N)])
lower_halves = shuffle(u32x2N, [i - i % 2 for i in range(2 * N)])
odd_lanes = constant(u32x2N, [i % 2 for i in range(2 * N)])


def squared_radius(log1p: Any) -> Any:
    """-2 log u in float32, u from the lower words; the root is taken where fewer wait for it."""

    @njit
    def computed(pairs, log):
        m = bits(f64xN, (pairs & MANTISSA) | BITS_OF_TWO_52) - TWO_52
        b = bits(i64xN, m)
        t = b - LOG_OFFSET
        e = t & EXPONENT
        i = t >> 48
        r = fma(bits(f64xN, b - e), inverse(i), -1.0)
        y = fma(convert(f64xN, e), EXPONENT_UNIT, center(i))
        y = convert(f32xN, fma(log1p(r), r, y))
        return select(y < LARGEST, y, splat(f32xN, LARGEST))  # n = 0 gives more

    return computed


def direction(sin_polynomial: Any, cos_polynomial: Any, turn_low: float) -> Any:
    """(sin, cos) of 2 pi u in float32, interleaved; u from the upper words."""

    @njit
    def computed(pairs, sin, cos):
        n = bits(f64xN, ((pairs >> 32) & MANTISSA) | BITS_OF_TWO_52)
        angle = fma(n, c.TURN, -c.TURN * TWO_52)
        angle = bits(f64xN, (bits(i64xN, angle) + (1 << 28)) & -(1 << 29))  # nearest float32
        q = n + (ROUND_TO_QUARTER - TWO_52)
        n = q - ROUND_TO_QUARTER
        r = fma(n, -c.TURN, angle)
        if turn_low:
            r = fma(n, -turn_low, r)
        r2 = r * r
        s = convert(f32xN, fma(sin_polynomial(r2), r2 * r, r))
        x = interleave(s, convert(f32xN, cos_polynomial(r2)))
        # In odd quarters sin and cos change places; sin is negative in quarters 2 and 3, cos in
        # 1 and 2, whose numbers plus one have the same bit set.
        quarter = bits(u32x2N, q)
        quarter = lower_halves(quarter, quarter)
        x = select(bits(i32x2N, quarter << 31) < 0, swap(x, x), x)
        sign = ((quarter + odd_lanes()) << 30) & 0x80000000
        return bits(f32x2N, bits(u32x2N, x) ^ sign)

    return computed


@njit
def called_squared_radius(pairs, log):
    """`squared_radius` by calls of the logf at address `log`."""
    u = bits(f32xN, (convert(u32xN, pairs) & MANTISSA) | ONE) - 1.0
    u = select(u > SMALLEST, u, splat(f32xN, SMALLEST))
    return call1(log, u) * -2.0


@njit
def called_direction(pairs, sin, cos):
    """`direction` by calls of the sinf and cosf at these addresses."""
    n = convert(f64xN, (pairs >> 32) & MANTISSA)
    angle = convert(f32xN, n * c.TURN)
    return interleave(call1(sin, angle), call1(cos, angle))


glibc_squared_radius = squared_radius(polynomial([-2.0 * v for v in c.GLIBC_LOG1P]))
rounded_squared_radius = squared_radius(polynomial([-2.0 * v for v in c.ROUNDED_LOG1P]))
glibc_direction = direction(polynomial(c.GLIBC_SIN), polynomial(c.GLIBC_COS), 0.0)
rounded_direction = direction(polynomial(c.ROUNDED_SIN), polynomial(c.ROUNDED_COS), c.TURN_LOW)


# --- float64: two words a number, and no coefficients of ours -------------------------------------

u64x8 = VectorType(types.uint64, 8)
f64x8 = VectorType(types.float64, 8)
f64x4 = VectorType(types.float64, 4)
evens = shuffle(f64x4, range(0, 8, 2))
odds = shuffle(f64x4, range(1, 8, 2))
interleave64 = shuffle(f64x8, [i // 2 + 4 * (i % 2) for i in range(8)])
BITS_OF_ONE = 0x3FF << 52


@njit
def uniform64(w):
    """TensorFlow's number in [0, 1): 20 bits of the first word, then the second word."""
    return bits(f64x8, ((w & 0xFFFFF) << 32) | (w >> 32) | BITS_OF_ONE) - 1.0


@njit
def called_normal64(w, log, sin, cos):
    """Four blocks of four words to eight normals, by calls of the libm of this machine."""
    u = uniform64(w)
    r, angle = evens(u, u), odds(u, u) * (c.TURN * 2.0**23)
    r = sqrt(call1(log, select(r > SMALLEST, r, splat(f64x4, SMALLEST))) * -2.0)
    return interleave64(call1(sin, angle) * r, call1(cos, angle) * r)
