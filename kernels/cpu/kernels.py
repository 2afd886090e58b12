# SPDX-License-Identifier: Apache-2.0
"""How CPUs make a tile of each kernel in `philinit.kernels.table`; `kernels/cuda/kernels.cu` is the
same for GPUs.
"""

from typing import Any

from philinit.kernels.cpu import distributions as d
from philinit.kernels.cpu import tensorflow_maps as tf
from philinit.kernels.cpu.rounding import (
    between,
    between8,
    to_bfloat16,
    to_bfloat16_exact,
    to_float16,
)
from philinit.kernels.cpu.simd.memory import loader
from philinit.kernels.cpu.simd.target import has_feature
from philinit.kernels.cpu.tensorflow import normals32, normals64, truncated32, truncated64
from philinit.kernels.cpu.tiles import Tile, as_8_bit, as_16_bit, as_float32, as_float64, as_words
from philinit.kernels.cpu.words import LARGEST_TILE
from philinit.kernels.table import FLOATS, LIBM, Kernel

_scaled32 = as_float32(tf.scaled32)
_scaled64 = as_float64(tf.scaled64)
_scaled_half = as_16_bit(tf.scaled_half, to_float16)
_scaled_bfloat = as_16_bit(tf.scaled_bfloat, to_bfloat16_exact)

# For maps whose tables and parameters fill the 32 registers of AVX-512: several vectors a turn
# would only have them spilled.
CROWDED = 1 if has_feature("avx512f") else 4

TILES = {
    "words": Tile(as_words()),
    "uniform_float32": Tile(as_float32(d.uniform32)),
    "uniform_float64": Tile(as_float64(d.uniform64)),
    "uniform_float16": Tile(as_16_bit(d.uniform32, to_float16, between)),
    "uniform_bfloat16": Tile(as_16_bit(d.uniform32, to_bfloat16, between)),
    "uniform_clamped_float16": Tile(as_16_bit(d.uniform32_clamped, to_float16)),
    "uniform_clamped_bfloat16": Tile(as_16_bit(d.uniform32_clamped, to_bfloat16)),
    "normal_float32": Tile(as_float32(d.normal32)),
    "normal_float16": Tile(as_16_bit(d.normal32, to_float16)),
    "normal_bfloat16": Tile(as_16_bit(d.normal32, to_bfloat16)),
    "truncated_float32": Tile(as_float32(d.truncated32)),
    "truncated_float16": Tile(as_16_bit(d.truncated32, to_float16, between)),
    "truncated_bfloat16": Tile(as_16_bit(d.truncated32, to_bfloat16, between)),
    "truncated_clamped_float16": Tile(as_16_bit(d.truncated32_clamped, to_float16)),
    "truncated_clamped_bfloat16": Tile(as_16_bit(d.truncated32_clamped, to_bfloat16)),
    "uniform_float8": Tile(as_8_bit(d.uniform32, between8)),
    "uniform_clamped_float8": Tile(as_8_bit(d.uniform32_clamped)),
    "normal_float8": Tile(as_8_bit(d.normal32)),
    "truncated_float8": Tile(as_8_bit(d.truncated32, between8)),
    "truncated_clamped_float8": Tile(as_8_bit(d.truncated32_clamped)),
    "bounded_float8": Tile(as_8_bit(d.bounded32, vectors=CROWDED)),
    "bounded_far_float8": Tile(as_8_bit(d.bounded_far32)),
    "bounded_float32": Tile(as_float32(d.bounded32, CROWDED)),
    "bounded_float64": Tile(as_float64(d.bounded64_words)),
    "bounded_float16": Tile(as_16_bit(d.bounded32, to_float16, vectors=CROWDED)),
    "bounded_bfloat16": Tile(as_16_bit(d.bounded32, to_bfloat16, vectors=CROWDED)),
    "bounded_far_float32": Tile(as_float32(d.bounded_far32)),
    "bounded_far_float16": Tile(as_16_bit(d.bounded_far32, to_float16)),
    "bounded_far_bfloat16": Tile(as_16_bit(d.bounded_far32, to_bfloat16_exact)),
    "tensorflow_uniform_float32": Tile(as_float32(tf.uniform32)),
    "tensorflow_uniform_float64": Tile(as_float64(tf.uniform64)),
    "tensorflow_uniform_float16": Tile(as_16_bit(tf.uniform_half, to_float16)),
    "tensorflow_uniform_bfloat16": Tile(as_16_bit(tf.uniform_bfloat, to_bfloat16_exact)),
    "tensorflow_normal_float32": Tile(_scaled32, normals32, LARGEST_TILE),
    "tensorflow_normal_float64": Tile(_scaled64, normals64, LARGEST_TILE),
    "tensorflow_normal_float16": Tile(_scaled_half, normals32, LARGEST_TILE),
    "tensorflow_normal_bfloat16": Tile(_scaled_bfloat, normals32, LARGEST_TILE),
    "tensorflow_truncated_float32": Tile(_scaled32, truncated32, LARGEST_TILE),
    "tensorflow_truncated_float64": Tile(_scaled64, truncated64, LARGEST_TILE),
    "tensorflow_truncated_float16": Tile(_scaled_half, truncated32, LARGEST_TILE),
    "tensorflow_truncated_bfloat16": Tile(_scaled_bfloat, truncated32, LARGEST_TILE),
}


def parameters_of(kernel: Kernel) -> Any:
    """A function of an address that loads the parameters of a kernel by their names."""
    return loader("Parameters", kernel.floats, kernel.integers, FLOATS)


# How TensorFlow's normals are drawn; for other kernels numbers that nobody looks at.
load_libm = loader("Libm", (), LIBM, FLOATS)
