// SPDX-License-Identifier: Apache-2.0
// float32 to the dtypes of 16 and 8 bits, to nearest and ties to even: two numbers to the halves of
// a word, four to its bytes, the first in the lowest; kernels/cpu/rounding.py is the same for CPUs.

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

// In the format that the parameters describe; the numbers are no larger than its largest one.
struct to_float8 {
  u32 least, shift, offset, kept;
  float factor;

  __device__ __forceinline__ explicit to_float8(const Parameters &p)
      : least((u32)p.integers[0]), shift((u32)p.integers[1]), offset((u32)p.integers[2]),
        kept(p.integers[3] == -128 ? 0xFFFFFFFF : 0x7F7F7F7F),
        factor(__int2float_rn(1 << (int)p.integers[1])) {}

  // A float8 in the lowest byte, but for its sign, the highest bit.
  __device__ __forceinline__ u32 in_word(float x) const {
    const u32 b = __float_as_uint(x), exponent = b & 0x7F800000;
    const u32 power = (exponent < least ? least : exponent) | (b & 0x80000000);
    // Float32 counts there in what float8 counts in at x: the sum is x rounded to that, whose lowest
    // bits are the mantissa of float8, with the leading 1 if it has one.
    const u32 total = __float_as_uint(fma32(__uint_as_float(power), factor, x));
    return total + (total >> shift) - offset;
  }

  __device__ __forceinline__ u32 pack(float a, float b, float c, float d) const {
    const u32 low = __byte_perm(in_word(a), in_word(b), 0x7340);
    const u32 high = __byte_perm(in_word(c), in_word(d), 0x7340);
    return __byte_perm(low, high, 0x5410) | (__byte_perm(low, high, 0x7632) & 0x80808080);
  }

  // -0 becomes 0 in formats that take its bits for NaN.
  __device__ __forceinline__ u32 without_negative_zero(u32 packed) const {
    return packed & (((packed & 0x7F7F7F7F) + 0x7F7F7F7F) | kept);
  }
};

// Floats moved into [low, high] with low < 0 < high, given as bits.
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

struct between8 {
  u32 low, high;

  __device__ __forceinline__ explicit between8(const Parameters &p)
      : low((u32)p.integers[4] * 0x1010101), high((u32)p.integers[5] * 0x1010101) {}

  __device__ __forceinline__ u32 operator()(u32 packed) const {
    return __vminu4(__vmins4(packed, high), low);
  }
};

struct as_it_is {
  __device__ __forceinline__ explicit as_it_is(const Parameters &) {}
  __device__ __forceinline__ u32 operator()(u32 packed) const { return packed; }
};
