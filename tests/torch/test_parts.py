# SPDX-License-Identifier: Apache-2.0
"""DTensors of every placement: one process plays every rank of a world of up to 8.

It does so through torch's "fake" process group. The values come from `init(shape)`, and who holds
which of them from torch: `distribute_tensor` cuts the whole tensor, without communication where
src_data_rank is None.
"""

import functools
import itertools
import re

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
dist = pytest.importorskip("torch.distributed")
from torch.distributed.device_mesh import init_device_mesh  # noqa: E402  (torch may be missing)
from torch.distributed.tensor import (  # noqa: E402
    DTensor,
    Replicate,
    Shard,
    distribute_tensor,
)
from torch.distributed.tensor import _dtensor_spec as spec  # noqa: E402
from torch.distributed.tensor.placement_types import _StridedShard  # noqa: E402
from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: E402

import philinit.torch as pt  # noqa: E402
from philinit.torch import parts  # noqa: E402
from tests.support.torch_tensors import DTYPES, same  # noqa: E402
from tests.support.workers import Workers  # noqa: E402

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


def test_shards_of_every_axis_are_parts_of_the_whole():
    for count in (1, 2, 3, 4, 8):
        elements = {}
        for mesh in ranks(count):
            for shape, axis, dtype in CASES:
                held = check(mesh, shape, dtype, [Shard(axis)])
                elements[shape, axis, dtype] = elements.get((shape, axis, dtype), 0) + held
        assert all(n == torch.Size(shape).numel() for (shape, _, _), n in elements.items())


def test_pairs_and_triples_of_placements_are_parts_of_the_whole():
    for sizes in [(2, 2), (2, 3), (4, 2), (2, 4)]:
        for mesh in ranks(*sizes):
            for number, placements in enumerate(PAIRS):
                check(mesh, (11, 9), DTYPES[number % 4], placements)
    for mesh in ranks(2, 2, 2):
        for placements in TRIPLES:
            check(mesh, (11, 6), "float32", placements)


def test_scalars_are_replicated():
    for mesh in ranks(2, 2):
        check(mesh, (), "float32", [Replicate(), Replicate()])


def test_strided_shards_of_even_axes_are_read_as_torch_reads_them():
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


def test_an_order_of_cuts_that_only_the_spec_tells():
    """What torch writes into the spec where it does not use _StridedShard."""
    if not hasattr(spec, "ShardOrderEntry"):
        pytest.skip("torch 2.9 knows no such order")
    for mesh in ranks(2, 4):
        full = whole((16, 3), "float32")
        order = (spec.ShardOrderEntry(0, (1, 0)),)
        here, there = mesh.get_coordinate()
        expected = full.chunk(4)[there].chunk(2)[here]
        meta = spec.TensorMeta(full.shape, full.stride(), full.dtype)
        found = spec.DTensorSpec(mesh, (Shard(0), Shard(0)), meta, shard_order=order)
        tensor = DTensor(torch.zeros(2, 3), found, requires_grad=False)
        assert same(pt.fill_(tensor, INIT).to_local(), expected)


def test_an_order_that_split_factors_tell_as_well_is_read_once():
    """The specs of torch 2.10 have both."""
    rows = torch.arange(18)
    for here, there in itertools.product(range(2), repeat=2):
        placements = [_StridedShard(0, split_factor=2), Shard(0)]
        cuts = parts.cuts_of(placements, (2, 2), (here, there), 1)
        (found,) = parts.regions((18,), cuts, {0: (1, 0)})
        assert rows[found.index].equal(rows.chunk(2)[there].chunk(2)[here])


def test_each_rank_has_a_part_of_every_part_of_a_fused_matrix():
    """A split factor that no order of cuts explains: each process holds a part of q, k and v."""
    cases = [(0, (24, 3)), (1, (3, 24)), (1, (5, 24, 2))]
    if torch.__version__ >= "2.10":  # before, distribute_tensor and full_tensor of these disagree
        cases += [(0, (23, 3)), (1, (3, 7))]
    for mesh in ranks(4):
        for axis, shape in cases:
            check(mesh, shape, "float32", [_StridedShard(axis, split_factor=3)])
    for mesh in ranks(2, 2):
        check(mesh, (24, 4), "float32", [Shard(0), _StridedShard(0, split_factor=3)])


def test_constants_and_fans_are_those_of_the_global_tensor():
    inits = [pi.Identity(), pi.Orthogonal(seed=3), pt.layout(pi.HeNormal(seed=3)), pi.Ones()]
    for mesh in ranks(3):
        for init, axis in itertools.product(inits, (0, 1)):
            full = torch.from_numpy(init((10, 7)))
            found = cut(torch.zeros(10, 7), mesh, [Shard(axis)])
            pt.fill_(found, init)
            assert same(found.to_local(), cut(full, mesh, [Shard(axis)]).to_local()), (init, axis)


def test_progress_counts_the_local_shard():
    for mesh in ranks(2):
        seen = []
        tensor = cut(torch.zeros(8, 6), mesh, [Shard(1)])
        pt.fill_(tensor, INIT, progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert seen == sorted(seen) and seen[-1] == (24, 24)


def test_autograd_sees_a_change_in_place():
    for mesh in ranks(2):
        parameter = torch.nn.Parameter(cut(torch.zeros(8, 6), mesh, [Shard(0)]))
        version = parameter._version
        pt.fill_(parameter, INIT)
        assert parameter._version > version
        assert parameter.is_leaf and parameter.requires_grad and parameter.grad_fn is None


def refused(error, text, tensor, init=INIT, **keywords):
    with pytest.raises(error, match=re.escape(text)):
        pt.fill_(tensor, init, **keywords)


def test_what_no_rank_can_fill_is_refused():
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


def test_fsdp2_cuts_what_uneven_tensor_parallelism_has_left(tmp_path):
    with Workers("torch_ranks", tmp_path) as ranks_of_six:
        assert ranks_of_six.passes("fsdp2_of_uneven_tensor_parallelism")
