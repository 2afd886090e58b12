// SPDX-License-Identifier: Apache-2.0
// TensorFlow's last steps: words or standard normals to the weights of each dtype, every operation
// rounded to it; kernels/cpu/tensorflow_maps.py is the same for CPUs.

// The float16 nearest to a float32 below 65520, as a float32; ties to even.
struct nearest_half {
  static constexpr int MANTISSA_BITS = 10;

  __device__ __forceinline__ static float round(float x) {
    const u32 b = __float_as_uint(x), magnitude = b & 0x7FFFFFFF;
    const u32 normal = (b + (((b >> 13) & 1) + 0xFFF)) & 0xFFFFE000;
    // Below 2**-14 float16 counts in 2**-24, which is the spacing of float32 at 0.5.
    const float grid = add32(add32(__uint_as_float(magnitude), 0.5f), -0.5f);
    const u32 subnormal = __float_as_uint(grid) | (b & 0x80000000);
    return __uint_as_float(magnitude < 0x38800000 ? subnormal : normal);
  }
};

// The bfloat16 nearest to a float32, as a float32; ties to even.
struct nearest_bfloat {
  static constexpr int MANTISSA_BITS = 7;

  __device__ __forceinline__ static float round(float x) {
    const u32 b = __float_as_uint(x);
    return __uint_as_float((b + (((b >> 16) & 1) + 0x7FFF)) & 0xFFFF0000);
  }
};

struct nearest_single {
  static constexpr int MANTISSA_BITS = 23;
  __device__ __forceinline__ static float round(float x) { return x; }
};

// The low bits of a word as a number in [0, 1), times the range, plus the minimum.
template <class Nearest>
struct tensorflow_uniform {
  float span, minimum;

  __device__ __forceinline__ explicit tensorflow_uniform(const Parameters &p)
      : span(round32(p.floats[0])), minimum(round32(p.floats[1])) {}

  __device__ __forceinline__ float operator()(u32 w) const {
    const u32 mantissa = (w & ((1 << Nearest::MANTISSA_BITS) - 1)) << (23 - Nearest::MANTISSA_BITS);
    const float u = add32(__uint_as_float(mantissa | ONE), -1.0f);
    return Nearest::round(add32(Nearest::round(mul32(u, span)), minimum));
  }
};

// The bits of a standard normal, times the standard deviation, plus the mean.
template <class Nearest>
struct tensorflow_scaled {
  float stddev, mean;

  __device__ __forceinline__ explicit tensorflow_scaled(const Parameters &p)
      : stddev(round32(p.floats[0])), mean(round32(p.floats[1])) {}

  __device__ __forceinline__ float operator()(u32 z) const {
    const float x = Nearest::round(__uint_as_float(z));
    return Nearest::round(add32(Nearest::round(mul32(x, stddev)), mean));
  }
};

// The low 20 bits of the first word and the second word.
struct tensorflow_uniform64 {
  double span, minimum;

  __device__ __forceinline__ explicit tensorflow_uniform64(const Parameters &p)
      : span(p.floats[0]), minimum(p.floats[1]) {}

  __device__ __forceinline__ double operator()(u64 w) const {
    const u64 mantissa = (w & 0xFFFFF) << 32 | w >> 32;
    const double u = __dadd_rn(__longlong_as_double(mantissa | 0x3FFULL << 52), -1.0);
    return __dadd_rn(__dmul_rn(u, span), minimum);
  }
};
