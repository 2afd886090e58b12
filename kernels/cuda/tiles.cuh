// SPDX-License-Identifier: Apache-2.0
// What a thread makes at a time, 16 bytes of one, two or four counter blocks, and how it stores them;
// kernels/cpu/tiles.py is the same for CPUs.

template <u32 N>
struct Packed {
  u32 x[N];
};

struct as_words {
  static constexpr u32 ITEM = 4;
  __device__ __forceinline__ explicit as_words(const Parameters &) {}

  __device__ __forceinline__ Packed<4> operator()(const Words &v) const {
    return {{v.w[0], v.w[1], v.w[2], v.w[3]}};
  }
};

template <class Number>
struct as_float32 {
  static constexpr u32 ITEM = 4;
  Number number;
  __device__ __forceinline__ explicit as_float32(const Parameters &p) : number(p) {}

  __device__ __forceinline__ Packed<4> operator()(const Words &v) const {
    Packed<4> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) out.x[i] = __float_as_uint(number(v.w[i]));
    return out;
  }
};

template <class Number, class Rounded, class Limited = as_it_is>
struct as_16_bit {
  static constexpr u32 ITEM = 2;
  Number number;
  Limited limited;
  __device__ __forceinline__ explicit as_16_bit(const Parameters &p) : number(p), limited(p) {}

  __device__ __forceinline__ Packed<2> operator()(const Words &v) const {
    Packed<2> out;
#pragma unroll
    for (int i = 0; i < 2; ++i)
      out.x[i] = limited(Rounded::pack(number(v.w[2 * i]), number(v.w[2 * i + 1])));
    return out;
  }
};

template <class Number, class Limited = as_it_is>
struct as_8_bit {
  static constexpr u32 ITEM = 1;
  Number number;
  to_float8 rounded;
  Limited limited;
  __device__ __forceinline__ explicit as_8_bit(const Parameters &p)
      : number(p), rounded(p), limited(p) {}

  __device__ __forceinline__ Packed<1> operator()(const Words &v) const {
    const u32 packed =
        rounded.pack(number(v.w[0]), number(v.w[1]), number(v.w[2]), number(v.w[3]));
    return {{rounded.without_negative_zero(limited(packed))}};
  }
};

template <class Number>
struct as_float64 {
  static constexpr u32 ITEM = 8;
  Number number;
  __device__ __forceinline__ explicit as_float64(const Parameters &p) : number(p) {}

  __device__ __forceinline__ Packed<4> operator()(const Words &v) const {
    Packed<4> out;
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
      const double y = number((u64)v.w[i + 1] << 32 | v.w[i]);
      out.x[i] = (u32)__double_as_longlong(y);
      out.x[i + 1] = (u32)(__double_as_longlong(y) >> 32);
    }
    return out;
  }
};

template <class Transform, class Draw = write_words>
struct Tile {
  static constexpr u32 ITEM = Transform::ITEM;           // bytes of a weight
  static constexpr u32 WEIGHTS = ITEM == 8 ? 2 : 4;      // weights of a block
  static constexpr u32 BLOCKS = 16 / (ITEM * WEIGHTS);   // blocks of a step
  static constexpr u32 RESERVED = Draw::RESERVED;        // counters from a block to the next
  Draw draw;
  Transform transform;

  __device__ __forceinline__ explicit Tile(const Parameters &p) : draw(p), transform(p) {}

  __device__ __forceinline__ Packed<4 / BLOCKS> block(const Stream &stream, u32 b) const {
    return transform(draw(stream, b * RESERVED));
  }
};

// --- stores -------------------------------------------------------------------------------------

__device__ __forceinline__ void store_step(char *out, const Packed<4> &a) {
  *reinterpret_cast<uint4 *>(out) = {a.x[0], a.x[1], a.x[2], a.x[3]};
}

__device__ __forceinline__ void store_step(char *out, const Packed<2> &a, const Packed<2> &b) {
  *reinterpret_cast<uint4 *>(out) = {a.x[0], a.x[1], b.x[0], b.x[1]};
}

__device__ __forceinline__ void store_step(char *out, const Packed<1> &a, const Packed<1> &b,
                                           const Packed<1> &c, const Packed<1> &d) {
  *reinterpret_cast<uint4 *>(out) = {a.x[0], b.x[0], c.x[0], d.x[0]};
}

template <u32 ITEM, u32 N>
__device__ __forceinline__ void store_weight(char *out, const Packed<N> &a, u32 i) {
  if constexpr (ITEM == 1) *out = (char)(a.x[i / 4] >> 8 * (i % 4));
  if constexpr (ITEM == 2)
    *reinterpret_cast<unsigned short *>(out) = (unsigned short)(a.x[i / 2] >> 16 * (i % 2));
  if constexpr (ITEM == 4) *reinterpret_cast<u32 *>(out) = a.x[i];
  if constexpr (ITEM == 8) {  // at an address that may be a multiple of 4 only
    reinterpret_cast<u32 *>(out)[0] = a.x[2 * i % N];
    reinterpret_cast<u32 *>(out)[1] = a.x[(2 * i + 1) % N];
  }
}
