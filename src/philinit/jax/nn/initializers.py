# SPDX-License-Identifier: Apache-2.0
"""jax.nn.initializers by their names and signatures, with philinit's numbers.

Write ``from philinit.jax.nn import initializers`` instead of ``from jax.nn import initializers``.
Each function takes what JAX's takes and returns a function ``(key, shape, dtype,
out_sharding=None)``, for ``kernel_init=`` of Flax and the like, also in jax.jit, vmap and
eval_shape. The distributions are JAX's, but a key gives different numbers: those of
`philinit.jax.initializer` for that key and the philinit initializer that a function names, with
seed 0. They are the same for every sharding, device and number of processes.

`zeros`, `ones` and `constant` draw nothing, and are JAX's own. The others also differ from JAX's in
this:

- dtypes are float32, float64, float16, bfloat16 and four float8; complex weights are refused;
- a `scale` or `stddev` is one number, known when the initializer is made, and not negative;
- parameters are checked when the initializer is made;
- an axis that is both input and output is refused; dimensions of 0 are not;
- orthogonal and delta_orthogonal have `out_sharding` as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.nn.initializers import Initializer, constant, ones, zeros

from philinit.checks import finite
from philinit.initializers import base, constants, plain, scaling
from philinit.initializers.fans import Axes
from philinit.jax.nn.calls import Keyed
from philinit.jax.nn.orthogonal import ColumnsOrthogonal, DeltaOrthogonal

_SEED = 0  # of all of them: what differs is the key


def _scaled(scale: Any, make: Callable[[float], base.Initializer], dtype: Any) -> Initializer:
    """What `make` makes of a scale; nothing but zeros, as in JAX, where that is 0."""
    number = finite("scale", scale)
    if number < 0:
        raise ValueError(f"`scale` must not be negative; got scale={number}")
    drawn = make(number or 1.0)  # which checks all other parameters
    return Keyed(drawn if number else constants.Zeros(), dtype)


def uniform(scale: Any = 1e-2, dtype: Any = None) -> Initializer:
    """U[0, scale): `philinit.Uniform` with low = 0 and high = scale.

    >>> initializers.uniform(0.1)(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return _scaled(scale, lambda high: plain.Uniform(0.0, high, seed=_SEED), dtype)


def normal(stddev: Any = 1e-2, dtype: Any = None) -> Initializer:
    """Normal of mean 0, not truncated: `philinit.Normal`.

    >>> initializers.normal(0.02)(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return Keyed(plain.Normal(0.0, stddev, seed=_SEED), dtype)


def truncated_normal(
    stddev: Any = 1e-2, dtype: Any = None, lower: Any = -2.0, upper: Any = 2.0
) -> Initializer:
    """Normal cut at lower * stddev and upper * stddev: `philinit.TruncatedNormal`.

    `stddev` is the one before the cut: no correction.

    >>> initializers.truncated_normal(0.02)(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return Keyed(plain.TruncatedNormal(0.0, stddev, lower, upper, seed=_SEED), dtype)


def variance_scaling(
    scale: Any,
    mode: str,
    distribution: str,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    dtype: Any = None,
) -> Initializer:
    """Mean 0 and variance ``scale / n``, where n is a fan: `philinit.VarianceScaling`.

    >>> init = initializers.variance_scaling(2.0, "fan_out", "normal")
    >>> init(jax.random.key(42), (784, 256)).shape
    (784, 256)

    Parameters
    ----------
    scale : float
        Not negative; with 0 all weights are 0.
    mode : str
        What n is: "fan_in", "fan_out", "fan_avg" or "fan_geo_avg".
    distribution : str
        "uniform", "normal" (not truncated), or "truncated_normal", cut at 2 stddev of the normal
        before the cut; the variance is the one after it.
    in_axis, out_axis, batch_axis : int or sequence of int
        The others are the receptive field. With these defaults a shape must have 2 axes.
    dtype : optional
        That of calls that name none.
    """
    if isinstance(in_axis, int):
        in_axis = (in_axis,)  # else vectors would have philinit's fans; here they have none
    axes: dict[str, Any] = {"in_axis": in_axis, "out_axis": out_axis, "batch_axis": batch_axis}

    def make(scale: float) -> base.Initializer:
        return scaling.VarianceScaling(scale, mode, distribution, seed=_SEED, **axes)

    return _scaled(scale, make, dtype)


def glorot_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """U[-limit, limit), ``limit = sqrt(6 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    `variance_scaling` with 1, "fan_avg" and "uniform"; the rest as there.

    >>> initializers.glorot_uniform()(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return variance_scaling(1.0, "fan_avg", "uniform", in_axis, out_axis, batch_axis, dtype)


def glorot_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal, ``stddev = sqrt(2 / (fan_in + fan_out))``; Glorot & Bengio 2010.

    `variance_scaling` with 1, "fan_avg" and "truncated_normal"; the rest as there.

    >>> initializers.glorot_normal()(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return variance_scaling(
        1.0, "fan_avg", "truncated_normal", in_axis, out_axis, batch_axis, dtype
    )


def lecun_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """U[-limit, limit), ``limit = sqrt(3 / fan_in)``; LeCun et al. 1998, Eq. 16.

    `variance_scaling` with 1, "fan_in" and "uniform"; the rest as there.

    >>> initializers.lecun_uniform()(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return variance_scaling(1.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def lecun_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal, ``stddev = sqrt(1 / fan_in)``; Klambauer et al. 2017, arXiv:1706.02515.

    `variance_scaling` with 1, "fan_in" and "truncated_normal"; the rest as there.

    >>> initializers.lecun_normal()(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return variance_scaling(1.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def he_uniform(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """U[-limit, limit), ``limit = sqrt(6 / fan_in)``; He et al. 2015, arXiv:1502.01852.

    `variance_scaling` with 2, "fan_in" and "uniform"; the rest as there.

    >>> initializers.he_uniform(in_axis=1, out_axis=0)(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return variance_scaling(2.0, "fan_in", "uniform", in_axis, out_axis, batch_axis, dtype)


def he_normal(
    in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = (), dtype: Any = None
) -> Initializer:
    """Truncated normal, ``stddev = sqrt(2 / fan_in)``; He et al. 2015, arXiv:1502.01852.

    `variance_scaling` with 2, "fan_in" and "truncated_normal"; the rest as there.

    >>> initializers.he_normal(dtype=jnp.bfloat16)(jax.random.key(42), (784, 256)).shape
    (784, 256)
    """
    return variance_scaling(2.0, "fan_in", "truncated_normal", in_axis, out_axis, batch_axis, dtype)


def orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """Orthonormal rows or columns times `scale`: `philinit.Orthogonal`, with its `gain`.

    The matrix has one column for each index of `column_axis`, and a row for each of all other axes
    together.

    >>> initializers.orthogonal()(jax.random.key(42), (64, 16)).shape
    (64, 16)
    """
    return Keyed(ColumnsOrthogonal(scale, column_axis, seed=_SEED), dtype)


def delta_orthogonal(scale: Any = 1.0, column_axis: int = -1, dtype: Any = None) -> Initializer:
    """A kernel with the matrix of `orthogonal` in its middle, 0 elsewhere; Xiao et al. 2018.

    For shapes of 3, 4 or 5 axes: spatial ones, channels in, channels out, of which there must be
    no fewer. `column_axis` is one of the last two. arXiv:1806.05393.

    >>> initializers.delta_orthogonal()(jax.random.key(42), (3, 3, 16, 32)).shape
    (3, 3, 16, 32)
    """
    return Keyed(DeltaOrthogonal(scale, column_axis, seed=_SEED), dtype)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal

__all__ = [
    "Initializer", "zeros", "ones", "constant", "uniform", "normal", "truncated_normal",
    "variance_scaling", "glorot_uniform", "glorot_normal", "lecun_uniform", "lecun_normal",
    "he_uniform", "he_normal", "xavier_uniform", "xavier_normal", "kaiming_uniform",
    "kaiming_normal", "orthogonal", "delta_orthogonal",
]  # fmt: skip
