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
from philinit.cli.options import DTYPE, Count, json_option, write_json
from philinit.cli.spec import refuse_typed
from philinit.cli.tables import GIB, TITLES, print_tables
from philinit.tools.demo.contenders import (
    COLUMNS,
    TENSORS,
    Measurement,
    measurements,
    rows_that_fit,
)
from philinit.tools.measure.machine import HEADROOM, free_memory, machine_facts, machine_line

MEMSET_ROWS = 64_000  # 256 MB: beyond the caches, and quick


@click.command()
@click.option(
    "--params",
    metavar="COUNT",
    type=Count(COLUMNS),
    default="1e9",
    show_default=True,
    help="Weights.",
)
@click.option("--dtype", type=DTYPE, default="float32", show_default=True)
@click.option(
    "--init",
    "inits",
    type=click.Choice(sorted(TITLES)),
    multiple=True,
    default=sorted(TITLES),
    help="Only this one; may be repeated.",
)
@click.option("--threads", type=click.IntRange(1, 1024), help="All CPUs unless given.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 3), default=42, show_default=True)
@click.option("--no-peers", is_flag=True, help="philinit alone.")
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
    """Initialize a billion-parameter embedding as a tf.Variable, beside TensorFlow and Keras.

    Each contender runs in a fresh process; the tables show time, memory and the numbers against
    theory. Ctrl-C ends the run and prints what there is. Exit code 1 where a contender failed.

    \b
    Examples:
      philinit demo
      philinit demo --params 2e8 --dtype bfloat16
      philinit demo --no-peers --threads 1 --json demo.json
    """  # noqa: D301 - click wants the backspace itself
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
    say(console, machine_line(machine_facts(threads)), "dim")
    reason = f"because {free / GIB:.1f} GiB are free"
    if own < rows:
        console.print(f"{own * COLUMNS:,} parameters, not {rows * COLUMNS:,}, {reason}")
    if peers and 0 < others < own:
        console.print(
            f"peers run with {others * COLUMNS:,} parameters: they take three times the "
            f"tensor, and {reason[8:]}"
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
                say(console, f"{title}: failed: {error}", "red")
                code = 1
            except KeyboardInterrupt:
                say(console, f"interrupted during {title}", "yellow")
                return results, 130
            else:
                asked = {"spec": asdict(measurement), "title": measurement.title}
                results.append({**asked, "result": result})
                seconds = result.get("seconds")
                say(console, f"{title}: " + (f"{seconds:.2f} s" if seconds else "done"), "dim")
            finally:
                progress.remove_task(task)
    return results, code
