// SPDX-License-Identifier: Apache-2.0
// The loop over counter blocks for weights that lie in runs: a part of a tensor, or rows by number
// or key; kernels/cpu/loops/runs.py is the same for CPUs.
//
// A step of a thread is 16 bytes, as in fill.cuh. What leads a thread to its run costs as much as a
// step: in a long run it takes several, LANES apart, so that threads side by side fill whole sectors
// of memory. Threads of all runs are numbered, those of a run in a row: a warp takes as many runs as
// it needs, whatever their length. All runs count as many steps; those that begin early in a counter
// block may leave the last one empty. philinit.kernels.cuda.arguments computes the numbers, all below
// 2**31: only strides, counters and addresses take 64 bits.

#define LANES 4  // as in philinit.kernels.cuda.arguments

// n / value for n < 2**31, by a product (Granlund & Montgomery 1994).
struct Divisor {
  u32 value, factor, shift;

  __device__ __forceinline__ u32 quotient(u32 n) const {
    return (u32)((u64)(2 * n) * factor >> 32) >> shift;
  }
};

// An axis that runs are numbered by: indices, and weights from one index to the next, in the stream
// and where they are written.
struct Axis {
  u64 stride, step;
  Divisor count;
};

// A run: weights before it in the stream, and from `out` to where it is written.
struct Place {
  u64 weight, at;
};

struct Runs {
  const u64 *ids;          // indices on the outermost axis, or null: then they are 0, 1, ...
  u32 length;              // weights of a run
  u32 steps;               // of a run
  u32 steps_of_thread;     // at most
  u32 threads;             // that all runs take
  Divisor threads_of_run;  // that one run takes
  u32 inner;               // axes but for the outermost one
  u32 keyed;               // whether the ids are row keys, which add to the high half of the counter
  Axis axes[8];            // the outermost first, whose count is not divided by

  // The place of a run, counted from index 0 of all axes.
  __device__ __forceinline__ Place place(u32 run) const {
    u64 weight = 0, at = 0;
#pragma unroll 1
    for (u32 axis = inner; axis; --axis) {
      const u32 outer = axes[axis].count.quotient(run);
      const u32 index = run - outer * axes[axis].count.value;
      weight += index * axes[axis].stride;
      at += index * axes[axis].step;
      run = outer;
    }
    return {weight + (ids ? ids[run] : run) * axes[0].stride, at + run * axes[0].step};
  }
};

static_assert(sizeof(Runs) == 48 + 8 * 32, "philinit.kernels.cuda.arguments has this layout");

// The 16 bytes of a step, from a counter on.
template <class K>
__device__ __forceinline__ Packed<4> make_step(const K &tile, const Counter &c,
                                               const RoundKeys &keys) {
  if constexpr (K::BLOCKS == 1) {
    return tile.block(Stream(c, keys), 0);
  } else {
    const auto even = tile.block(Stream(c, keys), 0);
    const auto odd = tile.block(Stream(c.after(K::RESERVED), keys), 0);
    return {{even.x[0], even.x[1], odd.x[0], odd.x[1]}};
  }
}

// Weights of `runs`, from `out` on: `skip` weights of the counter block
// high:low come before index 0 of all axes.
template <class K>
__device__ __forceinline__ void fill(void *out, const Runs &runs, u32 skip, u64 low, u64 high,
                                     u32 k0, u32 k1, const Parameters &p) {
  constexpr u32 STEP = K::BLOCKS * K::WEIGHTS;  // weights of a step
  const K tile(p);
  const RoundKeys keys(k0, k1);
  // In 16 bits a step may begin a block before its run does: a block more here, and no number below
  // gets negative.
  if (K::BLOCKS == 2) {
    high -= low < K::RESERVED;
    low -= K::RESERVED;
    skip += K::WEIGHTS;
  }
  const u32 length = opaque(runs.length);
  const u32 reach = opaque(LANES * (runs.steps_of_thread - 1));  // to the last step of a thread
  const u32 first_ragged = opaque(length < STEP ? 0 : length - STEP + 1);
  const u64 thread = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  const u64 threads = (u64)gridDim.x * blockDim.x;
  // Adding the stride to the number of a thread cannot wrap.
  const u32 stride = opaque(threads < 1u << 31 ? (u32)threads : 1u << 31);
  if (thread >= runs.threads) return;
#pragma unroll 1
  for (u32 i = (u32)thread; i < runs.threads; i += stride) {
    const u32 run = opaque(runs.threads_of_run.quotient(i));
    const u32 mine = i - run * runs.threads_of_run.value;  // number of the thread in the run
    u32 step = mine + mine / LANES * reach;
    const u32 end = step + reach < runs.steps ? step + reach + 1 : runs.steps;
    // Weights of the run's first step that come before the run; a block more in 16 bits, where that
    // leads to an aligned address.
    const Place place = runs.place(run);
    const u64 weight = skip + place.weight;
    u32 lead = (u32)weight % K::WEIGHTS;
    if (K::BLOCKS == 2 && ((u32)(u64)out + ((u32)place.at - lead) * K::ITEM) % 16 == 8)
      lead += K::WEIGHTS;
    const u64 block = (weight - lead) / K::WEIGHTS + (u64)step * K::BLOCKS;
    const Counter base(low, high + (runs.keyed ? runs.ids[run] : 0));
    Counter counter = base.after(block * K::RESERVED, (block >> 32) * K::RESERVED >> 32);
    u32 from = step * STEP - lead;  // in weights of the run; above 2**31 where it is below 0
    char *here = opaque_global((char *)out + (place.at + (i64)(int)from) * K::ITEM);
    const u32 ragged = (u32)(u64)here % 16 ? 0 : first_ragged;
#pragma unroll 1
    do {
      const Packed<4> packed = make_step(tile, counter, keys);
      if (from < ragged) {
        store_step(here, packed);
      } else {
#pragma unroll
        for (u32 j = 0; j < STEP; ++j)
          if (from + j < length) store_weight<K::ITEM>(here + j * K::ITEM, packed, j);
      }
      counter = counter.after(LANES * K::BLOCKS * K::RESERVED);
      from += LANES * STEP;
      here += LANES * 16;
      step += LANES;
    } while (step < end);
  }
}

typedef Runs Extent;  // of what is written
