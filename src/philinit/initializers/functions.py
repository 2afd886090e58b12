# SPDX-License-Identifier: Apache-2.0
"""The initializers as functions: make the initializer, call it once.

Every function takes ``(shape, dtype)``, then by keyword the parameters of the class it names, and
the keywords of a call (`Initializer.__call__`): `device`, `threads`, `out`, `shard`, `progress`.
It returns what that call returns. Without `seed` each call draws a new one.
"""

from __future__ import annotations

from typing import Any, Unpack

from philinit.initializers import constants, plain, scaling
from philinit.initializers.base import AnyCall, Initializer
from philinit.initializers.fans import Axes
from philinit.initializers.orthogonal import Orthogonal


def _called(kind: type[Initializer], arguments: dict[str, Any]) -> Any:
    """Make an initializer of the arguments of a function, whose names are its own; call it."""
    shape, dtype, call = (arguments.pop(name) for name in ("shape", "dtype", "call"))
    return kind(**arguments)(shape, dtype, **call)


def variance_scaling(
    shape: Any,
    dtype: Any = None,
    *,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    lower: float = -2.0,
    upper: float = 2.0,
    after_cut: bool = True,
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """Zero mean and variance ``scale / n`` for a fan n. See `VarianceScaling`.

    >>> pi.variance_scaling((784, 256), scale=2.0, mode="fan_avg", seed=42).shape
    (784, 256)
    """
    return _called(scaling.VarianceScaling, locals())


def glorot_uniform(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float | None = None,
    activation: str | None = None,
    param: float | None = None,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """U[-limit, limit), ``limit = gain * sqrt(6 / (fan_in + fan_out))``. See `GlorotUniform`.

    >>> pi.glorot_uniform((784, 256), seed=42).shape
    (784, 256)
    """
    return _called(scaling.GlorotUniform, locals())


def glorot_normal(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float | None = None,
    activation: str | None = None,
    param: float | None = None,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """Truncated normal, ``stddev = gain * sqrt(2 / (fan_in + fan_out))``. See `GlorotNormal`.

    >>> pi.glorot_normal((784, 256), activation="tanh", seed=42).shape
    (784, 256)
    """
    return _called(scaling.GlorotNormal, locals())


def he_uniform(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float | None = None,
    activation: str | None = None,
    param: float | None = None,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """U[-limit, limit), ``limit = gain * sqrt(3 / fan_in)``, gain sqrt(2). See `HeUniform`.

    >>> pi.he_uniform((3, 3, 64, 128), seed=42).shape
    (3, 3, 64, 128)
    """
    return _called(scaling.HeUniform, locals())


def he_normal(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float | None = None,
    activation: str | None = None,
    param: float | None = None,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """Truncated normal, ``stddev = gain / sqrt(fan_in)``, gain sqrt(2). See `HeNormal`.

    >>> pi.he_normal((784, 256), "bfloat16", seed=42).dtype.name
    'bfloat16'
    """
    return _called(scaling.HeNormal, locals())


def lecun_uniform(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float | None = None,
    activation: str | None = None,
    param: float | None = None,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """U[-limit, limit), ``limit = gain * sqrt(3 / fan_in)``. See `LecunUniform`.

    >>> pi.lecun_uniform((784, 256), "float64", seed=42).dtype.name
    'float64'
    """
    return _called(scaling.LecunUniform, locals())


def lecun_normal(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float | None = None,
    activation: str | None = None,
    param: float | None = None,
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """Truncated normal, ``stddev = gain / sqrt(fan_in)``. See `LecunNormal`.

    >>> pi.lecun_normal((784, 256), seed=42, shard=pi.Shard((784, 256), slice(5))).shape
    (5, 256)
    """
    return _called(scaling.LecunNormal, locals())


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


def uniform(
    shape: Any,
    dtype: Any = None,
    *,
    low: float = -0.05,
    high: float = 0.05,
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """U[low, high). See `Uniform`.

    >>> bool((abs(pi.uniform((1000,), low=-2.0, high=2.0, seed=42)) <= 2.0).all())
    True
    """
    return _called(plain.Uniform, locals())


def normal(
    shape: Any,
    dtype: Any = None,
    *,
    mean: float = 0.0,
    stddev: float = 0.05,
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """Normal of `mean` and `stddev`, not truncated. See `Normal`.

    >>> pi.normal((1000, 64), stddev=0.02, seed=42).shape
    (1000, 64)
    """
    return _called(plain.Normal, locals())


def truncated_normal(
    shape: Any,
    dtype: Any = None,
    *,
    mean: float = 0.0,
    stddev: float = 0.05,
    lower: float = -2.0,
    upper: float = 2.0,
    after_cut: bool = False,
    seed: int | None = None,
    sampler: str = "native",
    **call: Unpack[AnyCall],
) -> Any:
    """Normal cut at mean + lower * stddev and mean + upper * stddev. See `TruncatedNormal`.

    >>> bool((abs(pi.truncated_normal((1000,), stddev=0.1, seed=42)) <= 0.2).all())
    True
    """
    cut = (lower, upper)
    init = plain.TruncatedNormal(
        mean, stddev, *cut, after_cut=after_cut, seed=seed, sampler=sampler
    )
    return init(shape, dtype, **call)


def constant(shape: Any, dtype: Any = None, *, value: float = 0.0, **call: Unpack[AnyCall]) -> Any:
    """`value` everywhere. See `Constant`.

    >>> pi.constant((2,), value=0.5).tolist()
    [0.5, 0.5]
    """
    return _called(constants.Constant, locals())


def zeros(shape: Any, dtype: Any = None, **call: Unpack[AnyCall]) -> Any:
    """0 everywhere.

    >>> pi.zeros((2,)).tolist()
    [0.0, 0.0]
    """
    return _called(constants.Zeros, locals())


def ones(shape: Any, dtype: Any = None, **call: Unpack[AnyCall]) -> Any:
    """1 everywhere.

    >>> pi.ones((2,), "float16").tolist()
    [1.0, 1.0]
    """
    return _called(constants.Ones, locals())


def identity(shape: Any, dtype: Any = None, *, gain: float = 1.0, **call: Unpack[AnyCall]) -> Any:
    """`gain` on the main diagonal of a matrix, 0 elsewhere. See `Identity`.

    >>> pi.identity((2, 2), gain=3.0).tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    return _called(constants.Identity, locals())


def orthogonal(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float = 1.0,
    seed: int | None = None,
    **call: Unpack[AnyCall],
) -> Any:
    """Orthonormal rows or columns times `gain`. See `Orthogonal`.

    >>> q = pi.orthogonal((64, 16), seed=42)
    >>> bool(np.allclose(q.T @ q, np.eye(16), atol=1e-5))
    True
    """
    return _called(Orthogonal, locals())
