# SPDX-License-Identifier: Apache-2.0
"""The command line: `philinit`, or `python -m philinit`. One file for each subcommand."""

import sys


def main() -> None:
    """Entry point of the `philinit` script; a missing package is a sentence, not a traceback."""
    try:
        from philinit.cli.group import cli
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        from philinit.checks import missing_extra

        sys.exit(f"Error: {missing_extra('the command line', str(error.name), 'cli')}")
    cli(prog_name="philinit")
