# SPDX-License-Identifier: Apache-2.0
"""philinit.keras beside Keras on its TensorFlow backend: pairs of initializers, equal bits.

A test module that imports this is skipped where Keras is missing or runs on another backend.
"""

import inspect
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
if keras.backend.backend() != "tensorflow":
    pytest.skip("Keras runs on another backend", allow_module_level=True)

import philinit.keras as pk  # noqa: E402  (Keras may be missing)

KI = keras.initializers
HAS_AXES = "input_axes" in inspect.signature(KI.VarianceScaling.__init__).parameters

DTYPES = ["float32", "float64", "float16", "bfloat16"]
SEEDED = [
    *["RandomUniform", "RandomNormal", "TruncatedNormal", "VarianceScaling", "Orthogonal"],
    *["GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal"],
]
CONSTANT = ["Identity", "Constant", "Zeros", "Ones"]

by_dtype = pytest.mark.parametrize("dtype", DTYPES)
by_name = pytest.mark.parametrize("name", SEEDED)
by_way = pytest.mark.parametrize("way", ["classes", "accelerate"])


def same(found, expected):
    """Whether tensors or arrays are equal bit for bit, -0.0 and NaN included."""
    a, b = (x.numpy() if hasattr(x, "numpy") else np.asarray(x) for x in (found, expected))
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def pair(name, **config):
    """Our initializer, and Keras's."""
    return getattr(pk, name)(**config), getattr(KI, name)(**config)


class way_of:  # noqa: N801  (reads as a function)
    """Where initializers come from, and what stands around their use: `way`, or plain Keras."""

    def __init__(self, way):
        self.names = pk if way == "classes" else KI
        self.context = pk.accelerate() if way == "accelerate" else None

    def __enter__(self):
        if self.context is not None:
            self.context.__enter__()
        return self.names

    def __exit__(self, *error):
        if self.context is not None:
            self.context.__exit__(*error)


def address(tensor):
    """Where TensorFlow has the values of a variable or tensor; an oracle that is not ours."""
    if isinstance(tensor, tf.Variable):
        tensor = tensor.read_value()
    return tensor.__array__().__array_interface__["data"][0]
