# SPDX-License-Identifier: Apache-2.0
"""What all TensorFlow 1 initializers share: the call with `partition_info`, and configuration."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, Self

import tensorflow as tf

from philinit import dtypes
from philinit.checks import finite
from philinit.parts import Shard
from philinit.tensorflow.parts import requested_part


def positive(name: str, value: Any) -> float:
    """`value` as a float above 0, or an error that speaks of `name`."""
    number = finite(name, value)
    if number <= 0.0:
        raise ValueError(f"`{name}` must be positive; got {name}={number}")
    return number


def float_dtype(dtype: Any, kind: type[Exception] = ValueError) -> Any:
    """`dtype` as a tf.DType that philinit can fill; `kind` is raised where it is no float."""
    found = tf.as_dtype(dtype).base_dtype
    if not found.is_floating:
        raise kind(f"`dtype` must be a floating point type; got dtype={found.name}")
    dtypes.as_dtype(found)
    return found


class Rule:
    """A frozen, comparable, picklable initializer with TensorFlow 1's interface.

    Subclasses are frozen dataclasses with ``repr=False, eq=False``: both are written once, here.
    """

    dtype: Any

    def __call__(self, shape: Any, dtype: Any = None, partition_info: Any = None) -> Any:
        """The tensor of this shape, or the part of a variable that `partition_info` describes.

        Parameters
        ----------
        shape : sequence of int, int, tf.TensorShape, or constant tensor
            Of what is returned: of the part, where there is a `partition_info`.
        dtype : optional
            float32, float64, float16 or bfloat16; default: the dtype given to the constructor.
        partition_info : object with `full_shape` and `var_offset`, optional
            As TensorFlow passes to the initializer of a partitioned variable.

        Returns
        -------
        tf.Tensor
            Eager: in memory that TensorFlow owns, so that a tf.Variable made from it trains in
            that memory. In a graph: symbolic, filled when it is run, in this process.

        Raises
        ------
        TypeError, ValueError
            A shape or dtype that cannot be.
        """
        dtype = self.dtype if dtype is None else self._checked(dtype)
        whole, box = requested_part(shape, partition_info)
        return self._tensor(whole, box, dtype)

    def _checked(self, dtype: Any) -> Any:
        return float_dtype(dtype)

    def _tensor(self, whole: tuple[int, ...], box: Shard | None, dtype: Any) -> Any:
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def get_config(self) -> dict[str, Any]:
        """The arguments that TensorFlow's class has, and of the others those that are not default.

        An unseeded initializer has seed None here, as in TensorFlow: what is made from its
        configuration draws anew.
        """
        config = {}
        for f in self._fields():
            value = getattr(self, f.name)
            if f.name != "entropy" and not (f.kw_only and value == f.default):
                config[f.name] = value.name if f.name == "dtype" else value
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The initializer that `config`, from `get_config`, describes."""
        return cls(**config)

    def _fields(self) -> tuple[dataclasses.Field[Any], ...]:
        return dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()

    def _values(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in self._fields()}

    def __repr__(self) -> str:
        """The call that makes an equal initializer: its seed, and what differs from the default."""
        shown = (
            f"{f.name}={getattr(self, f.name)!r}"
            for f in self._fields()
            if f.name == "seed" or getattr(self, f.name) != f.default
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rule):
            return NotImplemented
        return type(self) is type(other) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values().items()))

    def __reduce__(self) -> Any:
        return functools.partial(type(self), **self._values()), ()
