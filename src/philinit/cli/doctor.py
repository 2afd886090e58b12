# SPDX-License-Identifier: Apache-2.0
"""`philinit doctor`: what works on this machine, and how to fix what does not."""

from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.progress import MofNCompleteColumn
from rich.text import Text

from philinit.cli.console import NARROW, bars, facts, open_console, say
from philinit.cli.help import Command
from philinit.cli.options import json_option, write_json
from philinit.tools.doctor import examinations
from philinit.tools.doctor.findings import Finding
from philinit.tools.measure.machine import machine_facts

DETAILS = """The live tests hand a tensor to each framework and check it there, each in a new
process.

\b
ok      works
note    works, could be better
failed  should work, but does not
absent  is not installed

The line under a problem is the command that fixes it.
"""

STYLES = {"ok": "ok", "note": "note", "failed": "failed", "absent": "aside"}


@click.command(
    cls=Command,
    examples=[
        "philinit doctor",
        "philinit doctor --quick",
        "philinit doctor --json report.json",
    ],
    details=DETAILS,
    exit_codes={0: "Nothing failed.", 1: "Something failed that should work."},
)
@click.option("--quick", is_flag=True, help="Skip the live tests, which import every framework.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, quick: bool, json_path: Path | None) -> None:
    """Check CPU, memory, compiled code, libraries and GPUs, and say how to fix problems."""
    console = open_console(json_path)
    with bars(console, MofNCompleteColumn()) as progress:
        task = progress.add_task("live tests", total=None, visible=not quick)
        findings = examinations.examine(
            not quick, lambda done, total: progress.update(task, completed=done, total=total)
        )
    names = max(len(finding.name) for finding in findings) if console.width >= NARROW else 0
    for section, group in groupby(findings, key=lambda finding: finding.section):
        _print(console, section, list(group), names)
    say(console)
    counts = {state: sum(f.state == state for f in findings) for state in STYLES}
    style = "failed" if counts["failed"] else "ok"
    say(console, ", ".join(f"{count} {state}" for state, count in counts.items()), style)
    if json_path is not None:
        document = {"machine": machine_facts(), "findings": [asdict(f) for f in findings]}
        write_json(json_path, document, console)
    ctx.exit(0 if examinations.healthy(findings) else 1)


def _print(console: Console, section: str, findings: list[Finding], width: int) -> None:
    if console.stderr:
        return
    rows = [
        (
            Text(finding.state.ljust(6), STYLES[finding.state]),
            finding.name.ljust(width),
            finding.text,
        )
        for finding in findings
    ]
    facts(console, section, rows)
    for finding in findings:
        if finding.remedy:  # in one piece, to be copied
            label = f"  to fix {finding.name}:"
            narrow = len(label) + 1 + len(finding.remedy) > console.width
            space = "\n    " if narrow else " "
            text = Text.assemble(label, space, (finding.remedy, "bold"))
            console.print(text, soft_wrap=True, highlight=False)
