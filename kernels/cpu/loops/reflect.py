# SPDX-License-Identifier: Apache-2.0
"""A panel of Householder reflectors, applied to columns of a matrix: C -= V T V^T C."""

from typing import Any

from numba import njit

from philinit.kernels.constants import REFLECTORS, REFLECTORS_AT_ONCE
from philinit.kernels.cpu.householder import layout
from philinit.kernels.cpu.simd.memory import copy, load, scratch, store
from philinit.kernels.cpu.simd.operators import splat
from philinit.kernels.cpu.simd.products import ROWS, products


def entry(name: str) -> Any:
    """The function to compile for a dtype, of ten 64-bit integers.

    ``matrix``: address of the number in the row and the column that the panel begins with;
    ``stride``: bytes from row to row; ``rows``; ``width``: columns of the panel; ``first, end``:
    the columns to work on, `first` a multiple of 48; ``panel, factor, signs``: what
    loops/reflectors.py has made; ``gain``: address of a number that the results are multiplied by.
    """
    number, _, vector, size, row, strip, line = layout(name)
    add_columns = products(vector, number, line, size, row, line)  # of V^T C
    add_rows = products(vector, number, line, row, size, line)  # of T C, of V C
    block_scratch, sums_scratch, turned_scratch = (scratch(REFLECTORS * line) for _ in range(3))

    @njit
    def clear(block, count):
        for i in range(0, count * line, 64):
            store(block + i, splat(vector, 0.0))

    @njit
    def take(block, count, source, stride, columns):
        if columns < strip:  # zeros in the rest
            clear(block, count)
            for i in range(count):
                copy(block + i * line, source + i * stride, columns * size)
        else:
            for i in range(count):
                for j in range(0, line, 64):
                    store(block + i * line + j, load(vector, source + i * stride + j))

    @njit
    def give(block, count, target, stride, columns, gain):
        for i in range(count):
            for j in range(0, line, 64):
                x = load(vector, block + i * line + j) * gain
                store((block + i * line if columns < strip else target + i * stride) + j, x)
            if columns < strip:
                copy(target + i * stride, block + i * line, columns * size)

    @njit
    def begin(block, count, c, own, signs):
        """The first rows as the panel finds them: its own columns are those of a unit matrix."""
        clear(block, count)
        if own:
            for j in range(strip):
                if c + j < count:
                    store(block + (c + j) * line + j * size, load(number, signs + (c + j) * size))

    def reflect(matrix, stride, rows, width, first, end, panel, factor, signs, gain):
        block, sums, turned = block_scratch(), sums_scratch(), turned_scratch()
        padded = -(-width // REFLECTORS_AT_ONCE) * REFLECTORS_AT_ONCE
        multiplier = load(number, gain)
        for c in range(first, end, strip):
            columns, own = min(strip, end - c), c < width
            clear(sums, padded)
            clear(turned, padded)
            # The panel's columns end with its first rows, and other columns begin below them.
            for r in range(0 if own else REFLECTORS, width if own else rows, REFLECTORS):
                count = min(REFLECTORS, rows - r)
                if own:
                    begin(block, count, c, own, signs)
                else:
                    take(block, count, matrix + r * stride + c * size, stride, columns)
                for i in range(0, padded, ROWS):
                    add_columns(sums + i * line, panel + r * row + i * size, block, count)
            for i in range(0, padded, ROWS):
                add_rows(turned + i * line, factor + i * row, sums, padded)
            for r in range(0, rows, REFLECTORS):
                count, target = min(REFLECTORS, rows - r), matrix + r * stride + c * size
                if r == 0:
                    begin(block, count, c, own, signs)
                elif own:
                    clear(block, count)
                else:
                    take(block, count, target, stride, columns)
                for i in range(0, count, ROWS):
                    add_rows(block + i * line, panel + (r + i) * row, turned, padded)
                give(block, count, target, stride, columns, multiplier)

    return reflect
