# SPDX-License-Identifier: Apache-2.0
"""Words to numbers: the maps of kernels/README.md on vectors of words.

A map takes words and `p`, the parameters by their names in `philinit.kernels.table`. Maps for
32-bit words take u32x16 and give f32x16; the float64 maps take signed 64-bit words.
"""

from numba import njit

from philinit.kernels import constants as c
from philinit.kernels.cpu.simd.lanes import shuffle
from philinit.kernels.cpu.simd.lookup import table
from philinit.kernels.cpu.simd.operators import (
    any_lane,
    bits,
    clamp,
    convert,
    fma,
    minimum,
    polynomial,
    select,
    splat,
    sqrt,
)
from philinit.kernels.cpu.simd.types import (
    f32x8,
    f32x16,
    f64x8,
    i32x8,
    i32x16,
    i64x8,
    u32x16,
    u64x8,
)

ONE = 0x3F800000  # the bits of 1.0f: with a mantissa below it, a number in [1, 2)
TWO_63 = 1 << 63

t0, t1, t2, t3, t4 = (table(row) for row in c.TRUNCATED_TABLE)
n0, n1, n2, n3, n4, n5, n6, n7 = (table(row) for row in c.NORMAL_TABLE)

log_polynomial = polynomial(c.LOG_POLYNOMIAL)
central = polynomial(c.NORMAL64_CENTER)
middle_numerator = polynomial(c.NORMAL64_MIDDLE_NUMERATOR)
middle_denominator = polynomial(c.NORMAL64_MIDDLE_DENOMINATOR)
far_numerator = polynomial(c.NORMAL64_FAR_NUMERATOR)
far_denominator = polynomial(c.NORMAL64_FAR_DENOMINATOR)

low_half = shuffle(i32x8, range(8))
high_half = shuffle(i32x8, range(8, 16))
join = shuffle(f32x16, range(16))


# --- 32-bit words ------------------------------------------------------------------------------


@njit
def uniform32(w, p):
    """Inside [low, high) by the choice of scale and middle: see the plan."""
    return fma(convert(f32x16, bits(i32x16, w)), p.scale, p.middle)


@njit(forceinline=True)
def normal_ratio32(q):
    """H(q) = x / f: a polynomial for each octave of q, the doubled probability of the tail."""
    q = bits(u32x16, q)
    i = bits(i32x16, q >> c.NORMAL_SHIFT)
    t = bits(f32x16, (q & 0x7FFFFF) | ONE) - c.NORMAL_CENTER
    h = fma(fma(fma(n7(i), t, n6(i)), t, n5(i)), t, n4(i))
    return fma(fma(fma(fma(h, t, n3(i)), t, n2(i)), t, n1(i)), t, n0(i))


@njit
def standard_normal32(w):
    """x = f H(q): q is the distance of |k| from 2**31."""
    k = w | 1  # odd: -k is as likely as k, and q is never 0
    q = minimum(k ^ 0x80000000, k ^ 0x7FFFFFFE)  # of 2**31 + k and 2**31 - k
    h = normal_ratio32(convert(f32x16, bits(i32x16, q)))
    return convert(f32x16, bits(i32x16, k)) * h  # h is the same for k and -k: exactly odd


@njit
def standard_truncated32(w):
    """|x| <= 2: x = f H(y), y = C - f f, H a polynomial for each sixteenth of y's range."""
    f = convert(f32x16, bits(i32x16, w | 1))
    y = bits(u32x16, fma(f, f * -1.0, c.TRUNCATED_C))
    i = bits(i32x16, y >> c.TRUNCATED_SHIFT)
    m = bits(f32x16, (y & ((1 << c.TRUNCATED_SHIFT) - 1)) | ONE)
    return f * fma(fma(fma(fma(t4(i), m, t3(i)), m, t2(i)), m, t1(i)), m, t0(i))


@njit
def normal32(w, p):
    return fma(standard_normal32(w), p.stddev, p.mean)


