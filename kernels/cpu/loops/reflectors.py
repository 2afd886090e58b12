# SPDX-License-Identifier: Apache-2.0
"""A panel of normals becomes Householder reflectors V, and the factor T of I - V T V^T."""

import math
from typing import Any

from numba import njit
from numba.core import types

from philinit.kernels.constants import REFLECTORS, REFLECTORS_AT_ONCE
from philinit.kernels.cpu.householder import layout
from philinit.kernels.cpu.simd.memory import load, store
from philinit.kernels.cpu.simd.operators import convert, fma, splat
from philinit.kernels.cpu.simd.products import ROWS, VECTORS, products
from philinit.kernels.cpu.simd.types import VectorType, f64x8

float64 = types.float64
ROW64 = 8 * REFLECTORS  # bytes of a row of float64
TILE = 8 * VECTORS


def entry(name: str) -> Any:
    """The function to compile for a dtype, of six 64-bit integers.

    ``panel``: address of the panel, whose columns of normals become V; ``rows``; ``width``: columns
    that have normals, not more than rows; ``factor``: address of `width` rows, all zeros, that take
    -T; ``signs``: address of `width` numbers, which take the signs of the columns; ``sums``:
    address of two matrices of `width` rows of float64. `width` counts here as a multiple of
    REFLECTORS_AT_ONCE.
    """
    number, cast, _, size, row, _, _ = layout(name)
    part = VectorType(number, 8)
    add_products = products(f64x8, number, ROW64, size, row, row)

    @njit
    def cut(panel, rows, width, padded, signs):
        """Zeros where V has none but zeros, and where it will have first numbers, kept in signs."""
        for r in range(rows):
            if r < width:
                store(signs + r * size, load(number, panel + r * row + r * size))
            for j in range(min(r, width), padded):
                store(panel + r * row + j * size, cast(0.0))

    @njit
    def add_all_products(sums, panel, rows, padded):
        for r in range(0, rows, REFLECTORS):
            count = min(REFLECTORS, rows - r)
            for i in range(0, padded, ROWS):
                for j in range(i // TILE * TILE, padded, TILE):
                    left, right = panel + r * row + i * size, panel + r * row + j * size
                    add_products(sums + i * ROW64 + j * 8, left, right, count)

    @njit
    def add_first_numbers(sums, panel, width, signs):
        """Those of V, and what they add to its products; the diagonal becomes that of T^-1."""
        for j in range(width):
            pivot = sums + j * ROW64 + j * 8
            s, a = load(float64, pivot), float64(load(number, signs + j * size))
            root = math.sqrt(s + a * a)
            v = cast(a + root if a > 0.0 else a - root)
            store(panel + j * row + j * size, v)
            store(signs + j * size, cast(-1.0 if a > 0.0 else 1.0))
            v = float64(v)
            store(pivot, (s + v * v) * 0.5)
            for i in range(j):
                sum_ = sums + i * ROW64 + j * 8
                u = float64(load(number, panel + j * row + i * size))
                store(sum_, load(float64, sum_) + u * v)

    @njit
    def invert(inverse, sums, factor, padded):
        for i in range(padded - 1, -1, -1):
            store(inverse + i * ROW64 + i * 8, 1.0)
            pivot = load(float64, sums + i * ROW64 + i * 8)
            for c in range(i // 8 * 8, padded, 8):
                t = load(f64x8, inverse + i * ROW64 + c * 8)
                for j in range(i + 1, min(c + 8, padded)):
                    minus = load(float64, sums + i * ROW64 + j * 8) * -1.0
                    t = fma(load(f64x8, inverse + j * ROW64 + c * 8), minus, t)
                t = t / pivot
                store(inverse + i * ROW64 + c * 8, t)
                store(factor + i * row + c * size, convert(part, t * -1.0))

    def reflectors(panel, rows, width, factor, signs, sums):
        padded = -(-width // REFLECTORS_AT_ONCE) * REFLECTORS_AT_ONCE
        inverse = sums + padded * ROW64
        for i in range(0, 2 * padded * ROW64, 64):
            store(sums + i, splat(f64x8, 0.0))
        cut(panel, rows, width, padded, signs)
        add_all_products(sums, panel, rows, padded)
        add_first_numbers(sums, panel, width, signs)
        for i in range(width, padded):
            store(sums + i * ROW64 + i * 8, 1.0)
        invert(inverse, sums, factor, padded)

    return reflectors
