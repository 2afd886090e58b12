# SPDX-License-Identifier: Apache-2.0
"""Every number that the CPU and the CUDA kernels share; kernels/README.md says what each is for.

Hexadecimal floats, so that no decimal conversion can move a bit. 32-bit constants are exact
float32 numbers.
"""

from __future__ import annotations

# Philox4x32 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3").
PHILOX_M0 = 0xD2511F53
PHILOX_M1 = 0xCD9E8D57
PHILOX_W0 = 0x9E3779B9  # golden ratio
PHILOX_W1 = 0xBB67AE85  # sqrt(3) - 1
PHILOX_ROUNDS = 10


def floats(text: str) -> tuple[float, ...]:
    """Hexadecimal floats, separated by white space."""
    return tuple(float.fromhex(word) for word in text.split())


def _rows(text: str) -> tuple[tuple[float, ...], ...]:
    """Rows of hexadecimal floats, separated by empty lines."""
    return tuple(map(floats, text.split("\n\n")))


# Normal truncated at +-2, 32-bit words: y = C - f * f, 16 segments of y, degree 4 in the mantissa.
# Row d holds the coefficients of m**d, entry i that of segment i.
TRUNCATED_C = float.fromhex("0x1.14p+62")
TRUNCATED_SHIFT = 21
TRUNCATED_TABLE = _rows(
    """
    0x1.07f0d8p-30 0x1.cc9f2ep-31 0x1.a2935cp-31 0x1.852034p-31 0x1.dfd6a4p-31 0x1.287904p-30
    0x1.1a9ee8p-30 0x1.0fe276p-30 0x1.30a37ep-30 0x1.1707a2p-30 0x1.05b1b8p-30 0x1.f1b2d4p-31
    0x1.1f1058p-30 0x1.007f44p-30 0x1.d97ca2p-31 0x1.bd2348p-31

    -0x1.1f37fcp-31 -0x1.69f14cp-32 -0x1.fb67ap-33 -0x1.7da52p-33 -0x1.3fe85p-31 -0x1.db91ccp-33
    -0x1.6f5564p-33 -0x1.29092ap-33 -0x1.b71d54p-32 -0x1.2a1de4p-32 -0x1.b8fa7cp-33
    -0x1.597c04p-33 -0x1.057cb8p-31 -0x1.53eecep-32 -0x1.e7a6d6p-33 -0x1.756a58p-33

    0x1.799d6ep-32 0x1.91cf6cp-33 0x1.e1b5b2p-34 0x1.39f46ep-34 0x1.d3f25cp-32 0x1.a0d546p-34
    0x1.149e02p-34 0x1.85c28ep-35 0x1.00e702p-32 0x1.259b88p-33 0x1.72ea12p-34 0x1.f77c54p-35
    0x1.48696ap-32 0x1.676908p-33 0x1.b80a7ep-34 0x1.239bdep-34

    -0x1.25ea9cp-33 -0x1.1dfbdp-34 -0x1.3abb4cp-35 -0x1.7a23eap-36 -0x1.8e6b5ap-33
    -0x1.0990a8p-35 -0x1.43c9bep-36 -0x1.a4e03ep-37 -0x1.7bb9bep-34 -0x1.8c5d52p-35
    -0x1.cb345ep-36 -0x1.1f083p-36 -0x1.f560e8p-34 -0x1.f5316cp-35 -0x1.19604ep-35
    -0x1.577018p-36

    0x1.83d514p-36 0x1.65c502p-37 0x1.76662p-38 0x1.acddbp-39 0x1.1e444p-35 0x1.38664ep-38
    0x1.6ab16ap-39 0x1.c1fd1ap-40 0x1.e6aa1ap-37 0x1.e1bed4p-38 0x1.0963bep-38 0x1.3c50ap-39
    0x1.4740dep-36 0x1.361674p-37 0x1.4b00acp-38 0x1.811642p-39
    """
)

