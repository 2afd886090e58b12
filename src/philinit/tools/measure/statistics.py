# SPDX-License-Identifier: Apache-2.0
"""Numbers of a sample, and whether they can be those of a distribution.

What theory says of the distribution stands in `theory`.
"""

import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from philinit.distributions import Distribution
from philinit.dtypes import MANTISSA_BITS, as_dtype
from philinit.tools.measure.machine import cpus
from philinit.tools.measure.theory import Array, Moments, density, expected

ALPHA = 1e-6  # chance that one min or max of a correct sample is called off
Z_BOUND = 4.5  # standard errors: a right mean or stddev is beyond it once in 150 000 times
BLOCK = 1 << 20  # elements: samples are read this much at a time


class Sample(NamedTuple):
    """What was read of a sample of `size` weights; see `observed`."""

    size: int
    moments: Moments
    smallest: float
    largest: float


def observed(
    weights: Array, threads: int | None = None, *, step: int = 1, order: int = 4
) -> Sample:
    """Moments and ends of 1-D weights, in float64, block by block without another copy.

    Parameters
    ----------
    weights : ndarray
        Of any of `philinit.dtypes.NAMES`.
    threads : int, optional
        All CPUs unless given.
    step : int, optional
        More than 1: only each `step`-th block of `BLOCK` elements is read.
    order : int, optional
        2 leaves out skewness and kurtosis, which are NaN then, as they are without any spread.
    """
    starts = range(0, weights.size, step * BLOCK)
    # Powers are summed of the distance from a number among the weights, and lose no digits by it.
    center = float(_widened(weights[:BLOCK]).mean())

    def part(start: int) -> tuple[float, ...]:
        x = _widened(weights[start : start + BLOCK])
        low, high = float(x.min()), float(x.max())
        x -= center
        squares = x * x
        more = (float(x @ squares), float(squares @ squares)) if order == 4 else (math.nan,) * 2
        return low, high, x.size, float(x.sum()), float(squares.sum()), *more

    with ThreadPoolExecutor(cpus(threads)) as pool:
        lows, highs, sizes, *sums = zip(*pool.map(part, starts), strict=True)
    size = sum(map(int, sizes))
    low, high = min(lows), max(highs)
    d, m2, m3, m4 = (math.fsum(numbers) / size for numbers in sums)
    variance = m2 - d * d
    if low == high or variance <= 0.0:
        return Sample(size, Moments(center + d, 0.0, math.nan, math.nan), low, high)
    third = m3 - 3.0 * d * m2 + 2.0 * d**3
    fourth = m4 - 4.0 * d * m3 + 6.0 * d * d * m2 - 3.0 * d**4
    moments = Moments(center + d, math.sqrt(variance), third / variance**1.5, fourth / variance**2)
    return Sample(size, moments, low, high)


def _widened(block: Array) -> Array:
    """float64 copy of a block; bfloat16 by a shift, since its cast is slow."""
    if block.dtype.name == "bfloat16":
        block = (block.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return block.astype(np.float64)


def misses(
    found: Moments, wanted: Moments, errors: Iterable[float], slack: float
) -> dict[str, bool]:
    """Whether mean and stddev are further from theory than chance and `slack` take them."""
    names = ("mean", "stddev")
    return {
        name: not abs(one - other) < Z_BOUND * error + slack
        for name, one, other, error in zip(names, found, wanted, errors, strict=False)
    }


def verdict(
    found: Sample, wanted: Distribution, dtype: str, slack: float = 0.0
) -> dict[str, float | bool]:
    """The four numbers, z of mean and stddev, and whether each of the four is right, as "mean_ok".

    Min and max must lie inside the support and near its ends: an end of density p is missed by
    more than ln(1 / alpha) / (n p) with chance alpha. Ends count as the dtype rounds them; a normal
    has none. `slack` is what each of the four may be off beyond that, in units of the weights: some
    generators draw few levels.
    """
    theory = expected(wanted)
    assert theory is not None, "a distribution with a stddev of 0 has no verdict"
    errors = [error / math.sqrt(found.size) for error in theory[1][:2]]
    off = misses(found.moments, theory[0], errors, slack)
    low, high = support = wanted.support()
    rounded = as_dtype(dtype).type  # an end that the dtype cannot hold may be rounded outwards
    low, high = min(low, float(rounded(low))), max(high, float(rounded(high)))
    result: dict[str, float | bool] = {
        "mean": found.moments.mean,
        "stddev": found.moments.stddev,
        "min": found.smallest,
        "max": found.largest,
    }
    for name, number, theirs, error in zip(off, found.moments, theory[0], errors, strict=False):
        result["z_" + name] = (number - theirs) / error
        result[name + "_ok"] = not off[name]
    near = []
    for end in support:
        if math.isinf(end):
            near.append(math.inf)
            continue
        chance = math.log(1.0 / ALPHA) / (found.size * float(density(wanted, np.array(end))))
        near.append(chance + max(-low, high) * 2.0 ** (1 - MANTISSA_BITS[dtype]) + slack)
    result["min_ok"] = low - slack <= found.smallest <= low + near[0] or math.isinf(low)
    result["max_ok"] = high - near[1] <= found.largest <= high + slack or math.isinf(high)
    return result
