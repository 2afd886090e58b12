# SPDX-License-Identifier: Apache-2.0
"""A small fill of each kernel of both loops, compared with the CPU: what a sanitizer watches.

    compute-sanitizer --tool memcheck python -m tests.gpu.every_kernel

Each array is an allocation of its own, so that a checker sees where it ends.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np

import philinit as pi
from philinit.distributions import Distribution, TruncatedNormal
from philinit.tools.selftest.cases import described
from philinit.tools.selftest.golden import SHA256, SHA256_BY_LIBM

KEY = pi.Key((0x1234, 0xABCD), 2**64 - 256)  # counters carry into word 2
OFFSET = 2**34 - 500  # and into word 1
SHAPE = (1 << 21, 37)
PARTS = (
    None,
    pi.Shard((9, 16, 40), (slice(None), slice(3, 8), slice(2, 39))),
    pi.Rows(SHAPE, [5, 0, 5, 2**20, 77]),
)


def kinds() -> list[tuple[str, Distribution, np.dtype[Any], str]]:
    """Names, distributions, dtypes and samplers: together they take all kernels."""
    names = sorted({name for name in SHA256 if name != "words"}.union(*SHA256_BY_LIBM.values()))
    found = [(name, *described(name)) for name in names]
    for dtype in map(pi.dtypes.as_dtype, ("float32", "float64", "float16", "bfloat16")):
        far = TruncatedNormal(0.5, 2.0, 1.0, math.inf)
        found.append((f"far {dtype}", far, dtype, "native"))
    return found


def main() -> int:
    """1 where a bit differs."""
    import cupy

    cupy.cuda.set_allocator(None)
    filled, different = 0, 0
    for name, what, dtype, sampler in kinds():
        for part in PARTS:
            for shift in (0, 1, 3):
                count = 1003 if part is None else part.size
                shape = (count,) if part is None else part.shape
                out = cupy.empty(count + shift, dtype)[shift:].reshape(shape)
                want = np.empty(shape, dtype)
                try:
                    pi.fill(out, what, KEY, OFFSET, shard=part, sampler=sampler)
                except NotImplementedError as error:  # of another libm
                    print(f"{name}: left out: {error}")
                    continue
                pi.fill(want, what, KEY, OFFSET, shard=part, sampler=sampler)
                filled += 1
                if cupy.asnumpy(out).tobytes() != want.tobytes():
                    different += 1
                    print(f"{name}: other bits than the CPU's in {part}, {shift} elements further")
    print(f"{filled} fills, {different} differ from the CPU's")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
