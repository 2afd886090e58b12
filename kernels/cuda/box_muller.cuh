// SPDX-License-Identifier: Apache-2.0
// Pairs of words to pairs of standard normals, as TensorFlow makes them (Box & Muller 1958);
// kernels/cpu/box_muller.py is the same for CPUs and says more.

#define MANTISSA 0x7FFFFF  // what TensorFlow takes of a word: u = 2**-23 n, n = w & MANTISSA

constexpr double TWO_52 = 0x1p52;
constexpr u64 BITS_OF_TWO_52 = 0x4330000000000000;  // with n in the mantissa: 2**52 + n
constexpr i64 LOG_OFFSET = LOG_SPLIT_32 + (23LL << 52);
constexpr float LARGEST = 0x1.01e3b8p+5f;  // -2 log 1e-7: TensorFlow takes this for u = 0

// Adding this to 2**52 + n rounds n to a multiple of 2**21, a quarter of a turn, whose number then
// stands in the lowest bits.
constexpr double ROUND_TO_QUARTER = 0x1.8p73;

// -2 times the polynomial; exact.
template <int N>
__device__ __forceinline__ double minus_two_times(const double (&c)[N], double x) {
  double y = -2.0 * c[N - 1];
#pragma unroll
  for (int i = N - 2; i >= 0; --i) y = __fma_rn(y, x, -2.0 * c[i]);
  return y;
}

// For both kinds of libm that the plan can name, of log and of sin and cos.
struct box_muller {
  const char *rows;  // of this lane's copy
  bool rounded_log, rounded_trigonometry;

  __device__ __forceinline__ explicit box_muller(const Parameters &p)
      : rounded_log(p.integers[0] == ROUNDED), rounded_trigonometry(p.integers[1] == ROUNDED) {
    __shared__ double2 table[16][COPIES];  // the inverse and -2 log of the center of a sixteenth
    for (u32 i = threadIdx.x; i < 16 * COPIES; i += blockDim.x)
      table[i / COPIES][i % COPIES] = {__dmul_rn(0x1p-23, LOG_INVERSE[i / COPIES]),
                                       __dmul_rn(-2.0, LOG_CENTER[i / COPIES])};
    __syncthreads();
    rows = opaque_shared(&table[0][copy()]);
  }

  // sqrt(-2 log u) in float32, u from the lower word of a pair.
  __device__ __forceinline__ float radius(u32 w) const {
    const double m = __dadd_rn(__longlong_as_double((w & MANTISSA) | BITS_OF_TWO_52), -TWO_52);
    const i64 b = __double_as_longlong(m), t = b - LOG_OFFSET;
    const i64 e = t >> 52;
    const double2 c = at<double2>(rows, (u32)(t >> 48) % 16 * (16 * COPIES));
    const double r = __fma_rn(__longlong_as_double(b - e * (1LL << 52)), c.x, -1.0);
    const double y = __fma_rn(__int2double_rn((int)e), -2.0 * LN2, c.y);
    const double log1p =
        rounded_log ? minus_two_times(ROUNDED_LOG1P, r) : minus_two_times(GLIBC_LOG1P, r);
    const float square = round32(__fma_rn(log1p, r, y));
    return sqrt32(select_less(square, LARGEST, square, LARGEST));  // n = 0 gives more
  }

  // (sin, cos) of 2 pi u in float32, u from the upper word of a pair.
  __device__ __forceinline__ float2 direction(u32 w) const {
    double n = __longlong_as_double((w & MANTISSA) | BITS_OF_TWO_52);
    double angle = __fma_rn(n, TURN, -TURN * TWO_52);
    const i64 nearest = (__double_as_longlong(angle) + (1 << 28)) & -(1LL << 29);
    angle = __longlong_as_double(nearest);  // a float32
    const double q = __dadd_rn(n, ROUND_TO_QUARTER - TWO_52);
    n = __dadd_rn(q, -ROUND_TO_QUARTER);
    double r = __fma_rn(n, -TURN, angle), s, c;
    if (rounded_trigonometry) {
      r = __fma_rn(n, -TURN_LOW, r);
      const double r2 = __dmul_rn(r, r);
      s = __fma_rn(polynomial(ROUNDED_SIN, r2), __dmul_rn(r2, r), r);
      c = polynomial(ROUNDED_COS, r2);
    } else {
      const double r2 = __dmul_rn(r, r);
      s = __fma_rn(polynomial(GLIBC_SIN, r2), __dmul_rn(r2, r), r);
      c = polynomial(GLIBC_COS, r2);
    }
    // In odd quarters sin and cos change places; sin is negative in quarters 2 and 3, cos in 1 and
    // 2, whose numbers plus one have the same bit set.
    const u32 quarter = (u32)__double_as_longlong(q);
    const u32 sin = __float_as_uint(round32(s)), cos = __float_as_uint(round32(c));
    return {__uint_as_float((quarter & 1 ? cos : sin) ^ ((quarter << 30) & 0x80000000)),
            __uint_as_float((quarter & 1 ? sin : cos) ^ (((quarter + 1) << 30) & 0x80000000))};
  }

  // Four words to the bits of four standard normals.
  __device__ __forceinline__ Words operator()(const Words &words) const {
    Words z;
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const float r = radius(words.w[i]);
      const float2 x = direction(words.w[i + 1]);
      z.w[i] = __float_as_uint(mul32(x.x, r));
      z.w[i + 1] = __float_as_uint(mul32(x.y, r));
    }
    return z;
  }
};
