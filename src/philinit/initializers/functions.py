# SPDX-License-Identifier: Apache-2.0
"""The initializers as functions: make the initializer, call it once.

Every function takes ``(shape, dtype)``, then by keyword the parameters of the class it names, and
the keywords of a call (`Initializer.__call__`): `device`, `threads`, `out`, `shard`, `progress`.
It returns what that call returns. Without `seed` each call draws a new one.
"""

from __future__ import annotations

from typing import Any, Unpack

from philinit.initializers.base import AnyCall, Initializer
from philinit.initializers.constants import Constant, Identity, Ones, Zeros
from philinit.initializers.fans import Axes
from philinit.initializers.orthogonal import Orthogonal
from philinit.initializers.plain import Normal, TruncatedNormal, Uniform
from philinit.initializers.scaling import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    VarianceScaling,
)


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
    """Zero mean and variance ``scale / n`` for a fan n. See `VarianceScaling`."""
    return _called(VarianceScaling, locals())


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
    """U[-limit, limit), ``limit = gain * sqrt(6 / (fan_in + fan_out))``. See `GlorotUniform`."""
    return _called(GlorotUniform, locals())


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
    """Truncated normal, ``stddev = gain * sqrt(2 / (fan_in + fan_out))``. See `GlorotNormal`."""
    return _called(GlorotNormal, locals())


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
    """U[-limit, limit), ``limit = gain * sqrt(3 / fan_in)``, gain sqrt(2). See `HeUniform`."""
    return _called(HeUniform, locals())


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
    """Truncated normal, ``stddev = gain / sqrt(fan_in)``, gain sqrt(2). See `HeNormal`."""
    return _called(HeNormal, locals())


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
    """U[-limit, limit), ``limit = gain * sqrt(3 / fan_in)``. See `LecunUniform`."""
    return _called(LecunUniform, locals())


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
    """Truncated normal, ``stddev = gain / sqrt(fan_in)``. See `LecunNormal`."""
    return _called(LecunNormal, locals())


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
    """U[low, high). See `Uniform`."""
    return _called(Uniform, locals())


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
    """Normal of `mean` and `stddev`, not truncated. See `Normal`."""
    return _called(Normal, locals())


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
    """Normal cut at mean + lower * stddev and mean + upper * stddev. See `TruncatedNormal`."""
    cut = (lower, upper)
    init = TruncatedNormal(mean, stddev, *cut, after_cut=after_cut, seed=seed, sampler=sampler)
    return init(shape, dtype, **call)


def constant(shape: Any, dtype: Any = None, *, value: float = 0.0, **call: Unpack[AnyCall]) -> Any:
    """`value` everywhere. See `Constant`."""
    return _called(Constant, locals())


def zeros(shape: Any, dtype: Any = None, **call: Unpack[AnyCall]) -> Any:
    """0 everywhere."""
    return _called(Zeros, locals())


def ones(shape: Any, dtype: Any = None, **call: Unpack[AnyCall]) -> Any:
    """1 everywhere."""
    return _called(Ones, locals())


def identity(shape: Any, dtype: Any = None, *, gain: float = 1.0, **call: Unpack[AnyCall]) -> Any:
    """`gain` on the main diagonal of a matrix, 0 elsewhere. See `Identity`."""
    return _called(Identity, locals())


def orthogonal(
    shape: Any,
    dtype: Any = None,
    *,
    gain: float = 1.0,
    seed: int | None = None,
    **call: Unpack[AnyCall],
) -> Any:
    """Orthonormal rows or columns times `gain`. See `Orthogonal`."""
    return _called(Orthogonal, locals())
