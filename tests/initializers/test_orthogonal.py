# SPDX-License-Identifier: Apache-2.0
"""Orthogonal: rows or columns, how nearly orthogonal, and uniform over all such matrices."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

import philinit as pi
from tests.support.initializers import DTYPES
from tests.support.planted import assert_caught

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(6, 6), (9, 4), (4, 9), (3, 2, 5), (2, 3, 4), (1, 1), (2, 0)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...], dtype: str) -> None:
    w = pi.orthogonal(shape, dtype, gain=2.0, seed=3).astype(np.float64)
    w = w.reshape(math.prod(shape[:-1]), shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    # Each entry sums at most 9 products, errors of a few units in the last place of gain**2.
    epsilon = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
    np.testing.assert_allclose(gram, 4.0 * np.eye(len(gram)), atol=4.0 * 9 * epsilon[dtype])


def error(rows: int, columns: int, dtype: str) -> float:
    """The largest entry of W^T W - 1, in float64, some columns at a time."""
    w, largest = pi.orthogonal((rows, columns), dtype, seed=3).astype(np.float64), 0.0
    for begin in range(0, columns, 512):
        gram = w.T @ w[:, begin : begin + 512]
        own = np.arange(gram.shape[1])
        gram[begin + own, own] -= 1.0
        largest = max(largest, float(np.abs(gram).max()))
    return largest


@pytest.mark.parametrize("sizes", [(512, 512), (1000, 700), (2304, 256)])
def test_orthogonal_to_a_millionth(sizes: tuple[int, int]) -> None:
    assert error(*sizes, "float32") <= 1e-6
    assert error(*sizes, "float64") <= 5e-15


@pytest.mark.slow
def test_orthogonal_to_a_millionth_of_4096_columns() -> None:
    assert error(4096, 4096, "float32") <= 1e-6


def test_a_part_is_cut_out_of_the_whole() -> None:
    init = pi.Orthogonal(0.5, seed=3)
    for shape, dtype in (
        ((200, 120), "float32"),
        ((3, 40, 130), "float64"),
        ((9, 250), "bfloat16"),
    ):
        whole = init(shape, dtype)
        assert init.shard(shape, np.s_[1:3], dtype).tobytes() == whole[1:3].tobytes()
        assert init.rows(shape, [2, 0, 2], dtype).tobytes() == whole[[2, 0, 2]].tobytes()
        wide = np.zeros((*shape[:-1], shape[-1] + 5), whole.dtype)
        init.fill(wide[..., 2:-3])
        assert wide[..., 2:-3].tobytes() == whole.tobytes()
        assert not wide[..., :2].any() and not wide[..., -3:].any()


# --- the Haar measure ----------------------------------------------------------------------------

COUNT, ROWS, COLUMNS = 4000, 6, 4


@functools.cache
def sample(rows: int, columns: int) -> Array:
    """Matrices of as many seeds."""
    shape, seeds = (rows, columns), range(COUNT)
    return np.stack([pi.orthogonal(shape, "float64", seed=s) for s in seeds])


def check_mean(values: Array, mean: float, stddev: float) -> None:
    """That of independent numbers whose mean and standard deviation are known."""
    z = abs(float(values.mean()) - mean) * math.sqrt(len(values)) / stddev
    assert z < 4.5, f"z = {z:.1f} for a mean of {mean}"


def check_traces(w: Array) -> None:
    """Traces of W and W^2, of Haar in O(n), n >= 8: moments up to the fourth are those of N(0, 1)
    and of N(1, 2) (Diaconis & Evans 2001)."""
    one = np.trace(w, axis1=1, axis2=2)
    two = np.trace(w @ w, axis1=1, axis2=2)
    check_mean(one, 0.0, 1.0)
    check_mean(one**2, 1.0, math.sqrt(2.0))
    check_mean(two, 1.0, math.sqrt(2.0))
    check_mean((two - 1.0) ** 2, 2.0, math.sqrt(8.0))
    check_mean(one * (two - 1.0), 0.0, math.sqrt(2.0))


def check_turned_traces(w: Array) -> None:
    """Those of W times fixed matrices, since Haar's measure is the same from all sides."""
    turns = np.random.default_rng(5)
    for _ in range(3):
        q = np.linalg.qr(turns.standard_normal(w.shape[1:]))[0]
        check_traces(q @ w)


def check_entries(w: Array) -> None:
    """Any column is uniform on the sphere of R^m: w_ij^2 is Beta(1/2, (m - 1)/2), and is not
    correlated with another column's but as Haar's moments say (Collins & Sniady 2006)."""
    m = w.shape[1]
    mean, fourth = 1.0 / m, 3.0 / (m * (m + 2.0))
    stddev = math.sqrt(fourth - mean**2)
    for i in range(m):
        for j in range(w.shape[2]):
            check_mean(w[:, i, j], 0.0, math.sqrt(mean))
            check_mean(w[:, i, j] ** 2, mean, stddev)
    # E w_11^2 w_22^2 = (m + 1) / ((m - 1) m (m + 2)); its own spread from the sample.
    both = w[:, 0, 0] ** 2 * w[:, 1, 1] ** 2
    check_mean(both, (m + 1.0) / ((m - 1.0) * m * (m + 2.0)), float(both.std()))
    four = w[:, 0, 0] * w[:, 0, 1] * w[:, 1, 0] * w[:, 1, 1]
    check_mean(four, -1.0 / ((m - 1.0) * m * (m + 2.0)), float(four.std()))


def check_determinants(w: Array) -> None:
    """Rotations and reflections are as likely."""
    check_mean(np.linalg.det(w), 0.0, 1.0)


def check_spacings(w: Array) -> None:
    """Eigenvalues of rotations repel: the smallest gap of Haar's angles against a sample that
    SciPy draws."""
    from scipy import stats

    def gaps(matrices: Array) -> Array:
        angles = np.sort(np.angle(np.linalg.eigvals(matrices)), axis=1)
        return np.asarray(np.diff(angles, axis=1)).min(axis=1)

    theirs = stats.ortho_group.rvs(w.shape[1], size=COUNT, random_state=1)
    assert stats.ks_2samp(gaps(w), gaps(theirs)).pvalue > 1e-5


CHECKS = (check_traces, check_turned_traces, check_entries, check_determinants, check_spacings)


@pytest.mark.parametrize("check", CHECKS)
def test_orthogonal_is_uniform(check) -> None:
    check(sample(8, 8))


@pytest.mark.parametrize("sizes", [(ROWS, COLUMNS), (COLUMNS, ROWS)])
def test_orthonormal_columns_and_rows_are_uniform(sizes: tuple[int, int]) -> None:
    w = sample(*sizes)
    check_entries(w if sizes[0] >= sizes[1] else w.transpose(0, 2, 1))


def without_signs(w: Array) -> Array:
    """As Q of LAPACK, which has columns of one sign."""
    return w * -np.sign(w[:, :1, :])


def test_what_is_not_uniform_is_caught() -> None:
    w = sample(8, 8)
    assert_caught(check_entries, without_signs(w))
    assert_caught(check_traces, without_signs(w))
    assert_caught(check_turned_traces, without_signs(w))
    assert_caught(check_entries, w * 1.02)
    rotations = w.copy()
    rotations[:, :, 0] *= np.sign(np.linalg.det(w))[:, None]
    assert_caught(check_determinants, rotations)
    assert_caught(check_traces, np.sort(w, axis=2))
    diagonal = w * 0.0 + np.eye(8) * np.sign(w[:, 0, :])[:, None, :]
    assert_caught(check_spacings, diagonal)
