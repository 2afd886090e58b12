# SPDX-License-Identifier: Apache-2.0
"""The group of all subcommands: each is imported when it is called, so that --help is quick."""

import errno
import importlib
import io
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread
from typing import Any

import click
from click.shell_completion import CompletionItem

from philinit._version import __version__
from philinit.checks import missing_extra
from philinit.cli.help import Command, Formatter

# Where each subcommand is, and what the list of commands says of it.
COMMANDS = {
    "show": ("philinit.cli.show:show", "Show what an initializer draws for a shape."),
    "fill": ("philinit.cli.fill:fill", "Write initial weights to a file of any size."),
    "verify": ("philinit.cli.verify:verify", "Compare a file with its initial weights."),
    "doctor": ("philinit.cli.doctor:doctor", "Check this machine, and say how to fix problems."),
    "selftest": (
        "philinit.cli.selftest:selftest",
        "Compare every kernel's bits with its specification.",
    ),
    "bench": ("philinit.cli.bench:bench", "Time philinit and other libraries on this machine."),
    "demo": (
        "philinit.cli.demo:demo",
        "Initialize a billion weights, next to TensorFlow and Keras.",
    ),
    "completion": (
        "philinit.cli.completion:completion",
        "Print a script for your shell's Tab key.",
    ),
}

# What `philinit` alone suggests.
TO_TRY = {
    "philinit show he_normal --shape 784,128": "What an initializer draws, compared with theory.",
    "philinit doctor": "What works on this machine, and how to fix what does not.",
    "philinit fill w.npy --init he_normal --shape 1e6,64": "A file of a million rows of weights.",
}


def harmless(text: str) -> str:
    """`text` in one line, with what would steer a terminal escaped: it may come from a file."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 1000 else f"{text[:700]}...{text[-200:]}"


def say_interrupted(text: str) -> None:
    """A line on stderr; on a terminal it begins below the ^C that stands there."""
    click.echo("\n" * sys.stderr.isatty() + harmless(text), err=True)


class LazyGroup(Command, click.Group):
    """A group that knows names and one-line helps, and imports a command when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        with _ended_by_ctrl_c():
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run all. What goes wrong is one line on stderr and an exit code, never a traceback."""
        standalone = options.pop("standalone_mode", True)
        options["standalone_mode"] = False
        if not standalone:
            return super().main(args, *rest, **options)
        _prepare_streams()
        try:
            try:
                code = super().main(args, *rest, **options)
            finally:
                sys.stdout.flush()  # not when the process ends, with a traceback
        except click.ClickException as error:
            code = _refuse(error)
        except ImportError as error:  # a package that the command lacks
            name = str(error.name).partition(".")[0]
            ours = name in ("psutil", "rich")
            why = missing_extra("the command line", name, "cli") if ours else error
            code = _refuse(click.ClickException(str(why)))
        except click.Abort:  # Ctrl-C before a command has begun
            code = 130
        except OSError as error:
            with suppress(OSError):  # what could not be written is let go
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno != errno.EPIPE:
                what = repr(error.filename) if error.filename else "the output"
                click.echo(f"Error: {what} cannot be written: {error.strerror or error}", err=True)
            code = 1
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C that it does not see to itself is exit code 130."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            say_interrupted("interrupted")
            ctx.exit(130)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table, then options."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])
        click.Command.format_options(self, ctx, formatter)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands, from the table; then the group's own options."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=COMMANDS[name][1]) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """End at Ctrl-C: a KeyboardInterrupt of an import could come out of it as any other error."""

    def end(*_: Any) -> None:
        os.write(2, b"interrupted\n")
        os._exit(130)

    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or current_thread() is not main_thread():
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


def _prepare_streams() -> None:
    """ASCII under LANG=C, of which Python makes UTF-8; and no output is too foreign to print."""
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    values = [os.environ.get(name, "") for name in names]
    if values[1] == "C.UTF-8":  # Python itself sets it so, where LANG is C
        values[1] = ""
    asked = "PYTHONIOENCODING" in os.environ
    plain = not asked and next(filter(None, values), "") in ("C", "POSIX")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="ascii" if plain else None, errors="backslashreplace")


def _refuse(error: click.ClickException) -> int:
    """Say it in one line, and where to read on; the exit code."""
    text = harmless(error.format_message()).rstrip(".")
    ctx = getattr(error, "ctx", None)
    if isinstance(error, click.UsageError) and ctx is not None:
        text += f" (see {ctx.command_path} --help)"
    text = f"Error: {text}"
    if sys.stderr.isatty():
        text = click.wrap_text(text, shutil.get_terminal_size().columns - 1)
    click.echo(text, err=True)
    return error.exit_code


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    subcommand_metavar="COMMAND [ARGS]...",
    exit_codes={0: "Success.", 1: "The command found a problem, or could not finish."},
    details="`philinit COMMAND --help` has examples.",
)
@click.version_option(__version__, prog_name="philinit")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Fast, exact, reproducible weight initialization."""
    if ctx.invoked_subcommand is None:
        formatter = Formatter()
        formatter.write_text(
            f"philinit {__version__}: fast, exact, reproducible weight initialization"
        )
        with formatter.section("Three things to try"):
            for command, what in TO_TRY.items():
                formatter.write_command(command)
                with formatter.indentation():
                    formatter.write_text(what)
        formatter.write_paragraph()
        formatter.write_text("`philinit --help` lists all commands.")
        click.echo(formatter.getvalue(), nl=False)
