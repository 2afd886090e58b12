// SPDX-License-Identifier: Apache-2.0
// Where runs of weights lie: a part of a tensor, or rows by number or key; kernels/cpu/positions.py
// is the same for CPUs.

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

struct Runs {
  const u64 *ids;          // indices on the outermost axis, or null: then they are 0, 1, ...
  u32 length;              // weights of a run
  u32 steps;               // of a run
  u32 steps_of_thread;     // at most
  u32 threads;             // that all runs take
  Divisor threads_of_run;  // that one run takes
  u32 inner;               // axes but for the outermost one
  u32 plain;               // whether no run is keyed, and each goes right behind the one before it
  u32 keyed;               // whether the ids are row keys, which add to the high half of the counter
  Axis axes[8];            // the outermost first, whose count is not divided by

  // Weights from index 0 of all axes to the first one of a run in the stream.
  __device__ __forceinline__ u64 start(u32 run) const { return distance<&Axis::stride>(run, ids); }

  // Weights from where the first run is written to where this one is.
  __device__ __forceinline__ u64 place(u32 run) const {
    return distance<&Axis::step>(run, nullptr);
  }

  template <u64 Axis::*APART>
  __device__ __forceinline__ u64 distance(u32 run, const u64 *indices) const {
    u64 sum = 0;
#pragma unroll 1
    for (u32 axis = inner; axis; --axis) {
      const u32 outer = axes[axis].count.quotient(run);
      sum += (run - outer * axes[axis].count.value) * axes[axis].*APART;
      run = outer;
    }
    return sum + (indices ? indices[run] : run) * axes[0].*APART;
  }
};

static_assert(sizeof(Runs) == 48 + 8 * 32, "philinit.kernels.cuda.arguments has this layout");
