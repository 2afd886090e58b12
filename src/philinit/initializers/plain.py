# SPDX-License-Identifier: Apache-2.0
"""Initializers with one distribution for every shape: Uniform, Normal, TruncatedNormal."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from philinit import distributions
from philinit.checks import check_bool
from philinit.distributions import Distribution
from philinit.initializers.seeded import Sampled
from philinit.kernels.tails import spread


class _Plain(Sampled):
    """The same distribution for every shape, its parameters the fields of the same names."""

    _KIND: ClassVar[Any]
    _made: ClassVar[Distribution]  # of an instance, but no field: follows from the fields

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [f.name for f in fields(self._KIND)]
        made = self._KIND(**{name: getattr(self, name) for name in names})
        for name in names:  # as floats
            object.__setattr__(self, name, getattr(made, name))
        object.__setattr__(self, "_made", made)

    def _distribution(self, shape: tuple[int, ...]) -> Distribution:
        return self._made


@dataclass(frozen=True, repr=False, eq=False)
class Uniform(_Plain):
    """U[low, high), by default [-0.05, 0.05) as in Keras; parameters as `distributions.Uniform`.

    >>> pi.Uniform(-0.1, 0.1, seed=42)((1000, 64)).shape
    (1000, 64)
    """

    low: float = -0.05
    high: float = 0.05

    _KIND = distributions.Uniform


@dataclass(frozen=True, repr=False, eq=False)
class Normal(_Plain):
    """Normal of `mean` 0 and `stddev` 0.05 by default; parameters as `distributions.Normal`.

    >>> pi.Normal(0.0, 0.02, seed=42).rows((10**9, 64), [7, 999_999_999]).shape
    (2, 64)
    """

    mean: float = 0.0
    stddev: float = 0.05

    _KIND = distributions.Normal


@dataclass(frozen=True, repr=False, eq=False)
class TruncatedNormal(_Plain):
    """Normal cut at mean + lower * stddev and mean + upper * stddev, by default at 2 stddev.

    `stddev` is the one before the cut: no correction. Parameters as in
    `distributions.TruncatedNormal`; torch's ``trunc_normal_`` has absolute bounds instead.

    With ``after_cut=True`` `stddev` is the one of the weights: the normal that is cut has
    ``stddev / s``, and its bounds count in units of that, where s is the stddev of N(0, 1) cut at
    `lower` and `upper`; 0.8796 for +-2, 0.9866 for +-3. `mean` is the one before the cut always.

    >>> w = pi.TruncatedNormal(0.0, 0.02, -3.0, 3.0, seed=42)((1000,))
    >>> bool((abs(w) <= 0.06).all())
    True
    """

    mean: float = 0.0
    stddev: float = 0.05
    lower: float = -2.0
    upper: float = 2.0
    after_cut: bool = field(default=False, kw_only=True)

    _KIND = distributions.TruncatedNormal

    def __post_init__(self) -> None:
        check_bool("after_cut", self.after_cut)
        super().__post_init__()
        if self.after_cut:
            stddev = self.stddev / spread(self.lower, self.upper)
            made = distributions.TruncatedNormal(self.mean, stddev, self.lower, self.upper)
            object.__setattr__(self, "_made", made)
