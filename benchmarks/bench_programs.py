# SPDX-License-Identifier: Apache-2.0
"""Weights inside jax.jit: philinit.jax.traced beside jax.random's own draws, the same programs.

    python benchmarks/bench_programs.py [--quick] [--size 2**26] [--rounds 9] [--json PATH]

Everybody is compiled, in one process, in turns, and makes a matrix of the same distribution and
dtype, which is freed each time. Before that the numbers of `traced` are held against the kernels of
the CPU, bit for bit. A ratio is one of best rounds, since XLA's threads suffer most from neighbors.
Writes JSON with every single time, prints the ratios beside what they must be: at least 1. Exit
code 0 whatever was reached.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import jax.numpy as jnp
import numpy as np
from rich import box
from rich.table import Table

import philinit as pi
import philinit.jax as pij
import scripts
from philinit.initializers.base import Initializer
from philinit.tools.measure.clock import Times, in_turns

COLUMNS = 1024
MUST = 1.0  # times as fast as jax.random
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Case:
    """An initializer, and jax.random's draws of the same distribution: key, shape, dtype."""

    what: str
    init: Initializer
    peer: Callable[[Any, tuple[int, ...], str], Any]


def cases() -> Iterator[Case]:
    """The three distributions, around 0 and not: a sum more, and more of it for the exact one."""
    draw = jax.random

    def moved(x: Any, scale: float, middle: float, dtype: str) -> Any:
        x = x * jnp.array(scale, dtype)
        return x + jnp.array(middle, dtype) if middle else x

    for middle in (0.0, 1.0):
        ends = middle - 0.05, middle + 0.05
        yield Case(
            f"uniform in [{ends[0]:g}, {ends[1]:g})",
            pi.Uniform(*ends, seed=1),
            lambda key, shape, dtype, ends=ends: draw.uniform(key, shape, dtype, *ends),  # type: ignore[misc]
        )
        yield Case(
            f"truncated normal around {middle:g}",
            pi.TruncatedNormal(middle, 0.05, seed=1),
            lambda key, shape, dtype, middle=middle: moved(  # type: ignore[misc]
                draw.truncated_normal(key, -2, 2, shape, dtype), 0.05, middle, dtype
            ),
        )
        yield Case(
            f"normal around {middle:g}",
            pi.Normal(middle, 0.05, seed=1),
            lambda key, shape, dtype, middle=middle: moved(  # type: ignore[misc]
                draw.normal(key, shape, dtype), 0.05, middle, dtype
            ),
        )


@dataclass(frozen=True)
class Result:
    """Seconds of each round."""

    what: str
    dtype: str
    size: int
    seconds: Times

    @property
    def faster(self) -> float:
        """How many times as fast as jax.random: best rounds."""
        return min(self.seconds["jax.random"]) / min(self.seconds["traced"])

    @property
    def gweights(self) -> float:
        """10**9 weights a second, in the best round."""
        return self.size / min(self.seconds["traced"]) / 1e9


def measure(case: Case, dtype: str, size: int, rounds: int) -> Result:
    """Both programs, compiled, checked, in turns."""
    shape = (size // COLUMNS, COLUMNS)
    key, traced = jax.random.key(0), pij.traced(case.init)
    ours = jax.jit(lambda key: traced(key, shape, dtype))
    theirs = jax.jit(lambda key: case.peer(key, shape, dtype))
    named = case.init
    for word in np.asarray(jax.random.key_data(key)):
        named = named.named(int(word))
    made = np.asarray(ours(key))
    if made.tobytes() != named(shape, dtype).tobytes():
        raise RuntimeError(f"{case.what}, {dtype}: other bits than the kernels'")
    theirs(key).block_until_ready()
    calls = {
        "traced": lambda: ours(key).block_until_ready(),
        "jax.random": lambda: theirs(key).block_until_ready(),
    }
    return Result(case.what, dtype, size, in_turns(calls, rounds))


def table(results: list[Result]) -> Table:
    """A line for each distribution and dtype."""
    found = Table(box=box.SIMPLE, title="philinit.jax.traced inside jax.jit")
    for name in ("distribution", "dtype", "G weights/s", "times jax.random", "must be"):
        found.add_column(name, justify="left" if name == "distribution" else "right")
    for row in results:
        reached = "reached" if row.faster >= MUST else "missed"
        found.add_row(
            row.what,
            row.dtype,
            f"{row.gweights:.3f}",
            f"{row.faster:.2f}",
            f"{MUST:g}: {reached}",
        )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = scripts.measuring(__doc__, quick="2^22 weights, three rounds")
    parser.add_argument("--size", type=scripts.count, help="weights, a multiple of 1024")
    options = parser.parse_args(arguments)
    size = options.size or (1 << 22 if options.quick else 1 << 26)
    rounds = options.rounds or (3 if options.quick else 9)
    results = [measure(case, dtype, size, rounds) for dtype in DTYPES for case in cases()]
    scripts.console().print(table(results))
    rows = [asdict(row) | {"faster": row.faster} for row in results]
    path = scripts.write(options.json, "programs", must=MUST, jax=jax.__version__, results=rows)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
