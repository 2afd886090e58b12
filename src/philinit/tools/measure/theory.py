# SPDX-License-Identifier: Apache-2.0
"""What theory says of a distribution: density, moments, and by how much samples miss them."""

import math
from typing import Any, NamedTuple

import numpy as np

from philinit.distributions import Distribution, TruncatedNormal, Uniform

Array = np.ndarray[Any, Any]

_NODES = 256  # Gauss-Legendre nodes: 13 for each unit of a normal, which leaves 15 digits
_FAINT = 46.0  # a density exp(-46) = 1e-20 times its peak counts as the end of the support


class Moments(NamedTuple):
    """Central moments; the kurtosis of a normal is 3."""

    mean: float
    stddev: float
    skewness: float
    kurtosis: float


def density(distribution: Distribution, x: Array) -> Array:
    """The probability density at each x: 0 outside the support; `stddev` must not be 0."""
    low, high = distribution.support()
    inside = (x >= low) & (x <= high)
    if isinstance(distribution, Uniform):
        return inside / (high - low)
    mass = distribution.mass() if isinstance(distribution, TruncatedNormal) else 1.0
    z = (x - distribution.mean) / distribution.stddev
    peak = 1.0 / (distribution.stddev * math.sqrt(2.0 * math.pi) * mass)
    return np.where(inside, peak * np.exp(-0.5 * z * z), 0.0)


def _nodes(distribution: Distribution) -> tuple[float, float, Array, Array]:
    """(center, scale, z, weights): x = center + scale z carries the probability weights."""
    roots, weights = np.polynomial.legendre.leggauss(_NODES)
    if isinstance(distribution, Uniform):
        center = distribution.low / 2 + distribution.high / 2
        return center, distribution.high / 2 - distribution.low / 2, roots, weights / 2.0
    lower, upper = -math.inf, math.inf
    if isinstance(distribution, TruncatedNormal):
        lower, upper = distribution.lower, distribution.upper
    mode = min(max(0.0, lower), upper)
    reach = math.sqrt(mode * mode + 2.0 * _FAINT)
    lower, upper = max(lower, -reach), min(upper, reach)
    z = (lower + upper) / 2.0 + (upper - lower) / 2.0 * roots
    weights = weights * np.exp(-0.5 * (z - mode) * (z + mode))
    return distribution.mean, distribution.stddev, z, weights / weights.sum()


def expected(distribution: Distribution) -> tuple[Moments, Moments] | None:
    """Moments, and the standard errors that a sample of one weight would have; None for stddev 0.

    A sample of n independent weights has these errors divided by sqrt(n), for large n: they are
    the standard deviations of the influence functions of the four numbers,
    ``s z``, ``s (z**2 - 1) / 2``, ``z**3 - 3 z - g - 3 g (z**2 - 1) / 2`` and
    ``z**4 - 2 k z**2 - 4 g z + k`` for stddev s, skewness g, kurtosis k, z standardized
    (Hampel et al. 1986, Robust Statistics).
    """
    center, scale, nodes, weights = _nodes(distribution)
    shift = _clean(float(weights @ nodes))
    spread = math.sqrt(float(weights @ (nodes - shift) ** 2))
    if scale == 0.0:
        return None
    z = (nodes - shift) / spread
    g, k = _clean(float(weights @ z**3)), float(weights @ z**4)
    influences = (
        z,
        (z**2 - 1.0) / 2.0,
        z**3 - 3.0 * z - g - 1.5 * g * (z**2 - 1.0),
        z**4 - 2.0 * k * z**2 - 4.0 * g * z + k,
    )
    s = scale * spread
    errors = [math.sqrt(float(weights @ f**2)) for f in influences]
    return Moments(center + scale * shift, s, g, k), Moments(
        s * errors[0], s * errors[1], errors[2], errors[3]
    )


def _clean(number: float) -> float:
    """0 for what symmetry makes 0, but for rounding."""
    return 0.0 if abs(number) < 1e-14 else number
