// SPDX-License-Identifier: Apache-2.0
// Words to numbers: the maps of kernels/README.md; kernels/cpu/distributions.py is the same for
// CPUs, function by function. A map is built from its parameters, once a thread.

#define ONE 0x3F800000  // the bits of 1.0f: with a mantissa below it, a number in [1, 2)

// Coefficients in shared memory, four in 16 bytes, eight copies of them side by side: a quarter of
// a warp reads 128 bytes at once, each lane from a copy, and so from banks, of its own.
#define COPIES 8

__device__ __forceinline__ u32 copy() { return threadIdx.x % COPIES; }

template <class T>
__device__ __forceinline__ const T &at(const char *table, u32 offset) {
  return *reinterpret_cast<const T *>(table + offset);
}

// --- 32-bit words -------------------------------------------------------------------------------

// Inside [low, high) by the choice of scale and middle: see the plan.
struct uniform32 {
  float scale, middle;

  __device__ __forceinline__ explicit uniform32(const Parameters &p)
      : scale(round32(p.floats[0])), middle(round32(p.floats[1])) {}

  __device__ __forceinline__ float operator()(u32 w) const {
    return fma32(__int2float_rn((int)w), scale, middle);
  }
};

// H(q) = x / f: a polynomial for each octave of q, the doubled probability of the tail.
struct normal_ratio32 {
  static constexpr u32 FIRST = 127;  // the exponent field of the smallest q, which is 1
  const char *rows;                  // of this lane's copy

  __device__ __forceinline__ normal_ratio32() {
    __shared__ float4 table[32][2][COPIES];  // of each octave n0 to n3, then n4 to n7
    for (u32 i = threadIdx.x; i < 32 * 2 * COPIES; i += blockDim.x) {
      const u32 octave = i / (2 * COPIES), half = i / COPIES % 2;
      const float *n = &NORMAL_TABLE[4 * half][(FIRST + octave) % 32];
      table[octave][half][i % COPIES] = {n[0], n[32], n[64], n[96]};
    }
    __syncthreads();
    rows = opaque_shared(&table[0][0][copy()]);
  }

  __device__ __forceinline__ float operator()(float tail) const {
    const u32 q = __float_as_uint(tail);
    const u32 octave = opaque((q >> NORMAL_SHIFT) - FIRST), i = octave * (2 * COPIES * 16);
    const float4 n = at<float4>(rows, i), m = at<float4>(rows, i + COPIES * 16);
    const float t = add32(__uint_as_float(q - (octave << NORMAL_SHIFT)), -NORMAL_CENTER);
    const float h = fma32(fma32(fma32(m.w, t, m.z), t, m.y), t, m.x);
    return fma32(fma32(fma32(fma32(h, t, n.w), t, n.z), t, n.y), t, n.x);
  }
};

// x = f H(q): q is the distance of |k| from 2**31.
struct standard_normal32 {
  normal_ratio32 ratio;

  __device__ __forceinline__ float operator()(u32 w) const {
    const int k = (int)(w | 1);  // odd: -k is as likely as k, and q is never 0
    const int magnitude = k < 0 ? -k : k;
    const float h = ratio(__int2float_rn((int)(0x80000000u - (u32)magnitude)));
    return mul32(__int2float_rn(k), h);  // h is the same for k and -k: exactly odd
  }
};

// |x| <= 2: x = f H(y), y = C - f f, H a polynomial for each sixteenth of y's range.
struct standard_truncated32 {
  static constexpr u32 FIRST = 741;  // y >= C - 2**62 = 0x1.4p+58, whose bits >> 21 are this
  static constexpr u32 EXPONENT = ONE >> TRUNCATED_SHIFT;
  const char *rows, *last;  // of this lane's copies, were the first row that of a number in [1, 2)

