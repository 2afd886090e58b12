# SPDX-License-Identifier: Apache-2.0
"""Loads, stores and scratch memory: addresses are integers, sizes are bytes."""

import functools
from collections import namedtuple
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import types
from numba.core.typing.templates import signature
from numba.extending import intrinsic

from philinit.kernels.cpu.simd.lanes import shuffled
from philinit.kernels.cpu.simd.types import llvm_type, u8x64


def pointer(builder: Any, address: Any, offset: int, type_: Any) -> Any:
    if offset:
        address = builder.add(address, address.type(offset))
    return builder.inttoptr(address, type_.as_pointer())


@intrinsic
def load(typingctx: Any, kind: Any, address: Any) -> Any:
    """A vector from any address."""
    wanted = kind.instance_type

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        loaded = builder.load(pointer(builder, args[1], 0, llvm_type(wanted)))
        loaded.align = 1
        return loaded

    return signature(wanted, kind, types.int64), codegen


def _store(alignment: int, streaming: bool) -> Any:
    @intrinsic
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kept = builder.store(args[1], pointer(builder, args[0], 0, args[1].type))
            kept.align = alignment
            if streaming:
                mark = builder.module.add_metadata([ir.IntType(32)(1)])
                kept.set_metadata("nontemporal", mark)
            return context.get_dummy_value()

        return signature(types.void, types.int64, value), codegen

    return store


store = _store(1, streaming=False)
store_streaming = _store(64, streaming=True)


# Lane i of every 8 holds item INTERLEAVE_ORDER[i]: then interleaving two 64-bit vectors is one
# instruction a half, which works within 128-bit groups, and memory comes out in order.
INTERLEAVE_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)


@intrinsic
def store_interleaved(typingctx: Any, address: Any, ab: Any, cd: Any) -> Any:
    """Store lanes a above b, and c above d, as a0 b0 c0 d0 a1 b1 ..."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        halves = 2 * ab.lanes
        ab32, cd32 = (builder.bitcast(v, ir.VectorType(ir.IntType(32), halves)) for v in args[1:])
        for first in range(0, ab.lanes, 8):
            for odd in (0, 1):
                lanes = range(2 * (first + odd), 2 * (first + 8), 4)
                pick = [i + k for i in lanes for k in (1, 0, halves + 1, halves)]
                part = shuffled(builder, ab32, cd32, pick)
                offset = (2 * first // 8 + odd) * 64
                kept = builder.store(part, pointer(builder, args[0], offset, part.type))
                kept.align = 1
        return context.get_dummy_value()

    return signature(types.void, types.int64, ab, cd), codegen


def scratch(size: int) -> Any:
    """A function that returns the address of `size` bytes of the stack, a multiple of 64."""

    @intrinsic
    def address(typingctx: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            with builder.goto_entry_block():
                space = builder.alloca(ir.ArrayType(ir.IntType(8), size))
                space.align = 64
            return builder.ptrtoint(space, ir.IntType(64))

        return signature(types.int64), codegen

    return address


@intrinsic
def fence(typingctx: Any) -> Any:
    """Streaming stores become visible to other threads before anything that follows."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return signature(types.void), codegen


@intrinsic
def copy(typingctx: Any, target: Any, source: Any, size: Any) -> Any:
    """memcpy of `size` bytes between two addresses."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        pointers = [builder.inttoptr(a, byte) for a in args[:2]]
        memcpy = builder.module.declare_intrinsic("llvm.memcpy", [byte, byte, ir.IntType(64)])
        builder.call(memcpy, [*pointers, args[2], ir.IntType(1)(0)])
        return context.get_dummy_value()

    return signature(types.void, types.int64, types.int64, types.int64), codegen


@njit
def copy_freely(target, source, size):
    """memcpy that reads and writes up to 63 bytes more, from the first to the last."""
    for i in range(0, size, 64):
        store(target + i, load(u8x64, source + i))


def _prefetch(write: int, locality: int) -> Any:
    @intrinsic
    def prefetch(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            byte, int32 = ir.IntType(8).as_pointer(), ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [byte, int32, int32, int32])
            name = "llvm.prefetch.p0"
            function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            hints = int32(write), int32(locality), int32(1)
            builder.call(function, [builder.inttoptr(args[0], byte), *hints])
            return context.get_dummy_value()

        return signature(types.void, types.int64), codegen

    return prefetch


# Harmless for any address.
prefetch_page = _prefetch(1, 0)  # have the CPU look up its page
prefetch_line = _prefetch(0, 3)  # bring its line into the caches, to be read


def _array(bits: int) -> tuple[Any, Any]:
    """Functions that load and store an integer of an array: (address, index), and the number."""
    short, long = ir.IntType(bits), ir.IntType(64)

    @intrinsic
    def load_item(typingctx: Any, address: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            first = builder.inttoptr(args[0], short.as_pointer())
            return builder.zext(builder.load(builder.gep(first, [args[1]])), long)

        return signature(types.int64, types.int64, types.int64), codegen

    @intrinsic
    def store_item(typingctx: Any, address: Any, index: Any, number: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            first = builder.inttoptr(args[0], short.as_pointer())
            builder.store(builder.trunc(args[2], short), builder.gep(first, [args[1]]))
            return context.get_dummy_value()

        return signature(types.void, types.int64, types.int64, types.int64), codegen

    return load_item, store_item


load_index, store_index = _array(32)
load_int64, store_int64 = _array(64)


@functools.cache  # one type for the same names, so that Numba compiles what takes it once
def loader(
    name: str, floats: tuple[str, ...] = (), integers: tuple[str, ...] = (), room: int = 0
) -> Any:
    """A function of an address that loads a named tuple: float64 numbers, then int64.

    `room` is for how many float64 there is room, where those named are fewer.
    """
    kind = namedtuple(name, (*floats, *integers))  # type: ignore[misc]
    numbers = [types.float64] * len(floats) + [types.int64] * len(integers)
    loaded = types.NamedTuple(numbers, kind)  # type: ignore[attr-defined]

    @intrinsic
    def load_fields(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            integer, first = ir.IntType(64), max(room, len(floats))
            fields = [(ir.DoubleType(), i) for i in range(len(floats))]
            fields += [(integer, first + i) for i in range(len(integers))]
            numbers = [builder.load(pointer(builder, args[0], 8 * i, type_)) for type_, i in fields]
            return context.make_tuple(builder, loaded, numbers)

        return signature(loaded, types.int64), codegen

    return load_fields
