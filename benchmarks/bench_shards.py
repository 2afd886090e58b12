# SPDX-License-Identifier: Apache-2.0
"""What short rows cost: parts of a tensor beside a contiguous fill, and rows by key beside others.

    python benchmarks/bench_shards.py [--quick] [--size 2**24] [--rounds 9] [--json PATH]

A shard with rows of 16, 128 or 1024 elements of a tensor that is 2^20 wide, from a column that is a
multiple of 4 (a counter block makes 4 weights) and from one that is not; consecutive weights in
rows of memory that is twice as wide; and as many rows by number of a table that is so wide. Each is
timed just after a contiguous fill of as many weights, into the same resident memory but for those
that lie apart, all of them in turns, for all dtypes, three distributions, 1 and 2 threads; some
rows of each are compared with contiguous fills first. Rows by key, the same numbers,
are timed just after those by number. A ratio is the median of those of the rounds. Writes JSON with
every single time, prints the ratios beside what they must be. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import philinit as pi
import scripts
from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.dtypes import WIDER, as_dtype
from philinit.filling.memory import empty
from philinit.initializers.seeded import KeyedDistribution
from philinit.keyed import ROWS_BY_KEY, RowsByKey, rows_of
from philinit.tools.measure.clock import in_turns
from philinit.tools.measure.machine import cpus

WIDE = 1 << 20
# Times a contiguous fill, by the length of a row; of some parts another bound.
BOUNDS = {16: 1.6, 128: 1.3, 1024: 1.1}
APART = "apart"  # rows of memory that is twice as wide
BOUNDS_OF = {("by number", 128): 1.2, (APART, 128): 1.2}
BY_KEY = "key / number"  # times rows by number
BOUND_BY_KEY = 1.15
COLUMN = 4096  # a multiple of 4
DISTRIBUTIONS: dict[str, Distribution] = {
    "uniform": Uniform(-0.05, 0.05),
    "truncated": TruncatedNormal(0.0, 0.05),
    "normal": Normal(0.0, 0.05),
}
KEY = pi.Key.from_seed(42)
Part = Callable[[], pi.Shard | pi.Rows]  # making it is timed: a caller pays for it


def bound(part: str, row: int) -> float:
    """What the ratio of such parts must not exceed."""
    return BOUND_BY_KEY if part == BY_KEY else BOUNDS_OF.get((part, row), BOUNDS[row])


@dataclass(frozen=True)
class Result:
    """One part beside a contiguous fill of as many weights, or by key beside by number."""

    distribution: str
    dtype: str
    threads: int
    part: str
    row: int
    seconds: list[float]
    beside: list[float]

    @property
    def ratio(self) -> float:
        """Median of the rounds' ratios."""
        return median(s / c for s, c in zip(self.seconds, self.beside, strict=True))

    @property
    def best(self) -> float:
        """Best round over best round."""
        return min(self.seconds) / min(self.beside)

    @property
    def bound(self) -> float:
        """What the ratio must not exceed."""
        return bound(self.part, self.row)

    @property
    def reached(self) -> bool:
        """Whether the ratio is within its bound."""
        return self.ratio <= self.bound


