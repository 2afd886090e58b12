// SPDX-License-Identifier: Apache-2.0
// A counter block of TensorFlow's standard normals, truncated ones too, instead of random words;
// kernels/cpu/tensorflow.py is the same for CPUs.

struct write_normals32 {
  static constexpr u32 RESERVED = 1;
  box_muller to_normals;
  __device__ __forceinline__ explicit write_normals32(const Parameters &p) : to_normals(p) {}

  __device__ __forceinline__ Words operator()(const Stream &stream, u32 n) const {
    return to_normals(stream.words(n));
  }
};

// Each group of four keeps the first numbers within (-2, 2) of the blocks that are reserved for it.
struct write_truncated32 {
  static constexpr u32 RESERVED = RESERVED_BLOCKS;
  box_muller to_normals;
  __device__ __forceinline__ explicit write_truncated32(const Parameters &p) : to_normals(p) {}

  __device__ __forceinline__ Words operator()(const Stream &stream, u32 n) const {
    Words kept = {{~0u, ~0u, ~0u, ~0u}};  // not a number: no group is left with one
    u32 count = 0;
    for (u32 attempt = 0; attempt < RESERVED && count < 4; ++attempt) {
      const Words z = to_normals(stream.words_after_carry((u64)n + attempt));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        // 2.0 and everything beyond has the bit below the sign set, all nearer to 0 has not.
        const bool inside = !(z.w[i] & 0x40000000);
#pragma unroll
        for (u32 j = 0; j < 4; ++j)  // no index that varies: that would need memory
          if (inside && count == j) kept.w[j] = z.w[i];
        count += inside;
      }
    }
    return kept;
  }
};
