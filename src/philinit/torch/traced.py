# SPDX-License-Identifier: Apache-2.0
"""`fill_` and rows inside torch.compile: operators of our own, so that a program stays one graph.

An operator takes tensors and numbers. So what does not change while a program runs, such as the
initializer, has a number there, by which the operator finds it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

# Older compilers take no frozen dataclass as a constant, and an initializer is one.
COMPILES = not str(torch.__version__).startswith(("2.9.", "2.10.", "2.11."))

_asked: dict[Any, int] = {}  # what does not change -> its number in compiled programs
_by_number: list[Any] = []


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def number_of(*asked: Any) -> int:
    """A number for what does not change while a program runs; the compiler calls this once."""
    if asked not in _asked:
        _by_number.append(asked)
        _asked[asked] = len(_by_number) - 1
    return _asked[asked]


def _custom_op(name: str, schema: str, call: Any, fake: Any, *mutated: str) -> Any:
    """An operator that does what `call` does, and is traced as `fake`."""
    make = torch.library.custom_op
    operator = make(f"philinit::{name}", call, mutates_args=mutated, schema=schema)
    operator.register_fake(fake)
    return operator


def operator_of_fill(fill: Callable[..., Any]) -> Any:
    """The operator ``philinit::fill_``, which calls `fill`."""

    def call(tensor: Any, number: int) -> None:
        init, shard, threads = _by_number[number]
        fill(tensor, init, shard=shard, threads=threads)

    def fake(tensor: Any, number: int) -> None:
        pass

    return _custom_op("fill_", "(Tensor(a!) tensor, int number) -> ()", call, fake, "tensor")


def operator_of_rows(name: str, make: Callable[..., Any], axes: int) -> Any:
    """The operator of this name, which calls `make`; the shape may differ with each call.

    Of `shape` the first `axes` are those of the table alone, and not of a row.
    """

    def call(ids: Any, shape: Any, number: int) -> Any:
        init, dtype, options = _by_number[number]
        return make(init, tuple(shape), ids, dtype, **dict(options))

    def fake(ids: Any, shape: Any, number: int) -> Any:
        return ids.new_empty((*ids.shape, *shape[axes:]), dtype=_by_number[number][1])

    return _custom_op(name, "(Tensor ids, SymInt[] shape, int number) -> Tensor", call, fake)


def check_traced(function: str, progress: Any) -> None:
    """Refuse what a program that is traced cannot call."""
    if not COMPILES or progress is not None:
        raise NotImplementedError(
            f"under torch.compile `{function}` needs torch 2.12, and `progress` must be left out; "
            f"got torch {torch.__version__}, progress={progress!r}: call it before you compile"
        )
