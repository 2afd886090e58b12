# SPDX-License-Identifier: Apache-2.0
"""What commands print with: a console, tables that fit it, and progress bars."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich import box
from rich import progress as progress_bars
from rich.console import Console
from rich.padding import Padding
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from philinit.cli.group import harmless

NARROW = 76  # columns: below it a table becomes a list
LEAST = 20  # columns: with fewer, a terminal that is too narrow for tables folds its lines
PIPED = 100  # columns of what is no terminal, unless COLUMNS says otherwise
STDOUT = Path("-")  # as in --json -

# Colors of 256 that stand out from white and from black alike, 4 to 1 or more; and what comes
# nearest where there are 16, whose yellow and gray are lost on white, or on black.
COLORS = {"ok": "color(28)", "note": "color(130)", "failed": "color(160)", "aside": "color(243)"}
FEW_COLORS = {"ok": "green", "note": "magenta", "failed": "red", "aside": "none"}
BARS = {"bar.back": "aside", "progress.elapsed": "none", "progress.data.speed": "none"}
BARS |= dict.fromkeys(("bar.complete", "bar.finished", "bar.pulse", "progress.download"), "ok")
ASCII_BOX = box.Box(str(box.SIMPLE_HEAD).replace("─", "-"), ascii=True)
ALERTS = ("note", "failed")  # said also where JSON alone goes to stdout

T = TypeVar("T")
Row = list[str]  # an empty list is a rule between sections


def open_console(json_path: Path | None = None) -> Console:
    """Where people read: stdout, or stderr, for bars and alerts only, where JSON goes to stdout.

    No colors and no bars in a pipe; rich itself follows NO_COLOR and COLUMNS.
    """
    stderr = json_path == STDOUT
    asked = os.environ.get("COLUMNS", "")
    known = int(asked) if re.fullmatch("[0-9]{1,4}", asked) else 0
    environ = {**os.environ, "COLUMNS": str(known or ""), "LINES": ""}
    console = Console(stderr=stderr, _environ=environ)
    if not console.is_terminal:
        console = Console(stderr=stderr, width=known or PIPED, color_system=None, _environ=environ)
    console.width = max(console.width, LEAST)
    return themed(console)


def themed(console: Console) -> Console:
    """`console`, which from now on knows the styles "ok", "note", "failed" and "aside"."""
    colors = FEW_COLORS if console.color_system == "standard" else COLORS
    bars = {name: colors.get(style, style) for name, style in BARS.items()}
    console.push_theme(Theme(colors | bars))
    return console


def say(console: Console, text: str = "", style: str = "") -> None:
    """A line as it is: no markup, no numbers in color."""
    if style in ALERTS or not console.stderr:
        console.print(harmless(text), style=style, highlight=False, markup=False)


def bars(console: Console, *middle: str | ProgressColumn) -> Progress:
    """Progress bars that vanish when they are done: description, bar, `middle`, time.

    ``task.fields`` and the like may stand in a string of `middle`. In a pipe nothing is shown.
    """
    return Progress(
        progress_bars.TextColumn("{task.description}", markup=False),
        progress_bars.BarColumn(bar_width=None),
        *middle,
        progress_bars.TimeElapsedColumn(),
        # Some versions of rich end bars that are disabled by an empty line.
        console=console if console.is_interactive else Console(quiet=True),
        disable=not console.is_interactive,
        transient=True,
    )


def with_bar(console: Console, path: Path, work: Callable[..., T], *args: Any, **options: Any) -> T:
    """``work(path, *args, **options)`` on a file, with a bar of its bytes for its `progress`."""
    columns: list[str | ProgressColumn] = ["{task.percentage:.0f}%"]
    if console.width >= NARROW:
        columns = [progress_bars.DownloadColumn(), progress_bars.TransferSpeedColumn()]
    with bars(console, *columns) as shown:
        task = shown.add_task(harmless(path.name), total=None)
        options["progress"] = lambda done, total: shown.update(task, completed=done, total=total)
        return work(path, *args, **options)


def facts(console: Console, title: str, rows: Sequence[Sequence[str | Text]]) -> None:
    """A title, and below it lines of a few words and a text, which is folded to the width.

    On a narrow terminal the text follows its name and a colon, and goes on under them.
    """
    if console.stderr:
        return
    say(console)
    say(console, title, "bold")
    cells = [[Text(harmless(c)) if isinstance(c, str) else c for c in row] for row in rows]
    grid = Table.grid(padding=(0, 2))
    if console.width < NARROW:
        cells = [[*(before or [Text("-")]), name + ": " + text] for *before, name, text in cells]
    for _ in cells[0][:-1]:
        grid.add_column(style="aside", no_wrap=True)
    grid.add_column(overflow="fold")
    for row in cells:
        grid.add_row(*row)
    console.print(Padding(grid, (0, 0, 0, 2), expand=False), highlight=False)


def show(console: Console, title: str, columns: list[str], rows: list[Row]) -> None:
    """A table, or on a narrow terminal each row as a line with its filled cells under it."""
    if console.stderr:
        return
    say(console)
    say(console, title, "bold")
    rows = [[harmless(cell) for cell in row] for row in rows]
    if console.width < NARROW:
        for number, (name, *cells) in enumerate(row or [""] for row in rows):
            if name or number:
                console.print(name, highlight=False)
            pairs = zip(columns[1:], cells, strict=bool(cells))
            for line in _packed([f"{column} {cell}" for column, cell in pairs if cell], console):
                console.print(Padding(line, (0, 0, 0, 4)), highlight=False)
        say(console)
        return
    lines = ASCII_BOX if console.options.ascii_only else box.SIMPLE_HEAD
    table = Table(box=lines, padding=(0, 1), collapse_padding=True, pad_edge=False)
    for column in columns:
        first = column == columns[0]
        table.add_column(
            column,
            justify="left" if first else "right",
            no_wrap=not first,
            overflow="fold",
            min_width=18 if first else None,
        )
    for row in rows:
        if row:
            table.add_row(*row)
        else:
            table.add_section()
    console.print(table)


def _packed(cells: Sequence[str], console: Console) -> Iterator[Text]:
    """Cells with commas between them, in lines that do not part a cell."""
    texts = [Text.from_markup(cell + ",") for cell in cells[:-1]]
    texts += map(Text.from_markup, cells[-1:])
    line = Text()
    for text in texts:
        if line and line.cell_len + 1 + text.cell_len > console.width - 4:
            yield line
            line = Text()
        line = line + " " + text if line else text
    if line:
        yield line
