# SPDX-License-Identifier: Apache-2.0
"""Runs the programs of tests/support/engines whose processes are a TensorFlow cluster."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ENGINES = Path(__file__).parent / "engines"
SECONDS = 150  # a program takes 15 to 25 on two cores

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def outcomes(name):
    """What became of each section of a program, as `tensorflow_processes.tell` has told it."""
    # Into files: the processes that it forks end when it does, but may keep a pipe until then.
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, ENGINES / name],
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "KERAS_BACKEND": "tensorflow"},
            stdout=output,
            stderr=errors,
        )
        try:
            process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        errors.seek(0)
        told, wrong = output.read(), errors.read()
    assert process.returncode == 0, f"exit code {process.returncode}\n{told}\n{wrong}"
    found = {}
    for line in told.splitlines():
        found |= json.loads(line)
    return found


def check(outcome, compared=0, refused=0):
    """A section has failed nowhere, and has seen so many tensors and refusals."""
    assert outcome["failed"] is None, outcome["failed"]
    assert (outcome["compared"], outcome["refused"]) == (compared, refused)