def parts(size: int) -> Iterator[tuple[str, int, Part]]:
    """Name, length of a row, and the part, of about `size` weights."""
    for row in BOUNDS:
        count = max(1, size // row)
        shape = count + 8, WIDE
        for name, column in (("aligned", COLUMN), ("not aligned", COLUMN + 1)):
            index = slice(7, 7 + count), slice(column, column + row)
            yield name, row, lambda shape=shape, index=index: pi.Shard(shape, index)  # type: ignore[misc]
        whole = count, row
        yield APART, row, lambda whole=whole: pi.Shard(whole, ...)  # type: ignore[misc]
        table = 1 << 40, row
        ids = np.random.default_rng(row).integers(0, table[0], count)
        yield "by number", row, lambda table=table, ids=ids: pi.Rows(table, ids)  # type: ignore[misc]
        yield BY_KEY, row, lambda row=row, ids=ids: rows_of(row, ids)  # type: ignore[misc]


def check(out: Any, part: pi.Shard | pi.Rows, distribution: Any) -> None:
    """First, middle and last row against contiguous fills at their global index."""
    for row in (0, len(out) // 2, len(out) - 1):
        key, start = KEY, 0
        if isinstance(part, RowsByKey):
            base = KEY.base + ROWS_BY_KEY + (int(part.ids[row]) << 64)
            key = replace(KEY, base=base % (1 << 128))
        elif isinstance(part, pi.Rows):
            start = int(part.ids[row]) * out.shape[1]
        else:
            start = (part.starts[0] + row) * part.global_shape[1] + part.starts[1]
        wanted = pi.fill(empty(out.shape[1:], out.dtype), distribution, key, start)
        if out[row].tobytes() != wanted.tobytes():
            raise AssertionError(f"row {row} of {part} is not what a contiguous fill gives")


def race(what: str, dtype: str, threads: int, out: Any, rounds: int) -> list[Result]:
    """All parts of one distribution, dtype and number of threads, in turns."""
    distribution = DISTRIBUTIONS[what]
    init = KeyedDistribution(distribution, KEY)
    calls: dict[str, Callable[[], Any]] = {}
    titles = {}
    for name, row, part in parts(out.size):
        made = part()
        view = out[: made.size].reshape(made.shape)

        def contiguous(view: Any = view) -> Any:
            return pi.fill(view, distribution, KEY, threads=threads)

        if name == APART:
            view = empty((len(view), 2 * row), view.dtype)[:, :row]

        def call(view: Any = view, part: Part = part) -> Any:
            made = part()
            return init(made.global_shape, shard=made, out=view, threads=threads)

        check(call(), made, distribution)
        title = f"{name}, {row}"
        before = calls[f"by number, {row}"] if name == BY_KEY else contiguous
        calls[f"before {title}"], calls[title] = before, call
        titles[title] = name, row
    times = in_turns(calls, rounds)
    return [
        Result(what, dtype, threads, *names, times[title], times[f"before {title}"])
        for title, names in titles.items()
    ]


def show(console: Console, results: list[Result]) -> None:
    """The ratios, a table for each number of threads; then what was reached."""
    titles = list(dict.fromkeys((r.part, r.row) for r in results))
    for threads in sorted({r.threads for r in results}):
        table = Table(
            title=f"{threads} thread(s): times a contiguous fill, or rows by number; median (best)",
            title_justify="left",
            box=box.SIMPLE_HEAD,
        )
        table.add_column("", no_wrap=True)
        for part, row in titles:
            table.add_column(f"{part} {row}", justify="right")
        lines: dict[tuple[str, str], list[str]] = {}
        for r in results:
            if r.threads == threads:
                figure = f"{r.ratio:.2f} ({r.best:.2f})"
                text = figure if r.reached else f"[red]{figure}[/red]"
                lines.setdefault((r.distribution, r.dtype), []).append(text)
        for names, figures in lines.items():
            table.add_row(" ".join(names), *figures)
        console.print(table)
    console.print(summary(results, titles))


def summary(results: list[Result], titles: list[tuple[str, int]]) -> Table:
    """Of each kind of part: the middle and the worst ratio, beside what must be."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("part", "row", "must be", "reached", "median", "worst", "which is"):
        table.add_column(name, justify="left" if name in ("part", "which is") else "right")
    for part, row in titles:
        same = [r for r in results if (r.part, r.row) == (part, row)]
        worst = max(same, key=lambda r: r.ratio)
        table.add_row(
            part,
            str(row),
            f"<= {bound(part, row):g}",
            f"{sum(r.reached for r in same)} of {len(same)}",
            f"{median(r.ratio for r in same):.2f}",
            f"{worst.ratio:.2f}",
            f"{worst.distribution} {worst.dtype}, {worst.threads} thread(s)",
        )
    return table


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "2**22 weights, five rounds")
    parser.add_argument("--size", type=scripts.count, help="weights")
    options = parser.parse_args(arguments)
    size = options.size or (1 << 22 if options.quick else 1 << 24)
    rounds = options.rounds or (5 if options.quick else 9)
    console = scripts.console(150)
    started = time.perf_counter()
    results: list[Result] = []
    for dtype in WIDER:
        out = empty((size,), as_dtype(dtype))
        for kind in DISTRIBUTIONS:
            passed = time.perf_counter() - started
            console.print(f"{passed:6.1f} s  {kind} {dtype}", highlight=False)
            for threads in sorted({1, min(2, cpus())}):
                results += race(kind, dtype, threads, out, rounds)
    show(console, results)
    rows = [{**asdict(r), "ratio": r.ratio, "best": r.best, "bound": r.bound} for r in results]
    path = scripts.write(options.json, "shards", size=size, results=rows)
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
