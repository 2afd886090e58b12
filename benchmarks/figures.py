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
from philinit.tools.bench.results import results_of

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
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
    lines = [_line(curve) for curve in document.get("curves", [])]
    lines = [line for line in lines if line.weights]
    if lines:
        written.append(folder / "scaling.svg")
        title = f"uniform weights; float32 beyond 2^28: 2^28 at a time\n{where}"
        pictures.scaling(lines, written[-1], title)
    return written


def _line(curve: dict[str, Any]) -> pictures.Line:
    points = [point for point in curve["points"] if point["seconds"]]
    half = curve["dtype"] != "float32"
    return pictures.Line(
        curve["title"] + (f", {curve['dtype']}, one tensor" if half else ""),
        curve["library"],
        [point["weights"] for point in points],
        [median(point["seconds"]) for point in points],
        half,
    )


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