# Normal, 32-bit words: 32 segments, the octaves of the tail probability, degree 7 in t = m - 1.5.
NORMAL_SHIFT = 23
NORMAL_CENTER = 1.5
NORMAL_TABLE = _rows(
    """
    0x1.8392aap-29 0x1.7c5e7cp-29 0x1.750884p-29 0x1.6d8edap-29 0x1.65ef68p-29 0x1.5e27e8p-29
    0x1.5635d2p-29 0x1.4e1658p-29 0x1.45c66p-29 0x1.3d426ap-29 0x1.34868ep-29 0x1.2b8e66p-29
    0x1.2254eep-29 0x1.18d478p-29 0x1.0f0684p-29 0x1.04e3ap-29 0x1.f4c69cp-30 0x1.def7dp-30
    0x1.c8453ep-30 0x1.b0976ep-30 0x1.97d648p-30 0x1.7debecp-30 0x1.62ca02p-30 0x1.46732ap-30
    0x1.2909f4p-30 0x1.0ae6dcp-30 0x1.d96c9p-31 0x1.9f465ap-31 0x1.6b600ep-31 0x1.464964p-31
    0x1.40d932p-31 0x1.8aa6c8p-29

    -0x1.b78264p-35 -0x1.bf6bb2p-35 -0x1.c7c4a4p-35 -0x1.d097cp-35 -0x1.d9f106p-35
    -0x1.e3de1cp-35 -0x1.ee6eb4p-35 -0x1.f9b4dep-35 -0x1.02e2c2p-34 -0x1.095c82p-34
    -0x1.1055e6p-34 -0x1.17dfa2p-34 -0x1.200d4ep-34 -0x1.28f5fp-34 -0x1.32b458p-34
    -0x1.3d675cp-34 -0x1.49315ep-34 -0x1.56368ep-34 -0x1.649886p-34 -0x1.746d36p-34
    -0x1.85ad76p-34 -0x1.981682p-34 -0x1.aaf81cp-34 -0x1.bcea86p-34 -0x1.cb6c38p-34
    -0x1.d26ee4p-34 -0x1.cbce92p-34 -0x1.ae1e84p-34 -0x1.66f9d4p-34 -0x1.68a5bep-35 -0x0.0p+0
    -0x1.afff66p-35

    0x1.1d9fb4p-36 0x1.227f52p-36 0x1.279fd8p-36 0x1.2d0708p-36 0x1.32bb6p-36 0x1.38c436p-36
    0x1.3f29e6p-36 0x1.45f5f8p-36 0x1.4d336p-36 0x1.54eecp-36 0x1.5d36bap-36 0x1.661c6ap-36
    0x1.6fb3ep-36 0x1.7a14ccp-36 0x1.855b52p-36 0x1.91a8fep-36 0x1.9f25eep-36 0x1.ae0202p-36
    0x1.be75c4p-36 0x1.d0c25p-36 0x1.e52e46p-36 0x1.fbfc1ap-36 0x1.0aa92ap-35 0x1.1884f4p-35
    0x1.272a22p-35 0x1.359d4cp-35 0x1.4222d2p-35 0x1.4aec2p-35 0x1.53d2dp-35 0x1.9d570cp-35
    0x0.0p+0 0x1.18fbep-36

    -0x1.f5d1eep-38 -0x1.fe2c9ep-38 -0x1.0379e2p-37 -0x1.08185ep-37 -0x1.0cf706p-37
    -0x1.121bc8p-37 -0x1.178d62p-37 -0x1.1d5378p-37 -0x1.2376c8p-37 -0x1.2a016p-37
    -0x1.30fedcp-37 -0x1.387cbp-37 -0x1.408a9ep-37 -0x1.493b22p-37 -0x1.52a418p-37
    -0x1.5cdf84p-37 -0x1.680c72p-37 -0x1.74502p-37 -0x1.81d71cp-37 -0x1.90d64cp-37
    -0x1.a18b08p-37 -0x1.b4389ep-37 -0x1.c91f96p-37 -0x1.e066dcp-37 -0x1.f9e8cap-37
    -0x1.0a674ep-36 -0x1.17727p-36 -0x1.21c13p-36 -0x1.237ce4p-36 -0x1.cb7e54p-37 -0x0.0p+0
    -0x1.eddb54p-38

    0x1.ed375ap-39 0x1.f54d14p-39 0x1.fdca1ap-39 0x1.035b9ap-38 0x1.080f1cp-38 0x1.0d051cp-38
    0x1.1243ep-38 0x1.17d282p-38 0x1.1db92p-38 0x1.2401p-38 0x1.2ab4d8p-38 0x1.31e10ap-38
    0x1.399404p-38 0x1.41dea8p-38 0x1.4ad4e6p-38 0x1.548e58p-38 0x1.5f272ap-38 0x1.6ac112p-38
    0x1.778486p-38 0x1.85a1eap-38 0x1.95525cp-38 0x1.a6d726p-38 0x1.ba7572p-38 0x1.d06916p-38
    0x1.e8c3dcp-38 0x1.01935ap-37 0x1.0f1e8ap-37 0x1.1b800ep-37 0x1.24a2f2p-37 0x1.4991bp-37
    0x0.0p+0 0x1.e58112p-39

    -0x1.03495ep-39 -0x1.077dacp-39 -0x1.0be71cp-39 -0x1.108a24p-39 -0x1.156bc2p-39
    -0x1.1a9196p-39 -0x1.2001fap-39 -0x1.25c41ep-39 -0x1.2be034p-39 -0x1.325f9ap-39
    -0x1.394d16p-39 -0x1.40b518p-39 -0x1.48a61cp-39 -0x1.513108p-39 -0x1.5a69c8p-39
    -0x1.6467e6p-39 -0x1.6f4772p-39 -0x1.7b29f6p-39 -0x1.8837c2p-39 -0x1.96a12ap-39
    -0x1.a69fbcp-39 -0x1.b87682p-39 -0x1.cc6f98p-39 -0x1.e2d31p-39 -0x1.fbce78p-39
    -0x1.0b9e28p-38 -0x1.1a186ep-38 -0x1.28197cp-38 -0x1.32f1cp-38 -0x1.1eee6ap-38 -0x0.0p+0
    -0x1.fe8c64p-40

    0x1.5aff9ep-40 0x1.608dd8p-40 0x1.66615cp-40 0x1.6c7feap-40 0x1.72effp-40 0x1.79b8a4p-40
    0x1.80e224p-40 0x1.8875a6p-40 0x1.907d9ap-40 0x1.9905f2p-40 0x1.a21c5ap-40 0x1.abd09ap-40
    0x1.b634fep-40 0x1.c15edcp-40 0x1.cd673ap-40 0x1.da6bap-40 0x1.e88f24p-40 0x1.f7fba8p-40
    0x1.0471aep-39 0x1.0dc144p-39 0x1.181096p-39 0x1.238a12p-39 0x1.305ddcp-39 0x1.3ebe16p-39
    0x1.4ed3aap-39 0x1.60a302p-39 0x1.73d132p-39 0x1.87362ep-39 0x1.98482p-39 0x1.b3b478p-39
    0x0.0p+0 0x1.55b18ap-40

    -0x1.9f9588p-41 -0x1.a629fp-41 -0x1.ad0f6ap-41 -0x1.b44c96p-41 -0x1.bbe8dcp-41
    -0x1.c3ec88p-41 -0x1.cc60eep-41 -0x1.d55096p-41 -0x1.dec77p-41 -0x1.e8d318p-41
    -0x1.f3831ap-41 -0x1.fee958p-41 -0x1.058d3ep-40 -0x1.0c1742p-40 -0x1.1320bep-40
    -0x1.1aba2cp-40 -0x1.22f704p-40 -0x1.2bee68p-40 -0x1.35bbfp-40 -0x1.40809ep-40
    -0x1.4c63cap-40 -0x1.5993e8p-40 -0x1.684644p-40 -0x1.78b43p-40 -0x1.8b11b8p-40
    -0x1.9f7612p-40 -0x1.b5a756p-40 -0x1.ccb6fep-40 -0x1.e271dep-40 -0x1.e73162p-40 -0x0.0p+0
    -0x1.994c4p-41
    """
)

