# SPDX-License-Identifier: Apache-2.0
"""Python in a process of its own: what is measured or spoiled there stays there.

run_python("print(6 * 7)").stdout              its output; a failure shows what it printed
run_json("import json; print(json.dumps(...))")        what a probe found
run_python(code, check=False).returncode       a failure that is wanted
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

from tests.support.paths import ROOT

Done = subprocess.CompletedProcess[str]


def environment(changed: Mapping[str, object] | None = None) -> dict[str, str]:
    """This process's variables with some changed; None takes one away."""
    names = {**os.environ, **(changed or {})}
    return {name: str(value) for name, value in names.items() if value is not None}


def run(
    command: list[object],
    *,
    env: Mapping[str, object] | None = None,
    timeout: float = 300,
    check: bool = True,
    cwd: object = ROOT,
) -> Done:
    """Run a command to its end, with its output in pipes; past `timeout` all it started is killed.

    With `check`, an exit code other than 0 is a failed assertion that shows the output.
    """
    process = subprocess.Popen(
        [str(part) for part in command],
        env=environment(env),
        cwd=str(cwd),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):  # it may have ended, and its children not
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    assert not check or done.returncode == 0, (
        f"{process.args}: exit code {done.returncode}\n{out[-4000:]}\n{err[-4000:]}"
    )
    return done


def run_python(code: str, *arguments: object, **options: Any) -> Done:
    """Run Python code, which may be indented and may import `tests.support`; options of `run`."""
    return run([sys.executable, "-c", textwrap.dedent(code), *arguments], **options)


def run_module(name: str, *arguments: object, **options: Any) -> Done:
    """Run a module, as `python -m` does; options of `run`."""
    return run([sys.executable, "-m", name, *arguments], **options)


def run_json(code: str, *arguments: object, **options: Any) -> Any:
    """What a probe found: the last line that Python code prints is JSON."""
    return json.loads(run_python(code, *arguments, **options).stdout.splitlines()[-1])