@njit
def truncated32(w, p):
    """Within 2 stddev of the mean, and inside the bounds by the choice of stddev: see the plan."""
    return fma(standard_truncated32(w), p.stddev, p.mean)


@njit
def uniform32_clamped(w, p):
    return clamp(uniform32(w, p), p.low, p.high)


@njit
def truncated32_clamped(w, p):
    return clamp(truncated32(w, p), p.low, p.high)


# Inlined whatever it costs: a call for each vector would take longer than the map.
@njit(forceinline=True)
def bounded32(w, p):
    """The normal map with f and q moved to between the bounds; f is already times stddev."""
    k = w | 1
    f = fma(convert(f32x16, bits(i32x16, k)), p.scale, p.center)
    low = fma(convert(f32x16, k ^ 0x80000000), p.spacing, p.lower_mass)  # of 2**31 + k
    high = fma(convert(f32x16, k ^ 0x7FFFFFFE), p.spacing, p.upper_mass)  # of 2**31 - k
    h = normal_ratio32(select(high < low, high, low))
    return clamp(fma(f, h, p.mean), p.low, p.high)


@njit
def bounded_far32(w, p):
    """Any bounds: the float64 map on the word in the upper half, rounded once."""
    k = bits(i32x16, w | 1)
    low = convert(f32x8, bounded64(convert(i64x8, low_half(k, k)) << 32, p))
    high = convert(f32x8, bounded64(convert(i64x8, high_half(k, k)) << 32, p))
    return join(low, high)


# --- 64-bit words ------------------------------------------------------------------------------


@njit
def uniform64(k, p):
    return fma(convert(f64x8, k), p.scale, p.middle)


@njit
def log64(y):
    """Natural logarithm of positive normal numbers."""
    b = bits(i64x8, y)
    e = (b - c.LOG_SPLIT) >> 52
    f = bits(f64x8, b - (e << 52)) - 1.0
    s = f / (f + 2.0)
    log_m = s * log_polynomial(s * s)
    e = convert(f64x8, e)
    return fma(e, c.LN2_HIGH, fma(e, c.LN2_LOW, log_m))


@njit
def _tail(q):
    """x with 2 (1 - Phi(x)) = q, for q below 0.002."""
    r = sqrt(log64(q * 0.5) * -1.0)
    s = r - 1.6
    x = middle_numerator(s) / middle_denominator(s)
    far = r > 5.0
    if any_lane(far):
        s = r - 5.0
        x = select(far, far_numerator(s) / far_denominator(s), x)
    return x


@njit
def standard_bounded64(k, lower_mass, upper_mass, scale, center):
    """x with Phi(x) at the fraction 1/2 + k 2**-64 between the bounds; k odd or a multiple.

    u = 2 Phi(x) - 1 keeps its precision near the median, q = the doubled probability of the
    nearer tail keeps it far out.
    """
    u = fma(convert(f64x8, k), scale, center)
    low = fma(convert(f64x8, bits(u64x8, k + -TWO_63)), scale, lower_mass)
    high = fma(convert(f64x8, bits(u64x8, splat(i64x8, -TWO_63) - k)), scale, upper_mass)
    upper = high < low
    q = select(upper, high, low)
    w = log64(q * (splat(f64x8, 2.0) - q)) * -1.0
    x = u * central(w - c.NORMAL64_CENTER_W)
    tail = w > c.NORMAL64_TAIL_W
    if any_lane(tail):  # one vector of eight in seventy
        t = _tail(q)
        x = select(tail, select(upper, t, t * -1.0), x)
    return x


@njit
def bounded64(k, p):
    """Normal between any bounds, infinite ones included."""
    x = standard_bounded64(k, p.lower_mass, p.upper_mass, p.scale, p.center)
    return clamp(fma(x, p.stddev, p.mean), p.low, p.high)


@njit
def bounded64_words(k, p):
    return bounded64(k | 1, p)
