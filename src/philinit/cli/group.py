# SPDX-License-Identifier: Apache-2.0
"""The group of all subcommands: each is imported when it is called, so that --help is quick."""

import errno
import importlib
import os
import sys
from contextlib import suppress
from typing import Any

from philinit._version import __version__
from philinit.checks import missing_extra

try:
    import click
    from click.shell_completion import CompletionItem
except ImportError as error:
    raise missing_extra("the command line", str(error.name), "cli") from error

# Where each subcommand is, and what the list of commands says of it.
COMMANDS = {
    "demo": (
        "philinit.cli.demo:demo",
        "A billion weights into a tf.Variable, beside TensorFlow and Keras.",
    ),
    "bench": ("philinit.cli.bench:bench", "A quick benchmark of this machine."),
    "show": (
        "philinit.cli.show:show",
        "What an initializer draws for a shape: fans, bounds, moments, histogram.",
    ),
    "fill": ("philinit.cli.fill:fill", "Write initial weights to a file of any size."),
    "verify": ("philinit.cli.verify:verify", "Compare a file with the weights it began with."),
    "doctor": ("philinit.cli.doctor:doctor", "What works here, and how to mend what does not."),
    "selftest": (
        "philinit.cli.selftest:selftest",
        "Every kernel's bits against the specification.",
    ),
    "completion": ("philinit.cli.completion:completion", "Print a shell's completion script."),
}


def harmless(text: str) -> str:
    """`text` in one line, with what would steer a terminal escaped: it may come from a file."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 1000 else f"{text[:700]}...{text[-200:]}"


class LazyGroup(click.Group):
    """A group that knows names and one-line helps, and imports a command when it is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def main(self, *args: Any, **options: Any) -> Any:
        """Run all; output that cannot be written is one sentence and exit code 1."""
        try:
            try:
                return super().main(*args, **options)
            finally:
                sys.stdout.flush()  # not when the process ends, with a traceback
        except OSError as error:
            with suppress(OSError):  # what could not be written is let go
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if error.errno != errno.EPIPE:
                what = repr(error.filename) if error.filename else "the output"
                click.echo(f"Error: {what} cannot be written: {error.strerror or error}", err=True)
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; Ctrl-C that it does not see to itself is exit code 130."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = harmless(error.message)  # type: ignore[misc]  # final, click says
            raise
        except ImportError as error:  # a package that the command lacks
            name = str(error.name).partition(".")[0]
            ours = name in ("psutil", "rich")
            why = missing_extra("the command line", name, "cli") if ours else error
            raise click.ClickException(str(why)) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(130)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands, from the table; then the group's own options."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        found = [CompletionItem(name, help=COMMANDS[name][1]) for name in names]
        return found + click.Command.shell_complete(self, ctx, incomplete)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all is well, 1 it is not (the output says what), 2 a wrong option, 130 "
    "interrupted. Each command's --help says what 1 means there, and shows examples.",
)
@click.version_option(__version__, prog_name="philinit")
def cli(**_: Any) -> None:
    """Fast, exact, reproducible weight initialization."""