# The largest |x| that the normal map of 32-bit words reaches (tests/kernels/test_exhaustive.py).
NORMAL_LARGEST_32 = float.fromhex("0x1.8ebc94p+2")

# float64: natural logarithm of y = m 2**e, m in [1/sqrt(2), sqrt(2)); s = f / (2 + f), f = m - 1:
# log m = s * P(s * s).

LOG_POLYNOMIAL = floats(
    """
    0x1.0p+1 0x1.55555555555aep-1 0x1.999999997ae62p-2 0x1.2492494517eedp-2 0x1.c71c4ffd004e7p-3
    0x1.74669a0339484p-3 0x1.3999ac8a6b8b7p-3 0x1.2f4e4dc7a9421p-3
    """
)
# float64 normal, w < 6.25: x / u as a polynomial in w - 3.125, w = -log(1 - u**2).
NORMAL64_CENTER = floats(
    """
    0x1.2b57ec65a8009p+1 0x1.5bc94440cc80fp-2 -0x1.179b257405e1fp-7 -0x1.12994fbb9801dp-10
    0x1.14e8fc428b78bp-12 -0x1.496275f5904c3p-16 -0x1.032ee3a93ed4bp-19 0x1.4186bc8665123p-21
    -0x1.6125a958ee15dp-25 -0x1.8faea4c05c826p-28 0x1.98a5b036992e7p-30 -0x1.50d4123d08a9cp-34
    -0x1.42de66b5d6273p-36 0x1.06156fe925d3dp-38 -0x1.0228169a9171fp-43 -0x1.024a99f311944p-44
    0x1.4f5dd37122103p-47 0x1.1aa8a92ba6c5p-55 -0x1.a4e46490c3a29p-53 0x1.223ee4e28a622p-56
    0x1.cc4d3453e9264p-60 -0x1.184860f3aec75p-62 -0x1.93e3b350ec805p-72
    """
)

