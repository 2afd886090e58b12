# SPDX-License-Identifier: Apache-2.0
"""`philinit bench`: how fast this machine makes weights, by philinit and by what else there is."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from philinit.cli.console import Row, bars, open_console, say, show
from philinit.cli.help import Command
from philinit.cli.options import Count, dtype_option, json_option, plot_option, write_json
from philinit.tools.bench.contenders import CONTENDERS
from philinit.tools.bench.races import Limits, race
from philinit.tools.bench.results import Report, Result
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import Work, Workload
from philinit.tools.measure.machine import machine_facts, machine_line

PEERS = ("tensorflow", "keras", "torch", "jax", "numpy")
SECONDS = 45.0  # nobody begins after that
LIMITS = Limits(patience=0.25, spend=0.3, most=7)

HELP = """Time philinit, memset and the libraries that are installed, in less than a minute.

Draws uniform, truncated normal and normal weights with each, in turns, and compares the rates.
"""

DETAILS = """Each library runs in its own process. Before it is timed, the mean, standard deviation,
minimum and maximum of its weights are compared with theory. A slow library fills only a part of
the tensor; the table says which part. Ctrl-C stops the run and prints the results so far.
"""


@click.command(
    cls=Command,
    help=HELP,
    examples=[
        "philinit bench",
        "philinit bench --against torch --against numpy --params 1e8",
        "philinit bench --plot bench.svg --json bench.json",
    ],
    details=DETAILS,
    exit_codes={
        0: "Everything was measured.",
        1: "A library failed, made wrong numbers, or is named by --against and not installed.",
    },
)
@click.option(
    "--against",
    metavar="LIBRARY",
    type=click.Choice(PEERS),
    multiple=True,
    help=f"{', '.join(PEERS[:-1])} or {PEERS[-1]}. Repeatable. Default: all that are installed.",
)
@click.option(
    "--params",
    metavar="COUNT",
    type=Count(1000),
    default="3e7",
    show_default=True,
    help="Number of weights.",
)
@dtype_option
@plot_option("Draw the rates as a bar chart: a .png or .svg file.")
@json_option
@click.pass_context
def bench(
    ctx: click.Context,
    against: tuple[str, ...],
    params: int,
    dtype: str,
    plot: Path | None,
    json_path: Path | None,
) -> None:
    """As `HELP` says."""
    if plot is not None:
        try:  # before anything is measured
            from philinit.tools.bench import pictures
        except ImportError as error:
            raise click.ClickException(str(error)) from error
    console = open_console(json_path)
    machine = machine_facts()
    say(console, machine_line(machine), "aside")
    names, missing = _contenders(against)
    report = Report()
    code = 0
    try:
        _measure(console, report, names, params, dtype)
    except KeyboardInterrupt:
        say(console, "interrupted: the tables are incomplete", "note")
        code = 130
    _print(console, report, params, dtype, missing)
    if plot is not None and report.results:
        title = f"{params:,} {dtype} weights; {machine['processor']}, {machine['threads']} threads"
        pictures.throughput(report.results, plot, title)
        say(console, f"written: {plot}")
    if json_path is not None:
        document = {"machine": machine, "missing": missing, **report.document()}
        write_json(json_path, document, console)
    ctx.exit(code or int(report.failed or bool(against and missing)))


def _contenders(against: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Names of who takes part; and what is not installed, with the command that installs it."""
    wanted = {"memset", "philinit", *(against or PEERS)}
    names, missing = [], []
    for name, contender in CONTENDERS.items():
        if contender.host == "cupy" or contender.library not in wanted:
            continue
        if contender.host == "tensorflow" and not wanted & {"tensorflow", "keras"}:
            continue  # a tf.Variable has nobody to stand beside
        why = contender.missing()
        if why is None:
            names.append(name)
        elif contender.peer and why not in missing:
            missing.append(why)
    return names, missing


def _measure(console: Console, report: Report, names: list[str], params: int, dtype: str) -> None:
    deadline = time.perf_counter() + SECONDS
    limits = replace(LIMITS, deadline=deadline)
    works = [
        Work("uniform", (params,), (-0.05, 0.05), dtype),
        Work("truncated_normal", (params,), (0.0, 0.02), dtype),
        Work("normal", (params,), (0.0, 0.02), dtype),
    ]
    races = [(work, memory) for memory in ("new", "resident") for work in works]
    with Workers() as workers, bars(console) as progress:
        task = progress.add_task("starting", total=len(races))

        def tell(text: str) -> None:
            progress.update(task, description=text)

        for work, memory in races:
            workload = Workload(work.distribution_name, work, "")
            race(workers, workload, names, memory, limits, report, tell)
            progress.advance(task)


def _print(
    console: Console, report: Report, params: int, dtype: str, missing: Sequence[str]
) -> None:
    results = report.results
    rows: list[Row] = []
    kinds = dict.fromkeys((result.workload, result.memory) for result in results)
    for workload, memory in kinds:
        rows += [[], [f"[bold]{workload}, {memory} memory[/bold]", "", "", "", ""]]
        rows += table_rows([r for r in results if (r.workload, r.memory) == (workload, memory)])
    if rows:
        columns = ["", "ms", "GB/s", "of memset", "x"]
        show(console, f"{params:,} {dtype} weights", columns, rows)
        say(
            console,
            "Medians. new: each call allocates its tensor; resident: memory that was written"
            " before. of memset: share of memset's rate in the same kind of memory. x: how many"
            " times as fast philinit is.",
            "aside",
        )
    for text in missing:
        say(console, text)
    for skip in dict.fromkeys(replace(skip, workload="") for skip in report.left_out):
        text = f"{skip.contender}: {'failed: ' * skip.failed}{skip.reason}"
        say(console, text, "failed" if skip.failed else "aside")


def table_rows(results: Sequence[Result]) -> list[Row]:
    """Rows of one workload: name, ms, GB/s, share of memset's rate, philinit's factor."""
    limits = {r.memory: r.rate for r in results if r.contender == "memset"}
    own = {r.memory: r.rate for r in results if r.contender == "philinit"}
    rows = []
    for r in results:
        share = r.rate / limits[r.memory] if r.memory in limits else 0.0
        peer = CONTENDERS[r.contender].peer
        times = own[r.memory] / r.rate if peer and r.memory in own else 0.0
        rows.append(
            [
                r.title + (f" (1/{r.share})" if r.share > 1 else ""),
                _number(r.typical * 1e3),
                f"{r.rate / 1e9:.3g}",
                (f"{share:.0%}" if share >= 0.01 else "<1%") if share else "",
                _number(times) if times else "",
            ]
        )
    return rows


def _number(value: float) -> str:
    """Three digits, or a whole number."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
