# SPDX-License-Identifier: Apache-2.0
"""The README's pictures, docs/figures/*.svg, from the JSON of one run of the suite.

python benchmarks/figures.py benchmarks/results/bench-....json [--folder docs/figures]
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median
from typing import Any

import scripts
from philinit.tools.bench import pictures
from philinit.tools.bench.pictures import OWN
from philinit.tools.bench.results import results_of
from philinit.tools.measure.figures import picture

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
LIGHT = "#5fb0dc"  # of philinit's half precision
COLORS = {
    "tensorflow": "#e67e22",
    "keras": "#c0392b",
    "torch": "#8e44ad",
    "jax": "#2e7d32",
    "numpy": "#777777",
    "memset": "#222222",
}
DISTRIBUTIONS = ("1 GiB uniform", "1 GiB truncated normal", "1 GiB normal")


def draw(document: dict[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Both pictures, as far as they were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = document["machine"]
    where = f"{machine['processor']}, {machine['threads']} threads, {document['date'][:10]}"
    written = []
    fills = [
        r
        for r in results_of(document)
        if r.workload in DISTRIBUTIONS and r.dtype == "float32" and r.seconds
    ]
    if fills:
        weights = max(r.weights for r in fills)
        written.append(folder / "throughput.svg")
        pictures.throughput(fills, written[-1], f"{weights:,} float32 weights; {where}")
    curves = [_measured(curve) for curve in document.get("curves", [])]
    curves = [curve for curve in curves if curve["points"]]
    if curves:
        written.append(folder / "scaling.svg")
        title = f"uniform weights; float32 beyond 2^28: 2^28 at a time\n{where}"
        scaling(curves, written[-1], title)
    return written


def _measured(curve: dict[str, Any]) -> dict[str, Any]:
    """Of a curve the points that have times: (weights, seconds)."""
    points = [(p["weights"], median(p["seconds"])) for p in curve["points"] if p["seconds"]]
    return {**curve, "points": points}


def scaling(curves: list[dict[str, Any]], path: Path, subtitle: str) -> None:
    """Seconds over weights, both on log scales; the legend has the slowest first."""
    with picture(path, 8.6, 5.4, font_size=10) as figure:
        axes = figure.add_subplot(xscale="log", yscale="log")
        axes.set_xscale("log", base=2)
        for curve in curves:
            half = curve["dtype"] != "float32"
            own = curve["library"] == "philinit"
            style = {"ls": "--"} if curve["library"] == "memset" else {"marker": "o", "ms": 3}
            axes.plot(
                *zip(*curve["points"], strict=True),
                color=COLORS.get(curve["library"], LIGHT if half else OWN),
                lw=2.4 if own and not half else 1.4,
                label=curve["title"] + (f", {curve['dtype']}, one tensor" if half else ""),
                **style,
            )
        handles, labels = axes.get_legend_handles_labels()
        cost = [curve["points"][-1][1] / curve["points"][-1][0] for curve in curves]
        order = sorted(range(len(curves)), key=lambda i: -cost[i])
        axes.legend([handles[i] for i in order], [labels[i] for i in order], frameon=False)
        axes.set_xlabel("weights")
        axes.set_ylabel("seconds")
        axes.grid(color="#dddddd", lw=0.7)
        axes.set_axisbelow(True)
        axes.set_title(subtitle, loc="left", fontsize=10, color="#444444")
        axes.spines[["top", "right"]].set_visible(False)


def main(arguments: list[str] | None = None) -> int:
    """Draw, and name what was written."""
    parser = scripts.options(__doc__)
    parser.add_argument("document", type=Path)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    document = scripts.read(options.document)
    for path in draw(document, options.folder):
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
