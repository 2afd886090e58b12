// SPDX-License-Identifier: Apache-2.0
// The launch of a kernel that tests/cuda_shim.h made a C++ function of; stands behind the kernels.

typedef void HostKernel(void *, Extent, u32, u64, u64, u32, u32, Parameters);

struct Arguments {
  HostKernel *kernel;
  void *out;
  Extent extent;
  u32 skip;
  u64 low, high;
  u32 k0, k1;
  Parameters p;

  // Whether the thread ran to its end, and not only to the barrier.
  bool run() const {
    if (setjmp(barrier)) return false;
    kernel(out, extent, skip, low, high, k0, k1, p);
    return true;
  }
};

// Thread blocks [first, last) of a grid of `grid`. Gives the number of 16-byte stores, and of those
// that a GPU would refuse.
extern "C" __global__ void launch(HostKernel *kernel, void *out, const void *extent, u32 skip,
                                  u64 low, u64 high, u32 k0, u32 k1, const void *parameters,
                                  u32 grid, u32 block, u32 first, u32 last, u64 *stores) {
  Arguments arguments = {kernel, out, {}, skip, low, high, k0, k1, {}};
  std::memcpy(&arguments.extent, extent, sizeof arguments.extent);
  std::memcpy(&arguments.p, parameters, sizeof arguments.p);
  vector_stores = misaligned_stores = 0;
  gridDim.x = grid;
  blockDim.x = block;
  for (u32 b = first; b < last; ++b) {
    blockIdx.x = b;
    past_the_barrier = false;
    bool again = false;
    for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) again |= !arguments.run();
    past_the_barrier = true;
    if (again)
      for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) arguments.run();
  }
  stores[0] = vector_stores;
  stores[1] = misaligned_stores;
}
