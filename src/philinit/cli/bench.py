# SPDX-License-Identifier: Apache-2.0
"""`philinit bench`: how fast this machine makes weights, by philinit and by what else there is."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from philinit.cli.console import Row, bars, open_console, say, show
from philinit.cli.options import DTYPE, Count, json_option, plot_option, write_json
from philinit.tools.bench.contenders import CONTENDERS
from philinit.tools.bench.races import Limits, race
from philinit.tools.bench.results import Report, Result
from philinit.tools.bench.workers import Workers
from philinit.tools.bench.workloads import Work, Workload
from philinit.tools.measure.machine import machine_facts, machine_line

PEERS = ("tensorflow", "keras", "torch", "jax", "numpy")
SECONDS = 45.0  # nobody begins after that
LIMITS = Limits(patience=0.25, spend=0.3, most=7)


@click.command()
@click.option(
    "--against",
    type=click.Choice(PEERS),
    multiple=True,
    help="A peer; may be repeated. All that are installed unless given.",
)
@click.option(
    "--params",
    metavar="COUNT",
    type=Count(1000),
    default="3e7",
    show_default=True,
    help="Weights of a tensor.",
)
@click.option("--dtype", type=DTYPE, default="float32", show_default=True)
@plot_option("Draw bars of GB/s beside the memset line, as .png or .svg.")
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
    """Time philinit beside memset and the peers that are installed, in less than a minute.

    Uniform, truncated normal and normal weights; contenders take turns, each library in a process
    of its own, and mean, stddev, min and max of what each makes are held against theory before it
    is timed. A slow peer makes a part of the tensor, which the table states. Ctrl-C ends the run
    and prints what there is. Exit code 1 where somebody failed or made wrong numbers, or where
    a peer that --against names is not installed.

    \b
    Examples:
      philinit bench
      philinit bench --against torch --against numpy --params 1e8 --dtype bfloat16
      philinit bench --plot bench.svg --json bench.json
    """  # noqa: D301 - click wants the backspace itself
    if plot is not None:
        try:  # before anything is measured
            from philinit.tools.bench import pictures
        except ImportError as error:
            raise click.ClickException(str(error)) from error
    console = open_console(json_path)
    machine = machine_facts()
    say(console, machine_line(machine), "dim")
    names, missing = _contenders(against)
    report = Report()
    code = 0
    try:
        _measure(console, report, names, params, dtype)
    except KeyboardInterrupt:
        say(console, "interrupted: the tables are not complete", "yellow")
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
    """Names of who takes part; and what is not installed, each with the line that mends it."""
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
    for workload in dict.fromkeys(result.workload for result in results):
        rows += [[], [f"[bold]{workload}[/bold]", "", "", "", "", ""]]
        rows += table_rows([result for result in results if result.workload == workload])
    if rows:
        columns = ["contender", "memory", "ms", "GB/s", "of memset", "x"]
        show(console, f"{params:,} {dtype} weights", columns, rows)
        say(
            console,
            "medians of rounds in turns. new: a tensor of its own at each call; resident: memory"
            " that was written before. of memset: of the same kind of memory. x: how many times as"
            " fast philinit is.",
            "dim",
        )
    for text in missing:
        say(console, text)
    for skip in dict.fromkeys(replace(skip, workload="") for skip in report.left_out):
        text = f"{skip.contender}: {'failed: ' * skip.failed}{skip.reason}"
        say(console, text, "red" if skip.failed else "dim")


def table_rows(results: Sequence[Result]) -> list[Row]:
    """Rows of one workload: name, memory, ms, GB/s, share of memset, philinit's factor."""
    limits = {r.memory: r.rate for r in results if r.contender == "memset"}
    own = {r.memory: r.rate for r in results if r.contender == "philinit"}
    rows = []
    for r in results:
        peer = CONTENDERS[r.contender].peer
        rows.append(
            [
                r.title + (f" (1/{r.share})" if r.share > 1 else ""),
                r.memory,
                f"{r.typical * 1e3:.3g}",
                f"{r.rate / 1e9:.3g}",
                f"{r.rate / limits[r.memory]:.2f}" if r.memory in limits else "",
                f"{own[r.memory] / r.rate:.3g}" if peer and r.memory in own else "",
            ]
        )
    return rows
