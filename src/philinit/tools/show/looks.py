# SPDX-License-Identifier: Apache-2.0
"""What `philinit show` tells of an initializer: theory, a sample, and how far they are apart."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit.distributions import Distribution, Uniform
from philinit.dtypes import MANTISSA_BITS, as_dtype, at_least, at_most, below
from philinit.initializers import VarianceScaling
from philinit.initializers.base import Initializer
from philinit.initializers.fans import compute_fans
from philinit.initializers.orthogonal import Orthogonal
from philinit.tools.measure.statistics import BLOCK, misses, observed
from philinit.tools.measure.theory import Array, Moments, expected

JUDGED = 1000  # weights: with fewer, the standard error of the stddev is too rough for a verdict
REACH = 4.0  # standard deviations: how far a histogram of an unbounded distribution goes at least


@dataclass(frozen=True)
class Look:
    """An initializer looked at: `weights` are the first ones of the tensor, in C order."""

    init: Initializer
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    weights: Array
    distribution: Distribution | None
    interval: tuple[float, float] | None  # smallest and largest number that may be drawn
    expected: Moments | None
    errors: Moments | None  # standard errors for as many weights
    observed: Moments
    smallest: float
    largest: float
    distinct: int
    repeated: float  # share of weights whose value another weight has, too

    @property
    def fans(self) -> tuple[int, int] | None:
        """(fan_in, fan_out) where the initializer asks for them."""
        if not isinstance(self.init, VarianceScaling):
            return None
        return compute_fans(self.shape, self.init.in_axis, self.init.out_axis, self.init.batch_axis)

    @property
    def z(self) -> Moments | None:
        """Distance of each observed moment from the expected one, in standard errors."""
        if self.expected is None or self.errors is None:
            return None
        numbers = zip(self.observed, self.expected, self.errors, strict=True)
        return Moments(*((found - wanted) / error for found, wanted, error in numbers))

    @property
    def off(self) -> list[str]:
        """Which of mean, stddev, min and max cannot be chance.

        Skewness and kurtosis are not judged: for small samples they are far from normal. What
        rounding to the dtype moves a moment by is allowed for.
        """
        wrong = []
        if self.expected is not None and self.errors is not None and self.weights.size >= JUDGED:
            rounding = self._rounding(self.expected.stddev)
            off = misses(self.observed, self.expected, self.errors, rounding)
            wrong += [name for name in off if off[name]]
        if self.interval is not None:
            low, high = self.interval
            wrong += ["min"] * (self.smallest < low) + ["max"] * (self.largest > high)
        return wrong

    def _rounding(self, stddev: float) -> float:
        """By how much the dtype, or TensorFlow's few levels, may move mean and stddev."""
        if self.levels is not None and self.interval is not None:
            return (self.interval[1] - self.interval[0]) / self.levels
        largest = max(-self.smallest, self.largest)
        step = largest - below(largest, self.dtype)
        return step * min(1.0, step / stddev)

    @property
    def levels(self) -> int | None:
        """How many numbers TensorFlow's uniform sampler draws from; None for other samplers.

        They are low + width * i / levels, i < levels: their mean is half a level too low.
        """
        if not isinstance(self.distribution, Uniform) or _sampler(self.init) != "tensorflow":
            return None
        return 1 << MANTISSA_BITS[self.dtype.name]

    def histogram(self, bins: int) -> tuple[Array, Array]:
        """(edges, counts) of at most `bins` bins, over the support where it is bounded.

        Edges lie half-way between two numbers of the dtype: a bin holds all that was rounded from
        inside it, and nothing else.
        """
        low, high = self._range()
        inner = np.linspace(low, high, bins + 1)[1:-1]
        ends = [min(low, self.smallest), max(high, self.largest)]
        edges = np.unique([*ends, *(_between(float(x), self.dtype) for x in inner)])
        counts = np.zeros(edges.size - 1, np.int64)
        for start in range(0, self.weights.size, BLOCK):
            block = self.weights[start : start + BLOCK].astype(np.float64)
            counts += np.histogram(block, edges)[0]
        return edges, counts

    def _range(self) -> tuple[float, float]:
        low, high = self.smallest, self.largest
        if self.distribution is not None and self.expected is not None:
            mean, stddev = self.expected[:2]
            ends = self.distribution.support()
            low = ends[0] if math.isfinite(ends[0]) else min(low, mean - REACH * stddev)
            high = ends[1] if math.isfinite(ends[1]) else max(high, mean + REACH * stddev)
        return (low, high) if low < high else (low - 0.5, high + 0.5)


def _between(x: float, dtype: np.dtype[Any]) -> float:
    """Half-way between the two numbers of `dtype` that x lies between."""
    return at_most(x, dtype) / 2 + at_least(math.nextafter(x, math.inf), dtype) / 2


def look(init: Initializer, shape: tuple[int, ...], dtype: str, limit: int) -> Look:
    """Draw the first weights of a tensor, at most `limit`, and hold them against theory.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        What the initializer raises for this shape and dtype; a shape without weights; an
        orthogonal matrix, which cannot be drawn in part, beyond the limit.
    """
    found = as_dtype(dtype)
    size = math.prod(shape)
    if size == 0:
        raise ValueError(f"`shape` must hold at least one weight; got shape={shape}")
    if isinstance(init, Orthogonal) and size > limit:
        raise ValueError(
            f"an orthogonal matrix is drawn as a whole: at most {limit:,} weights; got {size:,}"
        )
    distribution = init.distribution_for(shape)
    weights = init.shard(shape, _leading(shape, limit), found).reshape(-1)
    theory = None if distribution is None else expected(distribution)
    _, counts = np.unique(weights.view(f"u{found.itemsize}"), return_counts=True)
    sample, root = observed(weights), math.sqrt(weights.size)
    return Look(
        init=init,
        shape=shape,
        dtype=found,
        weights=weights,
        distribution=distribution,
        interval=None if distribution is None else _interval(init, distribution, found),
        expected=None if theory is None else theory[0],
        errors=None if theory is None else Moments(*(error / root for error in theory[1])),
        observed=sample.moments,
        smallest=sample.smallest,
        largest=sample.largest,
        distinct=int(counts.size),
        repeated=float(counts[counts > 1].sum()) / weights.size,
    )


def _sampler(init: Initializer) -> str:
    return str(getattr(init, "sampler", "native"))


def _leading(shape: tuple[int, ...], limit: int) -> tuple[Any, ...]:
    """Index of the longest leading run of a tensor that is a shard of at most `limit` elements."""
    index: list[Any] = []
    for axis, length in enumerate(shape):
        rest = math.prod(shape[axis + 1 :])
        if rest <= limit:
            return (*index, slice(0, min(length, limit // rest)))
        index.append(0)
    return ()


def _interval(
    init: Initializer, distribution: Distribution, dtype: np.dtype[Any]
) -> tuple[float, float]:
    """The smallest and the largest number of the dtype that may be drawn."""
    low, high = distribution.support()
    if _sampler(init) == "tensorflow":  # its arithmetic may round outwards
        return at_most(low, dtype), at_least(high, dtype)
    closed = at_most if not isinstance(distribution, Uniform) else below
    return at_least(low, dtype), closed(high, dtype)
