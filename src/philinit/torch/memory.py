# SPDX-License-Identifier: Apache-2.0
"""A torch tensor, or the local shard of a DTensor, filled in the memory that it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from philinit.checks import Progress
from philinit.parts import Shard
from philinit.torch.checks import check_memory, check_tensor, is_dtensor, local_of
from philinit.torch.initializers import check_layout
from philinit.torch.parts import Box, boxes, cuts_of


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
        ``philinit.torch.layout(init)`` is the same rule with torch's fans.
    shard : Shard, optional
        For a plain tensor that is a box of a larger one, as libraries with tensor parallelism of
        their own have them: ``philinit.Shard(global_shape, index)``.
    threads : int, optional
        As in ``init(shape)``.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements of what this process writes.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before a byte is written: an argument of another kind; a tensor that is transposed,
        expanded or channels_last, has no memory (the meta device) or another dtype; a placement
        that stands for no part of the tensor (Partial); fans that are not torch's.
    ImportError, RuntimeError
        The tensor is on a CUDA device, and there is no CuPy, or no device that works.

    Notes
    -----
    Every process computes the whole matrix of an `Orthogonal`, and keeps its part.

    Examples
    --------
    >>> import torch, philinit as pi, philinit.torch as pt
    >>> linear = torch.nn.Linear(64, 256)
    >>> weight = pt.fill_(linear.weight, pt.layout(pi.HeUniform(seed=42)))
    >>> weight is linear.weight, bool(weight.abs().max() <= (6 / 64) ** 0.5)
    (True, True)
    """
    check_tensor(tensor)
    if shard is not None:
        _check_shard(tensor, shard)
    shape = tuple(tensor.shape) if shard is None else shard.global_shape
    check_layout(init, shape)
    check_memory(tensor)
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` must be callable or None; got progress={progress!r}")
    local = local_of(tensor).detach()
    if shard is not None:
        local = local.view(shard.lengths)  # axes that an int dropped are back, with a length of 1
    found = boxes_of(tensor) if shard is None else [_box(shard)]
    done, total = 0, local.numel()
    try:
        for part, box in _parts(local, shape, found):
            report = None if progress is None else _after(progress, done, total)
            init.fill(part, shard=box, threads=threads, progress=report)
            done += part.numel()
    finally:
        torch.autograd.graph.increment_version(tensor)
    return tensor


def _check_shard(tensor: Any, shard: Any) -> None:
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


def _box(shard: Shard) -> Box:
    ends = zip(shard.starts, shard.lengths, strict=True)
    whole = tuple(slice(0, length) for length in shard.lengths)
    return Box(whole, tuple(slice(start, start + length) for start, length in ends))


def boxes_of(tensor: Any) -> list[Box]:
    """The boxes of a tensor that this process holds: none where it has no part in the mesh.

    Raises
    ------
    NotImplementedError
        A placement other than Shard and Replicate.
    ValueError
        The placements stand for a local shard of another shape.
    """
    shape = tuple(tensor.shape)
    if not is_dtensor(tensor):
        return boxes(shape, [])
    mesh, placements = tensor.device_mesh, tuple(tensor.placements)
    coordinate = mesh.get_coordinate()
    sizes = [mesh.size(axis) for axis in range(mesh.ndim)]
    cuts = cuts_of(placements, sizes, coordinate or [0] * mesh.ndim, len(shape))
    if coordinate is None:
        return []
    # Private, and in young versions only: where mesh axes cut in another order than they come.
    order = getattr(tensor._spec, "shard_order", None) or ()
    found = boxes(shape, cuts, {entry.tensor_dim: tuple(entry.mesh_dims) for entry in order})
    local = tuple(local_of(tensor).shape)
    last = found[-1].local
    if local != tuple(entry.stop for entry in last):
        raise ValueError(
            "a DTensor must hold the shard that its placements stand for; got a local shape of "
            f"{local} for shape {shape}, placements={placements} and place {tuple(coordinate)} "
            f"of a mesh {tuple(sizes)}, which make {tuple(entry.stop for entry in last)}"
        )
    return found


def _parts(local: Any, shape: tuple[int, ...], found: list[Box]) -> Iterator[tuple[Any, Shard]]:
    """The contiguous parts of a local shard, and which box of the global tensor each is."""
    for box in found:
        yield from _contiguous(local[box.local], shape, box.index)


def _contiguous(
    part: Any, shape: tuple[int, ...], index: tuple[slice, ...]
) -> Iterator[tuple[Any, Shard]]:
    if part.is_contiguous():
        yield part, Shard(shape, index)
        return
    axis = next(axis for axis, length in enumerate(part.shape) if length > 1)
    for place in range(part.shape[axis]):
        at = index[axis].start + place
        row = (*index[:axis], slice(at, at + 1), *index[axis + 1 :])
        yield from _contiguous(part.narrow(axis, place, 1), shape, row)


def _after(progress: Progress, before: int, total: int) -> Progress:
    """`progress` of one part as progress of the whole."""
    return lambda done, _: progress(before + done, total)
