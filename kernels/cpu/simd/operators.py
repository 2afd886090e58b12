# SPDX-License-Identifier: Apache-2.0
"""What vectors can do lane by lane: Python's operators, and functions.

A scalar operand stands for a vector of copies; `>>` is arithmetic on signed and logical on unsigned
lanes. Nothing is contracted or reordered: every float operation is one IEEE operation. A new
operation is an `intrinsic`: what it gives for which types, and a few lines of LLVM builder.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic

from philinit.kernels.cpu.simd.types import VectorType, as_vector, call_llvm, llvm_type, u16x32


def _is_float(vector: VectorType) -> bool:
    return isinstance(vector.element, types.Float)


def _operator(function: Any, emit: Callable[[Any, VectorType, Any, Any], Any], mask: bool) -> None:
    """Give `function` (an operator) its meaning on vectors; `mask`: the result is a mask."""

    @infer_global(function)
    class _Typing(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            vectors = [a for a in args if isinstance(a, VectorType)]
            if not vectors or any(v != vectors[0] for v in vectors):
                return None
            result = VectorType(types.boolean, vectors[0].lanes) if mask else vectors[0]
            return signature(result, *args)

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = next(a for a in sig.args if isinstance(a, VectorType))
        left, right = (
            as_vector(context, builder, a, t, vector) for a, t in zip(args, sig.args, strict=True)
        )
        return emit(builder, vector, left, right)

    for pair in ((VectorType, VectorType), (VectorType, types.Number), (types.Number, VectorType)):
        lower_builtin(function, *pair)(lower)


def _arithmetic(name: str) -> Callable[[Any, VectorType, Any, Any], Any]:
    def emit(builder: Any, vector: VectorType, left: Any, right: Any) -> Any:
        return getattr(builder, ("f" if _is_float(vector) else "") + name)(left, right)

    return emit


def _bitwise(name: str) -> Callable[[Any, VectorType, Any, Any], Any]:
    def emit(builder: Any, vector: VectorType, left: Any, right: Any) -> Any:
        return getattr(builder, name)(left, right)

    return emit


def _shift_right(builder: Any, vector: VectorType, left: Any, right: Any) -> Any:
    return (builder.ashr if vector.element.signed else builder.lshr)(left, right)


def _comparison(symbol: str) -> Callable[[Any, VectorType, Any, Any], Any]:
    def emit(builder: Any, vector: VectorType, left: Any, right: Any) -> Any:
        if _is_float(vector):
            return builder.fcmp_ordered(symbol, left, right)
        compare = builder.icmp_signed if vector.element.signed else builder.icmp_unsigned
        return compare(symbol, left, right)

    return emit


_operator(operator.add, _arithmetic("add"), mask=False)
_operator(operator.sub, _arithmetic("sub"), mask=False)
_operator(operator.mul, _arithmetic("mul"), mask=False)
_operator(operator.truediv, _bitwise("fdiv"), mask=False)
_operator(operator.and_, _bitwise("and_"), mask=False)
_operator(operator.or_, _bitwise("or_"), mask=False)
_operator(operator.xor, _bitwise("xor"), mask=False)
_operator(operator.lshift, _bitwise("shl"), mask=False)
_operator(operator.rshift, _shift_right, mask=False)
_operator(operator.lt, _comparison("<"), mask=True)
_operator(operator.gt, _comparison(">"), mask=True)


# --- functions ---------------------------------------------------------------------------------


@intrinsic
def splat(typingctx: Any, kind: Any, value: Any) -> Any:
    """A vector of type `kind` whose lanes are all `value`."""
    vector = kind.instance_type

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return as_vector(context, builder, args[1], sig.args[1], vector)

    return signature(vector, kind, value), codegen


@intrinsic
def bits(typingctx: Any, kind: Any, value: Any) -> Any:
    """The same bits as another type of the same size."""
    vector = kind.instance_type

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[1], llvm_type(vector))

    return signature(vector, kind, value), codegen


@intrinsic
def convert(typingctx: Any, kind: Any, value: Any) -> Any:
    """The nearest number of another element type (ties to even); integers widen or wrap."""
    target = kind.instance_type
    source, goal = value.element, target.element

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        type_ = llvm_type(target)
        if isinstance(goal, types.Float) and isinstance(source, types.Float):
            emit = builder.fpext if goal.bitwidth > source.bitwidth else builder.fptrunc
        elif isinstance(goal, types.Float):
            emit = builder.sitofp if source.signed else builder.uitofp
        elif goal.bitwidth < source.bitwidth:
            emit = builder.trunc
        else:
            emit = builder.sext if source.signed else builder.zext
        return emit(args[1], type_)

    return signature(target, kind, value), codegen


@intrinsic
def select(typingctx: Any, mask: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where `mask` is true, else `no`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return signature(yes, mask, yes, no), codegen


@intrinsic
def any_lane(typingctx: Any, mask: Any) -> Any:
    """True if `mask` is true in one lane or more."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        whole = builder.bitcast(args[0], ir.IntType(mask.lanes))
        return builder.icmp_unsigned("!=", whole, ir.IntType(mask.lanes)(0))

    return signature(types.boolean, mask), codegen


