# SPDX-License-Identifier: Apache-2.0
"""What is drawn by the CUDA kernels on this machine, and by the CPU's, which give what is right.

Launches over consecutive weights; tests/support/cuda_runs.py has those over runs.
"""

import dataclasses
import mmap
import sys
from typing import Any

import numpy as np
import pytest

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling import cpu
from philinit.kernels.constants import GLIBC, ROUNDED
from philinit.kernels.plan import plan
from philinit.kernels.table import Plan, make
from philinit.keys import Key
from philinit.targets import Target
from tests.support import cases, cuda_host
from tests.support import reference as r

KEY = Key.from_seed(99)
LIBMS = {"glibc": GLIBC, "rounded": ROUNDED}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A distribution in a dtype by a sampler, and which libm TensorFlow's normals follow."""

    distribution: Distribution
    dtype: str
    sampler: str = "native"
    libm: str = "glibc"

    @property
    def plan(self) -> Plan:
        found = plan(self.distribution, r.DTYPES[self.dtype], self.sampler)
        if found.kernel.name.startswith(("tensorflow_normal", "tensorflow_truncated")):
            kind = LIBMS[self.libm]
            kinds = {"log_kind": kind, "trigonometry_kind": kind}
            return make(found.kernel.name, **(found.values() | kinds))
        return found

    def __str__(self) -> str:
        return f"{self.plan.kernel.name}-{self.distribution}-{self.libm}"


CASES = [
    Drawn(case.distribution, case.dtype, case.sampler)
    for case in cases.CASES
    if not case.uses_libm  # these come below, for both kinds
]
for name in r.OF_TENSORFLOW:
    CASES += [Drawn(Uniform(*b), name, "tensorflow") for b in ((0, 1), (-0.05, 0.05), (-3, 1e-3))]
    if name != "float64":
        for libm in LIBMS:
            CASES += [Drawn(Normal(*p), name, "tensorflow", libm) for p in ((0, 1), (0.5, 0.02))]
            CASES.append(Drawn(TruncatedNormal(0, 0.02), name, "tensorflow", libm))
ONE_EACH = list({case.plan.kernel.name: case for case in CASES}.values())


def by_case(cases: list[Drawn]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=str)


def per_block(case: Drawn) -> int:
    return 4 // case.plan.kernel.words


def on_cpu(case: Drawn, count: int, offset: int = 0, key: Key = KEY) -> r.Array:
    out = np.empty(count, r.DTYPES[case.dtype])
    cpu.fill(Target(out, out.shape), case.plan, key, offset)
    return out


def launch(
    library: cuda_host.Library,
    case: Drawn,
    address: int,
    count: int,
    offset: int,
    key: Key,
    *grid: Any,
) -> None:
    block, skip = divmod(offset, per_block(case))
    p = case.plan
    counter = (key.base + block * p.kernel.reserved) % (1 << 128)
    library.launch(p.kernel.name, address, count, skip, counter, key.words, p.parameters, *grid)


def on_gpu(
    case: Drawn,
    count: int,
    offset: int = 0,
    key: Key = KEY,
    grid: int = 3,
    block: int = 256,
    shift: int = 0,
    library: cuda_host.Library | None = None,
) -> r.Array:
    """`shift` is the number of weights from an aligned address; nothing around may change."""
    dtype = r.DTYPES[case.dtype]
    memory = np.full(64 + (count + shift) * dtype.itemsize + 64, 0xA5, np.uint8)
    start = 64 - memory.ctypes.data % 64 % 64 + shift * dtype.itemsize
    library = library or cuda_host.build()
    launch(library, case, memory.ctypes.data + start, count, offset, key, grid, block)
    out = np.ndarray(count, dtype, memory, offset=start).copy()
    memory[start:][: out.nbytes] = 0xA5
    assert (memory == 0xA5).all(), "bytes before or behind were written"
    return out


def same(case: Drawn, count: int, offset: int = 0, key: Key = KEY, **how: Any) -> None:
    r.assert_same_bits(
        on_gpu(case, count, offset, key, **how), on_cpu(case, count, offset, key), (offset, how)
    )


FLOAT = Drawn(Uniform(0.25, 0.75), "float32")
HALF = Drawn(Uniform(-0.05, 0.05), "float16")
NORMAL = Drawn(Normal(0.5, 0.02), "float32")
TRUNCATED = Drawn(TruncatedNormal(0, 0.1), "bfloat16")
TENSORFLOW = Drawn(TruncatedNormal(0, 1), "float32", "tensorflow")


def sparse(size: int) -> mmap.mmap:
    """Memory whose pages exist once they are written."""
    try:
        noreserve = 0x4000 if sys.platform == "linux" else 0  # mmap.MAP_NORESERVE, which 3.11 lacks
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | noreserve
        return mmap.mmap(-1, size, flags=flags)
    except (AttributeError, OSError, ValueError) as reason:
        pytest.skip(f"no {size >> 30} GiB of sparse memory here: {reason}")
