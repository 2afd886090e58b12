# SPDX-License-Identifier: Apache-2.0
"""What all TensorFlow 1 initializers share: the call with `partition_info`, and configuration."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from philinit.checks import is_bool
from philinit.initializers.config import Configured
from philinit.parts import Shard
from philinit.tensorflow.checks import as_dtype
from philinit.tensorflow.initializers import known_to_keras
from philinit.tensorflow.parts import requested_part
from philinit.tensorflow.traced import made


def float_dtype(dtype: Any, kind: type[Exception] = ValueError) -> Any:
    """`dtype` as a tf.DType that philinit can fill; `kind` is raised where it is no float."""
    found = tf.as_dtype(dtype).base_dtype
    if not found.is_floating:
        told = f"`dtype` must be a floating point type; got dtype={found.name}"
        if kind is TypeError:  # tf.contrib's, whose words people match
            told = f"Cannot create initializer for non-floating point type. {told}"
        raise kind(told)
    as_dtype(found)
    return found


def check_flag(name: str, value: Any) -> None:
    """Refuse what is no bool, such as the shape of one who forgot a pair of parentheses."""
    if not is_bool(value):
        raise TypeError(
            f"`{name}` must be a bool; got {name}={value!r} (get_variable needs an initializer: "
            "xavier_initializer(), with parentheses)"
        )


def tensor(init: Any, whole: tuple[int, ...], part: Shard | None, dtype: Any) -> Any:
    """The weights of one of philinit's own initializers, eager or symbolic, in CPU memory."""
    return made(init, whole, as_dtype(dtype), "CPU:0", part)


class TF1Initializer(Configured):
    """A frozen, comparable, picklable initializer with TensorFlow 1's interface."""

    dtype: Any
    seed: int | None  # of those that draw

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known_to_keras(cls)

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
            that memory. In a graph: symbolic, filled when it is run, by the process that runs it.

        Raises
        ------
        TypeError, ValueError
            A shape or dtype that cannot be.
        """
        dtype = self.dtype if dtype is None else self._checked(dtype)
        return self._tensor(*requested_part(shape, partition_info), dtype)

    def _checked(self, dtype: Any) -> Any:
        return float_dtype(dtype)

    def _tensor(self, whole: tuple[int, ...], part: Shard | None, dtype: Any) -> Any:
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def get_config(self) -> dict[str, Any]:
        """The arguments that TensorFlow's class has, and of the others those that are not default.

        An unseeded initializer has seed None here, as in TensorFlow: what is made from its
        configuration draws anew.
        """
        known_to_keras(type(self))
        config = {}
        for f in self._fields():
            value = getattr(self, f.name)
            if f.name != "entropy" and not (f.kw_only and value == f.default):
                config[f.name] = value.name if f.name == "dtype" else value
        return config