def _suffix(vector: VectorType) -> str:
    return f"v{vector.lanes}f{vector.element.bitwidth}"


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c, rounded once."""
    vector = next(v for v in (a, b, c) if isinstance(v, VectorType))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        args = [
            as_vector(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True)
        ]
        return call_llvm(builder, f"llvm.fma.{_suffix(vector)}", llvm_type(vector), args)

    return signature(vector, a, b, c), codegen


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """The correctly rounded square root."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return call_llvm(builder, f"llvm.sqrt.{_suffix(a)}", llvm_type(a), args)

    return signature(a, a), codegen


@intrinsic
def clamp(typingctx: Any, value: Any, low: Any, high: Any) -> Any:
    """`value` moved into [low, high]; low and high are scalars or vectors, no NaN anywhere."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, lo, hi = (
            as_vector(context, builder, v, t, value) for v, t in zip(args, sig.args, strict=True)
        )
        # "nnan" lets LLVM take the one instruction for each select; equal zeros keep their signs.
        x = builder.select(builder.fcmp_ordered(">", x, lo, flags=("nnan",)), x, lo)
        return builder.select(builder.fcmp_ordered("<", x, hi, flags=("nnan",)), x, hi)

    return signature(value, value, low, high), codegen


@intrinsic
def minimum(typingctx: Any, a: Any, b: Any) -> Any:
    """The smaller of two integers in each lane, by the signedness of the lanes."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, y = (as_vector(context, builder, v, t, a) for v, t in zip(args, sig.args, strict=True))
        compare = builder.icmp_signed if a.element.signed else builder.icmp_unsigned
        return builder.select(compare("<", x, y), x, y)

    return signature(a, a, b), codegen


class _BFloatType(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not know."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloatType)

    def __hash__(self) -> int:
        return hash(_BFloatType)


@intrinsic
def to_bfloat(typingctx: Any, a: Any, b: Any) -> Any:
    """The bits of the nearest bfloat16 (ties to even) of 2 x 16 floats, by AVX512_BF16.

    The instruction takes subnormal numbers for zeros.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        name = "llvm.x86.avx512bf16.cvtne2ps2bf16.512"
        packed = call_llvm(builder, name, ir.VectorType(_BFloatType(), 32), args[::-1])
        return builder.bitcast(packed, llvm_type(u16x32))

    return signature(u16x32, a, b), codegen


@intrinsic
def to_half(typingctx: Any, value: Any) -> Any:
    """The bits of the nearest float16 (ties to even), by the conversion instruction."""
    result = VectorType(types.uint16, value.lanes)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        half = builder.fptrunc(args[0], ir.VectorType(ir.HalfType(), value.lanes))
        return builder.bitcast(half, llvm_type(result))

    return signature(result, value), codegen


def constant(vector: VectorType, values: Sequence[float]) -> Any:
    """A function without arguments that returns a vector of these values."""

    @intrinsic
    def constant_vector(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return ir.Constant(llvm_type(vector), list(values))

        return signature(vector), codegen

    return constant_vector


def polynomial(coefficients: Sequence[float]) -> Any:
    """A function of a vector x: sum of coefficients[i] x**i, by Horner's rule and fma."""

    @intrinsic
    def horner(typingctx: Any, x: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            type_, name = llvm_type(x), f"llvm.fma.{_suffix(x)}"
            *rest, value = [ir.Constant(type_, [c] * x.lanes) for c in coefficients]
            for coefficient in reversed(rest):
                value = call_llvm(builder, name, type_, [value, args[0], coefficient])
            return value

        return signature(x, x), codegen

    return horner
