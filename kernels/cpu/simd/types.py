# SPDX-License-Identifier: Apache-2.0
"""LLVM vector types for Numba, so that kernels are ordinary functions over vectors.

`f32x16` is a type: sixteen float32 lanes. LLVM splits vectors that are wider than the registers of
the CPU, so one source serves AVX-512, AVX2, plain x86-64 and NEON. What can be done with vectors is
in operators.py, lanes.py, lookup.py and memory.py.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.extending import register_model


class VectorType(types.Type):
    """`lanes` values of the Numba scalar type `element` in vector registers."""

    def __init__(self, element: Any, lanes: int) -> None:
        self.element = element
        self.lanes = lanes
        super().__init__(name=f"{element}x{lanes}")


def llvm_type(kind: Any) -> Any:
    """LLVM's type of a vector, or of a number."""
    element = kind.element if isinstance(kind, VectorType) else kind
    if element is types.float32:
        scalar = ir.FloatType()
    elif element is types.float64:
        scalar = ir.DoubleType()
    else:
        scalar = ir.IntType(1 if element is types.boolean else element.bitwidth)
    return ir.VectorType(scalar, kind.lanes) if isinstance(kind, VectorType) else scalar


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, dmm: Any, fe_type: VectorType) -> None:
        super().__init__(dmm, fe_type, llvm_type(fe_type))


i32x16 = VectorType(types.int32, 16)
u32x16 = VectorType(types.uint32, 16)
f32x16 = VectorType(types.float32, 16)
i64x8 = VectorType(types.int64, 8)
u64x8 = VectorType(types.uint64, 8)
f64x8 = VectorType(types.float64, 8)
u16x16 = VectorType(types.uint16, 16)
u16x32 = VectorType(types.uint16, 32)
i16x32 = VectorType(types.int16, 32)
f32x8 = VectorType(types.float32, 8)
i32x8 = VectorType(types.int32, 8)
u32x8 = VectorType(types.uint32, 8)
u8x32 = VectorType(types.uint8, 32)
u8x64 = VectorType(types.uint8, 64)
i8x64 = VectorType(types.int8, 64)


def as_vector(context: Any, builder: Any, value: Any, source: Any, vector: VectorType) -> Any:
    """A vector of copies of a scalar; vectors pass through."""
    if isinstance(source, VectorType):
        return value
    value = context.cast(builder, value, source, vector.element)
    type_ = llvm_type(vector)
    if isinstance(value, ir.Constant):
        return ir.Constant(type_, [value.constant] * vector.lanes)
    first = builder.insert_element(ir.Constant(type_, ir.Undefined), value, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.lanes), [0] * vector.lanes)
    return builder.shuffle_vector(first, ir.Constant(type_, ir.Undefined), zeros)


def call_llvm(builder: Any, name: str, result: Any, args: Sequence[Any]) -> Any:
    """Call an LLVM intrinsic by its full name (llvmlite's own helper knows no vectors)."""
    kind = ir.FunctionType(result, [a.type for a in args])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, args)
