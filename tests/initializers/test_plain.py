# SPDX-License-Identifier: Apache-2.0
"""Uniform, Normal, TruncatedNormal: what they say is what they draw."""

from __future__ import annotations

import numpy as np
import pytest

import philinit as pi
from philinit import distributions
from tests.support.initializers import DTYPES


def test_plain_initializers_draw_what_they_say() -> None:
    for init, expected in [
        (pi.Uniform(), distributions.Uniform(-0.05, 0.05)),
        (pi.Normal(), distributions.Normal(0.0, 0.05)),
        (pi.TruncatedNormal(), distributions.TruncatedNormal(0.0, 0.05, -2.0, 2.0)),
        (pi.TruncatedNormal(1, 2, -3, 4), distributions.TruncatedNormal(1.0, 2.0, -3.0, 4.0)),
    ]:
        assert init.distribution_for((2, 3)) == expected
    assert pi.Zeros().distribution_for((2, 3)) is None
    assert pi.Orthogonal().distribution_for((2, 3)) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_uniform_stays_in_its_half_open_interval(dtype: str) -> None:
    w = pi.uniform((1 << 16,), dtype, low=-0.1, high=0.3, seed=1).astype(np.float64)
    assert -0.1 <= w.min() < -0.09
    assert 0.29 < w.max() < 0.3