  __device__ __forceinline__ standard_truncated32() {
    __shared__ float4 table[16][COPIES];  // t0 to t3
    __shared__ float table4[16][32];      // t4, a copy for each lane of a warp
    for (u32 i = threadIdx.x; i < 16 * COPIES; i += blockDim.x) {
      const float *t = &TRUNCATED_TABLE[0][(FIRST + i / COPIES) % 16];
      table[i / COPIES][i % COPIES] = {t[0], t[16], t[32], t[48]};
    }
    for (u32 i = threadIdx.x; i < 16 * 32; i += blockDim.x)
      table4[i / 32][i % 32] = TRUNCATED_TABLE[4][(FIRST + i / 32) % 16];
    __syncthreads();
    rows = opaque_shared(&table[0][copy()]) - (FIRST - EXPONENT) * sizeof table[0];
    last = opaque_shared(&table4[0][threadIdx.x % 32]) - (FIRST - EXPONENT) * sizeof table4[0];
  }

  __device__ __forceinline__ float operator()(u32 w) const {
    const float f = __int2float_rn((int)(w | 1));
    const u32 y = __float_as_uint(fma32(f, minus32(f), TRUNCATED_C));
    const u32 part = opaque((y >> TRUNCATED_SHIFT) - EXPONENT);
    const float4 t = at<float4>(rows, part * 128);
    const float t4 = at<float>(last, part * 128);
    const float m = __uint_as_float(y - (part << TRUNCATED_SHIFT));
    return mul32(f, fma32(fma32(fma32(fma32(t4, m, t.w), m, t.z), m, t.y), m, t.x));
  }
};

template <class Standard>
struct scaled_and_moved {
  Standard standard;
  float stddev, mean;

  __device__ __forceinline__ explicit scaled_and_moved(const Parameters &p)
      : stddev(round32(p.floats[0])), mean(round32(p.floats[1])) {}

  __device__ __forceinline__ float operator()(u32 w) const {
    return fma32(standard(w), stddev, mean);
  }
};

typedef scaled_and_moved<standard_normal32> normal32;

// Within 2 stddev of the mean, and inside the bounds by the choice of stddev: see the plan.
typedef scaled_and_moved<standard_truncated32> truncated32;

template <class Number>
struct clamped {
  Number number;
  float low, high;

  __device__ __forceinline__ explicit clamped(const Parameters &p)
      : number(p), low(round32(p.floats[2])), high(round32(p.floats[3])) {}

  __device__ __forceinline__ float operator()(u32 w) const { return clamp(number(w), low, high); }
};

typedef clamped<uniform32> uniform32_clamped;
typedef clamped<truncated32> truncated32_clamped;

// The normal map with f and q moved to between the bounds; f is already times stddev.
struct bounded32 {
  normal_ratio32 ratio;
  float mean, low, high, lower_mass, upper_mass, scale, center, spacing;

  __device__ __forceinline__ explicit bounded32(const Parameters &p)
      : mean(round32(p.floats[0])), low(round32(p.floats[1])), high(round32(p.floats[2])),
        lower_mass(round32(p.floats[3])), upper_mass(round32(p.floats[4])),
        scale(round32(p.floats[5])), center(round32(p.floats[6])), spacing(round32(p.floats[7])) {}

  __device__ __forceinline__ float operator()(u32 w) const {
    const u32 k = w | 1;
    const float f = fma32(__int2float_rn((int)k), scale, center);
    const float below = fma32(__uint2float_rn(k ^ 0x80000000u), spacing, lower_mass);  // of 2**31 + k
    const float above = fma32(__uint2float_rn(k ^ 0x7FFFFFFEu), spacing, upper_mass);  // of 2**31 - k
    const float y = fma32(f, ratio(minimum(above, below)), mean);
    return minimum(maximum(y, low), high);  // none is -0.0: see the plan
  }
};

// --- 64-bit words -------------------------------------------------------------------------------

struct uniform64 {
  double scale, middle;

  __device__ __forceinline__ explicit uniform64(const Parameters &p)
      : scale(p.floats[0]), middle(p.floats[1]) {}

