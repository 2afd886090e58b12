# SPDX-License-Identifier: Apache-2.0
"""One process plays every rank of a world of up to 8, through torch's "fake" process group.

The values come from `init(shape)`, and who holds which of them from torch: `distribute_tensor`
cuts the whole tensor, without communication where src_data_rank is None.
"""

import functools
import itertools
import os
import re
import traceback

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor import _dtensor_spec as spec
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.distributed.tensor.placement_types import _StridedShard
from torch.testing._internal.distributed.fake_pg import FakeStore

import philinit as pi
import philinit.torch as pt

DTYPES = ("float32", "float64", "float16", "bfloat16")
INIT = pi.TruncatedNormal(seed=7)
PAIRS = [*itertools.product([Replicate(), Shard(0), Shard(1)], repeat=2), (Shard(-1), Shard(-2))]
CASES = [((13, 6, 5), axis, dtype) for axis in range(3) for dtype in DTYPES]
CASES += [(s, axis, "float32") for s in [(16, 8), (3,), (1, 0, 2)] for axis in range(len(s))]
TRIPLES = [
    [Shard(0), Shard(0), Shard(0)],
    [Shard(1), Shard(0), Shard(1)],
    [Shard(0), Shard(1), Shard(0)],
    [Replicate(), Shard(1), Shard(1)],
    [Shard(1), Replicate(), Shard(0)],
]


@functools.cache
def whole(shape, dtype):
    """`INIT(shape)` as a torch tensor, byte by byte."""
    values = INIT(shape, dtype)
    buffer = bytearray(values.tobytes())
    kind = getattr(torch, dtype)
    return (
        torch.frombuffer(buffer, dtype=kind).reshape(shape)
        if buffer
        else torch.zeros(shape, dtype=kind)
    )


def cut(tensor, mesh, placements):
    return distribute_tensor(tensor, mesh, placements, src_data_rank=None)


def same(found, expected):
    return found.shape == expected.shape and bytes_of(found) == bytes_of(expected)


def bytes_of(tensor):
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def ranks(*sizes):
    """The mesh as each of its processes sees it, one after the other."""
    world = torch.Size(sizes).numel()
    for rank in range(world):
        dist.init_process_group("fake", rank=rank, world_size=world, store=FakeStore())
        try:
            yield init_device_mesh("cpu", sizes)
        finally:
            dist.destroy_process_group()


def check(mesh, shape, dtype, placements):
    full = whole(shape, dtype)
    expected = cut(full, mesh, placements)
    found = cut(torch.full_like(full, float("nan")), mesh, placements)
    local = found.to_local()
    where = local.data_ptr()
    assert pt.fill_(found, INIT) is found
    assert found.to_local().data_ptr() == where
    assert same(local, expected.to_local()), (shape, dtype, placements, mesh.get_coordinate())
    return local.numel()


def shards_of_every_axis():
    for count in (1, 2, 3, 4, 8):
        elements = {}
        for mesh in ranks(count):
            for shape, axis, dtype in CASES:
                held = check(mesh, shape, dtype, [Shard(axis)])
                elements[shape, axis, dtype] = elements.get((shape, axis, dtype), 0) + held
        assert all(n == torch.Size(shape).numel() for (shape, _, _), n in elements.items())


def pairs_and_triples_of_placements():
    for sizes in [(2, 2), (2, 3), (4, 2), (2, 4)]:
        for mesh in ranks(*sizes):
            for number, placements in enumerate(PAIRS):
                check(mesh, (11, 9), DTYPES[number % 4], placements)
    for mesh in ranks(2, 2, 2):
        for placements in TRIPLES:
            check(mesh, (11, 6), "float32", placements)


def scalars():
    for mesh in ranks(2, 2):
        check(mesh, (), "float32", [Replicate(), Replicate()])


def strided_shards():
    """Where the axis is cut evenly, both readings of a _StridedShard hold the same elements."""
    for sizes in [(2, 2), (2, 4), (4, 2)]:
        for mesh in ranks(*sizes):
            for axis, shape in ((0, (16, 3)), (1, (3, 16)), (1, (3, 16, 2))):
                check(
                    mesh,
                    shape,
                    "float32",
                    [_StridedShard(axis, split_factor=sizes[1]), Shard(axis)],
                )
    for mesh in ranks(2, 2, 2):
        for outer in (Replicate(), Shard(1), _StridedShard(0, split_factor=4)):
            inner = _StridedShard(0, split_factor=2)
            check(mesh, (16, 4), "float32", [outer, inner, Shard(0)])


def an_order_of_cuts_that_only_the_spec_tells():
    """What torch writes into the spec where it does not use _StridedShard."""
    if not hasattr(spec, "ShardOrderEntry"):
        return  # an older torch
    for mesh in ranks(2, 4):
        full = whole((16, 3), "float32")
        order = (spec.ShardOrderEntry(0, (1, 0)),)
        here, there = mesh.get_coordinate()
        expected = full.chunk(4)[there].chunk(2)[here]
        meta = spec.TensorMeta(full.shape, full.stride(), full.dtype)
        found = spec.DTensorSpec(mesh, (Shard(0), Shard(0)), meta, shard_order=order)
        tensor = DTensor(torch.zeros(2, 3), found, requires_grad=False)
        assert same(pt.fill_(tensor, INIT).to_local(), expected)


