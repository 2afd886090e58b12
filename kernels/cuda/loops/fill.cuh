// SPDX-License-Identifier: Apache-2.0
// The loop over counter blocks. A thread makes 16 bytes a step: one block, two in 16 bits, four in 8.
//
// The blocks are cut into windows in which counter words 1 to 3 do not change. So a step needs one
// 32-bit addition for the counter, and everything that follows from the other words is computed
// once. In a window, steps that fill 16 aligned bytes go first; blocks that are left, because they
// are ragged or because no block is aligned, are written number by number.

// Weights [first, count) of `blocks` counter blocks, the first of which would begin at `out`.
template <class K>
__device__ __forceinline__ void fill_window(const K &tile, const Stream &stream, char *out,
                                            u64 first, u64 count, u32 blocks, u64 thread,
                                            u32 stride) {
  constexpr u32 BYTES = K::ITEM * K::WEIGHTS;  // of a block
  u32 head = first ? 1 : 0;                    // blocks before the steps
  head += (0 - ((u32)(u64)out + head * BYTES)) % 16 / BYTES;
  char *const base = out + head * BYTES;
  const u32 whole = (u32)(count / K::WEIGHTS);
  const u32 fit = (u64)base % 16 == 0 && whole > head ? whole - head : 0;
  const u32 stepped = fit - fit % K::BLOCKS;

  if (thread < stepped / K::BLOCKS) {
    const u32 start = (u32)thread * K::BLOCKS;
    const Stream even = stream.after((head + start) * K::RESERVED);
    const Stream odd = even.after(K::RESERVED);
    char *const mine = opaque_global(base + (u64)start * BYTES);
#pragma unroll 1
    for (u32 b = 0; b < stepped - start; b += stride * K::BLOCKS) {
      if constexpr (K::BLOCKS == 1)
        store_step(mine + (u64)b * BYTES, tile.block(even, b));
      else if constexpr (K::BLOCKS == 4)
        store_step(mine + (u64)b * BYTES, tile.block(even, b), tile.block(odd, b),
                   tile.block(even, b + 2), tile.block(odd, b + 2));
      else
        store_step(mine + (u64)b * BYTES, tile.block(even, b), tile.block(odd, b));
    }
  }
  const u32 rest = blocks - stepped;
  if (thread < rest)
#pragma unroll 1
    for (u32 i = (u32)thread; i < rest; i += stride) {
      const u32 b = i < head ? i : i + stepped;
      const auto packed = tile.block(stream, b);
#pragma unroll
      for (u32 j = 0; j < K::WEIGHTS; ++j) {
        const u64 weight = (u64)b * K::WEIGHTS + j;
        if (weight >= first && weight < count)
          store_weight<K::ITEM>(out + weight * K::ITEM, packed, j);
      }
    }
}

// `count` weights of a stream from `out` on: `skip` weights of the counter block
// high:low come before the first one.
template <class K>
__device__ __forceinline__ void fill(void *out, u64 count, u32 skip, u64 low, u64 high, u32 k0,
                                     u32 k1, const Parameters &p) {
  const K tile(p);
  const RoundKeys keys(k0, k1);
  const u64 thread = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  const u64 threads = (u64)gridDim.x * blockDim.x;
  // A window has at most LARGEST_WINDOW blocks, so that adding a stride to an index cannot wrap.
  const u32 LARGEST_WINDOW = 1u << 31, LARGEST_STRIDE = LARGEST_WINDOW / K::BLOCKS;
  const u32 stride = opaque(threads < LARGEST_STRIDE ? (u32)threads : LARGEST_STRIDE);
  char *target = (char *)out - skip * K::ITEM;
  u64 first = skip;
  count += skip;
  while (count) {
    const u64 all = (count - 1) / K::WEIGHTS + 1;
    u32 blocks = ~(u32)low / K::RESERVED + 1;  // until c0 wraps; 0 for 2**32
    if (blocks - 1 >= LARGEST_WINDOW) blocks = LARGEST_WINDOW;
    if (blocks > all) blocks = (u32)all;
    const u64 weights = (u64)blocks * K::WEIGHTS;
    const u64 here = weights < count ? weights : count;
    fill_window(tile, Stream(low, high, keys), target, first, here, blocks, thread, stride);
    const u64 next = low + (u64)blocks * K::RESERVED;
    high += next < low;
    low = next;
    target += weights * K::ITEM;
    first = 0;
    count -= here;
  }
}

typedef u64 Extent;  // of what is written: so many weights
