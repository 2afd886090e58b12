# SPDX-License-Identifier: Apache-2.0
"""Coefficients of logf, sinf and cosf in float64: as glibc has had them, and correctly rounded.

TensorFlow calls the functions of the system's libm. glibc since 2.28 takes them from Arm's
optimized routines (math/logf_data.c, math/sincosf_data.c; MIT license): one result in 80 to 140 is
not the nearest float32. Newer versions of glibc round correctly. Both kinds share all but the
polynomials; rounding the float64 result once gives the right float32 for every number that
TensorFlow passes to them (tests/kernels/test_exhaustive_tensorflow.py).
"""

from __future__ import annotations

from philinit.kernels.constants import floats

# How kernels are told which kind to follow; CALLED: ask the libm of the process for each number.
GLIBC, ROUNDED, CALLED = 0, 1, 2

LN2 = float.fromhex("0x1.62e42fefa39efp-1")

# log x = k ln 2 + log c + log1p(z / c - 1), x = z 2**k, z in [0x1.66p-1, 0x1.66p0); c stands near
# the middle of z's sixteenth of that, and |z / c - 1| < 0.031.
LOG_SPLIT_32 = 0x3FE6600000000000  # the bits of 0x1.66p-1 as float64
LOG_INVERSE = floats(
    """
    0x1.661ec79f8f3bep+0 0x1.571ed4aaf883dp+0 0x1.49539f0f010bp+0 0x1.3c995b0b80385p+0
    0x1.30d190c8864a5p+0 0x1.25e227b0b8eap+0 0x1.1bb4a4a1a343fp+0 0x1.12358f08ae5bap+0
    0x1.0953f419900a7p+0 0x1p+0 0x1.e608cfd9a47acp-1 0x1.ca4b31f026aap-1 0x1.b2036576afce6p-1
    0x1.9c2d163a1aa2dp-1 0x1.886e6037841edp-1 0x1.767dcf5534862p-1
    """
)
LOG_CENTER = floats(  # -log of the above
    """
    -0x1.57bf7808caadep-2 -0x1.2bef0a7c06ddbp-2 -0x1.01eae7f513a67p-2 -0x1.b31d8a68224e9p-3
    -0x1.6574f0ac07758p-3 -0x1.1aa2bc79c81p-3 -0x1.a4e76ce8c0e5ep-4 -0x1.1973c5a611cccp-4
    -0x1.252f438e10c1ep-5 0x0p+0 0x1.aa5aa5df25984p-5 0x1.c5e53aa362eb4p-4 0x1.526e57720db08p-3
    0x1.bc2860d22477p-3 0x1.1058bc8a07ee1p-2 0x1.4043057b6ee09p-2
    """
)

# log1p r = r P(r); sin r = r + r**3 S(r**2) and cos r = C(r**2) for |r| <= pi / 4.
GLIBC_LOG1P = floats("0x1.0p+0 -0x1.ffffef20a4123p-2 0x1.5575b0be00b6ap-2 -0x1.00ea348b88334p-2")
GLIBC_SIN = floats("-0x1.555545995a603p-3 0x1.1107605230bc4p-7 -0x1.994eb3774cf24p-13")
GLIBC_COS = floats(
    "0x1.0p+0 -0x1.ffffffd0c621cp-2 0x1.55553e1068f19p-5 -0x1.6c087e89a359dp-10 "
    "0x1.99343027bf8c3p-16"
)

# The same by interpolation at Chebyshev nodes, to 1e-15 and better.
ROUNDED_LOG1P = floats(
    """
    0x1.0p+0 -0x1.ffffffffffff4p-2 0x1.555555555554bp-2 -0x1.000000005f453p-2
    0x1.9999999a46d2bp-3 -0x1.5555461439008p-3 0x1.24923b4664899p-3 -0x1.006405ed779bfp-3
    0x1.c7d24ecad126ap-4
    """
)
ROUNDED_SIN = floats(
    """
    -0x1.5555555555555p-3 0x1.1111111110bb1p-7 -0x1.a01a019e8357dp-13 0x1.71de37961e4c6p-19
    -0x1.ae600a926c89ap-26 0x1.5e0af186af739p-33
    """
)
ROUNDED_COS = floats(
    """
    0x1.0p+0 -0x1.0p-1 0x1.5555555555551p-5 -0x1.6c16c16c15d75p-10 0x1.a01a019de0bd9p-16
    -0x1.27e4f8e43de29p-22 0x1.1eea7ed58e4c6p-29 -0x1.8ff9a50ab914fp-37
    """
)

# The angle of n is 2 pi n 2**-23: TURN n, plus TURN_LOW n for those who look that closely.
TURN = float.fromhex("0x1.921fb54442d18p-21")
TURN_LOW = float.fromhex("0x1.1a62633145c07p-75")
