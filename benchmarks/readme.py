# SPDX-License-Identifier: Apache-2.0
"""The measured part of the README, from the JSON of one full run of the suite.

python benchmarks/readme.py [benchmarks/results/bench-....json]

No figure of the README is typed by hand: what stands between its two marks is what this writes, and
benchmarks/test_readme.py compares. Without an argument the run that the README names is written
again. `make bench` writes it too, once a run is full and complete.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from statistics import median
from typing import Any

import ratios
import report
import scripts
from philinit.tools.bench.results import results_of
from philinit.tools.measure.machine import machine_line

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- measured: begin, by benchmarks/readme.py -->\n", "<!-- measured: end -->\n"
KERAS = re.compile(r"\((64, 64|16384, 16384)\)|ResNet50|built$")  # the smallest, largest, models
SMALL = {
    "init(shape)": "`init((64, 64))`, a NumPy array",
    "pit.variable": "`philinit.tensorflow.variable`",
    "philinit.keras.GlorotUniform": "`philinit.keras.GlorotUniform`, Keras's bits",
    "pt.fill_": "`philinit.torch.fill_`",
    "pj.array": "`philinit.jax.array`",
}


def text(document: dict[str, Any], name: str) -> str:
    """All that stands between the marks; `name` is that of the JSON."""
    lines = [
        f"One run of `make bench` on {document['date'][:10]}; [every round]"
        f"(benchmarks/results/{name}), [every table]"
        f"(benchmarks/results/{Path(name).with_suffix('.md')}).",
        f"Machine: {machine_line(document['machine'])}; {document['machine']['system']}.",
        "",
        *report.summary(results_of(document)),
        *_keras(document["keras"]),
        *_new_memory(document["new_memory"]),
        *_small(document["small"]),
        *_processes(document),
        _missed(ratios.rows(document)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _keras(found: dict[str, Any]) -> list[str]:
    """Keras's own weights, and the same of philinit.keras."""
    rows = []
    for row in found["tensors"] + found["models"]:
        if KERAS.search(row["what"]):
            theirs, same, native = (median(rounds) for rounds in row["seconds"].values())
            times = f"{theirs / same:.3g}", f"{theirs / native:.3g}"
            cells = report.seconds(theirs), report.seconds(same), *times
            rows.append([row["what"], f"{row['weights']:,}", *cells])
    return [
        "Keras's own weights, bit for bit, as float32 tensors on its TensorFlow backend, and whole "
        "models, whose layers take time of their own:",
        "",
        *report.table(
            ["", "weights", "Keras", "`philinit.keras`", "times as fast", "native sampler"], rows
        ),
    ]


def _new_memory(found: dict[str, Any]) -> list[str]:
    """New tensors on new pages."""
    peers = {row["library"]: row["title"] for row in found["results"] if row["peer"]}
    rows = [
        [
            f"`{row['title']}`",
            report.seconds(median(row["seconds"])),
            f"{min(row['share'], row['best']):.2f}",
            f"{row['times']:.3g}",
            f"`{peers[row['library']]}`",
        ]
        for row in found["results"]
        if row["title"] in ratios.NEW
    ]
    return [
        f"A new tensor on pages that nobody has used, {found['weights']:,} uniform float32 "
        "weights, as a training script makes each of its variables once. The share of memset is "
        "the smaller one of medians and of best rounds:",
        "",
        *report.table(["", "time", "of memset", "times as fast as", ""], rows),
    ]


def _small(found: dict[str, Any]) -> list[str]:
    """What a call costs."""
    rows = []
    for row in found["results"]:
        if row["what"] in SMALL:
            cells = [SMALL[row["what"]], f"{row['us']:.1f} us"]
            cells += [f"`{row['peer']}`", f"{row['peer_us']:.1f} us"] if row["peer"] else ["", ""]
            rows.append(cells)
    return ["A small tensor, (64, 64):", "", *report.table(["", "", "beside", ""], rows)]


def _processes(document: dict[str, Any]) -> list[str]:
    """Fresh processes: import, first fill, peaks."""
    found = document["processes"]
    own, numpy = found["import_seconds"]
    warm, cold = found["first_fill_seconds"]
    peaks = {key: size / report.MIB for key, size in found["memory_extra_bytes"].items()}
    steps = max(peaks["sparse_step"], peaks["dense_step"])
    rows = [
        ["`import philinit`", f"{own / numpy:.2f} times `import numpy`"],
        [
            "first fill, import included",
            f"{report.seconds(warm)}; {report.seconds(cold)} to compile",
        ],
        ["beyond 1 GiB while `philinit.tensorflow.variable` makes it", f"{peaks['build']:.3g} MiB"],
        ["beyond it at the first step of SGD, dense or sparse", f"{steps:.2g} MiB"],
    ]
    return ["A fresh process, and peaks of memory:", "", *report.table(["", ""], rows)]


def _missed(rows: list[ratios.Row]) -> str:
    """Which targets were missed."""
    missed = [row for row in rows if row.reached is False]
    measured = sum(row.reached is not None for row in rows)
    if not missed:
        return f"All {measured} targets were reached."
    told = "; ".join(
        f"{what} ({figure}, target {must})"
        for what, must, _, figure, _ in map(ratios.cells, missed)
    )
    return f"Of {measured} targets {len(missed)} were missed: {told}."


def write(document: dict[str, Any], name: str, path: Path = README) -> Path:
    """Put it between the marks of the README."""
    whole = path.read_text(encoding="utf-8")
    before, _, rest = whole.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(before + BEGIN + text(document, name) + END + after, encoding="utf-8")
    return path


def named(path: Path = README) -> Path:
    """The JSON that the README was made from."""
    found = re.search(r"results/(bench-[\d-]+\.json)", path.read_text(encoding="utf-8"))
    if found is None:
        raise ValueError(f"{path.name} must name a run, results/bench-....json; it names none")
    return scripts.RESULTS / found[1]


def main(arguments: list[str] | None = None) -> int:
    """Write the README's tables again."""
    parser = scripts.options(__doc__)
    parser.add_argument("document", type=Path, nargs="?")
    options = parser.parse_args(arguments)
    document = options.document or named()
    print(f"written: {write(scripts.read(document), document.name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
