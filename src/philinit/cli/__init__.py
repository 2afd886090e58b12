# SPDX-License-Identifier: Apache-2.0
"""The command line: `philinit`, or `python -m philinit`. One file for each subcommand."""

import sys


def main() -> None:
    """Entry point of the `philinit` script; a missing package is a sentence, not a traceback."""
    try:
        from philinit.cli.group import cli
    except ImportError as error:
        sys.exit(f"Error: {error}")
    cli(prog_name="philinit")
