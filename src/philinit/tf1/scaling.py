# SPDX-License-Identifier: Apache-2.0
"""tf.compat.v1's initializers that scale with the fans: same names, arguments and defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from philinit import distributions
from philinit.checks import one_of, positive
from philinit.distributions import Distribution
from philinit.initializers import scaling
from philinit.tf1.seeds import Random


@dataclass(frozen=True, repr=False, eq=False)
class UniformUnitScaling(Random):
    """U[-limit, limit), ``limit = factor * sqrt(3 / n)``, n the product of all axes but the last.

    Sussillo & Abbott 2014, arXiv:1412.6558: factor 1 for linear layers, about 1.43 for ReLU, 1.15
    for tanh. Positive; other parameters as in `Random`.

    >>> tf1.uniform_unit_scaling_initializer(1.43, seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    factor: float = 1.0
    seed: int | None = None
    dtype: Any = tf.float32

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "factor", positive("factor", self.factor))

    def distribution_for(self, shape: Any) -> Distribution:
        """U[-limit, limit) of this shape's limit."""
        limit = math.sqrt(3 / max(1.0, float(math.prod(shape[:-1])))) * self.factor
        return distributions.Uniform(-limit, limit)


_DISTRIBUTIONS = {
    "normal": "truncated_normal",  # TensorFlow's old name for it
    "truncated_normal": "truncated_normal",
    "untruncated_normal": "normal",
    "uniform": "uniform",
}


class _Scaled(Random):
    """Zero mean and variance ``scale / n``, as `_scaling` of philinit's own says."""

    _scaling: scaling.VarianceScaling

    def distribution_for(self, shape: Any) -> Distribution:
        """What is drawn for every element of a whole variable of this shape."""
        return self._scaling.distribution_for(shape)


def _scaled(scale: float, mode: str, distribution: str) -> scaling.VarianceScaling:
    return scaling.VarianceScaling(scale, mode, distribution, seed=0)


@dataclass(frozen=True, repr=False, eq=False)
class VarianceScaling(_Scaled):
    """Zero mean and variance ``scale / n``: tf.compat.v1.variance_scaling_initializer.

    ``"uniform"``: U[-limit, limit) with ``limit = sqrt(3 * scale / n)``; ``"truncated_normal"``
    and its old name ``"normal"``: ``stddev = sqrt(scale / n) / 0.87962566103423978``, cut at 2 of
    these; ``"untruncated_normal"``: ``stddev = sqrt(scale / n)``.

    Not tf.contrib's function of the same name, which is `variance_scaling_initializer` here.

    >>> tf1.VarianceScaling(2.0, "fan_out", seed=42)((784, 256)).shape
    TensorShape([784, 256])

    Parameters
    ----------
    scale : float
        Positive and finite.
    mode : str
        What n is: "fan_in", "fan_out" or "fan_avg"; 1 where that is smaller than 1.
    distribution : str
        One of the above.
    seed, dtype, sampler, entropy
        As in `Random`.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None
    dtype: Any = tf.float32

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "scale", positive("scale", self.scale))
        one_of("mode", self.mode, ("fan_in", "fan_out", "fan_avg"))
        name = str(self.distribution).lower()
        if name not in _DISTRIBUTIONS:
            raise ValueError(
                f"`distribution` must be one of {', '.join(_DISTRIBUTIONS)}; "
                f"got distribution={self.distribution!r}"
            )
        object.__setattr__(self, "distribution", name)
        scaled = _scaled(self.scale, self.mode, _DISTRIBUTIONS[name])
        object.__setattr__(self, "_scaling", scaled)


@dataclass(frozen=True, repr=False, eq=False)
class GlorotUniform(_Scaled):
    """U[-limit, limit), ``limit = sqrt(6 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    What tf.compat.v1.get_variable takes where no initializer is given. Parameters as in `Random`.
    TensorFlow's class drops the constructor's dtype in silence and then draws float32; it counts
    here.

    >>> w, v = (x.glorot_uniform_initializer(seed=42)((784, 256)) for x in (tf1, v1))
    >>> bool(tf.reduce_all(w == v))
    True
    """

    seed: int | None = None
    dtype: Any = tf.float32

    _scaling = _scaled(1.0, "fan_avg", "uniform")


@dataclass(frozen=True, repr=False, eq=False)
class GlorotNormal(_Scaled):
    """Truncated normal, ``stddev = sqrt(2 / (fan_in + fan_out))`` after the cut; dtype and
    parameters as in `GlorotUniform`.

    >>> tf1.glorot_normal_initializer(seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    seed: int | None = None
    dtype: Any = tf.float32

    _scaling = _scaled(1.0, "fan_avg", "truncated_normal")


@dataclass(frozen=True, repr=False, eq=False)
class HeUniform(_Scaled):
    """U[-limit, limit), ``limit = sqrt(6 / fan_in)``; He et al. 2015. Parameters as in `Random`.

    >>> tf1.he_uniform(seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    seed: int | None = None
    dtype: Any = field(default=tf.float32, kw_only=True)

    _scaling = _scaled(2.0, "fan_in", "uniform")


@dataclass(frozen=True, repr=False, eq=False)
class HeNormal(_Scaled):
    """Truncated normal, ``stddev = sqrt(2 / fan_in)`` after the cut. Parameters as in `Random`.

    >>> tf1.he_normal(seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    seed: int | None = None
    dtype: Any = field(default=tf.float32, kw_only=True)

    _scaling = _scaled(2.0, "fan_in", "truncated_normal")


@dataclass(frozen=True, repr=False, eq=False)
class LecunUniform(_Scaled):
    """U[-limit, limit), ``limit = sqrt(3 / fan_in)``; LeCun et al. 1998. As in `Random`.

    >>> tf1.lecun_uniform(seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    seed: int | None = None
    dtype: Any = field(default=tf.float32, kw_only=True)

    _scaling = _scaled(1.0, "fan_in", "uniform")


@dataclass(frozen=True, repr=False, eq=False)
class LecunNormal(_Scaled):
    """Truncated normal, ``stddev = sqrt(1 / fan_in)`` after the cut. Parameters as in `Random`.

    >>> tf1.lecun_normal(seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    seed: int | None = None
    dtype: Any = field(default=tf.float32, kw_only=True)

    _scaling = _scaled(1.0, "fan_in", "truncated_normal")
