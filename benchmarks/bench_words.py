# SPDX-License-Identifier: Apache-2.0
"""What a weight costs one thread, by kernel and by where its memory is: L2, beyond the caches.

    taskset -c 1 python benchmarks/bench_words.py [--rounds 300]

Kernels in turns, minimum of many short rounds, in nanoseconds: other processes do not show in it
until they never pause. To compare two versions of the source, run both in turns.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import scripts
from philinit.distributions import Normal, TruncatedNormal, Uniform
from philinit.filling.cpu import STREAMING_BYTES
from philinit.filling.memory import address, empty
from philinit.kernels.cpu.compiler import kernel
from philinit.kernels.plan import plan
from philinit.kernels.table import make

FLOAT32 = np.dtype(np.float32)
PLANS = [
    make("words"),
    plan(Uniform(-0.05, 0.05), FLOAT32, "native"),
    plan(TruncatedNormal(0.0, 0.05), FLOAT32, "native"),
    plan(Normal(0.0, 0.05), FLOAT32, "native"),
    plan(TruncatedNormal(0.0, 0.05), FLOAT32, "tensorflow"),
    plan(Normal(0.0, 0.05), FLOAT32, "tensorflow"),
]
SIZES = {"L2, 512 KiB": 512 << 10, "memory, 64 MiB": 64 << 20}
ROUND = 1 << 18  # weights of a short round, some 50 microseconds


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = scripts.options(__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args(arguments)
    print(f"{'ns a weight':32}" + "".join(f"{name:>16}" for name in SIZES))
    out = empty((max(SIZES.values()) // 4,), FLOAT32)
    out.fill(1.0)
    best = {(p.kernel.name, size): float("inf") for p in PLANS for size in SIZES}
    calls = {p.kernel.name: (kernel(p.kernel.name), p.address) for p in PLANS}
    for size, nbytes in SIZES.items():
        count, repeats = nbytes // 4, max(1, ROUND // (nbytes // 4))
        for _ in range(max(3, options.rounds * ROUND // max(count, ROUND))):
            for name, (call, where) in calls.items():
                start = time.perf_counter()
                for _ in range(repeats):
                    call(address(out), count, 0, 0, 1, 2, 3, 4, 5, where, nbytes >= STREAMING_BYTES)
                seconds = (time.perf_counter() - start) / repeats / count
                best[name, size] = min(best[name, size], seconds * 1e9)
    for p in PLANS:
        row = "".join(f"{best[p.kernel.name, size]:16.3f}" for size in SIZES)
        print(f"{p.kernel.name:32}{row}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
