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

// The 16 bytes of a step, from a counter on.
template <class K>
__device__ __forceinline__ Packed<4> make_step(const K &tile, const Counter &c,
                                               const RoundKeys &keys) {
  if constexpr (K::BLOCKS == 1) {
    return tile.block(Stream(c, keys), 0);
  } else {
    Packed<4> step;
#pragma unroll
    for (u32 b = 0; b < K::BLOCKS; ++b) {
      const auto block = tile.block(Stream(b ? c.after(b * K::RESERVED) : c, keys), 0);
#pragma unroll
      for (u32 i = 0; i < 4 / K::BLOCKS; ++i) step.x[4 / K::BLOCKS * b + i] = block.x[i];
    }
    return step;
  }
}

// Weights of `runs`, from `out` on: `skip` weights of the counter block high:low come before index 0
// of all axes. PLAIN: no run is keyed, and each is written right behind the one before it.
template <class K, bool PLAIN>
__device__ __forceinline__ void fill_runs(void *out, const Runs &runs, u32 skip, u64 low, u64 high,
                                          u32 k0, u32 k1, const Parameters &p) {
  constexpr u32 STEP = K::BLOCKS * K::WEIGHTS;   // weights of a step
  constexpr u32 BYTES = K::ITEM * K::WEIGHTS;    // of a block
  const K tile(p);
  const RoundKeys keys(k0, k1);
  // A step may begin as many blocks before its run as it has, but for one: with those here, no number
  // below gets negative.
  constexpr u32 BEFORE = K::BLOCKS - 1;
  if (BEFORE) {
    high -= low < BEFORE * K::RESERVED;
    low -= BEFORE * K::RESERVED;
    skip += BEFORE * K::WEIGHTS;
  }
  const Counter base(low, high);
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
    // Weights of the run's first step that come before the run; some blocks more, where that leads to
    // an aligned address.
    const u64 weight = skip + runs.start(run);
    const u64 place = PLAIN ? (u64)run * length : runs.place(run);
    u32 lead = (u32)weight % K::WEIGHTS;
    if (BEFORE)
      lead += ((u32)(u64)out + ((u32)place - lead) * K::ITEM) % 16 / BYTES * K::WEIGHTS;
    const u64 block = (weight - lead) / K::WEIGHTS + (u64)step * K::BLOCKS;
    Counter counter = base.after(block * K::RESERVED, (block >> 32) * K::RESERVED >> 32);
    if (!PLAIN && runs.keyed) counter.add_high(runs.ids[run]);
    u32 from = step * STEP - lead;  // in weights of the run; above 2**31 where it is below 0
    char *here = opaque_global((char *)out + (place + (i64)(int)from) * K::ITEM);
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

// One loop for each, since a test in a loop of both costs plain short runs a tenth.
template <class K>
__device__ __forceinline__ void fill(void *out, const Runs &runs, u32 skip, u64 low, u64 high,
                                     u32 k0, u32 k1, const Parameters &p) {
  if (runs.plain)
    fill_runs<K, true>(out, runs, skip, low, high, k0, k1, p);
  else
    fill_runs<K, false>(out, runs, skip, low, high, k0, k1, p);
}

typedef Runs Extent;  // of what is written