  __device__ __forceinline__ double operator()(u64 k) const {
    return __fma_rn(__ll2double_rn((i64)k), scale, middle);
  }
};

// Natural logarithm of positive normal numbers.
__device__ __forceinline__ double log64(double y) {
  const i64 b = __double_as_longlong(y);
  const i64 e = (b - LOG_SPLIT) >> 52;
  const double f = __dadd_rn(__longlong_as_double(b - e * (1LL << 52)), -1.0);
  const double s = __ddiv_rn(f, __dadd_rn(f, 2.0));
  const double log_m = __dmul_rn(s, polynomial(LOG_POLYNOMIAL, __dmul_rn(s, s)));
  const double n = __int2double_rn((int)e);
  return __fma_rn(n, LN2_HIGH, __fma_rn(n, LN2_LOW, log_m));
}

// x with 2 (1 - Phi(x)) = q, for q below 0.002.
__device__ __forceinline__ double tail(double q) {
  const double r = __dsqrt_rn(-log64(__dmul_rn(q, 0.5)));
  if (r > 5.0) {
    const double s = __dadd_rn(r, -5.0);
    return __ddiv_rn(polynomial(NORMAL64_FAR_NUMERATOR, s),
                     polynomial(NORMAL64_FAR_DENOMINATOR, s));
  }
  const double s = __dadd_rn(r, -1.6);
  return __ddiv_rn(polynomial(NORMAL64_MIDDLE_NUMERATOR, s),
                   polynomial(NORMAL64_MIDDLE_DENOMINATOR, s));
}

// x with Phi(x) at the fraction 1/2 + k 2**-64 between the bounds; k odd or a multiple.
//
// u = 2 Phi(x) - 1 keeps its precision near the median, q = the doubled probability of the nearer
// tail keeps it far out.
__device__ __forceinline__ double standard_bounded64(i64 k, double lower_mass, double upper_mass,
                                                     double scale, double center) {
  const u64 top = 1ULL << 63;
  const double u = __fma_rn(__ll2double_rn(k), scale, center);
  const double low = __fma_rn(__ull2double_rn((u64)k + top), scale, lower_mass);
  const double high = __fma_rn(__ull2double_rn(top - (u64)k), scale, upper_mass);
  const bool upper = high < low;
  const double q = upper ? high : low;
  const double w = -log64(__dmul_rn(q, __dadd_rn(2.0, -q)));
  if (w > NORMAL64_TAIL_W) {  // one number of five hundred
    const double x = tail(q);
    return upper ? x : -x;
  }
  return __dmul_rn(u, polynomial(NORMAL64_CENTER, __dadd_rn(w, -NORMAL64_CENTER_W)));
}

// Normal between any bounds, infinite ones included.
struct bounded64 {
  double stddev, mean, low, high, lower_mass, upper_mass, scale, center;

  __device__ __forceinline__ explicit bounded64(const Parameters &p)
      : stddev(p.floats[0]), mean(p.floats[1]), low(p.floats[2]), high(p.floats[3]), lower_mass(p.floats[4]),
        upper_mass(p.floats[5]), scale(p.floats[6]), center(p.floats[7]) {}

  __device__ __forceinline__ double operator()(i64 k) const {
    const double x = standard_bounded64(k, lower_mass, upper_mass, scale, center);
    return clamp(__fma_rn(x, stddev, mean), low, high);
  }
};

struct bounded64_words {
  bounded64 number;
  __device__ __forceinline__ explicit bounded64_words(const Parameters &p) : number(p) {}
  __device__ __forceinline__ double operator()(u64 w) const { return number((i64)(w | 1)); }
};

// Any bounds: the float64 map on the word in the upper half, rounded once.
struct bounded_far32 {
  bounded64 number;
  __device__ __forceinline__ explicit bounded_far32(const Parameters &p) : number(p) {}

  __device__ __forceinline__ float operator()(u32 w) const {
    return round32(number((i64)((u64)(w | 1) << 32)));
  }
};
