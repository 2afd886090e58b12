# SPDX-License-Identifier: Apache-2.0
"""Orthogonal: rows or columns, the QR that it is, no sign favored."""

from __future__ import annotations

import math

import numpy as np
import pytest

import philinit as pi
from philinit import distributions
from tests.support.initializers import DTYPES


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 2, 5), (2, 3, 4), (1, 1), (2, 0)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...], dtype: str) -> None:
    w = pi.orthogonal(shape, dtype, gain=2.0, seed=3).astype(np.float64)
    w = w.reshape(math.prod(shape[:-1]), shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    # Each entry sums at most 9 products, errors of a few units in the last place of gain**2.
    epsilon = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
    np.testing.assert_allclose(gram, 4.0 * np.eye(len(gram)), atol=4.0 * 9 * epsilon[dtype])


def test_orthogonal_is_the_qr_of_the_native_normal_with_positive_diagonal() -> None:
    a = np.empty((7, 4))
    pi.fill(a, distributions.Normal(), pi.Key.from_seed(3))
    w = pi.orthogonal((7, 4), "float64", seed=3)
    r = w.T @ a
    assert (np.diagonal(r) > 0).all()
    np.testing.assert_allclose(np.tril(r, -1), 0.0, atol=1e-13)
    np.testing.assert_allclose(w @ r, a, atol=1e-13)


def test_orthogonal_favors_no_sign() -> None:
    """Without the sign fix LAPACK's Q[0, 0] has one sign only."""
    positive = sum(float(pi.orthogonal((3, 3), "float64", seed=s)[0, 0]) > 0 for s in range(400))
    assert abs(positive - 200) < 4.5 * 10  # binomial, stddev 10
