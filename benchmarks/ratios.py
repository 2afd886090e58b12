# SPDX-License-Identifier: Apache-2.0
"""The ratios that must be reached, from the JSON of one run of the suite.

    python benchmarks/ratios.py [benchmarks/results/bench-....json]

Contenders took turns, so a ratio is one of medians within a run; of small tensors and of the cost
a weight it is one of best rounds. On new pages memset's median says little where the host of a
virtual machine takes pages back: a share of its rate is the smaller one of medians and of best
rounds. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

import bounds
import scripts
from bench_small import MUSTS
from philinit.tools.bench.results import Result, results_of

MIB = 1 << 20
FLAT_FROM = 1 << 24  # weights: the cost of one is compared from here on
SMALL = {
    "pit.variable": "(64, 64) pit.variable, time of tf.Variable(tf.zeros)",
    "philinit.keras.GlorotUniform": "(64, 64) / keras GlorotUniform",
    "pt.fill_": "(64, 64) pt.fill_",
    "pj.array": "(64, 64) pj.array",
}


@dataclass(frozen=True)
class Row:
    """One line of the table: a measured figure and what it must be."""

    what: str
    measured: float | None
    bound: float
    at_most: bool = False
    unit: str = "x"
    aim: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the figure is within its bound; None where it could not be measured."""
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


class Measured:
    """Look-up of results; what was not measured is NaN, and so is every ratio with it."""

    def __init__(self, results: list[Result]) -> None:
        self._by = {(r.workload, r.contender, r.memory, r.dtype): r for r in results}

    def rate(
        self, workload: str, contender: str, memory: str = "resident", dtype: str = "float32"
    ) -> float:
        """Weights a second."""
        found = self._by.get((workload, contender, memory, dtype))
        return math.nan if found is None else found.weights / found.typical

    def best(self, workload: str, contender: str) -> float:
        """Seconds of the best round, new tensors."""
        found = self._by.get((workload, contender, "new", "float32"))
        return math.nan if found is None else min(found.seconds)


def rows(document: dict[str, Any]) -> list[Row]:
    """The table of one run."""
    of = Measured(results_of(document))
    made = _fills(of) + _bounds(document.get("bounds", {})) + _small(of)
    made += _calls(document.get("small", {}))
    made += _processes(document.get("processes", {}))
    made.append(_flat(document.get("curves", [])))
    return made + new_memory(document.get("new_memory", {}))


def _figure(value: float) -> float | None:
    return None if math.isnan(value) else value


def _fills(of: Measured) -> list[Row]:
    uniform, truncated, normal = (
        f"1 GiB {name}" for name in ("uniform", "truncated normal", "normal")
    )

    def share(workload: str) -> float | None:
        return _figure(of.rate(workload, "philinit") / of.rate(workload, "memset"))

    def faster(workload: str, own: str, memory: str, peer: str) -> float | None:
        return _figure(of.rate(workload, own, memory) / of.rate(workload, peer, "new"))

    found = [
        Row("uniform float32, share of memset", share(uniform), 0.80, aim=0.92),
        Row(
            "uniform tf.Variable / tf.random.uniform, new tensors",
            faster(uniform, "philinit, tf.Variable", "new", "tf.random"),
            15,
        ),
        Row("truncated float32, share of memset", share(truncated), 0.55, aim=0.65),
        Row(
            "truncated float32 / keras HeNormal",
            faster(truncated, "philinit", "resident", "Keras"),
            45,
        ),
        Row("normal float32, share of memset", share(normal), 0.42, aim=0.52),
        Row(
            "normal float32 / tf.random.normal",
            faster(normal, "philinit", "resident", "tf.random"),
            20,
        ),
    ]
    for workload, name in ((uniform, "uniform"), (truncated, "truncated"), (normal, "normal")):
        for dtype in ("bfloat16", "float8_e4m3fn"):
            ratio = of.rate(workload, "philinit", dtype=dtype) / of.rate(workload, "philinit")
            found.append(Row(f"{name} {dtype}, weights/s of float32's", _figure(ratio), 1.0))
    double = 2 * of.rate(uniform, "philinit", dtype="float64") / of.rate(uniform, "philinit")
    found.append(Row("uniform float64, GB/s of float32's", _figure(double), 0.6))
    return found


def _bounds(found: dict[str, Any]) -> list[Row]:
    made = []
    for dtype in bounds.DTYPES:
        speeds = [bounds.speed(found[dtype], name) for name in bounds.DRAWN] if found else []
        title = f"{dtype} between {', '.join(list(bounds.DRAWN)[1:])}: the slowest / normal"
        made.append(Row(title, min(speeds, default=None), 0.85, aim=0.95))
    return made


