# SPDX-License-Identifier: Apache-2.0
"""The child processes of a benchmark, one for each library, as their parent sees them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from typing import Any, Self

from philinit.tools.bench.contenders import Contender, Failed, Refused
from philinit.tools.bench.workloads import Work
from philinit.tools.demo import _last_words

PATIENCE = 300.0  # seconds for one reply: a child that takes longer is ended

# Processors are compared with processors; TensorFlow and Keras keep their greetings to themselves.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}


class Child:
    """One process of `philinit.tools.bench.worker`."""

    def __init__(self, host: str) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.begun = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "philinit.tools.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env={**os.environ, **QUIET, **({} if host == "cupy" else NO_GPU)},
        )

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply.

        Raises
        ------
        ChildProcessError
            It died, or took longer than `PATIENCE`.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        if not line:
            code = self._process.wait()
            self._log.seek(0)
            raise ChildProcessError(_last_words(self._log.read(), code))
        reply: dict[str, Any] = json.loads(line)
        return reply

    def end(self) -> None:
        """Kill it, and wait until its memory is free."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            try:
                stream.close()
            except BrokenPipeError:
                continue


class Crew:
    """Children by host, started when they are first asked; none is left behind a ``with``."""

    def __init__(self) -> None:
        self._children: dict[str, Child] = {}

    def __enter__(self) -> Self:
        """Nothing starts yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all children."""
        self.end()

    def end(self) -> None:
        """End all children, whose libraries may keep memory; the next request starts new ones."""
        while self._children:
            self._children.popitem()[1].end()

    def forget(self) -> None:
        """Let go of all that was prepared, and of the resident buffers."""
        for host in list(self._children):
            with contextlib.suppress(Failed):  # it is gone, and its memory with it
                self._ask(host, {"forget": True})

    def turn(
        self,
        contender: Contender,
        work: Work,
        memory: str,
        repeats: int = 1,
        *,
        check: bool = False,
        peak: bool = False,
    ) -> dict[str, Any]:
        """{"seconds": of a call}, of `repeats` calls; with `peak` also the bytes that they took.

        Raises
        ------
        Refused
            The contender cannot do it here; `Failed`: it raised, died, or made something else.
        """
        if (missing := contender.missing()) is not None:
            raise Refused(missing)
        request = {
            "contender": contender.name,
            "work": asdict(work),
            "memory": memory,
            "repeats": repeats,
            "check": check,
            "peak": peak,
        }
        reply = self._ask(contender.host, request)
        if "refused" in reply:
            raise Refused(reply["refused"])
        if "failed" in reply:
            raise Failed(reply["failed"])
        return reply

    def _ask(self, host: str, request: dict[str, Any]) -> dict[str, Any]:
        if host not in self._children:
            self._children[host] = Child(host)
        try:
            return self._children[host].ask(request)
        except ChildProcessError as error:
            self._children.pop(host).end()
            raise Failed(str(error)) from error
