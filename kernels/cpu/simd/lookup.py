# SPDX-License-Identifier: Apache-2.0
"""Many table look-ups at once, by what the CPU has for it."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from philinit.kernels.cpu.simd.lanes import shuffled
from philinit.kernels.cpu.simd.target import has_feature
from philinit.kernels.cpu.simd.types import VectorType, call_llvm, f32x16


def table(values: Sequence[float]) -> Any:
    """A function of i32x16 that looks up `values` (16 or 32 float32) by the low 4 or 5 bits.

    The table stays in registers where the CPU can permute lanes by an index; elsewhere each lane
    is loaded from memory.
    """
    size = len(values)

    @intrinsic
    def looked_up(typingctx: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            if has_feature("avx512f"):
                return _permute16(builder, values, args[0])
            if has_feature("avx2"):
                low, high = (
                    _permute8(builder, values, shuffled(builder, args[0], args[0], half))
                    for half in (range(8), range(8, 16))
                )
                return shuffled(builder, low, high, range(16))
            return _load_lanes(builder, ir.FloatType(), values, args[0])

        return signature(f32x16, index), codegen

    assert size in (16, 32)
    return looked_up


def table64(values: Sequence[float]) -> Any:
    """A function of 64-bit integer lanes that looks up 16 float64 by the low 4 bits."""

    @intrinsic
    def looked_up(typingctx: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            if not has_feature("avx512f"):
                return _load_lanes(builder, ir.DoubleType(), values, args[0])
            low, high = (
                ir.Constant(ir.VectorType(ir.DoubleType(), 8), list(values[i : i + 8]))
                for i in (0, 8)
            )
            parts = [
                call_llvm(
                    builder,
                    "llvm.x86.avx512.vpermi2var.pd.512",
                    low.type,
                    [low, shuffled(builder, args[0], args[0], range(i, i + 8)), high],
                )
                for i in range(0, index.lanes, 8)
            ]
            while len(parts) > 1:
                lanes = range(2 * parts[0].type.count)
                parts = [
                    shuffled(builder, a, b, lanes)
                    for a, b in zip(parts[::2], parts[1::2], strict=True)
                ]
            return parts[0]

        return signature(VectorType(types.float64, index.lanes), index), codegen

    assert len(values) == 16
    return looked_up


def _float_constant(values: Sequence[float]) -> Any:
    return ir.Constant(ir.VectorType(ir.FloatType(), len(values)), list(values))


def _permute16(builder: Any, values: Sequence[float], index: Any) -> Any:
    parts = [_float_constant(values[i : i + 16]) for i in range(0, len(values), 16)]
    if len(parts) == 1:
        name, args = "llvm.x86.avx512.permvar.sf.512", [parts[0], index]
    else:
        name, args = "llvm.x86.avx512.vpermi2var.ps.512", [parts[0], index, parts[1]]
    return call_llvm(builder, name, parts[0].type, args)


def _permute8(builder: Any, values: Sequence[float], index: Any) -> Any:
    """Eight lanes: permutes within eight entries, joined by the next bits of the index."""
    parts = [
        call_llvm(builder, "llvm.x86.avx2.permps", part.type, [part, index])
        for part in (_float_constant(values[i : i + 8]) for i in range(0, len(values), 8))
    ]
    bit = 3
    while len(parts) > 1:
        # The bit becomes the sign, which is what a blend instruction reads.
        moved = builder.shl(index, ir.Constant(index.type, [31 - bit] * 8))
        upper = builder.icmp_signed("<", moved, ir.Constant(index.type, [0] * 8))
        pairs = zip(parts[1::2], parts[::2], strict=True)
        parts = [builder.select(upper, high, low) for high, low in pairs]
        bit += 1
    return parts[0]


def _load_lanes(builder: Any, element: Any, values: Sequence[float], index: Any) -> Any:
    data = ir.Constant(ir.ArrayType(element, len(values)), list(values))
    name = builder.module.get_unique_name("table")
    array = ir.GlobalVariable(builder.module, data.type, name)
    array.linkage, array.global_constant, array.initializer = "internal", True, data
    int32, lanes = ir.IntType(32), index.type.count
    result = ir.Constant(ir.VectorType(element, lanes), ir.Undefined)
    masked = builder.and_(index, ir.Constant(index.type, [len(values) - 1] * lanes))
    for lane in range(lanes):
        entry = builder.extract_element(masked, int32(lane))
        value = builder.load(builder.gep(array, [int32(0), entry], inbounds=True))
        result = builder.insert_element(result, value, int32(lane))
    return result
