# SPDX-License-Identifier: Apache-2.0
"""How commands explain themselves: text, examples, options and exit codes, at any width."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

WIDEST = 78  # columns of text, however wide the terminal is
LEAST = 24  # columns below which lines are left to the terminal

EXIT_CODES = {2: "The command was not understood.", 130: "Ctrl-C."}


class Formatter(click.HelpFormatter):
    """click's, which would take 50 columns or more, and knows nothing of commands."""

    def __init__(self, width: int | None = None) -> None:
        columns = shutil.get_terminal_size().columns - 1
        super().__init__(width=width or max(min(columns, WIDEST), LEAST))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Terms and what they mean: side by side, or below each other where that is too narrow."""
        rows = list(rows)
        longest = max(len(term) for term, _ in rows)
        super().write_dl(rows, 4 if longest > self.width / 3 else col_max, col_spacing)

    def write_command(self, command: str) -> None:
        """A command of a shell, continued on further lines where it is too long for one."""
        pad = " " * self.current_indent
        lines = textwrap.wrap(
            re.sub(r"( --[\w-]+) (?!-)", r"\1\0", command),  # an option stays with its value
            self.width - 2,
            initial_indent=pad,
            subsequent_indent=pad + "    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.write(" \\\n".join(lines).replace("\0", " ") + "\n")


class Command(click.Command):
    """A command whose help has examples above the options, and details and exit codes below."""

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        details: str = "",
        exit_codes: Mapping[int, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.examples = examples
        self.details = details
        self.exit_codes = (
            None if exit_codes is None else dict(sorted((EXIT_CODES | dict(exit_codes)).items()))
        )

    def get_help(self, ctx: click.Context) -> str:
        """The help as text."""
        formatter = Formatter(ctx.terminal_width)
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Usage, text, examples, options, details, exit codes."""
        assert isinstance(formatter, Formatter)
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        if self.examples:
            with formatter.section("Examples"):
                for command in self.examples:
                    formatter.write_command(command)
        self.format_options(ctx, formatter)
        if self.details:
            formatter.write_paragraph()
            formatter.write_text(self.details)
        if self.exit_codes is not None:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), text) for code, text in self.exit_codes.items()])
