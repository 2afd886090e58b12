// SPDX-License-Identifier: Apache-2.0
// float32 to the 16-bit dtypes, to nearest and ties to even: two numbers to the halves of a word,
// the first in the lower one; kernels/cpu/rounding.py is the same for CPUs.

// The upper half of the bits, plus one if the lower half is past the middle.
__device__ __forceinline__ u32 bfloat_by_arithmetic(float a) {
  const u32 b = __float_as_uint(a);
  return (b + 0x7FFF + ((b >> 16) & 1)) >> 16;
}

__device__ __forceinline__ u32 half_by_arithmetic(float a) {
  const u32 b = __float_as_uint(a), magnitude = b & 0x7FFFFFFF;
  const u32 normal = (magnitude + (((magnitude >> 13) & 1) + 0xFFF) - (112 << 23)) >> 13;
  // Below 2**-14 float16 counts in 2**-24, which is the spacing of float32 at 0.5.
  const u32 subnormal = __float_as_uint(add32(__uint_as_float(magnitude), 0.5f)) - 0x3F000000;
  return (magnitude < 0x38800000 ? subnormal : normal) | ((b >> 16) & 0x8000);
}

struct to_bfloat16_exact {
  __device__ __forceinline__ static u32 pack(float a, float b) {
    return bfloat_by_arithmetic(a) | bfloat_by_arithmetic(b) << 16;
  }
};

struct to_bfloat16 {
  __device__ __forceinline__ static u32 pack(float a, float b) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    u32 packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(b), "f"(a));
    return packed;
#else
    return to_bfloat16_exact::pack(a, b);
#endif
  }
};

struct to_float16 {
  __device__ __forceinline__ static u32 pack(float a, float b) {
#ifdef __CUDA_ARCH__
    u32 packed;
#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(b), "f"(a));
#else
    asm("{\n .reg .b16 low, high;\n cvt.rn.f16.f32 low, %1;\n cvt.rn.f16.f32 high, %2;\n"
        " mov.b32 %0, {low, high};\n}"
        : "=r"(packed)
        : "f"(a), "f"(b));
#endif
    return packed;
#else
    return half_by_arithmetic(a) | half_by_arithmetic(b) << 16;
#endif
  }
};

// 16-bit floats moved into [low, high] with low < 0 < high, given as bits.
//
// Read as signed integers, positive floats are in order and negative ones below them; read as
// unsigned integers, negative floats are in the order of their magnitudes, above all positive.
struct between {
  u32 low, high;

  __device__ __forceinline__ explicit between(const Parameters &p)
      : low((u32)p.integers[0] * 0x10001), high((u32)p.integers[1] * 0x10001) {}

  __device__ __forceinline__ u32 operator()(u32 packed) const {
    return __vminu2(__vmins2(packed, high), low);
  }
};

struct as_it_is {
  __device__ __forceinline__ explicit as_it_is(const Parameters &) {}
  __device__ __forceinline__ u32 operator()(u32 packed) const { return packed; }
};
