# SPDX-License-Identifier: Apache-2.0
"""What only a fresh process shows: cost of import and of the first fill, and peaks of memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import Any

IMPORT = """
import sys, time
start = time.perf_counter()
import {module}
print(time.perf_counter() - start)
"""

FIRST_FILL = """
import time
start = time.perf_counter()
import philinit as pi
pi.glorot_uniform((512, 512), seed=42)
print(time.perf_counter() - start)
"""

# One variable of `size` float32, then its first step of SGD: sparse (an embedding's) or dense.
MEMORY = """
import json
import tensorflow as tf
import philinit as pi
import philinit.tensorflow as pit
from philinit.tools.demo.measurements import first_step
from philinit.tools.measure.memory import Peak

def dense_step(variable):
    gradient = tf.zeros(variable.shape)
    with Peak() as peak:
        tf.raw_ops.ResourceApplyGradientDescent(var=variable.handle, alpha=0.1, delta=gradient)
    return peak.extra

def sparse_step(variable):
    with Peak() as peak:
        first_step(variable)
    return peak.extra

size, step = {size}, {step}
init = pi.GlorotUniform(seed=42)
small = pit.variable(init, (64, 1024), dtype="float32")
step(small)
del small
with Peak() as build:
    variable = pit.variable(init, (size // 1024, 1024), dtype="float32")
extra = None if build.extra is None else build.extra - 4 * size
print(json.dumps([extra, step(variable)]))
"""


def run(code: str, **environment: str) -> str:
    """What `code` prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    return done.stdout


def import_seconds(module: str) -> float:
    """Seconds of `import module`, interpreter start not counted."""
    return float(run(IMPORT.format(module=module)))


def import_ratio(rounds: int) -> tuple[float, float]:
    """Best seconds of importing philinit and numpy, taken in turns."""
    pairs = [(import_seconds("philinit"), import_seconds("numpy")) for _ in range(rounds)]
    return min(p for p, _ in pairs), min(n for _, n in pairs)


def first_fill_seconds(rounds: int) -> tuple[float, float]:
    """Seconds from `import philinit` to a filled (512, 512): best with cached code, and without."""
    with tempfile.TemporaryDirectory() as folder:
        cold = float(run(FIRST_FILL, PHILINIT_CACHE_DIR=folder))
        warm = [float(run(FIRST_FILL, PHILINIT_CACHE_DIR=folder)) for _ in range(rounds)]
    return min(warm), cold


def memory_extras(size: int) -> dict[str, int | None]:
    """Bytes beyond the tensor (and its gradient) at the peaks of build and of the first step."""
    extras: dict[str, Any] = {}
    for step in ("sparse_step", "dense_step"):
        build, first = json.loads(run(MEMORY.format(size=size, step=step)))
        extras["build"] = build
        extras[step] = first
    return extras
