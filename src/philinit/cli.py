# SPDX-License-Identifier: Apache-2.0
"""The command line: `philinit demo`, `philinit selftest` (click for options, rich for tables)."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from philinit.errors import missing_extra

try:
    import click
    import psutil as _psutil  # noqa: F401 - asked for here, used by the measurements
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
except ImportError as error:
    raise missing_extra("the command line", str(error.name), "bench") from error

from philinit import __version__, _demo, _selftest
from philinit._measuring import free_memory, machine_facts
from philinit._tables import GIB, TITLES, print_tables, show

MEMSET_ROWS = 64_000  # 256 MB: beyond the caches, and quick


def _count(ctx: click.Context, param: click.Parameter, value: str) -> int:
    """A number of weights, also written 2e8 or 1_000_000."""
    try:
        number = float(value)
        whole = int(value) if value.replace("_", "").isdigit() else int(number)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{value!r} is no whole number such as 1000000 or 2e8") from None
    if whole != number or whole < _demo.COLUMNS:
        least = _demo.COLUMNS
        raise click.BadParameter(f"must be a whole number, {least} or more; got {value}")
    return whole


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="philinit")
def cli() -> None:
    """Fast, exact, reproducible weight initialisation."""


@cli.command()
@click.option(
    "--params", metavar="COUNT", callback=_count, default="1e9", show_default=True, help="Weights."
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16", "float16", "float64"]),
    default="float32",
    show_default=True,
)
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
@click.option(
    "--json",
    "path",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write everything measured to this file.",
)
@click.pass_context
def demo(
    ctx: click.Context,
    params: int,
    dtype: str,
    inits: tuple[str, ...],
    threads: int | None,
    seed: int,
    no_peers: bool,
    path: Path | None,
) -> None:
    """Initialise a billion-parameter embedding as a tf.Variable, beside TensorFlow and Keras.

    Each contender runs in a fresh process; the tables show time, memory and the numbers against
    theory. Ctrl-C ends the run and prints what there is.

    \b
    Examples:
      philinit demo
      philinit demo --params 2e8 --dtype bfloat16
      philinit demo --no-peers --threads 1 --json demo.json
    """  # noqa: D301 - click wants the backspace itself
    _check_folder(path)
    console = _console()
    wanted = params // _demo.COLUMNS
    specs = _plan(console, wanted, dtype, inits, threads, seed, not no_peers)
    results, code = _measure_all(console, specs)
    print_tables(console, results)
    if path is not None:
        document = {"machine": machine_facts(threads), "results": results}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"written: {path}", highlight=False)
    ctx.exit(code)


def _check_folder(path: Path | None) -> None:
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"folder {path.parent} does not exist", param_hint="--json")


def _console() -> Console:
    console = Console()
    if not console.is_terminal:  # piped: no bars, no colours, and no width to ask for
        console = Console(width=100, color_system=None)
    return console


@cli.command()
@click.option(
    "--device",
    "chosen",
    multiple=True,
    help="cpu, cuda or cuda:N; may be repeated. All that are found unless given.",
)
@click.option(
    "--json",
    "path",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write every outcome to this file.",
)
@click.pass_context
def selftest(ctx: click.Context, chosen: tuple[str, ...], path: Path | None) -> None:
    """Compare the bits of every kernel on every device with what the specification gives.

    Known answers of Random123 and golden hashes of whole tensors, on the CPU and each CUDA device;
    some seconds, and more the first time, when kernels are compiled. Exit code 1 where any bit
    differs or a device cannot be used.
    """
    _check_folder(path)
    console = _console()
    found, why = _selftest.devices()
    reports = [_check_device(console, device) for device in chosen or found]
    rows = [
        [
            report.device,
            report.title,
            str(report.count(_selftest.EQUAL)),
            str(report.count(_selftest.DIFFERENT)),
            str(report.count(_selftest.SKIPPED)),
            f"{report.seconds:.1f}",
            "passed" if report.passed else "[red]failed[/red]",
        ]
        for report in reports
    ]
    columns = ["device", "name", "equal", "different", "skipped", "seconds", "verdict"]
    show(console, "Bits against the specification", columns, rows)
    for report in reports:
        if report.failure:
            text = f"{report.device}: {report.failure}"
            console.print(text, style="red", highlight=False, markup=False)
        wrong = [o.case for o in report.outcomes if o.verdict == _selftest.DIFFERENT]
        if wrong:
            text = f"{report.device}: {len(wrong)} different: {'; '.join(wrong)}"
            console.print(text, style="red", highlight=False, markup=False)
        for note in sorted({o.note for o in report.outcomes if o.verdict == _selftest.SKIPPED}):
            text = f"{report.device}: skipped, since {note}"
            console.print(text, style="dim", highlight=False, markup=False)
    if why and not chosen:
        text = f"no CUDA device was tested: {why}"
        console.print(text, style="dim", highlight=False, markup=False)
    if path is not None:
        devices = [{**asdict(report), "passed": report.passed} for report in reports]
        document = {"machine": machine_facts(None), "devices": devices, "no cuda": why}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"written: {path}", highlight=False)
    ctx.exit(0 if all(report.passed for report in reports) else 1)


def _check_device(console: Console, device: str) -> _selftest.Report:
    """`_selftest.check` with a bar on a terminal."""
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bars:
        task = bars.add_task(device, total=None)
        return _selftest.check(
            device,
            lambda done, total, name: bars.update(
                task, completed=done, total=total, description=f"{device} {name.partition('-')[0]}"
            ),
        )


def _plan(
    console: Console,
    rows: int,
    dtype: str,
    inits: tuple[str, ...],
    threads: int | None,
    seed: int,
    peers: bool,
) -> list[_demo.Spec]:
    """Who runs, at which size; says so when memory makes somebody smaller."""
    free = free_memory()
    own = _demo.rows_that_fit(rows, dtype, 1, free)
    others = min(own, _demo.rows_that_fit(rows, dtype, 3, free))
    if own == 0:
        need = _demo.HEADROOM / GIB
        raise click.ClickException(
            f"the demo needs more than {need:.0f} GiB of free memory; {free / GIB:.1f} GiB are free"
        )
    machine = machine_facts(threads)
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    console.print(f"{machine['processor']}, {machine['threads']} threads; {versions}", style="dim")
    reason = f"because {free / GIB:.1f} GiB are free"
    if own < rows:
        console.print(f"{own * _demo.COLUMNS:,} parameters, not {rows * _demo.COLUMNS:,}, {reason}")
    peers = peers and others > 0
    if peers and others < own:
        console.print(
            f"peers run with {others * _demo.COLUMNS:,} parameters: they take three times the "
            f"tensor, and {reason[8:]}"
        )
    base = _demo.Spec("memset", "", (MEMSET_ROWS, _demo.COLUMNS), "float32", threads, seed)
    specs = [base]
    base = replace(base, dtype=dtype)
    for init in inits:
        for name, contender in _demo.CONTENDERS.items():
            if init not in contender.inits or dtype not in contender.dtypes:
                continue
            if contender.peak > 1 and not peers:
                continue
            size = own if contender.peak == 1 else others
            specs.append(replace(base, contender=name, init=init, shape=(size, _demo.COLUMNS)))
    return specs


def _measure_all(console: Console, specs: list[_demo.Spec]) -> tuple[list[dict[str, Any]], int]:
    """The results of all contenders, and the exit code: 130 after Ctrl-C, 1 if somebody failed."""
    results: list[dict[str, Any]] = []
    code = 0
    names = {name: contender.title for name, contender in _demo.CONTENDERS.items()}
    names["memset"] = "memset"
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
    with bars:
        for number, spec in enumerate(specs, 1):
            title = f"{number}/{len(specs)} {names[spec.contender]}"
            if spec.init:
                title += f", {TITLES[spec.init]}"
            task = bars.add_task(title, total=None, note="starting")

            def event(message: dict[str, Any], task: TaskID = task) -> None:
                if "progress" in message:
                    done, total = message["progress"]
                    bars.update(task, completed=done, total=total, note=f"{done / 1e6:,.0f} M")
                elif "phase" in message:
                    bars.update(task, total=None, note=message["phase"])

            try:
                result = _demo.run(spec, event)
            except RuntimeError as error:
                console.print(f"{title}: failed: {error}", style="red", highlight=False)
                code = 1
            except KeyboardInterrupt:
                console.print(f"interrupted during {title}", style="yellow", highlight=False)
                return results, 130
            else:
                results.append(
                    {"spec": asdict(spec), "title": names[spec.contender], "result": result}
                )
                seconds = result.get("seconds")
                done_text = f"{title}: " + (f"{seconds:.2f} s" if seconds else "done")
                console.print(done_text, style="dim", highlight=False)
            finally:
                bars.remove_task(task)
    return results, code


def main() -> None:
    """Entry point of the `philinit` script."""
    cli(prog_name="philinit")
