# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of whole models have in common: GPT-2's sizes, a result, and its table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

import philinit as pi
from philinit.tools.measure.clock import Times

STDDEV = 0.02
TRUNCATED = pi.distributions.TruncatedNormal(0.0, STDDEV).moments()[1]  # at 2 stddev
VOCABULARY, CONTEXT = 50257, 1024
WIDTH, LAYERS = 1600, 48  # of GPT-2 XL
SMALL = 1 << 27  # weights: with fewer the model is a narrow one


@dataclass(frozen=True)
class Result:
    """Seconds of each round by contender, the library first and philinit second, for one model."""

    what: str
    weights: int
    seconds: Times
    bound: float | None  # None: nothing is promised

    @property
    def ms(self) -> dict[str, float]:
        """Median milliseconds by contender."""
        return {name: median(times) * 1e3 for name, times in self.seconds.items()}

    @property
    def faster(self) -> float:
        """How many times as fast as the library philinit is."""
        library, ours, *_ = self.ms.values()
        return library / ours

    @property
    def reached(self) -> bool | None:
        """Whether that is within the bound; None where there is none."""
        return None if self.bound is None else self.faster >= self.bound


def sizes(most: int) -> tuple[int, int, int]:
    """Width, layers and vocabulary of a GPT-2 of at most so many weights: the XL if they suffice.

    Narrow ones, for a look that takes a moment, where they do not for a tenth of it.
    """
    width, vocabulary = (64, 1000) if most < SMALL else (WIDTH, VOCABULARY)
    layers = (most - (vocabulary + CONTEXT) * width) // (12 * width**2)
    return width, max(1, min(LAYERS, layers)), vocabulary


def show(console: Console, results: list[Result]) -> None:
    """One row a result."""
    library, ours, *others = results[0].seconds
    table = Table(title="Milliseconds, medians", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("float32", no_wrap=True)
    for column in ("weights", library, ours, "x", "must be", *others):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        judged = {None: "", True: "reached", False: "[red]missed[/red]"}[r.reached]
        must = "" if r.bound is None else f">= {r.bound:g} {judged}"
        first, second, *rest = (f"{ms:.3g}" for ms in r.ms.values())
        table.add_row(r.what, f"{r.weights:,}", first, second, f"{r.faster:.1f}", must, *rest)
    console.print(table)


def rows(results: list[Result]) -> list[dict[str, Any]]:
    """The results for JSON, with what follows from them."""
    return [{**asdict(r), "times_as_fast": r.faster, "reached": r.reached} for r in results]
