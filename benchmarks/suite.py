# SPDX-License-Identifier: Apache-2.0
"""The whole benchmark: every contender on every workload, JSON, Markdown and the README's pictures.

    python benchmarks/suite.py [--quick] [--only SECTION]... [--seconds 800] [--folder PATH]

Sections: distributions (1 GiB of each), models, starts, processes, curves, small, keras,
new_memory, and tables (4 and 10 GB). Results are written when their section is done; Ctrl-C keeps
what there is. Nobody begins after --seconds. A full and complete run also writes
results/latest.md, docs/figures/*.svg and the README's tables.
`taskset -c 0 python benchmarks/suite.py` measures one core. Exit code 0 whatever ratios were
reached; 1 where somebody failed or made wrong numbers; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

import bounds
import curves
import figures
import processes
import ratios
import readme
import report
import scripts
import starts
from philinit.cli.console import bars, open_console, say
from philinit.tools.bench.contenders import CONTENDERS, Failed, Refused
from philinit.tools.bench.races import LARGE, Limits, race
from philinit.tools.bench.results import Report
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import WORKLOADS, Workload
from philinit.tools.measure.machine import machine_facts

FULL = Limits(patience=1.5, spend=2.0)  # of the distributions, whose ratios count
BRIEF = Limits(patience=1.2, spend=1.0)  # of the models
QUICK = Limits(patience=0.1, spend=0.1, most=3)
QUICK_WEIGHTS = 1 << 22
DISTRIBUTIONS = [workload for workload in WORKLOADS if workload.name in figures.DISTRIBUTIONS]
TABLES = [workload for workload in WORKLOADS if workload.work.nbytes > LARGE]
MODELS = [workload for workload in WORKLOADS if workload not in DISTRIBUTIONS + TABLES]
# One of each library, and philinit alone and in TensorFlow.
STARTS = ["philinit", "philinit, tf.Variable", "tf.random", "Keras", "torch", "JAX", "NumPy, SFC64"]


class Suite:
    """One run: its options, and the document as it grows."""

    def __init__(self, options: argparse.Namespace, workers: Workers) -> None:
        self.options, self.workers = options, workers
        self.tell: Callable[[str], None] = lambda text: None
        self.deadline = time.perf_counter() + options.seconds
        self.report = Report()
        self.rest: dict[str, Any] = {"starts": [], "processes": {}, "curves": []}
        self.rest |= {"small": {}, "keras": {}, "bounds": {}, "new_memory": {}}
        self.names = list(CONTENDERS)

    def document(self) -> dict[str, Any]:
        """What there is."""
        return {**self.report.document(), **self.rest}

    def leave_out(self, section: str) -> Callable[[str, str], None]:
        """For sections that are no races: who was left out, and why."""
        workload = Workload(section, WORKLOADS[0].work, "")

        def say_so(name: str, reason: str) -> None:
            self.report.leave_out(workload, CONTENDERS[name], Refused(reason))

        return say_so

    def races(self, workloads: list[Workload], limits: Limits) -> None:
        """New tensors and resident memory of each workload."""
        limits = replace(QUICK if self.options.quick else limits, deadline=self.deadline)
        for workload in workloads:
            if self.options.quick:
                workload = workload.at_most(self.options.weights)
            for memory in ("new", "resident"):
                race(self.workers, workload, self.names, memory, limits, self.report, self.tell)

    def distributions(self) -> None:
        """1 GiB of each distribution; normals between other bounds than +-2."""
        self.races(DISTRIBUTIONS, FULL)
        self.tell("truncated normals between other bounds")
        quick = self.options.quick
        self.rest["bounds"] = bounds.measure(1 << 16 if quick else 1 << 24, 3 if quick else 20)

    def models(self) -> None:
        """Layers of real models; in a quick run the small ones."""
        quick = [workload for workload in MODELS if workload.name.startswith("dense")]
        self.races(quick if self.options.quick else MODELS, BRIEF)

    def tables(self) -> None:
        """Embeddings of 4 and 10 GB; not in a quick run."""
        if not self.options.quick:
            self.races(TABLES, BRIEF)

    def starts(self) -> None:
        """First weights and peaks in fresh processes; in a quick run philinit's."""
        self.workers.end()
        quick = self.options.quick
        names = ["philinit"] if quick else STARTS
        large = starts.LARGE.at_most(self.options.weights) if quick else starts.LARGE
        rounds = 1 if quick else 2
        found: list[dict[str, Any]] = self.rest["starts"]
        starts.measure(names, rounds, large, found, self.leave_out("first weights"), self.tell)

    def processes(self) -> None:
        """Import, first fill, and TensorFlow's peaks."""
        found = self.rest["processes"]
        self.tell("import and first fill in fresh processes")
        found["import_seconds"] = processes.import_ratio(3 if self.options.quick else 7)
        found["first_fill_seconds"] = processes.first_fill_seconds(3)
        if not self.options.quick and CONTENDERS["philinit, tf.Variable"].missing() is None:
            self.tell("peaks of memory: building a tf.Variable, its first steps")
            found["memory_extra_bytes"] = processes.memory_extras(1 << 28)

    def curves(self) -> None:
        """Seconds over weights."""
        top = 1 << 18 if self.options.quick else 1 << 32
        found: list[dict[str, Any]] = self.rest["curves"]
        refuse = self.leave_out("seconds over weights")
        curves.draw(self.workers, top, found, refuse, self.tell)

    def small(self) -> None:
        """bench_small.py; not in a quick run."""
        self.tell("a small tensor in every library")
        self._script("small", "philinit", "bench_small.py")

    def keras(self) -> None:
        """bench_keras.py; not in a quick run."""
        self.tell("Keras's initializers and models beside philinit's in Keras")
        self._script("keras", "Keras", "bench_keras.py", "--rounds", "3")

    def new_memory(self) -> None:
        """bench_new_memory.py; not in a quick run."""
        self.tell("new tensors on pages mapped anew, in every library")
        self._script("new_memory", "philinit", "bench_new_memory.py", "--rounds", "7")

    def _script(self, key: str, needs: str, name: str, *arguments: str) -> None:
        """The document of a script that `needs` a contender, in a process of its own."""
        if self.options.quick or CONTENDERS[needs].missing() is not None:
            return
        self.workers.end()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "found.json"
            script = str(Path(__file__).with_name(name))
            command = [sys.executable, script, *arguments, "--json", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                self.rest[key] = scripts.read(path)
                return
        words = " ".join(done.stderr.strip().splitlines()[-1:])
        workload = Workload(name, WORKLOADS[0].work, "")
        self.report.leave_out(workload, CONTENDERS[needs], Failed(words))


SECTIONS = (
    "distributions",
    "models",
    "starts",
    "processes",
    "curves",
    "small",
    "keras",
    "new_memory",
    "tables",
)


class Record:
    """The document on disk: written after each section, so that nothing measured is lost."""

    def __init__(self, suite: Suite, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.suite, self.begun = suite, time.perf_counter()
        stamp = time.strftime("%Y-%m-%d-%H%M%S")
        self.path = folder / f"bench-{stamp}.json"
        self.document: dict[str, Any] = {
            "date": stamp,
            "machine": machine_facts(),
            "quick": suite.options.quick,
            "complete": False,
            "seconds_taken": {},
        }

    def write(self, section: str) -> float:
        """After a section; seconds since the beginning."""
        now, taken = time.perf_counter() - self.begun, self.document["seconds_taken"]
        taken[section] = now - sum(taken.values())
        self.document.update(self.suite.document())
        self.document["ratios"] = ratios.document_of(ratios.rows(self.document))
        self._save()
        return now

    def finish(self) -> list[Path]:
        """Mark it complete; Markdown, and of a full run the README's fragment and pictures."""
        found = [self.path, self.path.with_suffix(".md")]
        self._save()
        text = report.markdown(self.document)
        found[1].write_text(text, encoding="utf-8")
        if self.document["complete"] and not self.document["quick"]:
            found.append(self.path.with_name("latest.md"))
            found[-1].write_text(text, encoding="utf-8")
            found += figures.draw(self.document)
            if self.path.parent == scripts.RESULTS:  # the README links the run
                found.append(readme.write(self.document, self.path.name))
        return found

    def _save(self) -> None:
        self.path.write_text(json.dumps(self.document, indent=1) + "\n", encoding="utf-8")


def run(suite: Suite, record: Record, console: Console) -> bool:
    """The sections that were asked for, each written when it is done; False after Ctrl-C."""
    names = suite.options.only or SECTIONS
    with bars(console) as progress:
        task = progress.add_task("starting", total=len(names))
        suite.tell = lambda text: progress.update(task, description=text)
        for name in names:
            interrupted = False
            if time.perf_counter() < suite.deadline:
                try:
                    getattr(suite, name)()
                except KeyboardInterrupt:
                    interrupted = True
                now = record.write(name)
                words = "interrupted" if interrupted else "done"
            else:
                refuse = suite.leave_out(name)
                refuse("philinit", f"no time was left for {name}")
                now, words = record.write(name), "left out: no time was left"
            say(console, f"{now:6.1f} s  {name} {words}", "dim")
            progress.advance(task)
            if interrupted:
                return False
    late = any(skip.reason.startswith("no time") for skip in suite.report.left_out)
    record.document["complete"] = not late and set(names) == set(SECTIONS)
    return True


def main(arguments: list[str] | None = None) -> int:
    """Measure, write, print."""
    parser = scripts.options(__doc__)
    parser.add_argument("--quick", action="store_true", help="small tensors, under a minute")
    parser.add_argument("--only", action="append", choices=SECTIONS, help="may be repeated")
    parser.add_argument("--seconds", type=float, default=800.0, help="nobody begins after that")
    parser.add_argument(
        "--weights", type=int, default=QUICK_WEIGHTS, help="of the tensors of a quick run"
    )
    parser.add_argument("--folder", type=Path, default=scripts.RESULTS, help="of the results")
    options = parser.parse_args(arguments)
    console = open_console()
    with Workers() as workers:
        suite = Suite(options, workers)
        record = Record(suite, options.folder)
        whole = run(suite, record, console)
    made = ratios.rows(record.document) if record.document["seconds_taken"] else []
    ratios.show(made, console.print)
    for skip in suite.report.left_out:
        if skip.failed:
            say(console, f"{skip.workload}, {skip.contender}: failed: {skip.reason}", "red")
    for path in record.finish():
        say(console, f"written: {path}")
    if not whole:
        return 130
    return int(suite.report.failed)


if __name__ == "__main__":
    sys.exit(main())
