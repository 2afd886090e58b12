# SPDX-License-Identifier: Apache-2.0
"""What the scripts of this folder have in common: options, a console, and their JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from philinit.tools.measure.machine import machine_facts

RESULTS = Path(__file__).parent / "results"


def options(doc: str | None) -> argparse.ArgumentParser:
    """A parser, described by the first line of the script's docstring."""
    return argparse.ArgumentParser(description=(doc or "").splitlines()[0])


def measuring(
    doc: str | None, quick: str = "", rounds: int | None = None
) -> argparse.ArgumentParser:
    """The parser of a script that measures: --rounds, --json, and --quick where that says what."""
    parser = options(doc)
    if quick:
        parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json", type=Path, help="where the figures go; results/ without it")
    return parser


def count(text: str) -> int:
    """A number such as 4096, 1e6 or 2**24."""
    base, _, power = text.partition("**")
    return int(base) ** int(power) if power else int(float(base))


def console(width: int = 120) -> Console:
    """The terminal, or so many columns of plain text."""
    return Console() if sys.stdout.isatty() else Console(width=width, color_system=None)


def read(path: Path) -> dict[str, Any]:
    """A document; from pytest-benchmark's JSON its results."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "benchmarks" in found:
        rows = [row["extra_info"] for row in found["benchmarks"]]
        found["machine"] = found["machine_info"]
        found["results"] = [row for row in rows if "contender" in row]
    return found


def write(path: Path | None, name: str, **figures: Any) -> Path:
    """Write figures with date and machine: as `path`, or into results/ under name and date."""
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    path = path or RESULTS / f"{name}-{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {"date": stamp, "machine": machine_facts(), **figures}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path
