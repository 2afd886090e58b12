# SPDX-License-Identifier: Apache-2.0
"""Products of matrices by tiles whose sums stay in registers."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from philinit.kernels.cpu.simd.memory import pointer
from philinit.kernels.cpu.simd.target import has_feature
from philinit.kernels.cpu.simd.types import VectorType, as_vector, call_llvm, llvm_type

# Rows of a tile, and vectors in each: its sums, one row of the right matrix and one number of the
# left one fill the registers. No sum depends on it.
ROWS, VECTORS = (8, 3) if has_feature("avx512f") else (6, 1)
_PLACES = [(i, j) for i in range(ROWS) for j in range(VECTORS)]


def products(
    vector: VectorType, number: Any, sums_row: int, left_row: int, left_step: int, right_step: int
) -> Any:
    """A function that adds the product of two matrices to a tile of sums in memory.

    It takes the addresses of s[0, 0], l[0, 0] and r[0, 0], and how many k there are: for each k in
    order, ``s[i, j] = fma(l[i, k], r[k, j], s[i, j])``, so that a sum is one chain of fma whatever
    the tile and the CPU. `vector` is what sums are held in, `number` the type of l and r. The rest
    are bytes: from row to row of s; from row to row of l, and from k to k; from k to k of r.
    """
    sums_type, right_type = llvm_type(vector), llvm_type(VectorType(number, vector.lanes))
    int64, fma = ir.IntType(64), f"llvm.fma.v{vector.lanes}f{vector.element.bitwidth}"
    sums_at = [i * sums_row + j * vector.lanes * vector.element.bitwidth // 8 for i, j in _PLACES]
    right_at = [j * vector.lanes * number.bitwidth // 8 for j in range(VECTORS)]

    def load(builder: Any, address: Any, offset: int, type_: Any) -> Any:
        loaded = builder.load(pointer(builder, address, offset, type_))
        loaded.align = 1
        return loaded

    @intrinsic
    def add_products(typingctx: Any, sums: Any, left: Any, right: Any, count: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            before = builder.block
            loop, after = builder.append_basic_block(), builder.append_basic_block()
            first = [int64(0), *args[1:3], *(load(builder, args[0], n, sums_type) for n in sums_at)]
            builder.cbranch(builder.icmp_signed(">", args[3], int64(0)), loop, after)

            builder.position_at_end(loop)
            found = [builder.phi(value.type) for value in first]
            (k, left, right), sums = found[:3], found[3:]
            row = [load(builder, right, n, right_type) for n in right_at]
            if sums_type != right_type:
                row = [builder.fpext(value, sums_type) for value in row]
            added = []
            for i in range(ROWS):
                factor = load(builder, left, i * left_row, right_type.element)
                factor = as_vector(context, builder, factor, number, vector)
                for value, total in zip(row, sums[i * VECTORS :], strict=False):
                    added.append(call_llvm(builder, fma, sums_type, [factor, value, total]))
            steps = (k, 1), (left, left_step), (right, right_step)
            last = [*(builder.add(value, int64(step)) for value, step in steps), *added]
            builder.cbranch(builder.icmp_signed("<", last[0], args[3]), loop, after)

            for phi, start, end in zip(found, first, last, strict=True):
                phi.add_incoming(start, before)
                phi.add_incoming(end, loop)
            builder.position_at_end(after)
            results = [builder.phi(sums_type) for _ in added]
            for phi, start, end in zip(results, first[3:], added, strict=True):
                phi.add_incoming(start, before)
                phi.add_incoming(end, loop)
            for result, offset in zip(results, sums_at, strict=True):
                builder.store(result, pointer(builder, args[0], offset, sums_type)).align = 1
            return context.get_dummy_value()

        return signature(types.void, *[types.int64] * 4), codegen

    return add_products
