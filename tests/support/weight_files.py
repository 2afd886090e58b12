# SPDX-License-Identifier: Apache-2.0
"""What the tests of files of weights share: initializers, tensors, and a stop at a chosen byte."""

import io

import numpy as np

import philinit as pi
from philinit.dtypes import as_dtype
from philinit.files import unfinished, verify, write
from philinit.files.tensors import Tensor

INITS = [
    pi.GlorotUniform(seed=7),
    pi.HeNormal(seed=7, activation="gelu").named("layer"),
    pi.Normal(seed=-3, sampler="tensorflow"),
    pi.Constant(-1.5),
    pi.Identity(2.0),
    pi.Orthogonal(seed=1),
]
INIT = pi.GlorotUniform(seed=7)


def saved(array):
    """What `numpy.save` writes."""
    text = io.BytesIO()
    np.save(text, array)
    return text.getvalue()


def tensor(init=INIT, shape=(123, 77), dtype="float32", name=""):
    return Tensor(name, init, shape, as_dtype(dtype))


def make_small(monkeypatch):
    """Files of some kilobytes go through all that large ones go through."""
    monkeypatch.setattr(write, "PIECE", unfinished.BLOCK)
    monkeypatch.setattr(verify, "PIECE", 1 << 10)
    monkeypatch.setattr(write, "CHECKPOINT", 0.0)


MANY = [
    tensor(pi.Normal(seed=1).named("e"), (501, 77), "bfloat16", "e"),
    tensor(INIT, (77, 3), "float16", "h/kernel"),
    tensor(pi.Ones(), (), "float16", 'odd "name" \u00e9'),
    tensor(pi.Orthogonal(seed=3), (64, 3), "float64", "z"),
    tensor(pi.Zeros(), (0, 3), "float32", "nothing"),
    tensor(INIT, (3, 5), "float32", "b"),
    tensor(INIT, (3, 5), "float32", "a"),
]
WANTED = {t.name: t.init(t.shape, t.dtype) for t in MANY}


class Stop(BaseException):
    """As KeyboardInterrupt, at a byte that the test chooses."""


def stop_at(byte):
    def progress(done, total):
        if done >= byte:
            raise Stop

    return progress
