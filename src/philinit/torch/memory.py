# SPDX-License-Identifier: Apache-2.0
"""A torch tensor, or the local shard of a DTensor, filled in the memory that it has."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from philinit.checks import Progress, check_progress, check_threads, progress_within
from philinit.filling import devices
from philinit.filling.memory import check_torch_memory
from philinit.parts import Shard
from philinit.targets import Target
from philinit.torch.checks import DTYPES, check_shard, check_tensor, local_of
from philinit.torch.initializers import check_layout
from philinit.torch.parts import regions_of
from philinit.torch.traced import check_traced, number_of, operator_of_fill


def fill_(
    tensor: Any,
    init: Any,
    *,
    shard: Shard | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Write ``init(tensor.shape)`` into `tensor` in place, and return it; of a DTensor, its shard.

    Nothing is copied, allocated or sent. A DTensor gets the values of the global tensor, whatever
    its mesh and placements: ``fill_(t, init).full_tensor()`` has the bits of ``init(t.shape)`` on
    one process as on thousands, and replicas agree. To autograd it is what `torch.nn.init` does:
    a change in place, part of no graph, that counts in the tensor's version.

    Parameters
    ----------
    tensor : torch.Tensor, torch.nn.Parameter or DTensor
        Of dtype float32, float64, float16, bfloat16 or float8 (e4m3fn, e5m2, e4m3fnuz, e5m2fnuz),
        in the memory of a CPU or, through CuPy, of a CUDA device. Contiguous, or a slice of what
        is, such as ``wide[:, :128]``; on a CUDA device its last axis must be contiguous. A DTensor
        may have any number of Shard (even, uneven or empty, several on one axis) and Replicate
        placements; FSDP2's parameters are such, with tensor parallelism below or not.
    init : philinit initializer
        Fans come from the global shape. torch's weights are (out, in, ...), where philinit's
        default axes read (..., in, out). Where that would change the weights, `init` is refused:
        ``philinit.torch.layout(init)`` is the same initializer with torch's fans.
    shard : Shard, optional
        For a plain tensor that is a part of a larger one, as libraries with tensor parallelism of
        their own have them: ``philinit.Shard(global_shape, index)``.
    threads : int, optional
        As in ``init(shape)``.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements of what this process writes.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before a byte is written: an argument of another kind; a tensor that is transposed,
        expanded or channels_last, has no memory (the meta device) or another dtype, or that
        autograd has computed of parameters (the weight of a weight-normed layer); a placement that
        stands for no part of the tensor (Partial); fans that are not torch's.
    ImportError, RuntimeError
        The tensor is on a CUDA device, and there is no CuPy, or no device that works.

    Notes
    -----
    Every process computes the whole matrix of an `Orthogonal`, and keeps its part. Under
    torch.compile, of torch 2.12 or newer, this is an operator of the graph, ``philinit::fill_``,
    for plain tensors.

    Under ``torch.no_grad()`` what is computed bears no mark of it: there the weight of a
    weight-normed or otherwise parametrized layer, a new tensor at each look, is filled as any
    tensor is, and the layer stays as it was. Fill ``layer.parametrizations.weight.original0`` and
    its like, or call `fill_` with gradients on, which refuses such a weight.

    Examples
    --------
    >>> import torch, philinit as pi, philinit.torch as pt
    >>> linear = torch.nn.Linear(64, 256)
    >>> weight = pt.fill_(linear.weight, pt.layout(pi.HeUniform(seed=42)))
    >>> weight is linear.weight, bool(weight.abs().max() <= (6 / 64) ** 0.5)
    (True, True)
    """
    if torch.compiler.is_compiling():
        check_traced("fill_", progress)
        with torch.no_grad():
            _operator(tensor, number_of(init, shard, threads))
        return tensor
    local = check_tensor(tensor)
    if shard is not None:
        check_shard(tensor, shard)
    shape = tuple(tensor.shape) if shard is None else shard.global_shape
    check_layout(init, shape)
    if local.is_meta:
        raise ValueError(
            "`tensor` must have memory; got one on the meta device: "
            "philinit.torch.materialize allocates and fills a module"
        )
    check_torch_memory(local, "tensor")
    if threads is not None or progress is not None:
        threads, progress = check_threads(threads), check_progress(progress)
    return write(tensor, init, shard, threads, progress)


_operator = operator_of_fill(fill_)

_BYTES = ctypes.c_char * (1 << 62)  # from an address on, as many as there are: types cost time


def write(
    tensor: Any,
    init: Any,
    shard: Shard | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """`fill_` of a tensor with memory, when all was checked."""
    local = local_of(tensor)
    shape = tuple(tensor.shape) if shard is None else shard.global_shape
    parts: Iterable[tuple[Any, Shard | None]] = ((local, shard),)
    if local is not tensor:
        plain, regions = local.detach(), regions_of(tensor)
        parts = ((plain[region.local], Shard(shape, region.index)) for region in regions)
    done, report = 0, progress
    try:
        for piece, part in parts:
            if progress is not None:
                report = progress_within(progress, done, local.numel())
                done += piece.numel()
            with opened(piece) as view:
                init._write(Target(view, shape, part, threads, report))
    finally:
        torch.autograd.graph.increment_version(tensor)
    return tensor


def opened(piece: Any) -> contextlib.AbstractContextManager[Any]:
    """A context that yields a tensor, which outlives it, as an array to write.

    ``tensor.numpy()`` would make its storage one that cannot be resized, as FSDP wants to.
    """
    if not piece.is_cpu:
        return devices.opened(piece.detach(), name="tensor")
    memory: Any = _BYTES.from_address(piece.data_ptr())
    dtype = DTYPES[piece.dtype]
    strides = None
    if not piece.is_contiguous():
        strides = [stride * dtype.itemsize for stride in piece.stride()]
    return contextlib.nullcontext(np.ndarray(tuple(piece.shape), dtype, memory, 0, strides))