# float64 normal, w >= 6.25: x as a quotient of two polynomials in r = sqrt(-log p), p the
# probability of the tail beyond x: in r - 1.6 up to r = 5, in r - 5 from there to p = 1e-316
# (Wichura 1988, "Algorithm AS 241: The percentage points of the normal distribution", PPND16).
NORMAL64_MIDDLE_NUMERATOR = floats(
    """
    0x1.6c665fde9526ap+0 0x1.2857748cab19bp+2 0x1.713f71462256ap+2 0x1.d2ecb1a3d02c4p+1
    0x1.453cc085375b2p+0 0x1.ef2abb9b85c37p-3 0x1.744eb6c45ec67p-6 0x1.9615ac0b7ace9p-11
    """
)
NORMAL64_MIDDLE_DENOMINATOR = floats(
    """
    0x1.0p+0 0x1.06cefbb46a449p+1 0x1.ad278e6526633p+0 0x1.61292f23385c9p-1 0x1.2f5123394f04p-3
    0x1.f207a7eab17bfp-7 0x1.1f18cbfdf2728p-11 0x1.20d3f686439e4p-30
    """
)
NORMAL64_FAR_NUMERATOR = floats(
    """
    0x1.aa1b1c13ee526p+2 0x1.5daea6e875003p+2 0x1.c8ea6461fa445p+0 0x1.2fad9315255cfp-2
    0x1.b2b41193b4ee7p-6 0x1.45c1908425345p-10 0x1.c6ec6cc59e02ap-16 0x1.afb74d693bf93p-23
    """
)
NORMAL64_FAR_DENOMINATOR = floats(
    """
    0x1.0p+0 0x1.331d34fc7d77fp-1 0x1.186eb183443fbp-3 0x1.e76f93215462ap-7
    0x1.9c8bc979dc5d7p-11 0x1.35c2c496374bfp-16 0x1.31446f740b9ep-23 0x1.269bff1f8c19p-49
    """
)

NORMAL64_CENTER_W = 3.125
NORMAL64_TAIL_W = 6.25

# log y = e ln 2 + log m; e LN2_HIGH is exact, for LN2_HIGH ends in eleven zero bits.
LOG_SPLIT = 0x3FE6A09E667F3BCD  # the bits of sqrt(1/2)
LN2_HIGH = float.fromhex("0x1.62e42fefa38p-1")
LN2_LOW = float.fromhex("0x1.ef35793c7673p-45")

# TensorFlow's normals reach no further: sqrt(-2 log 1e-7) = 5.6777.
TENSORFLOW_LARGEST = 5.68

# --- logf, sinf and cosf in float64: as glibc has had them, and correctly rounded -----------------
#
# TensorFlow calls the functions of the system's libm. glibc since 2.28 takes them from Arm's
# optimized routines (math/logf_data.c, math/sincosf_data.c; MIT license): one result in 80 to 140
# is not the nearest float32. Newer versions of glibc round correctly. Both kinds share all but the
# polynomials; rounding the float64 result once gives the right float32 for every number that
# TensorFlow passes to them (tests/kernels/test_exhaustive_tensorflow.py).

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

# Householder reflectors of a panel: what is applied at once, and so how sums are cut.
REFLECTORS = 96
# Kernels take the width of a panel for a multiple of this, and read its rows by so many: rows and
# vectors of any tile divide it.
REFLECTORS_AT_ONCE = 24
