# SPDX-License-Identifier: Apache-2.0
"""`philinit completion`: the script that teaches a shell to complete commands and options."""

import click
from click.shell_completion import get_completion_class

from philinit.cli.help import Command


@click.command(
    cls=Command,
    examples=[
        'eval "$(philinit completion bash)"',
        'eval "$(philinit completion zsh)"',
        "philinit completion fish > ~/.config/fish/completions/philinit.fish",
    ],
    details="The first line belongs in ~/.bashrc, the second in ~/.zshrc, after compinit.",
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which SHELL completes commands, options and initializers."""
    made = get_completion_class(shell)
    assert made is not None  # each shell of the choice has one
    group = ctx.find_root().command
    click.echo(made(group, {}, "philinit", "_PHILINIT_COMPLETE").source())
