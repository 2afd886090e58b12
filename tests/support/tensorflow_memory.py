# SPDX-License-Identifier: Apache-2.0
"""What tests of TensorFlow's memory share: an initializer that knows what it wrote, and where."""

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import ml_dtypes
import numpy as np
import pytest

from philinit.filling import memory
from philinit.initializers.base import Initializer

tf = pytest.importorskip("tensorflow")

DTYPES = ["float32", "float64", "float16", "bfloat16"]
by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_shape = pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (2, 3, 4)])

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs /proc/self/clear_refs"
)


class Pattern(Initializer):
    """Writes `start`, `start` + 1, ... modulo 64, and remembers what it was given.

    With it a test does not depend on the sampler.
    """

    __setattr__ = object.__setattr__  # it remembers

    def __init__(self, start=1):
        self.start = start
        self.address = None
        self.given = []

    def values(self, shape, dtype="float32"):
        dtype = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
        count = np.arange(int(np.prod(shape)))
        return ((count + self.start) % 64).astype(dtype).reshape(shape)

    def _write(self, target):
        view = target.view
        self.address = memory.address(view)
        self.given.append((view.shape, view.dtype.name, target.threads))
        assert type(view) is np.ndarray
        assert view.flags.carray
        view[...] = self.values(view.shape, view.dtype)
        if target.progress is not None:
            target.progress(view.size, view.size)


def address(tensor):
    """Where TensorFlow has the values of a variable or tensor; an oracle that is not ours."""
    if isinstance(tensor, tf.Variable):
        tensor = tensor.read_value()
    return tensor.__array__().__array_interface__["data"][0]


def same(tensor, values):
    found = tensor.numpy()
    return found.dtype == values.dtype and found.shape == values.shape and (found == values).all()


def run(code, **environment):
    """Run Python code in a process of its own; its standard output."""
    done = subprocess.run(
        [sys.executable, "-c", "import os, numpy as np\n" + code],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
