// SPDX-License-Identifier: Apache-2.0
// How GPUs make a tile of each kernel in philinit.kernels.table; kernels/cpu/kernels.py is the same for
// CPUs. ROW_name is what the table says of a kernel.
//
// out: address of the first weight, a multiple of its size, or of 4; extent: how many weights to
// write, or which runs of them; skip: weights of the first counter block that come before the first one;
// high, low: the counter of that block; k0, k1: the key. Any grid, of thread blocks of 256.

// Where PHILINIT_ONLY is the name of a kernel, the others are left empty, which compiles ten times
// as fast.

#ifdef PHILINIT_ONLY
constexpr bool wanted(const char *name, const char *only = PHILINIT_ONLY) {
  return *name == *only && (!*name || wanted(name + 1, only + 1));
}
#else
constexpr bool wanted(const char *) { return true; }
#endif

template <bool WANTED>
struct Launch {
  template <class K, class... Arguments>
  __device__ __forceinline__ static void run(const Arguments &...arguments) {
    fill<K>(arguments...);
  }
};

template <>
struct Launch<false> {
  template <class K, class... Arguments>
  __device__ __forceinline__ static void run(const Arguments &...) {}
};

template <class K>
constexpr bool agrees(const Row &row) {
  return K::ITEM == row.itemsize && K::WEIGHTS * row.words == 4 && K::RESERVED == row.reserved;
}

#define KERNEL(name, ...)                                                                          \
  static_assert(agrees<Tile<__VA_ARGS__>>(ROW_##name), "the table says otherwise");                \
  extern "C" __global__ void __launch_bounds__(256)                                                \
      philinit_##name(void *out, const __grid_constant__ Extent extent, u32 skip, u64 low,         \
                      u64 high, u32 k0, u32 k1, Parameters p) {                                    \
    Launch<wanted(#name)>::run<Tile<__VA_ARGS__>>(out, extent, skip, low, high, k0, k1, p);        \
  }

KERNEL(words, as_words)
KERNEL(uniform_float32, as_float32<uniform32>)
KERNEL(uniform_float64, as_float64<uniform64>)
KERNEL(uniform_float16, as_16_bit<uniform32, to_float16, between>)
KERNEL(uniform_bfloat16, as_16_bit<uniform32, to_bfloat16, between>)
KERNEL(uniform_clamped_float16, as_16_bit<uniform32_clamped, to_float16>)
KERNEL(uniform_clamped_bfloat16, as_16_bit<uniform32_clamped, to_bfloat16>)
KERNEL(normal_float32, as_float32<normal32>)
KERNEL(normal_float16, as_16_bit<normal32, to_float16>)
KERNEL(normal_bfloat16, as_16_bit<normal32, to_bfloat16>)
KERNEL(truncated_float32, as_float32<truncated32>)
KERNEL(truncated_float16, as_16_bit<truncated32, to_float16, between>)
KERNEL(truncated_bfloat16, as_16_bit<truncated32, to_bfloat16, between>)
KERNEL(truncated_clamped_float16, as_16_bit<truncated32_clamped, to_float16>)
KERNEL(truncated_clamped_bfloat16, as_16_bit<truncated32_clamped, to_bfloat16>)
KERNEL(uniform_float8, as_8_bit<uniform32, between8>)
KERNEL(uniform_clamped_float8, as_8_bit<uniform32_clamped>)
KERNEL(normal_float8, as_8_bit<normal32>)
KERNEL(truncated_float8, as_8_bit<truncated32, between8>)
KERNEL(truncated_clamped_float8, as_8_bit<truncated32_clamped>)
KERNEL(bounded_float8, as_8_bit<bounded32>)
KERNEL(bounded_far_float8, as_8_bit<bounded_far32>)
KERNEL(bounded_float32, as_float32<bounded32>)
KERNEL(bounded_float16, as_16_bit<bounded32, to_float16>)
KERNEL(bounded_bfloat16, as_16_bit<bounded32, to_bfloat16>)
KERNEL(bounded_float64, as_float64<bounded64_words>)
KERNEL(bounded_far_float32, as_float32<bounded_far32>)
KERNEL(bounded_far_float16, as_16_bit<bounded_far32, to_float16>)
KERNEL(bounded_far_bfloat16, as_16_bit<bounded_far32, to_bfloat16_exact>)
KERNEL(tensorflow_uniform_float32, as_float32<tensorflow_uniform<nearest_single>>)
KERNEL(tensorflow_uniform_float64, as_float64<tensorflow_uniform64>)
KERNEL(tensorflow_uniform_float16, as_16_bit<tensorflow_uniform<nearest_half>, to_float16>)
KERNEL(tensorflow_uniform_bfloat16,
       as_16_bit<tensorflow_uniform<nearest_bfloat>, to_bfloat16_exact>)
KERNEL(tensorflow_normal_float32, as_float32<tensorflow_scaled<nearest_single>>, write_normals32)
KERNEL(tensorflow_normal_float16, as_16_bit<tensorflow_scaled<nearest_half>, to_float16>,
       write_normals32)
KERNEL(tensorflow_normal_bfloat16, as_16_bit<tensorflow_scaled<nearest_bfloat>, to_bfloat16_exact>,
       write_normals32)
KERNEL(tensorflow_truncated_float32, as_float32<tensorflow_scaled<nearest_single>>,
       write_truncated32)
KERNEL(tensorflow_truncated_float16, as_16_bit<tensorflow_scaled<nearest_half>, to_float16>,
       write_truncated32)
KERNEL(tensorflow_truncated_bfloat16,
       as_16_bit<tensorflow_scaled<nearest_bfloat>, to_bfloat16_exact>, write_truncated32)
