# SPDX-License-Identifier: Apache-2.0
"""`fill_` inside torch.compile: an operator of our own, so that a program stays one graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_asked: dict[Any, int] = {}  # (initializer, shard, threads) -> its number in compiled programs
_by_number: list[Any] = []


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator, unused-ignore]
def _number_of(init: Any, shard: Any, threads: Any) -> int:
    """A number for what does not change while a program runs; the compiler calls this once."""
    asked = init, shard, threads
    if asked not in _asked:
        _by_number.append(asked)
        _asked[asked] = len(_by_number) - 1
    return _asked[asked]


def operator_of(fill: Callable[..., Any]) -> Any:
    """The operator ``philinit::fill_``, which calls `fill`; None before torch 2.4."""
    if not hasattr(torch.library, "custom_op"):
        return None

    def write(tensor: torch.Tensor, number: int) -> None:
        init, shard, threads = _by_number[number]
        fill(tensor, init, shard=shard, threads=threads)

    # Of strings as annotations torch knows some spellings in some versions only.
    write.__annotations__ = {"tensor": torch.Tensor, "number": int, "return": None}
    operator = torch.library.custom_op("philinit::fill_", write, mutates_args=("tensor",))
    operator.register_fake(lambda tensor, number: None)
    return operator


def fill_in_graph(
    operator: Any, tensor: Any, init: Any, shard: Any, threads: Any, progress: Any
) -> Any:
    """What `fill_` does while a program is traced."""
    if operator is None or progress is not None:
        raise NotImplementedError(
            "under torch.compile `fill_` needs torch 2.4, and `progress` must be left out; got "
            f"torch {torch.__version__}, progress={progress!r}: fill before you compile"
        )
    with torch.no_grad():
        operator(tensor, _number_of(init, shard, threads))
    return tensor
