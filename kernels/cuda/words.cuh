// SPDX-License-Identifier: Apache-2.0
// What the map to weights takes: the random words of a counter block; kernels/cpu/words.py is the same
// for CPUs.

struct write_words {
  static constexpr u32 RESERVED = 1;
  __device__ __forceinline__ explicit write_words(const Parameters &) {}

  __device__ __forceinline__ Words operator()(const Stream &stream, u32 n) const {
    return stream.words(n);
  }
};
