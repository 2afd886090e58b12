# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's two ways to say which part of a variable is wanted -> the whole shape and a box."""

from __future__ import annotations

from typing import Any

from philinit.parts import Shard
from philinit.tensorflow.memory import static_shape

Place = tuple[tuple[int, ...], Shard | None]  # None: all of it


def place(shape: Any, info: Any = None, part: Any = None, offset: Any = None) -> Place:
    """Shape of the whole variable, and which box of it is wanted.

    Parameters
    ----------
    shape : sequence of int, tf.TensorShape, or constant tensor
        Of what is wanted where there is `info`, of the whole variable otherwise.
    info : object with `full_shape` and `var_offset`, optional
        A `partition_info`, as tf.compat.v1's partitioners pass it.
    part, offset : sequence of int, optional
        `partition_shape` and `partition_offset`, as tf.distribute passes them.
    """
    sizes = static_shape(shape)
    if (part is None) != (offset is None):
        raise ValueError(
            "`partition_shape` and `partition_offset` must be given together; "
            f"got partition_shape={part} and partition_offset={offset}"
        )
    if info is not None:
        if part is not None:
            raise ValueError(
                "a part must be described by `partition_info`, or by `partition_shape` and "
                f"`partition_offset`; got both, partition_shape={part} and partition_info={info}"
            )
        whole = _ints("full_shape", info.full_shape)
        at = _ints("var_offset", info.var_offset)
        told = f"got full_shape={whole}, var_offset={at} and shape={sizes}"
        return whole, _box("`partition_info`", whole, sizes, at, told)
    if part is None:
        return sizes, None
    wanted, at = _ints("partition_shape", part), _ints("partition_offset", offset)
    told = f"got shape={sizes}, partition_shape={wanted} and partition_offset={at}"
    return sizes, _box("the part", sizes, wanted, at, told)


def _ints(name: str, value: Any) -> tuple[int, ...]:
    try:
        return static_shape(value)
    except (TypeError, ValueError) as error:
        raise type(error)(f"`{name}` must hold ints >= 0; got {name}={value!r}") from None


def _box(
    what: str, whole: tuple[int, ...], sizes: tuple[int, ...], at: tuple[int, ...], told: str
) -> Shard:
    if not len(whole) == len(sizes) == len(at):
        raise ValueError(f"{what} must have as many axes as `shape`; {told}")
    index = tuple(slice(a, a + n) for a, n in zip(at, sizes, strict=True))
    if any(e.stop > n for e, n in zip(index, whole, strict=True)):
        raise ValueError(f"{what} must stay inside the global shape; {told}")
    return Shard(whole, index)
