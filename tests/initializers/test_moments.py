# SPDX-License-Identifier: Apache-2.0
"""The numbers: moments with computed bounds, each with a twin that must fail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.support.initializers import RANDOM, name_of
from tests.support.planted import assert_caught


def z_scores(sample: Any, mean: float, stddev: float, kurtosis: float) -> tuple[float, float]:
    """Standardized errors of the sample's mean and variance; N(0, 1) where all is right."""
    n, x = sample.size, sample.astype(np.float64).ravel() - mean
    spread = math.sqrt((kurtosis - 1.0) / n)
    return (
        float(x.mean()) * math.sqrt(n) / stddev,
        (float(np.mean(x * x)) / stddev**2 - 1.0) / spread,
    )


KURTOSIS = {
    "uniform": 1.8,
    "normal": 3.0,
    "truncated_normal": 2.3655,
}  # of +-2: scipy, tested below


def test_kurtosis_of_the_truncated_normal() -> None:
    stats = pytest.importorskip("scipy.stats")
    excess = float(stats.truncnorm(-2, 2).stats(moments="k"))
    assert KURTOSIS["truncated_normal"] == pytest.approx(3 + excess, rel=1e-3)


def check_moments(sample: Any, mean: float, stddev: float, kurtosis: float) -> None:
    assert max(map(abs, z_scores(sample, mean, stddev, kurtosis))) < 4.5


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("init", [i for i in RANDOM if hasattr(i, "distribution")][:8], ids=name_of)
def test_moments(init: Any, dtype: str) -> None:
    shape = (64, 8, 512)
    w = init(shape, dtype)
    # bfloat16 rounds by up to 2**-8: relative variance 1 + 2**-16 / 3, far below the bound.
    theory = *init.distribution_for(shape).moments(), KURTOSIS[init.distribution]
    check_moments(w, *theory)
    assert_caught(check_moments, w.astype(np.float64) * 1.02, *theory)
