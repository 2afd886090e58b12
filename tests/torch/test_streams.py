# SPDX-License-Identifier: Apache-2.0
"""DTensors under accelerate(): every process draws its part of the same weights.

One process plays every rank, as in test_parts.py.
"""

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
pytest.importorskip("torch.distributed.tensor")
import torch.distributed as dist  # noqa: E402
from torch.distributed.device_mesh import init_device_mesh  # noqa: E402
from torch.distributed.tensor import Replicate, Shard, distribute_tensor  # noqa: E402
from torch.testing._internal.distributed.fake_pg import FakeStore  # noqa: E402

import philinit.torch as pt  # noqa: E402  (torch may be missing)
from philinit.torch import draws, init  # noqa: E402
from tests.support.torch_tensors import same  # noqa: E402

STANDARD = pi.Normal(stddev=1.0, seed=42)
WORLD, SHAPE = 4, (5, 6)  # of 4 processes the last holds no row


def meshes():
    for rank in range(WORLD):
        dist.init_process_group("fake", rank=rank, world_size=WORLD, store=FakeStore())
        try:
            yield init_device_mesh("cpu", (WORLD,))
        finally:
            dist.destroy_process_group()


def cut(mesh, values, placement):
    whole = torch.from_numpy(values)
    return distribute_tensor(whole, mesh, [placement], src_data_rank=None)


def model(mesh):
    """With buffers, since torch.nn.Parameter(t) gets the mesh of the first rank from a cache."""
    module = torch.nn.Module()
    for name, placement in (("first", Shard(0)), ("second", Replicate()), ("third", Shard(1))):
        made = distribute_tensor(torch.zeros(SHAPE), mesh, [placement], src_data_rank=None)
        module.register_buffer(name, made)
    return module


def test_a_seed_fills_the_shard_of_the_whole():
    for mesh in meshes():
        buffer = model(mesh).first
        assert init.normal_(buffer, seed=42) is buffer
        assert same(buffer.to_local(), cut(mesh, STANDARD(SHAPE), Shard(0)).to_local())


@pytest.mark.parametrize("name", ["xavier_uniform_", "kaiming_normal_"])
def test_fans_are_those_of_the_whole(name):
    whole = getattr(init, name)(torch.empty(SHAPE), seed=42).numpy()
    for mesh in meshes():
        found = getattr(init, name)(model(mesh).third, seed=42)
        assert same(found.to_local(), cut(mesh, whole, Shard(1)).to_local())


def test_numbered_and_named_streams_agree_on_all_processes():
    for mesh in meshes():
        module = model(mesh)
        with pt.accelerate(seed=42):
            for number, buffer in enumerate(module.buffers()):
                torch.nn.init.normal_(buffer)
                wanted = cut(mesh, STANDARD.named(number)(SHAPE), buffer.placements[0])
                assert same(buffer.to_local(), wanted.to_local())
        with pt.accelerate(seed=42, named=module):
            for name, buffer in reversed([*module.named_buffers()]):
                torch.nn.init.normal_(buffer)
                wanted = cut(mesh, STANDARD.named(name)(SHAPE), buffer.placements[0])
                assert same(buffer.to_local(), wanted.to_local())
            after = torch.nn.init.normal_(torch.empty(3))
            assert same(after, STANDARD.named(0)((3,)))


def test_without_a_seed_torch_keeps_the_processes_together():
    for mesh in meshes():
        buffer = model(mesh).first
        with pytest.raises(ValueError, match="a DTensor needs a seed"):
            draws.check_target(buffer, None, False)
        with pytest.raises(ValueError, match="a DTensor needs a seed"):
            draws.check_target(buffer, torch.Generator(), True)
        for name, arguments in (("orthogonal_", ()), ("sparse_", (0.5,))):
            with pytest.raises(NotImplementedError, match="must be a plain one"):
                draws.BY_NAME[name](buffer, *arguments)
