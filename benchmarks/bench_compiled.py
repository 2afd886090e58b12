# SPDX-License-Identifier: Apache-2.0
"""Weights inside jax.jit: a small tensor, a large one beside `philinit.jax.array`, and memory.

    python benchmarks/bench_compiled.py [--quick] [--size 2**26] [--rounds 9] [--json PATH]

Uniform float32. The small tensor, (64, 64), is made by rounds of 20 calls, the best of which
counts; the large one in turns with `philinit.jax.array`, each time in new memory, and the ratio is
one of best rounds; JAX's own initializer follows, for three rounds. Peaks of resident memory,
beyond what was resident before, are those of processes of their own: one device, which makes a
tensor of four times the size, and eight forced ones, a mesh of 4 x 2, into whose parts XLA cuts it
by `out_shardings`; both are compared with the same weights outside of a program. Writes JSON with
every single time, prints the figures beside what they must be. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from rich import box
from rich.table import Table

import philinit as pi
import processes
import scripts
from philinit.tools.measure.clock import Call, in_turns

COLUMNS, SMALL, CALLS = 1024, (64, 64), 20
PEER_ROUNDS = 3
PEAK = """
import json, jax, numpy as np, philinit as pi, philinit.jax as pij
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from philinit.tools.measure.memory import Peak
init, shape = pi.GlorotUniform(seed=1), ({rows}, 1024)
key = jax.random.key(7)
mesh = Mesh(np.array(jax.devices()).reshape({mesh}), ("x", "y"))
where = NamedSharding(mesh, PartitionSpec("x", "y"))
def program(shape):
    return jax.jit(lambda key: pij.initializer(init)(key, shape), out_shardings=where)
jax.block_until_ready(program((1024, 1024))(key))
compiled = program(shape).lower(key).compile()
with Peak() as peak:
    made = jax.block_until_ready(compiled(key))
named = init.named(0).named(7)
for shard in made.addressable_shards:
    part = np.asarray(shard.data)
    for start in range(0, len(part), 1 << 14):
        rows = (shard.index[0].start or 0) + start
        index = slice(rows, rows + len(part[start : start + (1 << 14)])), shard.index[1]
        assert part[start : start + (1 << 14)].tobytes() == named.shard(shape, index).tobytes()
print(json.dumps([peak.extra, made.nbytes]))
"""


@dataclass(frozen=True)
class Row:
    """One figure, and what it must be at most, or at least."""

    what: str
    figure: float | None
    unit: str
    must: float | None = None
    least: bool = False

    @property
    def reached(self) -> bool | None:
        """Whether it is; None where nothing must be, or could be measured."""
        if self.must is None or self.figure is None:
            return None
        return self.figure >= self.must if self.least else self.figure <= self.must


def calls(shape: tuple[int, int]) -> dict[str, Call]:
    """Who makes a tensor, ready when the call returns."""
    import jax

    import philinit.jax as pij

    key, init = jax.random.key(0), pi.GlorotUniform(seed=1)
    ours, theirs = pij.initializer(init), jax.nn.initializers.glorot_uniform()
    inside, own = (jax.jit(lambda key, f=f: f(key, shape)) for f in (ours, theirs))
    return {
        "philinit inside jax.jit": lambda: inside(key).block_until_ready(),
        "philinit.jax.array": lambda: pij.array(init, shape).block_until_ready(),
        "jax.nn inside jax.jit": lambda: own(key).block_until_ready(),
    }


def repeated(call: Call) -> Call:
    """So many calls as one."""

    def several() -> Any:
        for _ in range(CALLS - 1):
            call()
        return call()

    return several


def times(shape: tuple[int, int], rounds: int, of: Callable[[Call], Call]) -> dict[str, Any]:
    """Seconds of each round, after one that nobody times."""
    found = {name: of(call) for name, call in calls(shape).items()}
    in_turns(found, 1)
    peer = {name: call for name, call in found.items() if name.startswith("jax.nn")}
    ours = {name: call for name, call in found.items() if name not in peer}
    # JAX's own leaves other memory behind, and takes longest: not in turns with the others.
    return in_turns(ours, rounds) | in_turns(peer, min(rounds, PEER_ROUNDS))


def peak(rows: int, mesh: tuple[int, int]) -> tuple[int | None, int]:
    """Bytes beyond what was resident before, and those of the tensor."""
    flags = f"--xla_force_host_platform_device_count={mesh[0] * mesh[1]}"
    extra, nbytes = json.loads(processes.run(PEAK.format(rows=rows, mesh=mesh), XLA_FLAGS=flags))
    return extra, nbytes


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "2**20 weights, three rounds")
    parser.add_argument("--size", type=scripts.count, help="weights of the large tensor")
    options = parser.parse_args(arguments)
    size = options.size or (1 << 20 if options.quick else 1 << 26)
    rounds = options.rounds or (3 if options.quick else 9)
    small = times(SMALL, 20 * rounds, repeated)
    large = times((size // COLUMNS, COLUMNS), rounds, lambda call: call)
    rows = []
    for name, seconds in small.items():
        must = 40.0 if name == "philinit inside jax.jit" else None
        rows.append(Row(f"(64, 64): {name}", min(seconds) / CALLS * 1e6, "us", must))
    for name, seconds in large.items():
        rows.append(Row(f"{size:,} weights: {name}", min(seconds) * 1e3, "ms"))
    inside, array = large["philinit inside jax.jit"], large["philinit.jax.array"]
    rows.append(Row("speed inside, of array's: best", min(array) / min(inside), "x", 0.8, True))
    rows.append(Row("the same: medians", median(array) / median(inside), "x"))
    for mesh in ((1, 1), (4, 2)):
        extra, nbytes = peak(4 * size // COLUMNS, mesh)
        beyond = None if extra is None else (extra - nbytes) / 2**20
        title = f"peak beyond {nbytes / 2**20:.0f} MiB, a mesh of {mesh[0]} x {mesh[1]}"
        rows.append(Row(title, beyond, "MiB", 40.0))
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "measured", "", "must"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=True)
    for row in rows:
        shown = "?" if row.figure is None else f"{row.figure:.3g}"
        bound = "" if row.must is None else f"{'>=' if row.least else '<='} {row.must:g}"
        missed = "  MISSED" if row.reached is False else ""
        table.add_row(row.what, shown, row.unit, bound + missed)
    console = scripts.console()
    console.print(table)
    document = {"rows": [asdict(row) | {"reached": row.reached} for row in rows]}
    path = scripts.write(
        options.json, "compiled", seconds={"small": small, "large": large}, **document
    )
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
