# SPDX-License-Identifier: Apache-2.0
"""What the cases for JAX share: eight CPU devices, checks, and the measuring of memory."""

import os
import warnings
from pathlib import Path

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")

import jax
import numpy as np
import pytest
from jax.sharding import Mesh

warnings.simplefilter("error")


def mesh(*sizes, **keywords):
    """The first devices as a mesh with the axes "x", "y", "z"."""
    devices = np.array(jax.devices()[: int(np.prod(sizes))])
    return Mesh(devices.reshape(sizes), ("x", "y", "z")[: len(sizes)], **keywords)


def check(tensor, whole):
    """The assembled tensor is `whole`, and so is each shard of it, replicas included."""
    assert tensor.shape == whole.shape and tensor.dtype == whole.dtype, tensor
    assert np.asarray(tensor).tobytes() == whole.tobytes(), tensor.sharding
    check_shards(tensor, whole)


def check_shards(tensor, whole):
    """The shards that this process can address; each has memory of its own."""
    shards = tensor.addressable_shards
    for shard in shards:
        assert np.asarray(shard.data).tobytes() == whole[shard.index].tobytes(), shard
    addresses = {shard.data.unsafe_buffer_pointer() for shard in shards}
    assert whole.size == 0 or len(addresses) == len(shards)


def refused(call, error, text):
    """`call` raises that kind of error, with `text` in its sentence."""
    with pytest.raises(error) as found:
        call()
    assert text in str(found.value), found.value


class peak:  # noqa: N801
    """Most memory in MiB that the block had beyond what was there before."""

    def __enter__(self):
        refs = Path("/proc/self/clear_refs")
        if not refs.exists():
            pytest.skip("needs /proc/self/clear_refs")
        refs.write_text("5")
        self.before = self.kib("VmRSS")
        return self

    def __exit__(self, *error):
        self.mib = (self.kib("VmHWM") - self.before) / 1024

    @staticmethod
    def kib(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
