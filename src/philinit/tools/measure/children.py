# SPDX-License-Identifier: Apache-2.0
"""Child processes that answer requests: a crash, a hang or a leak there is not the end here.

What a child does stands in a module of its own, which only the child imports; see `child`.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any, Self

# TensorFlow and Keras keep their greetings to themselves.
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}

Event = Callable[[dict[str, Any]], object]


class _Child:
    """One process; what it writes elsewhere than in replies goes to a log."""

    def __init__(self, module: str, gpu: bool) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "philinit.tools.measure.child", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env={**os.environ, **QUIET, **({} if gpu else NO_GPU)},
        )

    def ask(self, request: dict[str, Any], event: Event, patience: float) -> dict[str, Any]:
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and its log says why
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        while True:
            start, watchdog = time.monotonic(), threading.Timer(patience, self.process.kill)
            watchdog.daemon = True  # a Ctrl-C that comes between is not to wait for it
            try:
                watchdog.start()
                line = stdout.readline()
            finally:
                watchdog.cancel()
            if not line:
                late = time.monotonic() - start >= patience
                raise ChildProcessError(f"no answer after {patience:g} s" if late else self._why())
            message: dict[str, dict[str, Any]] = json.loads(line)
            if "reply" in message:
                return message["reply"]
            event(message["event"])

    def _why(self) -> str:
        """Why it ended: its last line but for TensorFlow's greetings, or the signal's name."""
        code = self.process.wait()
        if code < 0:
            return f"the process was ended by {signal.Signals(-code).name}"
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        own = [
            line for line in lines if not line.startswith(("I0000", "W0000", "WARNING: All log"))
        ]
        return own[-1] if own else f"exit code {code}"

    def end(self) -> None:
        """Kill it, and wait until its memory is free."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self._log):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


class Children:
    """Children by name, each started when it is first asked; none is left behind a ``with``.

    module: the name of the module with their ``answer(request, emit)``.
    patience: seconds of silence, after which a child is ended.
    """

    def __init__(self, module: str, patience: float) -> None:
        self._module, self._patience = module, patience
        self._running: dict[str, _Child] = {}
        self._lock = threading.Lock()
        self._closed = False

    def __enter__(self) -> Self:
        """Nothing starts yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all children, and start no more."""
        with self._lock:
            self._closed = True
        self.end()

    @property
    def names(self) -> list[str]:
        """Of those that are running."""
        return list(self._running)

    def end(self, *names: str) -> None:
        """End these children, or all; the next request starts new ones."""
        for name in names or self.names:
            with self._lock:
                child = self._running.pop(name, None)
            if child is not None:
                child.end()

    def ask(
        self,
        name: str,
        request: dict[str, Any],
        event: Event = lambda _: None,
        *,
        gpu: bool = False,
    ) -> dict[str, Any]:
        """The reply; `event` is given what comes before it. `gpu`: the child may see GPUs.

        Raises
        ------
        ChildProcessError
            It died or was silent for too long; the message says which.
        """
        with self._lock:
            if self._closed:
                raise ChildProcessError("interrupted")
            if name not in self._running:
                self._running[name] = _Child(self._module, gpu)
            child = self._running[name]
        try:
            return child.ask(request, event, self._patience)
        except ChildProcessError:
            self.end(name)
            raise
