# SPDX-License-Identifier: Apache-2.0
"""What the tests of files of weights share: rules, tensors, and a stop at a chosen byte."""

import io

import numpy as np

import philinit as pi
from philinit.dtypes import as_dtype
from philinit.files import unfinished as _unfinished
from philinit.files import verify as _verifying
from philinit.files import write as _writing
from philinit.files.tensors import Tensor

INITS = [
    pi.GlorotUniform(seed=7),
    pi.HeNormal(seed=7, activation="gelu").named("layer"),
    pi.Normal(seed=-3, sampler="tensorflow"),
    pi.Constant(-1.5),
    pi.Identity(2.0),
    pi.Orthogonal(seed=1),
]
RULE = pi.GlorotUniform(seed=7)


def saved(array):
    """What `numpy.save` writes."""
    text = io.BytesIO()
    np.save(text, array)
    return text.getvalue()


def tensor(init=RULE, shape=(123, 77), dtype="float32", name=""):
    return Tensor(name, init, shape, as_dtype(dtype))


def make_small(monkeypatch):
    """Files of some kilobytes go through all that large ones go through."""
    monkeypatch.setattr(_writing, "PIECE", _unfinished.BLOCK)
    monkeypatch.setattr(_verifying, "PIECE", 1 << 10)
    monkeypatch.setattr(_writing, "CHECKPOINT", 0.0)


MANY = [
    tensor(pi.Normal(seed=1).named("e"), (501, 77), "bfloat16", "e"),
    tensor(RULE, (77, 3), "float16", "h/kernel"),
    tensor(pi.Ones(), (), "float16", 'odd "name" \u00e9'),
    tensor(pi.Orthogonal(seed=3), (64, 3), "float64", "z"),
    tensor(pi.Zeros(), (0, 3), "float32", "nothing"),
    tensor(RULE, (3, 5), "float32", "b"),
    tensor(RULE, (3, 5), "float32", "a"),
]
WANTED = {t.name: t.init(t.shape, t.dtype) for t in MANY}


class Stop(BaseException):
    """As KeyboardInterrupt, at a place that the test chooses."""


def stop_at(byte):
    def progress(done, total):
        if done >= byte:
            raise Stop

    return progress
