# SPDX-License-Identifier: Apache-2.0
"""`philinit selftest`: the bits of every kernel on every device against the specification."""

from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn

from philinit.cli.console import bars, open_console, say, show
from philinit.cli.help import Command
from philinit.cli.options import json_option, write_json
from philinit.tools.measure.machine import machine_facts
from philinit.tools.selftest import cases

DETAILS = """The expected values are the known answers of Random123 and hashes of whole tensors,
on the CPU and on each CUDA device. It takes a few seconds, or more the first time, when kernels
are compiled.
"""


@click.command(
    cls=Command,
    examples=["philinit selftest", "philinit selftest --device cpu --json"],
    details=DETAILS,
    exit_codes={0: "Every bit is right.", 1: "A bit is wrong, or a device cannot be used."},
)
@click.option(
    "--device",
    "chosen",
    metavar="DEVICE",
    multiple=True,
    help="cpu, cuda or cuda:N. Repeatable. Default: all that are found.",
)
@json_option
@click.pass_context
def selftest(ctx: click.Context, chosen: tuple[str, ...], json_path: Path | None) -> None:
    """Compare the bits of every kernel on every device with the specification."""
    console = open_console(json_path)
    found, why = cases.devices()
    reports = [_check_device(console, device) for device in chosen or found]
    rows = [
        [
            f"{report.device} ({report.title})",
            str(report.count(cases.EQUAL)),
            str(report.count(cases.DIFFERENT)),
            str(report.count(cases.SKIPPED)),
            f"{report.seconds:.1f}",
            "[ok]passed[/ok]" if report.passed else "[failed]failed[/failed]",
        ]
        for report in reports
    ]
    columns = ["device", "equal", "different", "skipped", "seconds", "verdict"]
    show(console, "Bits compared with the specification", columns, rows)
    for report in reports:
        if report.failure:
            say(console, f"{report.device}: {report.failure}", "failed")
        wrong = [o.case for o in report.outcomes if o.verdict == cases.DIFFERENT]
        if wrong:
            say(console, f"{report.device}: {len(wrong)} different: {'; '.join(wrong)}", "failed")
        for note in sorted({o.note for o in report.outcomes if o.verdict == cases.SKIPPED}):
            say(console, f"{report.device}: skipped: {note}", "aside")
    if why and not chosen:
        say(console, f"no CUDA device was tested: {why}", "aside")
    if json_path is not None:
        devices = [{**asdict(report), "passed": report.passed} for report in reports]
        document = {"machine": machine_facts(None), "devices": devices, "no cuda": why}
        write_json(json_path, document, console)
    ctx.exit(0 if all(report.passed for report in reports) else 1)


def _check_device(console: Console, device: str) -> cases.Report:
    """`cases.check` with a bar on a terminal."""
    with bars(console, MofNCompleteColumn()) as progress:
        task = progress.add_task(device, total=None)
        return cases.check(
            device,
            lambda done, total, name: progress.update(
                task, completed=done, total=total, description=f"{device} {name.partition('-')[0]}"
            ),
        )
