# SPDX-License-Identifier: Apache-2.0
"""What torch tensors there are, and which of them can be filled."""

from __future__ import annotations

import sys
from typing import Any

import torch

from philinit import dtypes


def is_dtensor(tensor: Any) -> bool:
    """Whether `tensor` is a DTensor of torch 2.5 or newer: then the module of that class is loaded.

    Before, FSDP2's parameters did not tell in which order two mesh axes have cut one tensor axis.
    """
    kind = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    return kind is not None and isinstance(tensor, kind)


def local_of(tensor: Any) -> Any:
    """The shard of a DTensor that this process holds; any other tensor as it is."""
    if not is_dtensor(tensor):
        return tensor
    with torch.no_grad():  # where to_local() is the shard itself
        return tensor.to_local()


def dtype_name(tensor: Any) -> str:
    """The name of the tensor's dtype, such as "float32"."""
    return str(tensor.dtype).removeprefix("torch.")


def check_tensor(tensor: Any) -> None:
    """Refuse what is no dense tensor of one of the four dtypes in C order, with memory or not.

    Raises
    ------
    TypeError
        No tensor, or one of a class with elements of another kind, such as a quantized one.
    ValueError
        A lazy module's, or one of another dtype or memory format.
    """
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(
            f"`tensor` must be a torch.Tensor or a DTensor; got {type(tensor).__name__}"
        )
    if torch.nn.parameter.is_lazy(tensor):
        raise ValueError(
            "`tensor` must have a shape; got a parameter of a lazy module: run the module once, "
            "or give its sizes"
        )
    local = local_of(tensor)
    # A class that takes operations into its own hands need not have its elements in memory.
    if type(local).__torch_dispatch__ != torch.Tensor.__torch_dispatch__:
        raise TypeError(
            "`tensor` must be a plain torch.Tensor, or a DTensor of such in torch 2.5 or newer; "
            f"got {type(local).__name__} in torch {torch.__version__}"
        )
    if local.layout is not torch.strided:
        raise ValueError(f"`tensor` must be dense; got layout={local.layout}")
    if dtype_name(local) not in dtypes.NAMES:
        raise ValueError(
            f"`tensor` must hold {', '.join(dtypes.NAMES)}; got dtype={dtype_name(local)}"
        )
    if not _in_c_order(local):
        raise ValueError(
            "`tensor` must be contiguous, or a slice of a contiguous tensor; got shape "
            f"{tuple(local.shape)} with strides {local.stride()}: fill it before it is transposed, "
            "expanded or made channels_last"
        )


def _in_c_order(tensor: Any) -> bool:
    """Whether the elements lie in C order, with or without gaps, and none of them twice."""
    least = 1
    for length, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if length > 1:
            if stride < least:
                return False
            least = stride * length
    return True


def check_memory(tensor: Any) -> None:
    """Refuse a tensor that has no memory: whoever wrote there would end the process."""
    local = local_of(tensor)
    if local.is_meta:
        raise ValueError(
            "`tensor` must have memory; got one on the meta device: "
            "philinit.torch.materialize allocates and fills a module"
        )
    last = local.storage_offset() + local.numel()
    if local.numel() and local.untyped_storage().nbytes() < last * local.element_size():
        raise ValueError(
            "`tensor` must have memory; got one whose storage was freed, as FSDP frees what it "
            "has gathered: fill the module's parameter"
        )