def _small(of: Measured) -> list[Row]:
    ratio = of.best("dense 512", "Keras") / of.best("dense 512", "philinit")
    call = of.best("dense 64", "philinit") * 1e6
    return [
        Row("(64, 64) Glorot uniform", _figure(call), 20, True, unit="us"),
        Row("(512, 512) / keras GlorotUniform", _figure(ratio), 12),
    ]


def _calls(small: dict[str, Any]) -> list[Row]:
    found = {row["what"]: row["figure"] for row in small.get("results", [])}
    made = []
    for what, must in MUSTS.items():
        unit = "us" if must.unit == "us" else "x"
        row = Row(SMALL[what], found.get(what), must.bound, must.unit != "x", unit, must.aim)
        made.append(row)
    return made


def _processes(found: dict[str, Any]) -> list[Row]:
    philinit, numpy = found.get("import_seconds", (math.nan, math.nan))
    warm, cold = found.get("first_fill_seconds", (math.nan, math.nan))
    made = [
        Row("import philinit / import numpy", _figure(philinit / numpy), 1.3, True),
        Row("first fill, cached code", _figure(warm), 0.6, True, unit="s"),
        Row("first fill, nothing cached", _figure(cold), 3.0, True, unit="s"),
    ]
    extras = found.get("memory_extra_bytes", {})
    for name in ("build", "sparse_step", "dense_step"):
        extra = extras.get(name)
        title = f"{name.replace('_', ' ')}, peak beyond the tensor"
        made.append(Row(title, None if extra is None else extra / MIB, 40, True, unit="MiB"))
    return made


def _flat(curves: list[dict[str, Any]]) -> Row:
    costs: dict[int, float] = {}
    for curve in curves:
        if (curve["contender"], curve["dtype"]) == ("philinit", "bfloat16"):
            for point in curve["points"]:
                if point["weights"] >= FLAT_FROM and point["seconds"]:
                    costs[point["weights"]] = min(point["seconds"]) / point["weights"]
    top = max(costs, default=FLAT_FROM).bit_length() - 1
    spread = max(costs.values()) / min(costs.values()) if len(costs) > 1 else None
    return Row(f"cost of a bfloat16 weight, 2^24 .. 2^{top}: spread", spread, 1.15, True)


# By title in bench_new_memory.py: what share of memset's rate must be, and the aim.
NEW = {
    "pit.variable": (0.80, 0.95),
    "Embedding, pk.RandomUniform": (0.75, 0.90),
    "pt.materialize of an Embedding": (0.75, 0.90),
    "pij.array": (0.75, 0.90),
    "pij.sharded": (0.75, 0.90),
}


def new_memory(found: dict[str, Any]) -> list[Row]:
    """The lines of bench_new_memory.py."""
    by_title = {row["title"]: row for row in found.get("results", [])}
    made = []
    for title, (must, aim) in NEW.items():
        row = by_title.get(title)
        share = None if row is None else min(row["share"], row["best"])
        made.append(Row(f"{title}, new pages, of memset", share, must, aim=aim))
        if title == "pit.variable":
            what = f"{title} / tf.Variable(tf.random.uniform)"
            made.append(Row(what, None if row is None else row["times"], 14, aim=20))
    return made


def document_of(made: list[Row]) -> list[dict[str, Any]]:
    """The table as JSON has it."""
    return [
        {
            "what": row.what,
            "measured": row.measured,
            "unit": row.unit,
            "bound": row.bound,
            "at_most": row.at_most,
            "aim": row.aim,
            "reached": row.reached,
        }
        for row in made
    ]


def cells(row: Row) -> tuple[str, str, str, str, str]:
    """What, must be, aim, measured, verdict."""
    sign = "<=" if row.at_most else ">="
    return (
        row.what,
        f"{sign} {row.bound:g} {row.unit}",
        "" if row.aim is None else f"{row.aim:g}",
        "not measured" if row.measured is None else f"{row.measured:.3g} {row.unit}",
        {None: "", True: "reached", False: "missed"}[row.reached],
    )


def show(made: list[Row], say: Callable[[Any], None]) -> None:
    """Print the table."""
    table = Table("ratio within this run", "must be", "aim", "measured", "", box=box.SIMPLE_HEAD)
    for row in made:
        *plain, verdict = cells(row)
        table.add_row(*plain, "[red]missed[/red]" if verdict == "missed" else verdict)
    say(table)


def latest() -> Path | None:
    """The newest result of the suite."""
    return max(scripts.RESULTS.glob("bench-*.json"), default=None)


def main(arguments: list[str] | None = None) -> int:
    """Print the table of one document."""
    parser = scripts.options(__doc__)
    parser.add_argument("document", type=Path, nargs="?", default=latest())
    options = parser.parse_args(arguments)
    if options.document is None:
        parser.error(f"no bench-*.json in {scripts.RESULTS}: run `make bench`")
    document = scripts.read(options.document)
    show(rows(document), scripts.console(100).print)
    return 0


if __name__ == "__main__":
    sys.exit(main())
