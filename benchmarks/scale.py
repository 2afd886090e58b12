# SPDX-License-Identifier: Apache-2.0
"""A table that fits on no machine, over hosts that need not talk: random shards, each checked.

    python benchmarks/scale.py [--table 2**45] [--columns 2**16] [--hosts 4096] [--tile 2**24]
                               [--picks 3] [--checks 32] [--dtype float32] [--seed 42] [--threads N]

For each way of cutting the table (by rows, by columns, into boxes) it picks hosts at random, and
of each host's shard a random tile; then rows by number, anywhere in the table. Each is filled in
resident memory, and elements of it, first and last included, are compared with the oracle: Philox
in Python integers and the map of kernels/README.md, for that one index. The time of a whole shard
is the tile's cost a weight times the shard's weights: tiles of a quarter and of half the size show
that the cost is linear. Exit code 1 where an element is wrong.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import philinit as pi
import scripts
from philinit.distributions import Distribution
from philinit.dtypes import as_dtype
from philinit.filling.memory import empty
from philinit.tools.measure.clock import in_turns

sys.path.insert(0, str(Path(__file__).parents[1]))
reference: Any = importlib.import_module("tests.support.reference")
reference_words: Any = importlib.import_module("tests.support.reference_words")

Shape = tuple[int, int]
ROUNDS = 3  # fills of a tile, of which the best is told


class Piece(NamedTuple):
    """What one host fills here, and how many weights its whole shard has."""

    layout: str
    host: int
    part: pi.Shard | pi.Rows
    local: int


def element(distribution: Distribution, dtype: Any, key: pi.Key, index: int) -> Any:
    """Weight `index` of a stream, alone: its words by Philox in Python integers, then the map."""
    wide = dtype == np.float64
    numbers = (2 * index, 2 * index + 1) if wide else (index,)
    words = []
    for number in numbers:
        counter = (key.base + number // 4) % (1 << 128)
        block = [counter >> shift & 0xFFFFFFFF for shift in (0, 32, 64, 96)]
        words.append(reference_words.philox4x32(block, key.words)[number % 4])
    raw = np.array([words[0] | words[1] << 32], np.uint64) if wide else np.array(words, np.uint32)
    return reference.weights_of(raw, distribution, dtype)[0]


def shards_of(table: Shape, hosts: int) -> dict[str, tuple[Shape, Shape]]:
    """By layout: how many hosts along either axis, and what each of them holds."""
    across = 1 << (hosts.bit_length() - 1) // 2
    grids = {"rows": (hosts, 1), "columns": (1, hosts), "boxes": (across, hosts // across)}
    found = {}
    for layout, grid in grids.items():
        if table[0] % grid[0] or table[1] % grid[1]:
            raise SystemExit(f"a table of {table[0]} x {table[1]} is not cut evenly by {grid}")
        found[layout] = grid, (table[0] // grid[0], table[1] // grid[1])
    return found


def tile_of(table: Shape, corner: Shape, local: Shape, size: int, draw: random.Random) -> pi.Shard:
    """A random box of about `size` weights inside the shard of shape `local` at `corner`."""
    width = min(local[1], size)
    height = min(local[0], max(1, size // width))
    top = corner[0] + draw.randrange(local[0] - height + 1)
    left = corner[1] + draw.randrange(local[1] - width + 1)
    return pi.Shard(table, (slice(top, top + height), slice(left, left + width)))


def pieces(table: Shape, hosts: int, size: int, picks: int, draw: random.Random) -> Iterator[Piece]:
    """What to fill: random tiles of random hosts, then random rows."""
    for layout, (grid, local) in shards_of(table, hosts).items():
        for _ in range(picks):
            host = draw.randrange(hosts)
            place = divmod(host, grid[1])
            corner = place[0] * local[0], place[1] * local[1]
            part = tile_of(table, corner, local, size, draw)
            yield Piece(layout, host, part, local[0] * local[1])
    ids = [draw.randrange(table[0]) for _ in range(max(1, size // table[1]))]
    yield Piece("rows by number", 0, pi.Rows(table, ids), table[0] * table[1] // hosts)


def index_of(part: pi.Shard | pi.Rows, place: int) -> int:
    """Global index of element `place` of a part, in C order."""
    columns = part.global_shape[1]
    row, column = divmod(place, part.shape[1])
    if isinstance(part, pi.Rows):
        return int(part.ids[row]) * columns + column
    return (part.starts[0] + row) * columns + part.starts[1] + column


def check(
    init: Any, piece: Piece, made: Any, checks: int, draw: random.Random
) -> tuple[int, list[int]]:
    """How many elements were looked at, and the global indices of those that are wrong."""
    part, flat = piece.part, made.reshape(-1)
    wanted = init.distribution_for(part.global_shape)
    places = {0, flat.size - 1, *(draw.randrange(flat.size) for _ in range(checks))}
    found = []
    for place in sorted(places):
        index = index_of(part, place)
        right = element(wanted, flat.dtype, init.key, index)
        if flat[place].tobytes() != right.tobytes():
            found.append(index)
    return len(places), found


def filling(init: Any, view: Any, part: Any, threads: int | None) -> Callable[[], Any]:
    """The call that is timed."""
    return lambda: init.fill(view, shard=part, threads=threads)


def seconds(call: Callable[[], Any], rounds: int = ROUNDS) -> float:
    """The best of some calls."""
    return min(in_turns({"": call}, rounds)[""])


def linear(init: Any, piece: Piece, out: Any, threads: int | None) -> list[float]:
    """Nanoseconds a weight of a quarter, half and all rows of a tile."""
    rows, columns = piece.part.index
    costs = []
    for share in (4, 2, 1):
        height = max(1, (rows.stop - rows.start) // share)
        index = slice(rows.start, rows.start + height), columns
        part = pi.Shard(piece.part.global_shape, index)
        view = out[: part.size].reshape(part.shape)
        costs.append(seconds(filling(init, view, part, threads), 2 * ROUNDS) / part.size * 1e9)
    return costs


def report(options: argparse.Namespace, console: Console) -> int:
    """Fill, check, print; the number of wrong elements."""
    table = options.table // options.columns, options.columns
    dtype = as_dtype(options.dtype)
    init = getattr(pi, options.init)(seed=options.seed)
    draw = random.Random(options.seed)
    local = options.table // options.hosts

    def say(text: str) -> None:
        console.print(text, highlight=False)

    say(
        f"{init!r}, {dtype.name}: {table[0]:,} x {table[1]:,} = {_power(options.table)} weights, "
        f"{_bytes(options.table * dtype.itemsize)}, over {options.hosts:,} hosts, each with "
        f"{_power(local)} of them, {_bytes(local * dtype.itemsize)}"
    )
    size = min(options.tile, local)
    out = empty((max(size, table[1]),), dtype)
    init.fill(out)  # its pages exist, the kernel is compiled
    lines = Table(box=box.SIMPLE_HEAD)
    for name in ("cut by", "host", "filled", "checked", "wrong", "ms", "ns a weight", "shard, s"):
        lines.add_column(name, justify="left" if name == "cut by" else "right", no_wrap=True)
    bad: list[int] = []
    slowest: dict[str, float] = {}
    for piece in pieces(table, options.hosts, size, options.picks, draw):
        part = piece.part
        view = out[: part.size].reshape(part.shape)
        taken = seconds(filling(init, view, part, options.threads))
        looked, found = check(init, piece, view, options.checks, draw)
        bad += found
        shard = taken / part.size * piece.local
        slowest[piece.layout] = max(shard, slowest.get(piece.layout, 0.0))
        host = f"{piece.host:,}" if isinstance(part, pi.Shard) else "any"
        filled = " x ".join(f"{n:,}" for n in part.shape)
        cost = f"{taken * 1e3:.2f}", f"{taken / part.size * 1e9:.3f}", f"{shard:.3g}"
        lines.add_row(piece.layout, host, filled, str(looked), str(len(found)), *cost)
    console.print(lines)
    for layout, shard in slowest.items():
        say(
            f"{layout}: {shard:.3g} s a host, and {shard:.3g} s in all, as hosts wait for nobody "
            f"({_hours(shard * options.hosts)} of work)"
        )
    sample = next(pieces(table, options.hosts, size, 1, draw))
    costs = ", ".join(f"{cost:.3f}" for cost in linear(init, sample, out, options.threads))
    say(f"linear in local weights: {costs} ns a weight for a quarter, half and all of a tile")
    say(f"exchanged between hosts: 0 bytes; held by a host: {_bytes(local * dtype.itemsize)}")
    if bad:
        console.print(f"wrong elements: {bad[:8]}", style="red", highlight=False)
    return len(bad)


def _power(number: int) -> str:
    exact = number & (number - 1) == 0
    return f"2^{number.bit_length() - 1}" if exact else f"{number:,}"


def _bytes(number: int) -> str:
    size, unit = float(number), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.4g} {unit}"


def _hours(duration: float) -> str:
    return f"{duration / 3600:.1f} h" if duration >= 3600 else f"{duration:.2f} s"


def main(arguments: list[str] | None = None) -> int:
    """Fill and check; 1 where an element is not the oracle's."""
    parser = scripts.options(__doc__)
    parser.add_argument("--table", type=scripts.count, default=1 << 45, help="weights of the table")
    parser.add_argument("--columns", type=scripts.count, default=1 << 16)
    parser.add_argument("--hosts", type=scripts.count, default=1 << 12, help="a power of two")
    parser.add_argument(
        "--tile", type=scripts.count, default=1 << 24, help="weights filled at once here"
    )
    parser.add_argument("--picks", type=int, default=3, help="hosts for each way of cutting")
    parser.add_argument("--checks", type=int, default=32, help="elements of each tile")
    parser.add_argument("--init", default="GlorotUniform", help="one that draws: HeNormal, ...")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(arguments)
    if options.hosts & (options.hosts - 1):
        parser.error(f"--hosts must be a power of two; got {options.hosts}")
    return 1 if report(options, scripts.console()) else 0


if __name__ == "__main__":
    sys.exit(main())