def fsdp2_of_uneven_tensor_parallelism():
    """FSDP2 cuts what tensor parallelism has left to a process, whatever is left to the others."""
    for rank in range(6):
        # torch keeps what it has derived from a mesh, this rank's place included: a process each.
        child = os.fork()
        if child == 0:
            status = 1
            try:
                dist.init_process_group("fake", rank=rank, world_size=6, store=FakeStore())
                check_fsdp2(init_device_mesh("cpu", (3, 2), mesh_dim_names=("dp", "tp")))
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0, f"rank {rank}"


def check_fsdp2(grid):
    for rows in (7, 8, 5, 1):
        with torch.device("meta"):
            model = torch.nn.Linear(3, rows, bias=False)
        parallelize_module(model, grid["tp"], ColwiseParallel())
        fully_shard(model, mesh=grid["dp"])
        pt.materialize(model, {"weight": INIT})
        here, there = grid.get_coordinate()
        full = torch.from_numpy(INIT.named("weight")((rows, 3)))
        nothing = full[:0]
        column = [*full.chunk(2), nothing][there]
        expected = [*column.chunk(3), nothing, nothing][here] if len(column) else nothing
        assert same(model.weight.to_local(), expected), (rows, here, there)


def parts_of_a_fused_matrix():
    """A split factor that no order of cuts explains: each process holds a part of q, k and v."""
    for mesh in ranks(4):
        for axis, shape in ((0, (24, 3)), (1, (3, 24)), (1, (5, 24, 2)), (0, (23, 3)), (1, (3, 7))):
            check(mesh, shape, "float32", [_StridedShard(axis, split_factor=3)])
    for mesh in ranks(2, 2):
        check(mesh, (24, 4), "float32", [Shard(0), _StridedShard(0, split_factor=3)])


def constants_and_fans_are_those_of_the_global_tensor():
    rules = [pi.Identity(), pi.Orthogonal(seed=3), pt.layout(pi.HeNormal(seed=3)), pi.Ones()]
    for mesh in ranks(3):
        for rule, axis in itertools.product(rules, (0, 1)):
            full = torch.from_numpy(rule((10, 7)))
            found = cut(torch.zeros(10, 7), mesh, [Shard(axis)])
            pt.fill_(found, rule)
            assert same(found.to_local(), cut(full, mesh, [Shard(axis)]).to_local()), (rule, axis)


def progress_counts_the_local_shard():
    for mesh in ranks(2):
        seen = []
        tensor = cut(torch.zeros(8, 6), mesh, [Shard(1)])
        pt.fill_(tensor, INIT, progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert seen == sorted(seen) and seen[-1] == (24, 24)


def autograd_sees_a_change_in_place():
    for mesh in ranks(2):
        parameter = torch.nn.Parameter(cut(torch.zeros(8, 6), mesh, [Shard(0)]))
        version = parameter._version
        pt.fill_(parameter, INIT)
        assert parameter._version > version
        assert parameter.is_leaf and parameter.requires_grad and parameter.grad_fn is None


def refused(error, text, tensor, init=INIT, **keywords):
    with pytest.raises(error, match=re.escape(text)):
        pt.fill_(tensor, init, **keywords)


def what_is_refused():
    for mesh in ranks(2):
        tensor = cut(torch.zeros(8, 6), mesh, [Shard(0)])
        partial = DTensor.from_local(torch.zeros(2), mesh, [dist.tensor.Partial()])
        refused(NotImplementedError, "the placements Shard and Replicate", partial)
        meta = cut(torch.empty(4, 4, device="meta"), mesh, [Shard(0)])
        refused(ValueError, "got one on the meta device", meta)
        refused(ValueError, "`shard` must be left out", tensor, shard=pi.Shard((8, 6), slice(0, 4)))
        turned = DTensor.from_local(torch.zeros(3, 4).T, mesh, [Shard(0)])
        refused(ValueError, "must be contiguous, or a slice", turned)
        other = DTensor.from_local(
            torch.zeros(5, 6), mesh, [Shard(0)], shape=torch.Size((8, 6)), stride=(6, 1)
        )
        refused(ValueError, "the shard that its placements stand for", other)
        assert not any(t.to_local().any() for t in (tensor, partial, turned, other))


if __name__ == "__main__":
    for section in (
        shards_of_every_axis,
        pairs_and_triples_of_placements,
        scalars,
        strided_shards,
        an_order_of_cuts_that_only_the_spec_tells,
        fsdp2_of_uneven_tensor_parallelism,
        parts_of_a_fused_matrix,
        constants_and_fans_are_those_of_the_global_tensor,
        progress_counts_the_local_shard,
        autograd_sees_a_change_in_place,
        what_is_refused,
    ):
        section()
        print(section.__name__, flush=True)
