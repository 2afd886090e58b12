# SPDX-License-Identifier: Apache-2.0
"""The README's pictures, docs/figures/*.svg, from the JSON of one run of the suite.

python benchmarks/figures.py benchmarks/results/bench-....json [--folder docs/figures]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

from philinit.tools.bench import plot as _bench_plot
from philinit.tools.bench.engine import results_of

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
LAWS = ("1 GiB uniform", "1 GiB truncated normal", "1 GiB normal")


def draw(document: dict[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Both pictures, as far as they were measured."""
    folder.mkdir(parents=True, exist_ok=True)
    machine = document["machine"]
    where = f"{machine['processor']}, {machine['threads']} threads, {document['date'][:10]}"
    written = []
    laws = [
        r for r in results_of(document) if r.workload in LAWS and r.dtype == "float32" and r.seconds
    ]
    if laws:
        weights = max(r.weights for r in laws)
        written.append(folder / "throughput.svg")
        _bench_plot.throughput(laws, written[-1], f"{weights:,} float32 weights; {where}")
    lines = [_line(curve) for curve in document.get("curves", [])]
    lines = [line for line in lines if line.weights]
    if lines:
        written.append(folder / "scaling.svg")
        title = f"uniform weights; float32 beyond 2^28: 2^28 at a time\n{where}"
        _bench_plot.scaling(lines, written[-1], title)
    return written


def _line(curve: dict[str, Any]) -> _bench_plot.Line:
    points = [point for point in curve["points"] if point["seconds"]]
    half = curve["dtype"] != "float32"
    return _bench_plot.Line(
        curve["title"] + (f", {curve['dtype']}, one tensor" if half else ""),
        curve["library"],
        [point["weights"] for point in points],
        [median(point["seconds"]) for point in points],
        half,
    )


def main(arguments: list[str] | None = None) -> int:
    """Draw, and name what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("document", type=Path)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    document = json.loads(options.document.read_text(encoding="utf-8"))
    for path in draw(document, options.folder):
        print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
