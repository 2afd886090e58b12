// SPDX-License-Identifier: Apache-2.0
// What a C++ compiler needs to know of CUDA to run kernels/cuda on a CPU, thread after thread.
//
// Each operation is the exactly rounded one that its name promises: compile with
// -ffp-contract=off, lest a product and a sum be fused. __syncthreads: the threads of a block first
// run to their barrier one after the other, and leave; then all run again from the start, past it.
// So a kernel may have one barrier, and what stands before it must bear being done twice.

#include <csetjmp>
#include <cmath>
#include <cstring>

// All else is hidden: libraries of other sources must not share a table with this one.
#define __global__ __attribute__((visibility("default")))
#define __device__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline
#define __shared__ static thread_local
#define __launch_bounds__(threads)

struct float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) double2 { double x, y; };
struct Index { unsigned x; };

// A GPU stores one only where the address is a multiple of 16, and ends the program elsewhere.
static thread_local unsigned long long vector_stores, misaligned_stores;

struct uint4 {
  unsigned x, y, z, w;

  uint4(unsigned x, unsigned y, unsigned z, unsigned w) : x(x), y(y), z(z), w(w) {}
  uint4(const uint4 &) = default;

  uint4 &operator=(const uint4 &other) {
    ++vector_stores;
    misaligned_stores += reinterpret_cast<unsigned long long>(this) % 16 != 0;
    std::memcpy(this, &other, sizeof other);
    return *this;
  }
};

static thread_local Index threadIdx, blockIdx, blockDim, gridDim;

static thread_local bool past_the_barrier;
static thread_local std::jmp_buf barrier;

static inline void __syncthreads() {
  if (!past_the_barrier) std::longjmp(barrier, 1);
}

template <class To, class From>
static inline To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

static inline unsigned __float_as_uint(float a) { return bits_as<unsigned>(a); }
static inline float __uint_as_float(unsigned a) { return bits_as<float>(a); }
static inline long long __double_as_longlong(double a) { return bits_as<long long>(a); }
static inline double __longlong_as_double(long long a) { return bits_as<double>(a); }

static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsqrt_rn(float a) { return std::sqrt(a); }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return std::sqrt(a); }

static inline float __double2float_rn(double a) { return (float)a; }
static inline float __int2float_rn(int a) { return (float)a; }
static inline float __uint2float_rn(unsigned int a) { return (float)a; }
static inline double __int2double_rn(int a) { return (double)a; }
static inline double __ll2double_rn(long long a) { return (double)a; }
static inline double __ull2double_rn(unsigned long long a) { return (double)a; }

// The smaller one in each part of a word.
template <class Part>
static inline unsigned smaller_parts(unsigned a, unsigned b) {
  const unsigned bits = 8 * sizeof(Part), mask = (1u << bits) - 1;
  unsigned all = 0;
  for (unsigned shift = 0; shift < 32; shift += bits) {
    const Part x = (Part)(a >> shift), y = (Part)(b >> shift);
    all |= ((unsigned)(x < y ? x : y) & mask) << shift;
  }
  return all;
}

static inline unsigned __vmins2(unsigned a, unsigned b) { return smaller_parts<short>(a, b); }
static inline unsigned __vminu2(unsigned a, unsigned b) {
  return smaller_parts<unsigned short>(a, b);
}
static inline unsigned __vmins4(unsigned a, unsigned b) { return smaller_parts<signed char>(a, b); }
static inline unsigned __vminu4(unsigned a, unsigned b) {
  return smaller_parts<unsigned char>(a, b);
}

// Bytes of the eight in b:a, by a number of four bits each.
static inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
  const unsigned long long both = (unsigned long long)b << 32 | a;
  unsigned picked = 0;
  for (unsigned i = 0; i < 4; ++i)
    picked |= (unsigned)(both >> 8 * (selector >> 4 * i & 7) & 0xFF) << 8 * i;
  return picked;
}
