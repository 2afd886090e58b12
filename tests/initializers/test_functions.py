# SPDX-License-Identifier: Apache-2.0
"""Each function takes the parameters of its class and gives its values."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import philinit as pi
from philinit.initializers import functions
from tests.support.initializers import same

PAIRS = [
    ("VarianceScaling", "variance_scaling"),
    ("GlorotUniform", "glorot_uniform"),
    ("GlorotNormal", "glorot_normal"),
    ("HeUniform", "he_uniform"),
    ("HeNormal", "he_normal"),
    ("LecunUniform", "lecun_uniform"),
    ("LecunNormal", "lecun_normal"),
    ("Uniform", "uniform"),
    ("Normal", "normal"),
    ("TruncatedNormal", "truncated_normal"),
    ("Constant", "constant"),
    ("Zeros", "zeros"),
    ("Ones", "ones"),
    ("Identity", "identity"),
    ("Orthogonal", "orthogonal"),
]


@pytest.mark.parametrize(("cls", "function"), PAIRS)
def test_a_function_takes_the_parameters_of_its_class_and_gives_its_values(
    cls: str, function: str
) -> None:
    make, call = getattr(pi, cls), getattr(pi, function)
    theirs = inspect.signature(make).parameters
    ours = inspect.signature(call).parameters
    assert {n: p.default for n, p in ours.items() if n not in ("shape", "dtype", "call")} == {
        n: p.default for n, p in theirs.items() if n not in ("names", "from_entropy")
    }
    seed = {"seed": 5} if "seed" in theirs else {}
    assert same(call((4, 6), "float64", **seed), make(**seed)((4, 6), "float64"))
    out = np.empty((2, 6), np.float16)
    assert call((4, 6), out=out, shard=slice(1, 3), threads=1, device="cpu", **seed) is out
    assert same(out, make(**seed)((4, 6), "float16")[1:3])


def test_every_function_and_alias_is_public() -> None:
    names = {n for n, f in vars(functions).items() if inspect.isfunction(f) and n[0] != "_"}
    assert names == {f for _, f in PAIRS} | {
        f"{author}_{kind}" for author in ("xavier", "kaiming") for kind in ("uniform", "normal")
    }
    assert all(getattr(pi, name) is getattr(functions, name) for name in names)
    assert pi.xavier_uniform is pi.glorot_uniform
    assert pi.kaiming_normal is pi.he_normal
    assert pi.XavierNormal is pi.GlorotNormal
    assert pi.KaimingUniform is pi.HeUniform
