# SPDX-License-Identifier: Apache-2.0
"""A torch tensor, or the local shard of a DTensor, filled in the memory that it has."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from philinit.checks import Progress, check_progress, check_threads, progress_within
from philinit.filling import devices
from philinit.filling.memory import check_torch_memory
from philinit.parts import Shard
from philinit.targets import Target
from philinit.torch.checks import DTYPES, check_shard, check_tensor
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
        Of dtype float32, float64, float16 or bfloat16, in the memory of a CPU or, through CuPy, of
        a CUDA device. Contiguous, or a slice of what is; there each run of consecutive elements is
        a call of its own, so that many short ones take their time. A DTensor (torch 2.5 or newer)
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
    torch.compile this is an operator of the graph, ``philinit::fill_``, for plain tensors.

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
        check_traced("fill_", _operator, progress)
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
    pieces: Iterable[tuple[Any, Shard | None]] = ((tensor, None),)
    if shard is not None:
        index = tuple(slice(s, s + n) for s, n in zip(shard.starts, shard.lengths, strict=True))
        # In a view of these lengths, axes that an int dropped are back.
        pieces = _contiguous(local.detach().view(shard.lengths), shape, index)
    elif local is not tensor or not tensor.is_contiguous():
        whole, regions = local.detach(), regions_of(tensor)
        runs = (_contiguous(whole[r.local], shape, r.index) for r in regions)
        pieces = itertools.chain.from_iterable(runs)
    done, total = 0, local.numel()
    try:
        for piece, part in pieces:
            report = None if progress is None else progress_within(progress, done, total)
            with opened(piece) as view:
                init._write(Target(view, shape, part, threads, report))
            done += piece.numel()
    finally:
        torch.autograd.graph.increment_version(tensor)
    return tensor


_operator = operator_of_fill(fill_)


def write(tensor: Any, init: Any) -> Any:
    """`fill_` of a plain, contiguous tensor with memory that was checked."""
    try:
        with opened(tensor) as view:
            init._write(Target(view, tuple(tensor.shape)))
    finally:
        torch.autograd.graph.increment_version(tensor)
    return tensor


def opened(piece: Any) -> contextlib.AbstractContextManager[Any]:
    """A context that yields a contiguous tensor, which outlives it, as an array to write.

    ``tensor.numpy()`` would make its storage one that cannot be resized, as FSDP wants to.
    """
    if not piece.is_cpu:
        return devices.opened(piece.detach(), name="tensor")
    buffer = (ctypes.c_char * piece.nbytes).from_address(piece.data_ptr())
    return contextlib.nullcontext(np.ndarray(tuple(piece.shape), DTYPES[piece.dtype], buffer))


def _contiguous(
    piece: Any, shape: tuple[int, ...], index: tuple[slice, ...]
) -> Iterator[tuple[Any, Shard]]:
    """The contiguous pieces of a tensor that is part `index` of one of `shape`, and their parts."""
    if piece.is_contiguous():
        yield piece, Shard(shape, index)
        return
    axis = next(axis for axis, length in enumerate(piece.shape) if length > 1)
    for number in range(piece.shape[axis]):
        at = index[axis].start + number
        row = (*index[:axis], slice(at, at + 1), *index[axis + 1 :])
        yield from _contiguous(piece.narrow(axis, number, 1), shape, row)
