# SPDX-License-Identifier: Apache-2.0
"""One of every initializer, and what their tests compare."""

from __future__ import annotations

import math
from typing import Any

import philinit as pi

DTYPES = ("float32", "float64", "float16", "bfloat16")
EVERY = (*DTYPES, "float8_e4m3fn", "float8_e5m2fnuz")  # two stand for the four float8


RANDOM: list[Any] = [
    pi.VarianceScaling(0.7, "fan_geo_avg", "normal", seed=1),
    pi.VarianceScaling(in_axis=(0, 1), out_axis=2, seed=2),
    pi.GlorotUniform(seed=3),
    pi.GlorotNormal(seed=4, activation="tanh"),
    pi.HeUniform(seed=5, activation="leaky_relu", param=0.2),
    pi.HeNormal(seed=6),
    pi.LecunUniform(seed=7, gain=2.0),
    pi.LecunNormal(seed=8, names=("a", 3)),
    pi.Uniform(-1.0, 2.0, seed=9),
    pi.Normal(1.0, 0.5, seed=(1 << 128) - 1),
    pi.TruncatedNormal(0.5, 2.0, -1.0, math.inf, seed=-5),
]


OTHERS: list[Any] = [
    pi.Constant(0.25),
    pi.Zeros(),
    pi.Ones(),
    pi.Identity(2.0),
    pi.Orthogonal(1.5, seed=10),
]


ALL = RANDOM + OTHERS


def name_of(value: Any) -> str:
    return type(value).__name__ if isinstance(value, pi.Initializer) else str(value)


def same(a: Any, b: Any) -> bool:
    return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
