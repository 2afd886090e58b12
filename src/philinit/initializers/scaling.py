# SPDX-License-Identifier: Apache-2.0
"""Initializers that scale with the fans: VarianceScaling, and Glorot, He and LeCun by name."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from philinit import distributions
from philinit.checks import check_bool, finite, one_of, positive, shown
from philinit.distributions import TRUNCATED_STDDEV, Distribution
from philinit.initializers.fans import Axes, as_roles, compute_fans
from philinit.initializers.gains import gain_squared
from philinit.initializers.seeded import Sampled
from philinit.kernels.tails import spread
from philinit.rounding import to_nearest

MODES = ("fan_in", "fan_out", "fan_avg", "fan_geo_avg")
DISTRIBUTIONS = ("uniform", "normal", "truncated_normal")


@functools.lru_cache(maxsize=4096)
@to_nearest()
def _scaled(
    scale: float,
    mode: str,
    distribution: str,
    cut: tuple[float, float, bool],
    axes: tuple[Any, Any, Any],
    shape: tuple[int, ...],
) -> Distribution:
    """The distribution of variance scale / n; operations in the order of Keras, for its bits."""
    fan_in, fan_out = compute_fans(shape, *axes)
    if max(fan_in, fan_out) >= 1 << 511:
        raise ValueError(f"`shape` must have fans below 2**511; got shape={shown(shape)}")
    n: float
    if mode == "fan_in":
        n = fan_in
    elif mode == "fan_out":
        n = fan_out
    elif mode == "fan_avg":
        n = (fan_in + fan_out) / 2.0
    else:
        n = math.sqrt(fan_in * fan_out)
    variance = scale / max(1.0, n)
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return distributions.Uniform(-limit, limit)
    if distribution == "normal":
        return distributions.Normal(0.0, math.sqrt(variance))
    lower, upper, after_cut = cut
    stddev = math.sqrt(variance)
    if after_cut:
        stddev /= TRUNCATED_STDDEV if (lower, upper) == (-2.0, 2.0) else spread(lower, upper)
    return distributions.TruncatedNormal(0.0, stddev, lower, upper)


@dataclass(frozen=True, repr=False, eq=False)
class VarianceScaling(Sampled):
    """Zero mean and variance ``scale / n``, where n is a fan of the tensor.

    ``"uniform"``: U[-limit, limit) with ``limit = sqrt(3 * scale / n)``;
    ``"normal"``: stddev ``sqrt(scale / n)``, not truncated (as in JAX; Keras' "normal" is
    truncated); ``"truncated_normal"``: ``sqrt(scale / n) / 0.87962566103423978``, cut at 2 of
    these, so that the stddev *after* the cut is ``sqrt(scale / n)``.

    >>> init = pi.VarianceScaling(2.0, "fan_out", "uniform", seed=42)
    >>> init((784, 256)).shape
    (784, 256)

    Parameters
    ----------
    scale : float
        Positive and finite. A `gain` as in torch is ``scale = gain**2``.
    mode : str
        What n is: "fan_in", "fan_out", "fan_avg" (arithmetic mean of both) or "fan_geo_avg"
        (geometric mean); 1 where that is smaller than 1.
    distribution : str
        "uniform", "normal" or "truncated_normal".
    in_axis, out_axis, batch_axis : int or sequence of int
        As in `compute_fans`.
    lower, upper : float
        Where "truncated_normal" is cut, in units of the stddev before the cut.
    after_cut : bool
        Whether ``sqrt(scale / n)`` is the stddev of the weights, as above, or the one before.
    seed, sampler, names, from_entropy
        As in `Seeded` and `Sampled`.

    Raises
    ------
    TypeError, ValueError
        When made: a parameter not as described above. When called: axes that do not fit.

    References
    ----------
    He, Zhang, Ren & Sun 2015, arXiv:1502.01852; Glorot & Bengio 2010, AISTATS 9:249.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    in_axis: Axes = field(default=-2, kw_only=True)
    out_axis: Axes = field(default=-1, kw_only=True)
    batch_axis: Axes = field(default=(), kw_only=True)
    lower: float = field(default=-2.0, kw_only=True)
    upper: float = field(default=2.0, kw_only=True)
    after_cut: bool = field(default=True, kw_only=True)

    _takes_fans = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", positive("scale", self.scale))
        one_of("mode", self.mode, MODES)
        one_of("distribution", self.distribution, DISTRIBUTIONS)
        self._check_axes()
        self._check_cut()

    def _check_cut(self) -> None:
        check_bool("after_cut", self.after_cut)
        if self._cut == (-2.0, 2.0, True):
            return
        cut = distributions.TruncatedNormal(0.0, 1.0, self.lower, self.upper)
        if self.distribution != "truncated_normal":
            raise ValueError(
                "`lower`, `upper` and `after_cut` must be left out unless the distribution is "
                f"truncated_normal; got distribution={self.distribution!r}"
            )
        object.__setattr__(self, "lower", cut.lower)
        object.__setattr__(self, "upper", cut.upper)

    @property
    def _cut(self) -> tuple[float, float, bool]:
        return self.lower, self.upper, self.after_cut

    def _check_axes(self) -> None:
        roles = as_roles(self.in_axis, self.out_axis, self.batch_axis)
        for name, axes in roles.items():
            object.__setattr__(self, name, axes)

    def _distribution(self, shape: tuple[int, ...]) -> Distribution:
        axes = (self.in_axis, self.out_axis, self.batch_axis)
        return _scaled(self.scale, self.mode, self.distribution, self._cut, axes, shape)


