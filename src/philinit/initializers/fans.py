# SPDX-License-Identifier: Apache-2.0
"""Shape and axes of a weight -> fan_in and fan_out. Pure arithmetic on Python ints."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any

from philinit.checks import as_shape, is_bool

Axes = int | Sequence[int]
Roles = dict[str, int | tuple[int, ...]]

DEFAULT_ROLES: Roles = {"in_axis": -2, "out_axis": -1, "batch_axis": ()}


def as_axes(axes: Any, name: str) -> int | tuple[int, ...]:
    """`axes` as an int or a tuple of ints without exact repeats; errors speak of `name`."""
    if type(axes) is int or (type(axes) is tuple and not axes):
        return axes  # the defaults, quickly
    try:
        if is_bool(axes) or isinstance(axes, (str, bytes)):
            raise TypeError
        if not isinstance(axes, Iterable):
            return operator.index(axes)
        listed = tuple(axes)
        if any(is_bool(axis) for axis in listed):
            raise TypeError
        found = tuple(operator.index(axis) for axis in listed)
    except TypeError:
        raise TypeError(
            f"`{name}` must be an int or a sequence of ints; got {name}={axes!r}"
        ) from None
    if len(set(found)) != len(found):
        raise ValueError(f"`{name}` must not repeat an axis; got {name}={found}")
    return found


def _listed(axes: int | tuple[int, ...]) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else axes


def as_roles(in_axis: Any, out_axis: Any, batch_axis: Any) -> Roles:
    """The three arguments by name, each an int or a tuple of ints; none shares an axis."""
    roles = {
        "in_axis": as_axes(in_axis, "in_axis"),
        "out_axis": as_axes(out_axis, "out_axis"),
        "batch_axis": as_axes(batch_axis, "batch_axis"),
    }
    if roles != DEFAULT_ROLES:
        _check_apart(roles, {name: _listed(axes) for name, axes in roles.items()}, "")
    return roles


def _check_apart(roles: Roles, places: dict[str, tuple[int, ...]], where: str) -> None:
    for one, other in itertools.combinations(places, 2):
        if not set(places[one]).isdisjoint(places[other]):
            given = ", ".join(f"{name}={axes}" for name, axes in roles.items())
            raise ValueError(f"`{one}` and `{other}` must not share an axis; got {given}{where}")


def _resolve(axes: int | tuple[int, ...], name: str, rank: int) -> tuple[int, ...]:
    """The axes counted from the front, each in [0, rank) and given once."""
    listed, have = _listed(axes), f"a shape with {rank} {'axis' if rank == 1 else 'axes'}"
    for axis in listed:
        if not -rank <= axis < rank:
            raise ValueError(
                f"`{name}` must lie in [{-rank}, {rank}) for {have}; got {name}={axes}"
            )
    found = tuple(axis % rank for axis in listed)
    if len(set(found)) != len(found):
        raise ValueError(f"`{name}` must not repeat an axis; got {name}={axes} for {have}")
    return found


def compute_fans(
    shape: Any, in_axis: Axes = -2, out_axis: Axes = -1, batch_axis: Axes = ()
) -> tuple[int, int]:
    """Number of inputs and outputs of one unit: (fan_in, fan_out).

    fan_in = (product of the `in_axis` dimensions) * receptive_field_size, and fan_out likewise,
    where receptive_field_size is the product of all dimensions that are neither input, output nor
    batch axes.

    Parameters
    ----------
    shape : sequence of int, or int
        Dimensions >= 0 of the weight, e.g. (height, width, channels in, channels out).
    in_axis, out_axis, batch_axis : int or sequence of int
        Each in [-rank, rank); the three may not share an axis. Left at their defaults they follow
        Keras for every rank: shape () has fans (1, 1) and shape (n,) has fans (n, n). Given
        explicitly they follow JAX.

    Returns
    -------
    (fan_in, fan_out) : tuple of int
        Exact, of any size; 0 where a dimension is 0.

    Raises
    ------
    TypeError
        A dimension or an axis is no integer.
    ValueError
        A negative dimension; an axis out of range, repeated, or in two of the three roles.

    Examples
    --------
    >>> compute_fans((3, 3, 256, 512))
    (2304, 4608)
    >>> compute_fans((8, 64, 512), in_axis=(0, 1), out_axis=2)  # an attention output
    (512, 512)
    >>> compute_fans((12, 64, 256), batch_axis=0)  # 12 experts, each of shape (64, 256)
    (64, 256)
    """
    shape = as_shape(shape)
    roles = as_roles(in_axis, out_axis, batch_axis)
    rank = len(shape)
    if rank < 2 and roles == DEFAULT_ROLES:
        return (shape[0], shape[0]) if rank else (1, 1)
    places = {name: _resolve(axes, name, rank) for name, axes in roles.items()}
    _check_apart(roles, places, f" for shape={shape}")
    named = {axis for found in places.values() for axis in found}
    receptive_field_size = math.prod(n for axis, n in enumerate(shape) if axis not in named)
    fan_in = math.prod(shape[axis] for axis in places["in_axis"]) * receptive_field_size
    fan_out = math.prod(shape[axis] for axis in places["out_axis"]) * receptive_field_size
    return fan_in, fan_out
