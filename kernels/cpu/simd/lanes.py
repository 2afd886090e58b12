# SPDX-License-Identifier: Apache-2.0
"""What tells the lanes of a vector apart: masks as integers, compression, shuffles, calls."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from philinit.kernels.cpu.simd.types import VectorType, as_vector, call_llvm, llvm_type


@intrinsic
def call1(typingctx: Any, address: Any, x: Any) -> Any:
    """The C function of one number at `address`, called for each lane."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        scalar = llvm_type(x).element
        function = builder.inttoptr(args[0], ir.FunctionType(scalar, [scalar]).as_pointer())
        result = ir.Constant(llvm_type(x), ir.Undefined)
        for lane in map(ir.IntType(32), range(x.lanes)):
            value = builder.call(function, [builder.extract_element(args[1], lane)])
            result = builder.insert_element(result, value, lane)
        return result

    return signature(x, types.int64, x), codegen


@intrinsic
def mask_bits(typingctx: Any, mask: Any) -> Any:
    """A mask of up to 64 lanes as an integer, lane 0 lowest."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.zext(builder.bitcast(args[0], ir.IntType(mask.lanes)), ir.IntType(64))

    return signature(types.int64, mask), codegen


@intrinsic
def mask16(typingctx: Any, number: Any) -> Any:
    """A mask of sixteen lanes from the low bits of an integer."""
    mask = VectorType(types.boolean, 16)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(builder.trunc(args[0], ir.IntType(16)), llvm_type(mask))

    return signature(mask, types.int64), codegen


@intrinsic
def popcount(typingctx: Any, number: Any) -> Any:
    """How many bits of an integer are set."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return call_llvm(builder, "llvm.ctpop.i64", ir.IntType(64), args)

    return signature(types.int64, types.int64), codegen


@intrinsic
def compress(typingctx: Any, value: Any, mask: Any, rest: Any) -> Any:
    """The integers of `value` where `mask` is true, in order, then copies of the scalar `rest`.

    Of integers only: LLVM 20 cannot do it to floats where the CPU has no instruction for it.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        name = f"llvm.experimental.vector.compress.v{value.lanes}i{value.element.bitwidth}"
        rest_lanes = as_vector(context, builder, args[2], sig.args[2], value)
        return call_llvm(builder, name, llvm_type(value), [args[0], args[1], rest_lanes])

    return signature(value, value, mask, rest), codegen


def shuffled(builder: Any, left: Any, right: Any, lanes: Sequence[int]) -> Any:
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
    return builder.shuffle_vector(left, right, mask)


def shuffle(result: VectorType, lanes: Sequence[int]) -> Any:
    """A function of two vectors that picks `lanes` of their concatenation."""

    @intrinsic
    def picked(typingctx: Any, left: Any, right: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return shuffled(builder, args[0], args[1], lanes)

        return signature(result, left, right), codegen

    return picked
