# SPDX-License-Identifier: Apache-2.0
"""What is drawn: three immutable descriptions of a distribution, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from philinit.checks import finite, real
from philinit.dtypes import largest


def _finite(owner: Any, *names: str) -> None:
    """Turn the named fields into floats and refuse what is no finite real number."""
    for name in names:
        object.__setattr__(owner, name, finite(name, getattr(owner, name)))


def _real(owner: Any, name: str) -> float:
    object.__setattr__(owner, name, real(name, getattr(owner, name)))
    value: float = getattr(owner, name)
    return value


def _density(x: float) -> float:
    return math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)


# The bounds of a truncated normal must hold this much probability: with less, 2**-64 of it would
# be a subnormal number, and its digits lost. One-sided bounds reach 36.2 with it.
LEAST_MASS = 1e-288

# Standard deviation of a standard normal cut at -2 and 2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1)).
TRUNCATED_STDDEV = 0.87962566103423978

# Narrower bounds than this are taken as a short piece of the density: differences would cancel.
_NARROW = 1e-3


@dataclass(frozen=True)
class Uniform:
    """Uniform on [low, high): density 1 / (high - low); `low` may be drawn, `high` never.

    >>> Uniform(-1.0, 1.0).support()
    (-1.0, 1.0)

    Raises
    ------
    ValueError
        `low` >= `high`, a parameter that is not finite, or `high - low` beyond float64.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        _finite(self, "low", "high")
        if not self.low < self.high:
            raise ValueError(f"`low` must be below `high`; got low={self.low}, high={self.high}")
        if math.isinf(self.high - self.low):
            raise ValueError(
                f"`high - low` must not overflow; got low={self.low}, high={self.high}"
            )

    def moments(self) -> tuple[float, float]:
        """Mean (low + high) / 2 and standard deviation (high - low) / sqrt(12)."""
        return self.low / 2 + self.high / 2, (self.high - self.low) / math.sqrt(12.0)

    def support(self) -> tuple[float, float]:
        """(low, high), the upper end open."""
        return self.low, self.high


@dataclass(frozen=True)
class Normal:
    """Normal (Gaussian): density exp(-((x - mean) / stddev)**2 / 2) / (stddev sqrt(2 pi)).

    >>> Normal(0.0, 0.02).moments()
    (0.0, 0.02)

    Raises
    ------
    ValueError
        `stddev` < 0 or a parameter that is not finite. `stddev` = 0 gives `mean` everywhere.
    """

    mean: float = 0.0
    stddev: float = 1.0

    def __post_init__(self) -> None:
        _finite(self, "mean", "stddev")
        if self.stddev < 0:
            raise ValueError(f"`stddev` must not be negative; got stddev={self.stddev}")

    def moments(self) -> tuple[float, float]:
        """(mean, stddev)."""
        return self.mean, self.stddev

    def support(self) -> tuple[float, float]:
        """(-inf, inf)."""
        return -math.inf, math.inf


@dataclass(frozen=True)
class TruncatedNormal(Normal):
    """Normal cut at mean + lower * stddev and mean + upper * stddev, both ends closed.

    `mean` and `stddev` are those of the normal before the cut; `moments` gives those after it.
    The bounds count in units of `stddev`, as in TensorFlow and JAX; they may be infinite.

    >>> round(TruncatedNormal(0.0, 1.0).moments()[1], 4)
    0.8796

    Raises
    ------
    ValueError
        As for `Normal`; NaN bounds; `lower` >= `upper`; bounds so far out (beyond about 36.2)
        that they hold less probability than 1e-288.
    """

    lower: float = -2.0
    upper: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        lower, upper = _real(self, "lower"), _real(self, "upper")
        if not lower < upper:  # also refuses NaN
            raise ValueError(f"`lower` must be below `upper`; got lower={lower}, upper={upper}")
        if self.mass() < LEAST_MASS:
            raise ValueError(
                f"the bounds must hold some probability (at least {LEAST_MASS}); "
                f"got lower={lower}, upper={upper}"
            )

    def mass(self) -> float:
        """Probability of a standard normal between the bounds, Phi(upper) - Phi(lower)."""
        a, b = self.lower, self.upper
        if self._narrow():
            m, width = a / 2 + b / 2, b - a
            return _density(m) * width * (1.0 + (m * m - 1.0) * width * width / 24.0)
        root2 = math.sqrt(2.0)
        if a < 0.0 < b:
            return 0.5 * (math.erf(b / root2) - math.erf(a / root2))
        if a < 0.0:  # the symmetric upper tail, where erfc keeps its relative precision
            a, b = -b, -a
        return 0.5 * (math.erfc(a / root2) - math.erfc(b / root2))

    def _narrow(self) -> bool:
        a, b = self.lower, self.upper
        return (b - a) * max(1.0, abs(a), abs(b)) < _NARROW

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation after the cut (Johnson, Kotz & Balakrishnan 1994, 13.10)."""
        a, b = self.lower, self.upper
        if self._narrow():  # nearly uniform, on a slope of -m
            m, width = a / 2 + b / 2, b - a
            shift, spread = m - m * width * width / 12.0, width / math.sqrt(12.0)
            return self.mean + self.stddev * shift, self.stddev * spread
        z, pa, pb = self.mass(), _density(a), _density(b)
        ta = a * pa if math.isfinite(a) else 0.0
        tb = b * pb if math.isfinite(b) else 0.0
        shift = (pa - pb) / z
        variance = 1.0 + (ta - tb) / z - shift * shift
        return self.mean + self.stddev * shift, self.stddev * math.sqrt(max(variance, 0.0))

    def support(self) -> tuple[float, float]:
        """(mean + lower stddev, mean + upper stddev), both ends closed."""
        if self.stddev == 0.0:
            return self.mean, self.mean
        return self.mean + self.lower * self.stddev, self.mean + self.upper * self.stddev


Distribution = Uniform | Normal | TruncatedNormal


def describe(distribution: Distribution) -> str:
    """One line for messages: the class and its parameters.

    >>> describe(Normal(0.0, 0.02))
    'Normal(mean=0.0, stddev=0.02)'
    """
    parts = ", ".join(f"{f.name}={getattr(distribution, f.name)}" for f in fields(distribution))
    return f"{type(distribution).__name__}({parts})"


def check_overflow(reach: float, dtype: np.dtype[Any], what: Any) -> None:
    """Refuse to draw what reaches beyond `dtype`; the message speaks of `what`.

    >>> check_overflow(1e4, np.dtype(np.float16), "the weights")
    """
    if reach > largest(dtype):
        raise ValueError(
            f"the numbers drawn must stay below {largest(dtype):.6g}, the largest {dtype.name}; "
            f"got {describe(what)}"
        )
