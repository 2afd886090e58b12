// SPDX-License-Identifier: Apache-2.0
// Integers by their size, bits of floats, and float operations that round once, to nearest even.
//
// The float32 operations are written in PTX, so that no option of the compiler changes them: the
// intrinsics lose subnormal numbers under -ftz=true. Those on float64 know no such option.

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

static_assert(sizeof(u32) == 4 && sizeof(u64) == 8, "counters and indices need these sizes");

// What philinit.kernels.plan computed; philinit.kernels.table has this layout, and the names.
struct Parameters {
  double floats[FLOATS];
  i64 integers[INTEGERS];
};

#ifdef __CUDA_ARCH__

__device__ __forceinline__ float fma32(float a, float b, float c) {
  float y;
  asm("fma.rn.f32 %0, %1, %2, %3;" : "=f"(y) : "f"(a), "f"(b), "f"(c));
  return y;
}

__device__ __forceinline__ float mul32(float a, float b) {
  float y;
  asm("mul.rn.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}

__device__ __forceinline__ float add32(float a, float b) {
  float y;
  asm("add.rn.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}

__device__ __forceinline__ float minus32(float a) {
  float y;
  asm("neg.f32 %0, %1;" : "=f"(y) : "f"(a));
  return y;
}

__device__ __forceinline__ float sqrt32(float a) {
  float y;
  asm("sqrt.rn.f32 %0, %1;" : "=f"(y) : "f"(a));
  return y;
}

__device__ __forceinline__ float round32(double a) {
  float y;
  asm("cvt.rn.f32.f64 %0, %1;" : "=f"(y) : "d"(a));
  return y;
}

// The smaller and the larger of two numbers; of zeros with different signs it is not said which.
__device__ __forceinline__ float minimum(float a, float b) {
  float y;
  asm("min.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}

__device__ __forceinline__ float maximum(float a, float b) {
  float y;
  asm("max.f32 %0, %1, %2;" : "=f"(y) : "f"(a), "f"(b));
  return y;
}

// x if a < b, else y.
__device__ __forceinline__ float select_less(float a, float b, float x, float y) {
  float z;
  asm("{\n .reg .pred less;\n setp.lt.f32 less, %1, %2;\n selp.f32 %0, %3, %4, less;\n}"
      : "=f"(z)
      : "f"(a), "f"(b), "f"(x), "f"(y));
  return z;
}

// The same value, of whose origin the compiler knows nothing: it is computed once, and no part of
// it again at every use.
__device__ __forceinline__ u32 opaque(u32 value) {
  u32 same;
  asm("mov.b32 %0, %1;" : "=r"(same) : "r"(value));
  return same;
}

__device__ __forceinline__ u64 opaque(u64 value) {
  u64 same;
  asm("mov.b64 %0, %1;" : "=l"(same) : "l"(value));
  return same;
}

__device__ __forceinline__ char *opaque_global(char *pointer) {
  pointer = (char *)opaque((u64)pointer);
  __builtin_assume(__isGlobal(pointer));
  return pointer;
}

__device__ __forceinline__ const char *opaque_shared(const void *pointer) {
  pointer = (const void *)opaque((u64)pointer);
  __builtin_assume(__isShared(pointer));
  return (const char *)pointer;
}

#else  // a C++ compiler, for tests

__device__ inline u32 opaque(u32 value) { return value; }
__device__ inline u64 opaque(u64 value) { return value; }
__device__ inline char *opaque_global(char *pointer) { return pointer; }
__device__ inline const char *opaque_shared(const void *pointer) { return (const char *)pointer; }

__device__ inline float fma32(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline float mul32(float a, float b) { return __fmul_rn(a, b); }
__device__ inline float add32(float a, float b) { return __fadd_rn(a, b); }
__device__ inline float minus32(float a) { return -a; }
__device__ inline float sqrt32(float a) { return __fsqrt_rn(a); }
__device__ inline float round32(double a) { return __double2float_rn(a); }
__device__ inline float minimum(float a, float b) { return a < b ? a : b; }
__device__ inline float maximum(float a, float b) { return a > b ? a : b; }
__device__ inline float select_less(float a, float b, float x, float y) { return a < b ? x : y; }

#endif

// y moved into [low, high]; equal zeros take the sign of the bound, as on CPUs.
__device__ __forceinline__ float clamp(float y, float low, float high) {
  y = select_less(low, y, y, low);
  return select_less(y, high, y, high);
}

__device__ __forceinline__ double clamp(double y, double low, double high) {
  y = y > low ? y : low;
  return y < high ? y : high;
}

// The sum of c[i] x**i, by Horner's rule and fma.
template <int N>
__device__ __forceinline__ double polynomial(const double (&c)[N], double x) {
  double y = c[N - 1];
#pragma unroll
  for (int i = N - 2; i >= 0; --i) y = __fma_rn(y, x, c[i]);
  return y;
}
