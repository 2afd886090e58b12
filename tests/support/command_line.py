# SPDX-License-Identifier: Apache-2.0
"""The commands as a user types them: `philinit("show", "he_normal", COLUMNS="40")`."""

import contextlib
import io
import os
import re
import subprocess
import sys

from tests.support.processes import environment, run_module

COLOR = re.compile(r"\x1b\[[0-9;]*m")


def philinit(*arguments, timeout=120, **variables):
    """Run `python -m philinit ...` with its output in pipes."""
    return run_module("philinit", *arguments, timeout=timeout, check=False, env=variables)


def typed(*arguments):
    """The same in this process, which takes milliseconds: for tables of errors."""
    from philinit.cli.group import cli

    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli(list(map(str, arguments)), prog_name="philinit")
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def on_a_terminal(*arguments, columns, timeout=120, **variables):
    """(exit code, output) of `python -m philinit ...` on a terminal of so many columns."""
    import fcntl
    import pty
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen(
        [sys.executable, "-m", "philinit", *map(str, arguments)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment({"TERM": "xterm-256color", "COLUMNS": None, "NO_COLOR": None, **variables}),
    )
    os.close(follower)
    seen = b""
    try:
        while chunk := _read(leader):
            seen += chunk
        child.wait(timeout)
    finally:
        child.kill()
        child.wait()
        os.close(leader)
    return child.returncode, seen.decode()


def _read(leader):
    try:
        return os.read(leader, 1 << 16)
    except OSError:  # Linux says so when the other side is closed
        return b""


def assert_refused(done, message, code=2):
    """Exit code 2 (or `code`), one sentence on stderr, nothing on stdout."""
    assert done.returncode == code, done.stdout + done.stderr
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
