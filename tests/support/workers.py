# SPDX-License-Identifier: Apache-2.0
"""Processes that run cases on request, all of them in step, for what is decided once a process.

JAX counts its devices once, a process has one rank, and both take seconds to start: the tests of a
file share such processes. A case is a function of a module in tests/support/engines, called with
what the module's `start(rank, port)` returns, if it has one.

python -m tests.support.workers MODULE RANK PORT          is what `Workers` starts
"""

import importlib
import importlib.util
import json
import os
import select
import socket
import subprocess
import sys
import time
import traceback

import pytest

from tests.support.paths import ROOT
from tests.support.processes import environment

#: For processes with JAX, which say themselves how many devices they want.
JAX = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": None}


def needs(*modules):
    """Skip a file of tests where a module is missing; unlike importorskip, import none of them."""
    for name in modules:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"needs {name}", allow_module_level=True)


class Workers:
    """`count` processes of one module; their output goes to files in `folder`.

    Whatever fails ends them all, since the others may be waiting for it; a later case has new ones.
    """

    def __init__(self, module, folder, *, count=1, env=None):
        self.module, self.folder, self.count = module, folder, count
        self.env, self.processes = environment(env), []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.end()

    def start(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        for rank in range(self.count):
            command = [sys.executable, "-m", "tests.support.workers", self.module, rank, port]
            with (self.folder / f"{self.module}{rank}").open("wb") as log:
                process = subprocess.Popen(
                    [str(part) for part in command],
                    cwd=ROOT,
                    env=self.env,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                )
            self.processes.append(process)

    def end(self):
        for process in self.processes:
            process.kill()
            process.communicate()
        self.processes = []

    def passes(self, case, timeout=240):
        """Whether a case passes in all processes; it prints what went wrong."""
        if not self.processes:
            self.start()
        for process in self.processes:
            process.stdin.write(f"{case}\n".encode())
            process.stdin.flush()
        answers, deadline = {}, time.monotonic() + timeout
        while len(answers) < self.count and not any("error" in a for a in answers.values()):
            waiting = {p.stdout: p for p in self.processes if p not in answers}
            ready = select.select(waiting, [], [], max(deadline - time.monotonic(), 0))[0]
            for pipe in ready:
                line = pipe.readline()
                answers[waiting[pipe]] = json.loads(line) if line else {"error": "it has ended"}
            if not ready:
                answers[None] = {"error": f"no answer in {timeout} s"}
        failed = [answer["error"] for answer in answers.values() if "error" in answer]
        if failed:
            self.end()
            logs = [self.folder / f"{self.module}{rank}" for rank in range(self.count)]
            print(*failed, *(f"{log.name}: {log.read_text()[-4000:]}" for log in logs), sep="\n")
        for answer in answers.values():
            if "skipped" in answer:
                pytest.skip(answer["skipped"])
        return not failed


def serve(module, rank, port):
    """Answer each case asked for on standard input by a line of JSON on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a case prints is for the log
    cases = importlib.import_module(f"tests.support.engines.{module}")
    given = cases.start(rank, port) if hasattr(cases, "start") else ()
    for line in sys.stdin:
        answer = {}
        try:
            getattr(cases, line.strip())(*given)
        except pytest.skip.Exception as reason:
            answer["skipped"] = str(reason)
        except BaseException:  # whatever it is, the test is told
            answer["error"] = traceback.format_exc()
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
