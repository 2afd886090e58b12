# SPDX-License-Identifier: Apache-2.0
"""Six processes, each alone with one rank of a world of 6, through torch's "fake" process group."""

import os
import traceback

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module
from torch.testing._internal.distributed.fake_pg import FakeStore

import philinit as pi
import philinit.torch as pt
from tests.support.torch_tensors import same

INIT = pi.TruncatedNormal(seed=7)


def fsdp2_of_uneven_tensor_parallelism():
    """torch keeps what it has derived from a mesh, a rank's position included: a process each."""
    for rank in range(6):
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
    """FSDP2 cuts what tensor parallelism has left to a process, whatever is left to the others."""
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
