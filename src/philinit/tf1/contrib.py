# SPDX-License-Identifier: Apache-2.0
"""The initializers of libraries that are gone, by fans: tf.contrib.layers and Caffe."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from philinit import distributions
from philinit.checks import one_of, positive
from philinit.distributions import TRUNCATED_STDDEV, Distribution
from philinit.initializers.fans import compute_fans
from philinit.tf1.base import check_flag, float_dtype
from philinit.tf1.seeds import Random


@dataclass(frozen=True, repr=False, eq=False)
class ContribVarianceScaling(Random):
    """tf.contrib.layers.variance_scaling_initializer: zero mean, variance about ``factor / n``.

    ``uniform=True``: U[-limit, limit), ``limit = sqrt(3 * factor / n)``.
    ``uniform=False``: normal of ``stddev = sqrt(1.3 * factor / n)``, cut at 2 of these. 1.3 is a
    rounded 1 / 0.87962566103423978**2 = 1.29242: after the cut the stddev is 1.00293 times
    ``sqrt(factor / n)``. ``exact=True`` puts the right constant in its place.

    The default is He et al. 2015 for ReLU; factor 1, "FAN_AVG" is `xavier_initializer`.

    >>> tf1.variance_scaling_initializer(2.0, "FAN_AVG", seed=42)((784, 256)).shape
    TensorShape([784, 256])

    Parameters
    ----------
    factor : float
        Positive and finite.
    mode : str
        What n is: "FAN_IN", "FAN_OUT" or "FAN_AVG", (fan_in + fan_out) / 2. A vector has fan_in =
        fan_out = its length.
    uniform : bool
    exact : bool
        Changes nothing for ``uniform=True``.
    seed, dtype, sampler, entropy
        As in `Random`.

    Raises
    ------
    TypeError
        An unknown mode, a dtype that is no floating point type: both as in tf.contrib.
    ValueError
        `factor` that is not positive and finite, which tf.contrib let through.

    Notes
    -----
    tf.contrib took the fans of a partitioned variable from each part, so that its weights grew
    with the number of parts. Here they are the whole variable's.
    """

    factor: float = 2.0
    mode: str = "FAN_IN"
    uniform: bool = False
    seed: int | None = None
    dtype: Any = tf.float32
    exact: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag("uniform", self.uniform)
        check_flag("exact", self.exact)
        object.__setattr__(self, "factor", positive("factor", self.factor))
        if self.mode not in ("FAN_IN", "FAN_OUT", "FAN_AVG"):
            raise TypeError(
                f"`mode` must be one of FAN_IN, FAN_OUT, FAN_AVG; got mode={self.mode!r}"
            )

    def _checked(self, dtype: Any) -> Any:
        return float_dtype(dtype, TypeError)

    def distribution_for(self, shape: Any) -> Distribution:
        """What is drawn for every element; operations in the order of tf.contrib, for its bits."""
        fan_in, fan_out = compute_fans(shape)
        n = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "FAN_AVG": (fan_in + fan_out) / 2.0}[self.mode]
        n = n or 1.0  # no element then, but tf.contrib divides by 0
        if self.uniform:
            limit = math.sqrt(3.0 * self.factor / n)
            return distributions.Uniform(-limit, limit)
        if self.exact:
            stddev = math.sqrt(self.factor / n) / TRUNCATED_STDDEV
        else:
            stddev = math.sqrt(1.3 * self.factor / n)
        return distributions.TruncatedNormal(0.0, stddev, -2.0, 2.0)


def xavier_initializer(
    uniform: bool = True,
    seed: int | None = None,
    dtype: Any = tf.float32,
    *,
    exact: bool = False,
    sampler: str = "tensorflow",
) -> ContribVarianceScaling:
    """tf.contrib.layers.xavier_initializer, also called xavier_initializer_conv2d.

    U[-limit, limit), ``limit = sqrt(6 / (fan_in + fan_out))``; with ``uniform=False`` a truncated
    normal of ``stddev = sqrt(2.6 / (fan_in + fan_out))`` before the cut, or with ``exact=True`` of
    ``sqrt(2 / (fan_in + fan_out))`` after it. `ContribVarianceScaling` with factor 1 and mode
    "FAN_AVG"; Glorot & Bengio 2010.

    >>> tf1.xavier_initializer(seed=42).distribution_for((8, 16))
    Uniform(low=-0.5, high=0.5)
    """
    return ContribVarianceScaling(
        1.0, "FAN_AVG", uniform, seed, dtype, exact=exact, sampler=sampler
    )


class _CaffeFiller(Random):
    variance_norm: str

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("variance_norm", self.variance_norm, ("FAN_IN", "FAN_OUT", "AVERAGE"))

    def _n(self, shape: tuple[int, ...]) -> float:
        fan_in, fan_out = compute_fans(shape)
        if len(shape) == 1:
            fan_in = 1  # count / shape(0) of such a blob
        average = (fan_in + fan_out) / 2.0
        return {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": average}[self.variance_norm] or 1.0


@dataclass(frozen=True, repr=False, eq=False)
class CaffeXavier(_CaffeFiller):
    """Caffe's filler "xavier": U[-limit, limit), ``limit = sqrt(3 / n)``.

    With n = fan_in, Caffe's default, this is LeCun's uniform; with "AVERAGE" it is Glorot's.

    >>> tf1.caffe_xavier(seed=42).distribution_for((12, 16))
    Uniform(low=-0.5, high=0.5)

    Parameters
    ----------
    variance_norm : str
        What n is: "FAN_IN", "FAN_OUT" or "AVERAGE", (fan_in + fan_out) / 2.
    seed, dtype, sampler, entropy
        As in `Random`. Not Caffe's bits, which come from another generator.

    Notes
    -----
    Caffe stores the weights of a convolution as a blob (out, in, height, width), and of a dense
    layer as (out, in): fan_in = count / shape(0), that is in * height * width, and fan_out = count
    / shape(1), out * height * width. TensorFlow's kernels, for which this is written, are (height,
    width, in, out) and (in, out): the same numbers come from the last two axes. Of a vector fan_in
    is 1 in Caffe (count / shape(0)) and fan_out its length; so it is here. A blob copied from
    Caffe as it is must be transposed first.
    """

    variance_norm: str = "FAN_IN"
    seed: int | None = None
    dtype: Any = tf.float32

    def distribution_for(self, shape: Any) -> Distribution:
        """U[-limit, limit) of this shape's limit."""
        limit = math.sqrt(3.0 / self._n(shape))
        return distributions.Uniform(-limit, limit)


@dataclass(frozen=True, repr=False, eq=False)
class CaffeMsra(_CaffeFiller):
    """Caffe's filler "msra": normal, not truncated, ``stddev = sqrt(2 / n)``; He et al. 2015.

    Parameters and notes as in `CaffeXavier`.

    >>> tf1.caffe_msra(seed=42).distribution_for((8, 16))
    Normal(mean=0.0, stddev=0.5)
    """

    variance_norm: str = "FAN_IN"
    seed: int | None = None
    dtype: Any = tf.float32

    def distribution_for(self, shape: Any) -> Distribution:
        """Normal of this shape's stddev."""
        return distributions.Normal(0.0, math.sqrt(2.0 / self._n(shape)))
