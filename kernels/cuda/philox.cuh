// SPDX-License-Identifier: Apache-2.0
// Philox4x32: a counter block to four random words; kernels/cpu/philox.py is the same for CPUs.

struct Words {
  u32 w[4];
};

// The words after a round, from the two products that begin it: 32 x 32 -> 64 bits at once.
__device__ __forceinline__ Words after_products(u64 p0, u64 p1, u32 c1, u32 c3, u32 k0, u32 k1) {
  return {{(u32)(p1 >> 32) ^ (c1 ^ k0), (u32)p1, (u32)(p0 >> 32) ^ (c3 ^ k1), (u32)p0}};
}

__device__ __forceinline__ Words single_round(const Words &c, u32 k0, u32 k1) {
  return after_products((u64)c.w[0] * PHILOX_M0, (u64)c.w[2] * PHILOX_M1, c.w[1], c.w[3], k0, k1);
}

// The keys of all rounds, computed once.
struct RoundKeys {
  u32 k0[PHILOX_ROUNDS], k1[PHILOX_ROUNDS];

  __device__ __forceinline__ RoundKeys(u32 first0, u32 first1) {
#pragma unroll
    for (u32 r = 0; r < PHILOX_ROUNDS; ++r) {
      k0[r] = opaque(first0 + r * PHILOX_W0);
      k1[r] = opaque(first1 + r * PHILOX_W1);
    }
  }
};

// `philox4x32` of counters whose products with M0 and M1 are known.
__device__ __forceinline__ Words philox4x32_of_sequence(u64 p0, u64 p1, u32 c1, u32 c3,
                                                        const RoundKeys &keys) {
  Words c = after_products(p0, p1, c1, c3, keys.k0[0], keys.k1[0]);
#pragma unroll
  for (int r = 1; r < PHILOX_ROUNDS; ++r) c = single_round(c, keys.k0[r], keys.k1[r]);
  return c;
}

__device__ __forceinline__ Words philox4x32(u32 c0, u32 c1, u32 c2, u32 c3,
                                            const RoundKeys &keys) {
  return philox4x32_of_sequence((u64)c0 * PHILOX_M0, (u64)c2 * PHILOX_M1, c1, c3, keys);
}

// A counter of 128 bits.
struct Counter {
  u32 c0, c1, c2, c3;

  __device__ __forceinline__ Counter(u64 low, u64 high)
      : c0((u32)low), c1((u32)(low >> 32)), c2((u32)high), c3((u32)(high >> 32)) {}

  // The counter `n` further on, across any carry.
  __device__ __forceinline__ Counter after(u64 n, u32 n2 = 0) const {
    Counter c(n, n2);
#ifdef __CUDA_ARCH__
    asm("{\n .reg .u32 s0, s1, s2;\n"
        " add.cc.u32 s0, %4, %0;\n addc.cc.u32 s1, %5, %1;\n addc.cc.u32 s2, %6, %2;\n"
        " addc.u32 %3, %7, %3;\n mov.u32 %0, s0;\n mov.u32 %1, s1;\n mov.u32 %2, s2;\n}"
        : "+r"(c.c0), "+r"(c.c1), "+r"(c.c2), "+r"(c.c3)
        : "r"(c0), "r"(c1), "r"(c2), "r"(c3));
#else
    const u64 start = (u64)c1 << 32 | c0, low = start + n;
    c = Counter(low, ((u64)c3 << 32 | c2) + n2 + (low < start));
#endif
    return c;
  }

  __device__ __forceinline__ void add_high(u64 n) {
    const u64 high = ((u64)c3 << 32 | c2) + n;
    c2 = (u32)high;
    c3 = (u32)(high >> 32);
  }
};

// Counters from (c0, c1, c2, c3) on. Within `words` c0 must not wrap: the other three are then the
// same for all threads, and what follows from them alone, nearly two rounds, is computed once. The
// first product of counters in a row is an arithmetic sequence: no addition is left for c0.
struct Stream {
  u32 c0, c1, c2, c3;
  u64 p0;
  const RoundKeys &keys;

  __device__ __forceinline__ Stream(u64 low, u64 high, const RoundKeys &keys)
      : c0((u32)low), c1((u32)(low >> 32)), c2((u32)high), c3((u32)(high >> 32)),
        p0(opaque((u64)c0 * PHILOX_M0)), keys(keys) {}

  __device__ __forceinline__ Stream(const Counter &c, const RoundKeys &keys)
      : c0(c.c0), c1(c.c1), c2(c.c2), c3(c.c3), p0((u64)c0 * PHILOX_M0), keys(keys) {}

  // The stream from `n` counters further on.
  __device__ __forceinline__ Stream after(u32 n) const {
    return Stream((u64)c1 << 32 | (c0 + n), (u64)c3 << 32 | c2, keys);
  }

  // The words of the counter `n` further on.
  __device__ __forceinline__ Words words(u32 n) const {
    return philox4x32_of_sequence((u64)n * PHILOX_M0 + p0, (u64)c2 * PHILOX_M1, c1, c3, keys);
  }

  // The same across any carry.
  __device__ __forceinline__ Words words_after_carry(u64 n) const {
    const u64 start = (u64)c1 << 32 | c0, low = start + n;
    const u64 high = ((u64)c3 << 32 | c2) + (low < start);
    return philox4x32((u32)low, (u32)(low >> 32), (u32)high, (u32)(high >> 32), keys);
  }
};
