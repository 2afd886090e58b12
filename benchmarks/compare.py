# SPDX-License-Identifier: Apache-2.0
"""What got slower between two results of one machine, by more than the spread from run to run.

    python benchmarks/compare.py old.json new.json [--sigmas 4] [--all] [--any-machine]

Reads the JSON of `make bench`, of `philinit bench --json`, of bench_keras.py, and of test_fill.py
by `pytest --benchmark-enable --benchmark-json=PATH`. For each figure that both have, with rounds x
of the old run and y of the new one:

    change  r = ln(median(y) / median(x)) - drift
    error   e = sqrt(err(x)^2 + err(y)^2 + jitter^2)
    err(x)    = 1.2533 max(s(x), typical s) / sqrt(n),  s(x) = IQR(x) / (1.349 median(x))

1.2533 sigma / sqrt(n) is the standard error of a median of n normal samples, IQR / 1.349 a robust
sigma; `typical s` is the median of all s of that run, since few rounds may agree by chance. Peers
and memset have not changed from run to run, but the machine has: drift is the median of their
ln(median(y) / median(x)), and jitter how far they scatter about it, 1.4826 times their median
absolute deviation. Peers of another version do not count. "Slower" is r > sigmas e. Exit code 1
where philinit got slower anywhere, 2 where the files cannot be compared.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import scripts
from philinit.tools.bench.contenders import CONTENDERS
from philinit.tools.bench.results import spread

FEWEST = 5  # figures of peers that tell the drift of a machine
PACKAGES = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "keras": ("keras",)}


@dataclass(frozen=True)
class Figure:
    """The rounds of one contender at one thing."""

    what: str
    library: str
    seconds: list[float]

    @property
    def own(self) -> bool:
        """Whether it is philinit's."""
        return self.library == "philinit"


@dataclass(frozen=True)
class Change:
    """One figure in both runs: the relative change beyond the machine's drift, and its error."""

    what: str
    own: bool
    change: float
    error: float

    @property
    def sigmas(self) -> float:
        """The change in units of its error."""
        return self.change / self.error if self.error else math.copysign(math.inf, self.change)


def figures(document: dict[str, Any]) -> dict[str, Figure]:
    """All figures that have rounds, by name."""
    return {figure.what: figure for figure in _figures(document) if figure.seconds}


def _figures(document: dict[str, Any]) -> Iterator[Figure]:
    def library(name: str) -> str:
        return CONTENDERS[name].library if name in CONTENDERS else name

    for row in document.get("results", []):
        tensor = f"{row['workload']}, {row['weights']:,} {row['dtype']}, {row['memory']}"
        what = f"{tensor}: {row['contender']}"
        yield Figure(what, library(row["contender"]), row["seconds"])
    for row in document.get("starts", []):
        what = f"first weights of a process: {row['contender']}"
        yield Figure(what, library(row["contender"]), row["seconds"])
    for curve in document.get("curves", []):
        for point in curve["points"]:
            size = f"2^{point['weights'].bit_length() - 1} {curve['dtype']}"
            what = f"seconds over weights, {size}: {curve['contender']}"
            yield Figure(what, curve["library"], point["seconds"])
    keras = document.get("keras") or document
    for row in keras.get("tensors", []) + keras.get("models", []):
        for name, seconds in row["seconds"].items():
            owner = "philinit" if name.startswith("philinit") else "keras"
            yield Figure(f"Keras, {row['what']}: {name}", owner, seconds)


def steady(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    """Libraries whose version is the same in both; memset always is."""
    versions = [document["machine"]["versions"] for document in (old, new)]
    found = {"memset"}
    for library in {contender.library for contender in CONTENDERS.values()} - {"philinit"}:
        packages = PACKAGES.get(library, (library,))
        if all(versions[0].get(p) == versions[1].get(p) for p in packages):
            found.add(library)
    return found


def _error(figure: Figure, typical: float) -> float:
    return 1.2533 * max(spread(figure.seconds), typical) / math.sqrt(len(figure.seconds))


def changes(old: dict[str, Any], new: dict[str, Any]) -> tuple[list[Change], float, float]:
    """Every figure that both have, the largest change first; drift and jitter, relative."""
    before, after = figures(old), figures(new)
    both = [what for what in before if what in after]
    typical = [
        median([spread(f.seconds) for f in side.values()] or [0.0]) for side in (before, after)
    ]
    ratios = {what: math.log(_typical(after[what]) / _typical(before[what])) for what in both}
    same = steady(old, new)
    peers = [ratios[what] for what in both if before[what].library in same]
    drift = median(peers) if len(peers) >= FEWEST else 0.0
    jitter = 1.4826 * median([abs(r - drift) for r in peers]) if len(peers) >= FEWEST else 0.0
    found = [
        Change(
            what,
            before[what].own,
            ratios[what] - drift,
            math.hypot(_error(before[what], typical[0]), _error(after[what], typical[1]), jitter),
        )
        for what in both
    ]
    return sorted(found, key=lambda change: -change.sigmas), drift, jitter


def _typical(figure: Figure) -> float:
    return median(figure.seconds)


def comparable(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """Why two runs cannot be compared; None where they can."""
    for name in ("processor", "threads", "system"):
        one, other = old["machine"].get(name), new["machine"].get(name)
        if one != other:
            return (
                f"both must be of one machine; {name} is {one} in the old one, {other} in the new"
            )
    return None


def show(console: Console, found: list[Change], sigmas: float, everything: bool) -> None:
    """A table of what changed by more than `sigmas` errors, or of everything."""
    kept = [c for c in found if everything or (c.own and abs(c.sigmas) > sigmas)]
    if not kept:
        return
    table = Table("seconds, new beside old", "change", "+-", "sigmas", "", box=box.SIMPLE_HEAD)
    for change in kept:
        verdict = ""
        if abs(change.sigmas) > sigmas:
            verdict = "slower" if change.change > 0 else "faster"
            if not change.own:
                verdict += ", a peer"
            elif change.change > 0:
                verdict = "[red]slower[/red]"
        table.add_row(
            change.what,
            f"{math.expm1(change.change):+.1%}",
            f"{change.error:.1%}",
            f"{change.sigmas:+.1f}",
            verdict,
        )
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    """Compare, print; 1 where philinit got slower, 2 where nothing can be said."""
    parser = scripts.options(__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--sigmas", type=float, default=4.0, help="errors that count as a change")
    parser.add_argument("--all", action="store_true", help="every figure, not only the changed")
    parser.add_argument("--any-machine", action="store_true", help="even of two machines")
    options = parser.parse_args(arguments)
    old, new = (scripts.read(path) for path in (options.old, options.new))
    why = None if options.any_machine else comparable(old, new)
    if why is not None:
        print(f"compare: {why}: --any-machine compares them all the same", file=sys.stderr)
        return 2
    found, drift, jitter = changes(old, new)
    if not found:
        print("compare: the two files have no figure in common", file=sys.stderr)
        return 2
    console = scripts.console()
    show(console, found, options.sigmas, options.all)
    slower = [c for c in found if c.own and c.sigmas > options.sigmas]
    faster = [c for c in found if c.own and c.sigmas < -options.sigmas]
    own = [c.error for c in found if c.own]
    seen = options.sigmas * median(own or [0.0])
    for line in (
        f"{len(own)} figures of philinit in both: {len(slower)} slower, {len(faster)} faster; "
        f"typically a change of {seen:.1%} is seen",
        f"the machine itself, by {len(found) - len(own)} figures of peers and memset: "
        f"{math.expm1(drift):+.1%}, scatter {jitter:.1%}",
    ):
        console.print(line, highlight=False)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
