# SPDX-License-Identifier: Apache-2.0
"""Activation -> gain, the factor that its non-linearity asks of the stddev of the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from philinit.checks import finite

CRITERIA = ("convention", "second_moment", "variance", "gradient")


class Moments(NamedTuple):
    """What f does to z ~ N(0, 1)."""

    mean: float  # E f(z)
    second: float  # E f(z)**2
    slope: float  # E f'(z)**2


def _half(k: float) -> float:
    """E[exp(k z); z < 0] = exp(k**2 / 2) Phi(-k)."""
    return math.exp(0.5 * k * k) * 0.5 * math.erfc(k / math.sqrt(2.0))


_HALF_MEAN = 1.0 / math.sqrt(2.0 * math.pi)  # E[z; z > 0]


def _leaky_relu(slope: float) -> Moments:
    power = 0.5 * (1.0 + slope * slope)  # He et al. 2015, Eq. 15
    return Moments((1.0 - slope) * _HALF_MEAN, power, power)


def _elu(alpha: float, factor: float = 1.0) -> Moments:
    """factor * (z above 0, alpha * (exp(z) - 1) below)."""
    e1, e2 = _half(1.0), _half(2.0)
    return Moments(
        factor * (_HALF_MEAN + alpha * (e1 - 0.5)),
        factor * factor * (0.5 + alpha * alpha * (e2 - 2.0 * e1 + 0.5)),
        factor * factor * (0.5 + alpha * alpha * e2),
    )


def _sin(omega: float) -> Moments:
    decay = math.exp(-2.0 * omega * omega)
    return Moments(0.0, 0.5 * (1.0 - decay), omega * omega * 0.5 * (1.0 + decay))


# Activations with a parameter, and its default: torch's slope for leaky_relu, the initial slope
# of He et al. 2015 for prelu, alpha = 1 for elu, omega = 1 for sin(omega z).
_FAMILIES: dict[str, tuple[Callable[[float], Moments], float]] = {
    "leaky_relu": (_leaky_relu, 0.01),
    "prelu": (_leaky_relu, 0.25),
    "elu": (_elu, 1.0),
    "sin": (_sin, 1.0),
}

# The others. Decimal constants are integrals over the normal density, computed with mpmath to 30
# digits; tests/initializers/test_gains.py computes them again with SciPy.
_TABLE: dict[str, Moments] = {
    "linear": Moments(0.0, 1.0, 1.0),
    "relu": _leaky_relu(0.0),
    "relu6": Moments(0.3989422802450757, 0.49999999807527046, 0.49999999901341236),
    "relu_squared": Moments(0.5, 1.5, 2.0),
    "selu": _elu(1.6732632423543772, 1.0507009873554805),  # Klambauer et al. 2017
    "tanh": Moments(0.0, 0.3942944903978412, 0.46440290244826826),
    "sigmoid": Moments(0.5, 0.29337903585809294, 0.04483624135019437),
    "softsign": Moments(0.0, 0.1830140212665475, 0.2276713404221825),
    "softplus": Moments(0.8060591833474398, 0.9212459088593002, 0.29337903585809294),
    "gelu": Moments(0.28209479177387814, 0.4252214825702987, 0.4558508656492871),
    "silu": Moments(0.20662096414190703, 0.35577551981735217, 0.3794823516328293),
    "mish": Moments(0.24040388837479143, 0.45234219237588275, 0.47908375837396977),
    "hardswish": Moments(0.1662167006561233, 0.3315673751379077, 0.35853151717860526),
}

# Squares of what torch.nn.init.calculate_gain returns; conventions, not results of a formula
# (relu and leaky_relu, which follow one, need no entry).
_CONVENTIONS = {"tanh": (5.0 / 3.0) ** 2, "sigmoid": 1.0, "selu": 0.75**2}

_ALIASES = {
    "identity": "linear",
    "swish": "silu",
    "hard_silu": "hardswish",
    "hard_swish": "hardswish",
    # calculate_gain of torch takes the names of its linear layers too
    **{f"conv{way}{n}d": "linear" for way in ("", "_transpose") for n in (1, 2, 3)},
}

ACTIVATIONS = tuple(sorted({*_TABLE, *_FAMILIES, *_ALIASES}))


def _moments(activation: str, param: float | None) -> Moments:
    if activation in _FAMILIES:
        family, default = _FAMILIES[activation]
        return family(default if param is None else param)
    if param is not None:
        raise ValueError(
            f"`param` must be left out for {activation}, only {', '.join(_FAMILIES)} have one; "
            f"got param={param}"
        )
    return _TABLE[activation]


def gain_squared(
    activation: str, param: float | None = None, *, criterion: str = "convention"
) -> float:
    """`gain` before the square root: the numerator of the variance, exactly 2 for relu."""
    if not isinstance(activation, str):
        raise TypeError(f"`activation` must be a str; got activation={activation!r}")
    name = _ALIASES.get(activation, activation)
    if name not in _TABLE and name not in _FAMILIES:
        raise ValueError(
            f"`activation` must be one of {', '.join(ACTIVATIONS)}; got activation={activation!r}"
        )
    if criterion not in CRITERIA:
        raise ValueError(
            f"`criterion` must be one of {', '.join(CRITERIA)}; got criterion={criterion!r}"
        )
    moments = _moments(name, None if param is None else finite("param", param))
    if criterion == "convention" and name in _CONVENTIONS:
        return _CONVENTIONS[name]
    kept = {
        "variance": moments.second - moments.mean * moments.mean,
        "gradient": moments.slope,
    }.get(criterion, moments.second)
    if not kept > 0.0 or math.isinf(kept):
        raise ValueError(
            f"`param` must leave {activation} a finite, non-zero effect; got param={param}"
        )
    return 1.0 / kept


def gain(activation: str, param: float | None = None, *, criterion: str = "convention") -> float:
    """The gain of an activation f: Var[W] = gain**2 / fan keeps the signal's size through f.

    For z ~ N(0, 1)::

        "second_moment"   gain = 1 / sqrt(E[f(z)**2])     He et al. 2015; for zero-mean weights
        "variance"        gain = 1 / sqrt(Var[f(z)])      Brock et al. 2021; weights standardized
        "gradient"        gain = 1 / sqrt(E[f'(z)**2])    keeps the backward signal
        "convention"      what torch.nn.init.calculate_gain returns where it knows f (linear 1,
                          sigmoid 1, tanh 5/3, relu sqrt(2), leaky_relu sqrt(2 / (1 + slope**2)),
                          selu 3/4), and "second_moment" for every other f

    The gain multiplies the stddev of the weights, so `scale` of VarianceScaling is gain**2.

    Parameters
    ----------
    activation : str
        linear (identity, or a layer as torch names it: conv1d to conv_transpose3d), relu,
        leaky_relu, prelu, relu6, relu_squared, elu, selu, tanh, sigmoid, softsign, softplus,
        gelu (the exact one), silu (swish), mish, hardswish (hard_silu, hard_swish) or sin.
    param : float, optional
        Slope of leaky_relu (default 0.01, as in torch) and of prelu (0.25), alpha of elu (1),
        omega of sin(omega z) (1). The others take none.
    criterion : str
        One of the four above.

    Returns
    -------
    float
        > 0.

    Raises
    ------
    TypeError
        `activation` is no str or `param` no real number.
    ValueError
        An unknown activation or criterion; a `param` that is not finite, that this activation
        does not have, or for which the criterion has no value.

    Examples
    --------
    >>> gain("tanh")
    1.6666666666666667
    >>> round(gain("tanh", criterion="second_moment"), 6)
    1.592537
    >>> gain("leaky_relu", 1.0)  # He et al. 2015, Eq. 15: slope 1 is the linear case
    1.0

    References
    ----------
    He, Zhang, Ren & Sun 2015, Delving deep into rectifiers, arXiv:1502.01852, Eqs. 10, 14, 15.
    Klambauer et al. 2017, Self-normalizing neural networks, arXiv:1706.02515.
    Brock et al. 2021, High-performance large-scale image recognition, arXiv:2102.06171.
    """
    return math.sqrt(gain_squared(activation, param, criterion=criterion))
