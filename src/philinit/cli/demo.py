# SPDX-License-Identifier: Apache-2.0
"""`philinit demo`: a billion weights into a tf.Variable, beside TensorFlow and Keras."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import psutil as _psutil  # noqa: F401 - asked for here, used by the measurements
from rich.console import Console
from rich.progress import TaskID

from philinit.cli.console import bars, open_console, say
from philinit.cli.help import Command
from philinit.cli.options import Count, json_option, threads_option, write_json
from philinit.cli.spec import refuse_typed
from philinit.cli.tables import GIB, TITLES, print_tables
from philinit.dtypes import WIDER
from philinit.tools.demo.contenders import (
    COLUMNS,
    TENSORS,
    Measurement,
    measurements,
    rows_that_fit,
)
from philinit.tools.measure.machine import HEADROOM, free_memory, machine_facts, machine_line

DETAILS = """Each library runs in a new process. The tables show time and memory, and compare the
weights with theory. Ctrl-C stops the run and prints the results so far.
"""

MEMSET_ROWS = 64_000  # 256 MB: beyond the caches, and quick


@click.command(
    cls=Command,
    examples=[
        "philinit demo",
        "philinit demo --params 2e8 --dtype bfloat16",
        "philinit demo --no-peers --threads 1 --json demo.json",
    ],
    details=DETAILS,
    exit_codes={0: "Every library finished.", 1: "A library failed, or memory is too small."},
)
@click.option(
    "--params",
    metavar="COUNT",
    type=Count(COLUMNS),
    default="1e9",
    show_default=True,
    help="Number of weights.",
)
@click.option(
    "--dtype",
    metavar="DTYPE",
    type=click.Choice(list(WIDER)),
    default="float32",
    show_default=True,
    help=f"Type of the weights: {', '.join(WIDER[:-1])} or {WIDER[-1]}.",
)
@click.option(
    "--init",
    "inits",
    metavar="INITIALIZER",
    type=click.Choice(sorted(TITLES)),
    multiple=True,
    default=sorted(TITLES),
    help=f"{' or '.join(sorted(TITLES))}. Repeatable. Default: both.",
)
@threads_option
@click.option(
    "--seed",
    metavar="SEED",
    type=click.IntRange(0, 2**31 - 3),
    default=42,
    show_default=True,
    help="Integer that decides the weights.",
)
@click.option("--no-peers", is_flag=True, help="Run philinit only.")
@json_option
@click.pass_context
def demo(
    ctx: click.Context,
    params: int,
    dtype: str,
    inits: tuple[str, ...],
    threads: int | None,
    seed: int,
    no_peers: bool,
    json_path: Path | None,
) -> None:
    """Initialize a billion-parameter embedding as a tf.Variable, next to TensorFlow and Keras."""
    console = open_console(json_path)
    wanted = params // COLUMNS
    free = free_memory()
    if rows_that_fit(wanted, dtype, 1, free) < wanted:
        refuse_typed(ctx, {"params": "--params"}, f"must fit: {free / GIB:.1f} GiB are free")
    planned = _plan(console, wanted, dtype, inits, threads, seed, not no_peers)
    results, code = _measure_all(console, planned)
    print_tables(console, results)
    if json_path is not None:
        write_json(json_path, {"machine": machine_facts(threads), "results": results}, console)
    ctx.exit(code)


def _plan(
    console: Console,
    rows: int,
    dtype: str,
    inits: tuple[str, ...],
    threads: int | None,
    seed: int,
    peers: bool,
) -> list[Measurement]:
    """Who runs, at which size; says so when memory makes somebody smaller."""
    free = free_memory()
    own = rows_that_fit(rows, dtype, 1, free)
    others = min(own, rows_that_fit(rows, dtype, TENSORS, free))
    if own == 0:
        need = HEADROOM / GIB
        raise click.ClickException(
            f"the demo needs more than {need:.0f} GiB of free memory; {free / GIB:.1f} GiB are free"
        )
    say(console, machine_line(machine_facts(threads)), "aside")
    reason = f"because {free / GIB:.1f} GiB are free"
    if own < rows:
        say(console, f"{own * COLUMNS:,} weights instead of {rows * COLUMNS:,}, {reason}", "note")
    if peers and 0 < others < own:
        say(
            console,
            f"TensorFlow and Keras get {others * COLUMNS:,} weights: they need three times the "
            f"tensor's memory, and {reason[8:]}",
            "note",
        )
    sizes = own, others if peers else 0
    return measurements(sizes, MEMSET_ROWS, dtype, inits, threads=threads, seed=seed)


def _measure_all(console: Console, planned: list[Measurement]) -> tuple[list[dict[str, Any]], int]:
    """The results of all contenders, and the exit code: 130 after Ctrl-C, 1 if somebody failed."""
    results: list[dict[str, Any]] = []
    code = 0
    with bars(console, "{task.fields[note]}") as progress:
        for number, measurement in enumerate(planned, 1):
            title = f"{number}/{len(planned)} {measurement.title}"
            if measurement.init:
                title += f", {TITLES[measurement.init]}"
            task = progress.add_task(title, total=None, note="starting")

            def event(message: dict[str, Any], task: TaskID = task) -> None:
                if "progress" in message:
                    done, total = message["progress"]
                    progress.update(task, completed=done, total=total, note=f"{done / 1e6:,.0f} M")
                else:
                    progress.update(task, total=None, note=message["phase"])

            try:
                result = measurement.run(event)
            except ChildProcessError as error:
                say(console, f"{title}: failed: {error}", "failed")
                code = 1
            except KeyboardInterrupt:
                say(console, f"interrupted during {title}", "note")
                return results, 130
            else:
                asked = {"spec": asdict(measurement), "title": measurement.title}
                results.append({**asked, "result": result})
                seconds = result.get("seconds")
                say(console, f"{title}: " + (f"{seconds:.2f} s" if seconds else "done"), "aside")
            finally:
                progress.remove_task(task)
    return results, code
