# SPDX-License-Identifier: Apache-2.0
"""`philinit doctor`: what works on this machine, and how to mend what does not."""

from dataclasses import asdict
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from philinit.cli.console import NARROW, bars, facts, open_console, say
from philinit.cli.options import json_option, write_json
from philinit.tools.doctor import examinations
from philinit.tools.doctor.findings import Finding
from philinit.tools.measure.machine import machine_facts

STYLES = {"ok": "green", "note": "yellow", "failed": "red", "absent": "dim"}


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the live tests, which import frameworks.")
@json_option
@click.pass_context
def doctor(ctx: click.Context, quick: bool, json_path: Path | None) -> None:
    """Look at CPU, threads, pages, caches, libraries and GPUs, and test every hand-off live.

    Each live test runs in a process of its own. "note" is what works but could be better,
    "absent" what is not installed; below each problem stands the command that mends it. Exit code
    1 where something failed that should work.

    \b
    Examples:
      philinit doctor
      philinit doctor --quick
      philinit doctor --json report.json
    """  # noqa: D301 - click wants the backspace itself
    console = open_console(json_path)
    with bars(console, "{task.completed}/{task.total}") as progress:
        task = progress.add_task("live tests", total=None, visible=not quick)
        findings = examinations.examine(
            not quick, lambda done, total: progress.update(task, completed=done, total=total)
        )
    names = max(len(finding.name) for finding in findings) if console.width >= NARROW else 0
    for section, group in groupby(findings, key=lambda finding: finding.section):
        _print(console, section, list(group), names)
    console.print()
    counts = {state: sum(f.state == state for f in findings) for state in STYLES}
    style = "red" if counts["failed"] else "green"
    say(console, ", ".join(f"{count} {state}" for state, count in counts.items()), style)
    if json_path is not None:
        document = {"machine": machine_facts(), "findings": [asdict(f) for f in findings]}
        write_json(json_path, document, console)
    ctx.exit(0 if examinations.healthy(findings) else 1)


def _print(console: Console, section: str, findings: list[Finding], width: int) -> None:
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
            text = Text.assemble(f"  to mend {finding.name}: ", (finding.remedy, "bold"))
            console.print(text, soft_wrap=True, highlight=False)