@dataclass(frozen=True, repr=False, eq=False)
class Specialized(VarianceScaling):
    """VarianceScaling with mode, distribution and usual gain given: ``scale = gain**2``.

    Parameters (keywords only)
    --------------------------
    gain : float, optional
        Positive; multiplies the stddev, or the limit. By default 1, and sqrt(2) for He.
    activation : str, optional
        Stands for ``gain=philinit.gain(activation, param)``; give one of the two. It *replaces*
        He's sqrt(2): ``HeNormal(activation="relu")`` is ``HeNormal()``, and
        ``HeNormal(activation="leaky_relu", param=a)`` has variance 2 / ((1 + a**2) fan_in),
        Eq. 15 of He et al. 2015.
    param : float, optional
        The parameter of the activation, such as the slope of leaky_relu.
    in_axis, out_axis, batch_axis, seed, sampler, names, from_entropy
        As in `VarianceScaling`.
    """

    scale: float = field(init=False, repr=False)
    mode: str = field(init=False, repr=False)
    distribution: str = field(init=False, repr=False)
    lower: float = field(default=-2.0, init=False, repr=False)
    upper: float = field(default=2.0, init=False, repr=False)
    after_cut: bool = field(default=True, init=False, repr=False)
    gain: float | None = field(default=None, kw_only=True)
    activation: str | None = field(default=None, kw_only=True)
    param: float | None = field(default=None, kw_only=True)

    _USUAL: ClassVar[tuple[float, str, str]]  # gain squared, mode, distribution

    def __post_init__(self) -> None:
        Sampled.__post_init__(self)
        scale, mode, distribution = self._USUAL
        if self.gain is not None or self.activation is not None or self.param is not None:
            scale = positive("scale", self._scale())
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "distribution", distribution)
        self._check_axes()

    def _scale(self) -> float:
        if self.activation is None:
            if self.param is not None:
                raise ValueError(
                    f"`param` must come with `activation`; got param={self.param} alone"
                )
            gain = positive("gain", self.gain)
            object.__setattr__(self, "gain", gain)
            return gain * gain
        if self.gain is not None:
            raise ValueError(
                "`gain` and `activation` must not both be given; got "
                f"gain={self.gain}, activation={self.activation!r}"
            )
        if self.param is not None:
            object.__setattr__(self, "param", finite("param", self.param))
        return gain_squared(self.activation, self.param)


class GlorotUniform(Specialized):
    """U[-limit, limit), ``limit = gain * sqrt(6 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    VarianceScaling with scale = gain**2, mode "fan_avg", distribution "uniform"; gain 1 unless
    given. Also called Xavier uniform.

    >>> pi.GlorotUniform(seed=42).distribution_for((8, 16))
    Uniform(low=-0.5, high=0.5)
    """

    _USUAL = (1.0, "fan_avg", "uniform")


class GlorotNormal(Specialized):
    """Truncated normal, ``stddev = gain * sqrt(2 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    VarianceScaling with scale = gain**2, mode "fan_avg", distribution "truncated_normal"; gain 1
    unless given. Also called Xavier normal.

    >>> pi.GlorotNormal(gain=2.0, seed=42)((784, 256)).shape
    (784, 256)
    """

    _USUAL = (1.0, "fan_avg", "truncated_normal")


class HeUniform(Specialized):
    """U[-limit, limit), ``limit = gain * sqrt(3 / fan_in)``; He et al. 2015, arXiv:1502.01852.

    VarianceScaling with scale = gain**2, mode "fan_in", distribution "uniform"; gain sqrt(2), the
    one of ReLU, unless `gain` or `activation` replaces it. Also called Kaiming uniform.

    >>> pi.HeUniform(seed=42).distribution_for((24, 16))
    Uniform(low=-0.5, high=0.5)
    """

    _USUAL = (2.0, "fan_in", "uniform")


class HeNormal(Specialized):
    """Truncated normal, ``stddev = gain / sqrt(fan_in)``; He et al. 2015, arXiv:1502.01852.

    VarianceScaling with scale = gain**2, mode "fan_in", distribution "truncated_normal"; gain
    sqrt(2), the one of ReLU, unless `gain` or `activation` replaces it. Also called Kaiming normal.

    >>> pi.HeNormal(seed=42).named("encoder/0")((784, 256)).shape
    (784, 256)
    """

    _USUAL = (2.0, "fan_in", "truncated_normal")


class LecunUniform(Specialized):
    """U[-limit, limit), ``limit = gain * sqrt(3 / fan_in)``; LeCun et al. 1998, Eq. 16.

    VarianceScaling with scale = gain**2, mode "fan_in", distribution "uniform"; gain 1 unless
    given.

    >>> pi.LecunUniform(seed=42).distribution_for((12, 16))
    Uniform(low=-0.5, high=0.5)
    """

    _USUAL = (1.0, "fan_in", "uniform")


class LecunNormal(Specialized):
    """Truncated normal, ``stddev = gain / sqrt(fan_in)``; LeCun et al. 1998, Eq. 16.

    VarianceScaling with scale = gain**2, mode "fan_in", distribution "truncated_normal"; gain 1
    unless given. For SELU: Klambauer et al. 2017, arXiv:1706.02515.

    >>> pi.LecunNormal(seed=42)((784, 256), "float16").dtype.name
    'float16'
    """

    _USUAL = (1.0, "fan_in", "truncated_normal")


XavierUniform, XavierNormal = GlorotUniform, GlorotNormal
KaimingUniform, KaimingNormal = HeUniform, HeNormal
