# SPDX-License-Identifier: Apache-2.0
"""Placements of a DTensor -> the regions of the global tensor that one process holds.

Arithmetic on ints: nothing here communicates. A mesh axis that shards a tensor axis cuts it as
``torch.chunk`` does: into pieces of ceil(length / count), the last ones shorter or empty. Several
mesh axes may cut one tensor axis, one after the other. Which goes first is told by the order of the
placements, or by a split factor: the number of pieces that there were before; see `split_factor`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from philinit.torch.checks import is_dtensor, local_of
from philinit.torch.private import shard_order, split_factor

Range = tuple[int, int]  # start, stop


@dataclass(frozen=True)
class Cut:
    """What one mesh axis does to one tensor axis."""

    axis: int  # of the tensor
    mesh_axis: int
    count: int  # processes along the mesh axis
    position: int  # of this process among them
    factor: int = 1  # the split factor of a _StridedShard


@dataclass(frozen=True)
class Region:
    """A part of the local shard, and where it lies in the global tensor."""

    local: tuple[slice, ...]
    index: tuple[slice, ...]


def regions_of(tensor: Any) -> list[Region]:
    """The regions of a tensor that this process holds: none where it has no part in the mesh."""
    shape = tuple(tensor.shape)
    if not is_dtensor(tensor):
        return regions(shape, [])
    mesh, placements = tensor.device_mesh, tuple(tensor.placements)
    coordinate = mesh.get_coordinate()
    sizes = [mesh.size(axis) for axis in range(mesh.ndim)]
    cuts = cuts_of(placements, sizes, coordinate or [0] * mesh.ndim, len(shape))
    if coordinate is None:
        return []
    found = regions(shape, cuts, shard_order(tensor))
    local, last = tuple(local_of(tensor).shape), tuple(entry.stop for entry in found[-1].local)
    if local != last:
        raise ValueError(
            "a DTensor must hold the shard that its placements stand for; got a local shape of "
            f"{local} for shape {shape}, {placements=} and position "
            f"{tuple(coordinate)} in a mesh {tuple(sizes)}, which make {last}"
        )
    return found


def cuts_of(
    placements: Sequence[Any], sizes: Sequence[int], coordinate: Sequence[int], rank: int
) -> list[Cut]:
    """The cuts that the placements of a tensor of `rank` axes stand for, in their order."""
    found = []
    for mesh_axis, placement in enumerate(placements):
        kind = type(placement).__name__  # in torch, one of the kinds is a subclass of another
        if kind in ("Shard", "_StridedShard"):
            among = (sizes[mesh_axis], coordinate[mesh_axis])
            found.append(Cut(placement.dim % rank, mesh_axis, *among, split_factor(placement)))
        elif kind != "Replicate":
            raise NotImplementedError(
                "a DTensor must have the placements Shard and Replicate to be filled; got "
                f"placements={tuple(placements)}: redistribute it first"
            )
    return found


def regions(
    shape: Sequence[int], cuts: Sequence[Cut], order: dict[int, tuple[int, ...]] | None = None
) -> list[Region]:
    """What one process holds, in the order of its memory; one region, empty, if it has nothing.

    `order` is that of `shard_order`. Split factors tell the same, and are not read a second time.
    """
    held = []
    for axis, length in enumerate(shape):
        mine = [cut for cut in cuts if cut.axis == axis]
        if order and axis in order and all(cut.factor == 1 for cut in mine):
            mine = [cut for first in order[axis] for cut in mine if cut.mesh_axis == first]
        held.append(_held(length, _in_time(mine)))
    return [
        Region(tuple(local for local, _ in entries), tuple(index for _, index in entries))
        for entries in itertools.product(*(_slices(ranges) for ranges in held))
    ]


def _in_time(cuts: list[Cut]) -> list[Cut]:
    """The cuts of one axis in the order in which they were made, and plain; as given if none fits.

    A split factor is the product of the counts of all later mesh axes that have cut before.
    """
    found: list[Cut] = []
    for cut in reversed(cuts):
        earlier, pieces = 0, 1
        while pieces != cut.factor:
            if earlier == len(found):
                return cuts  # interleaved on purpose, such as the parts of a fused matrix
            pieces *= found[earlier].count
            earlier += 1
        found.insert(earlier, cut)
    return [replace(cut, factor=1) for cut in found]


def _held(length: int, cuts: list[Cut]) -> list[Range]:
    ranges = [(0, length)]
    for cut in cuts:
        parts = (_chunk(ranges, cut.factor, part) for part in range(cut.factor))
        ranges = [r for part in parts for r in _chunk(part, cut.count, cut.position)]
    merged: list[Range] = []
    for start, stop in ranges:
        if merged and merged[-1][1] == start:
            start = merged.pop()[0]
        merged.append((start, stop))
    return merged or [(0, 0)]


def _chunk(ranges: list[Range], count: int, number: int) -> list[Range]:
    """The ranges of chunk `number` of `count` of all positions, taken one after the other."""
    total = sum(stop - start for start, stop in ranges)
    size = -(-total // count)
    first, last = number * size, (number + 1) * size
    found, before = [], 0
    for start, stop in ranges:
        low, high = max(first - before, 0), min(last - before, stop - start)
        if low < high:
            found.append((start + low, start + high))
        before += stop - start
    return found


def _slices(ranges: list[Range]) -> Iterator[tuple[slice, slice]]:
    """Where each range lies in the local shard and in the global tensor."""
    before = 0
    for start, stop in ranges:
        after = before + stop - start
        yield slice(before, after), slice(start, stop)
        before = after
