# SPDX-License-Identifier: Apache-2.0
"""What torch tensors there are, and which of them can be filled."""

from __future__ import annotations

import sys
from typing import Any

import torch

from philinit.dtypes import NAMES, as_dtype, in_c_order
from philinit.parts import Shard
from philinit.torch.private import DISPATCH, base_of

DTYPES = {getattr(torch, name): as_dtype(name) for name in NAMES}
LAZY = (torch.nn.parameter.UninitializedParameter, torch.nn.parameter.UninitializedBuffer)


def local_of(tensor: Any) -> Any:
    """The shard that this process holds of a DTensor; others as they are.

    Where there is a DTensor, the module of that class is loaded.
    """
    kind = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    if kind is None or not isinstance(tensor, kind):
        return tensor
    with torch.no_grad():  # where to_local() is the shard itself
        return tensor.to_local()


def is_dtensor(tensor: Any) -> bool:
    """Whether `tensor` is a DTensor."""
    return local_of(tensor) is not tensor


def check_tensor(tensor: Any) -> Any:
    """`local_of` a tensor that is dense, in C order, and of a dtype in `DTYPES`.

    It may have no memory, as on the meta device.
    """
    local = check_dense(tensor)
    if not (local.is_contiguous() or in_c_order(local.shape, local.stride())):
        raise ValueError(
            "`tensor` must be contiguous, or a slice of a contiguous tensor; got shape "
            f"{tuple(local.shape)} with strides {local.stride()}: fill it before it is transposed, "
            "expanded or made channels_last"
        )
    return local


def check_dense(tensor: Any) -> Any:
    """`local_of` a tensor that is dense and of a dtype in `DTYPES`, its axes in any order."""
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(
            f"`tensor` must be a torch.Tensor or a DTensor; got {type(tensor).__name__}"
        )
    if isinstance(tensor, LAZY):
        raise ValueError(
            "`tensor` must have a shape; got a parameter of a lazy module: run the module once, "
            "or give its sizes"
        )
    # A view of a parameter is one of the parameter's memory; what an operation made is a copy.
    if tensor.requires_grad and not (tensor.is_leaf or base_of(tensor).is_leaf):
        raise ValueError(
            "`tensor` must be a parameter or a view of one; got what autograd computed "
            f"({type(tensor.grad_fn).__name__}), which no optimizer trains: fill what it is "
            "computed from, such as layer.parametrizations.weight.original0, or the parameter "
            "before it is converted"
        )
    local = local_of(tensor)
    if type(local).__torch_dispatch__ != DISPATCH:
        raise TypeError(
            "`tensor` must be a plain torch.Tensor, or a DTensor of such; got "
            f"{type(local).__name__}"
        )
    if local.layout is not torch.strided:
        raise ValueError(f"`tensor` must be dense; got layout={local.layout}")
    if local.dtype not in DTYPES:
        found = str(local.dtype).removeprefix("torch.")
        raise ValueError(f"`tensor` must hold {', '.join(NAMES)}; got dtype={found}")
    return local


def check_shard(tensor: Any, shard: Any) -> None:
    """Refuse what is no shard, of another shape than the tensor, or needless."""
    if not isinstance(shard, Shard):
        raise TypeError(
            f"`shard` must be a philinit.Shard(global_shape, index); got shard={shard!r}"
        )
    if is_dtensor(tensor):
        raise ValueError(
            f"`shard` must be left out for a DTensor, which knows its own; got shard={shard!r}"
        )
    if shard.shape != tuple(tensor.shape):
        raise ValueError(
            f"`tensor` must have the shape of `shard`; got shape {tuple(tensor.shape)} for "
            f"{shard.shape}"
        )
