# SPDX-License-Identifier: Apache-2.0
"""Checks of samples against a distribution, by bounds computed from their size; exact intervals."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

from tests.support.recipe_models import parameters_of

Z = 4.75  # of a few thousand comparisons none is expected beyond it
Check = Callable[..., None]


def moments(x: Any, stddev: float, fourth: float) -> None:
    """Mean 0 and this stddev, for a distribution whose fourth standardized moment is `fourth`."""
    n = x.size
    assert abs(x.mean()) * math.sqrt(n) < Z * stddev
    assert abs((x * x).mean() / stddev**2 - 1) * math.sqrt(n) < Z * math.sqrt(fourth - 1)


def check_normal(x: Any, stddev: float) -> None:
    moments(x, stddev, 3.0)
    if x.size > 10_000:  # then the tails of the normal, cut nowhere near
        assert 3.2 * stddev < abs(x).max() < 7 * stddev
        fourth = (x**4).mean() / stddev**4  # variance of x^4: 105 - 9
        assert abs(fourth - 3) * math.sqrt(x.size) < 7 * math.sqrt(96)


def check_uniform(x: Any, limit: float) -> None:
    moments(x, limit / math.sqrt(3), 1.8)
    rounded = np.nextafter(np.float32(limit), np.float32(np.inf))
    assert limit * (1 - 20 / x.size) < abs(x).max() <= rounded


def check_cut(x: Any, stddev: float, after_cut: bool = False) -> None:
    """A normal cut at +-3 stddev, which is the one before the cut."""
    standard = stats.truncnorm(-3, 3)
    if after_cut:
        stddev /= standard.std()
    moments(x, stddev * standard.std(), float(standard.stats("k")) + 3)
    assert 2.9 * stddev < abs(x).max() <= np.nextafter(np.float32(3 * stddev), np.float32(np.inf))


def check_constant(x: Any, value: float) -> None:
    assert (x == np.float32(value)).all()


def by(check: Check, formula: float | Callable[[int], float], **more: Any) -> Check:
    """`check` with a number, or one that depends on the layer."""

    def run(x: Any, layer: int) -> None:
        check(x, formula(layer) if callable(formula) else formula, **more)

    return run


normal, uniform, cut, constant = (
    functools.partial(by, check)
    for check in (check_normal, check_uniform, check_cut, check_constant)
)
COMMON = {"bias": constant(0.0), "norm": constant(1.0)}


def verify(text: str, weights: dict[str, Any], expected: dict[str, Check]) -> None:
    for name, (role, shape, layer) in parameters_of(text).items():
        name = name if name in weights else name.replace("/", ".")
        assert weights[name].shape == shape
        try:
            expected[role](weights[name].astype(np.float64), layer)
        except AssertionError as error:
            raise AssertionError(f"{name} ({role}, layer {layer})") from error
