# SPDX-License-Identifier: Apache-2.0
"""Initializers that count no fans: tf.compat.v1's, and prettytensor's, which is told them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from philinit import distributions
from philinit.checks import finite, positive
from philinit.distributions import TRUNCATED_STDDEV, Distribution
from philinit.initializers import constants
from philinit.parts import Shard
from philinit.tensorflow.parts import requested_part
from philinit.tf1.base import TF1Initializer, check_flag, float_dtype, tensor
from philinit.tf1.seeds import Random

# Nothing is drawn and all elements are alike: TensorFlow's own.
Zeros = tf.compat.v1.zeros_initializer
Ones = tf.compat.v1.ones_initializer

_INTEGERS = (tf.int32, tf.int64)


class Constant(tf.compat.v1.constant_initializer):  # type: ignore[misc]  # untyped base
    """`value` everywhere; of a list its elements in C order, the last one repeated.

    TensorFlow's own ``tf.compat.v1.constant_initializer(value=0, dtype=tf.float32,
    verify_shape=False)``: a list longer than the tensor is a ValueError; with `verify_shape` a
    list of any other shape is a TypeError. Only for the parts of a partitioned variable a list
    describes the whole variable here, and each part gets its own piece.

    >>> tf1.constant_initializer([1.0, 2.0, 3.0, 4.0])((2, 2)).numpy().tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """

    def __call__(
        self, shape: Any, dtype: Any = None, partition_info: Any = None, verify_shape: Any = None
    ) -> Any:
        """The tensor, or the part of it that `partition_info` describes."""
        if partition_info is None:
            return super().__call__(shape, dtype=dtype, verify_shape=verify_shape)
        whole, part = requested_part(shape, partition_info)
        assert part is not None
        made = super().__call__(whole, dtype=dtype, verify_shape=verify_shape)
        return tf.slice(made, part.starts, part.lengths)


@dataclass(frozen=True, repr=False, eq=False)
class Identity(TF1Initializer):
    """`gain` on the main diagonal of a matrix, 0 elsewhere; a part is that part of the whole.

    >>> tf1.identity_initializer()((2, 2)).numpy().tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """

    gain: float = 1.0
    dtype: Any = tf.float32

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", finite("gain", self.gain))
        object.__setattr__(self, "dtype", self._checked(self.dtype))

    def _tensor(self, whole: tuple[int, ...], part: Shard | None, dtype: Any) -> Any:
        if len(whole) != 2:
            raise ValueError(f"`shape` must have 2 axes for an identity matrix; got shape={whole}")
        return tensor(constants.Identity(self.gain), whole, part, dtype)


@dataclass(frozen=True, repr=False, eq=False)
class RandomUniform(Random):
    """U[minval, maxval), by default [0, 1), and constant where the two are equal.

    Other parameters as in `Random`. Integers, int32 and int64, are TensorFlow's own, drawn anew
    in each run; a part is cut out of the whole.

    >>> tf1.random_uniform_initializer(-0.1, 0.1, seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    minval: float = 0.0
    maxval: float | None = None
    seed: int | None = None
    dtype: Any = tf.float32

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype.is_integer:  # TensorFlow's to check; as they came, for its bits
            return
        object.__setattr__(self, "minval", finite("minval", self.minval))
        if self.maxval is not None:
            object.__setattr__(self, "maxval", finite("maxval", self.maxval))
        low, high = self.minval, self._high()
        if low > high:
            raise ValueError(
                f"`minval` must not be above `maxval`; got minval={low}, maxval={high}"
            )

    def _checked(self, dtype: Any) -> Any:
        return found if (found := tf.as_dtype(dtype)) in _INTEGERS else float_dtype(dtype)

    def _tensor(self, whole: tuple[int, ...], part: Shard | None, dtype: Any) -> Any:
        if dtype not in _INTEGERS:
            return super()._tensor(whole, part, dtype)
        bounds = self.minval, self.maxval
        ints = [int(b) if isinstance(b, float) and b.is_integer() else b for b in bounds]
        made = tf.compat.v1.random_uniform(whole, *ints, dtype, self.seed)
        return made if part is None else tf.slice(made, part.starts, part.lengths)

    def _high(self) -> float:
        return 1.0 if self.maxval is None else self.maxval

    def distribution_for(self, shape: Any) -> Distribution:
        """The one distribution, whatever the shape."""
        low, high = self.minval, self._high()
        if low == high:
            return distributions.Normal(low, 0.0)  # U needs low < high; this is `low` everywhere
        return distributions.Uniform(low, high)


@dataclass(frozen=True, repr=False, eq=False)
class RandomNormal(Random):
    """Normal of `mean` 0 and `stddev` 1 by default; other parameters as in `Random`.

    >>> tf1.random_normal_initializer(stddev=0.02, seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    mean: float = 0.0
    stddev: float = 1.0
    seed: int | None = None
    dtype: Any = tf.float32

    def __post_init__(self) -> None:
        super().__post_init__()
        made = self.distribution_for(())
        object.__setattr__(self, "mean", made.mean)
        object.__setattr__(self, "stddev", made.stddev)

    def distribution_for(self, shape: Any) -> distributions.Normal:
        """The one distribution, whatever the shape."""
        return distributions.Normal(self.mean, self.stddev)


@dataclass(frozen=True, repr=False, eq=False)
class TruncatedNormal(RandomNormal):
    """Normal cut at mean +- 2 stddev; `stddev` is the one before the cut, 1 / 0.8796 times that
    after it. Other parameters as in `Random`.

    >>> tf1.truncated_normal_initializer(stddev=0.1, seed=42)((784, 256)).shape
    TensorShape([784, 256])
    """

    def distribution_for(self, shape: Any) -> distributions.TruncatedNormal:
        """The one distribution, whatever the shape."""
        return distributions.TruncatedNormal(self.mean, self.stddev, -2.0, 2.0)


def _fan(name: str, value: Any) -> float:
    return positive(name, value) if value else 0.0  # 0 is what prettytensor lets through


def xavier_init(
    n_inputs: float,
    n_outputs: float,
    uniform: bool = True,
    *,
    seed: int | None = None,
    dtype: Any = tf.float32,
    exact: bool = False,
    sampler: str = "tensorflow",
) -> RandomUniform | TruncatedNormal:
    """prettytensor's xavier_init: an initializer for these fans, whatever the shape it is given.

    U[-limit, limit), ``limit = sqrt(6 / (n_inputs + n_outputs))``; with ``uniform=False`` a normal
    of ``stddev = sqrt(3 / (n_inputs + n_outputs))`` cut at 2 of these, which leaves 1.0773 times
    the stddev sqrt(2 / (n_inputs + n_outputs)) of Glorot & Bengio 2010. ``exact=True`` gives that
    stddev; it changes nothing for ``uniform=True``.

    >>> tf1.xavier_init(8, 16, seed=42).distribution_for((8, 16))
    Uniform(low=-0.5, high=0.5)

    Parameters
    ----------
    n_inputs, n_outputs : int or float
        Not negative, one of them positive.
    uniform : bool
        Which of the two.
    exact : bool
        That the stddev after the cut is Glorot's.
    seed, dtype, sampler
        As in `Random`.
    """
    check_flag("uniform", uniform)
    check_flag("exact", exact)
    fans = positive(
        "n_inputs + n_outputs", _fan("n_inputs", n_inputs) + _fan("n_outputs", n_outputs)
    )
    if uniform:
        limit = math.sqrt(6.0 / fans)
        return RandomUniform(-limit, limit, seed, dtype, sampler=sampler)
    stddev = math.sqrt(2.0 / fans) / TRUNCATED_STDDEV if exact else math.sqrt(3.0 / fans)
    return TruncatedNormal(0.0, stddev, seed, dtype, sampler=sampler)


@dataclass(frozen=True, repr=False, eq=False)
class Orthogonal(Random):
    """Orthonormal rows or columns times `gain`; Saxe et al. 2014. Parameters as in `Random`.

    All axes but the last are flattened. The normal matrix is philinit's, its QR factors are
    computed by TensorFlow's op as in tf.compat.v1.orthogonal_initializer, for the same bits: in
    float16 for float16. bfloat16, which TensorFlow refuses, and float16 with ``sampler="native"``
    are computed in float32 and rounded. Takes memory for a few matrices.

    A part of a partitioned variable is cut out of the whole, which every part computes (in
    TensorFlow each part is orthogonal for itself, and the whole is not).

    >>> tf1.orthogonal_initializer(seed=42)((64, 16)).shape
    TensorShape([64, 16])
    """

    gain: float = 1.0
    seed: int | None = None
    dtype: Any = tf.float32

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "gain", finite("gain", self.gain))

    def distribution_for(self, shape: Any) -> Distribution:
        """Of the elements of the matrix that is factored."""
        return distributions.Normal(0.0, 1.0)

    def _tensor(self, whole: tuple[int, ...], part: Shard | None, dtype: Any) -> Any:
        if len(whole) < 2:
            raise ValueError(
                f"`shape` must have at least 2 axes for an orthogonal matrix; got shape={whole}"
            )
        rows, columns = math.prod(whole[:-1]), whole[-1]
        rounded = dtype == tf.bfloat16 or (dtype == tf.float16 and self.sampler == "native")
        work = tf.float32 if rounded else dtype
        sizes = max(rows, columns), min(rows, columns)
        normal = tensor(self._init(whole, part), sizes, None, work)
        q, r = tf.linalg.qr(normal, full_matrices=False)
        q *= tf.sign(tf.linalg.diag_part(r))
        if rows < columns:
            q = tf.linalg.matrix_transpose(q)
        made = tf.cast(self.gain * tf.reshape(q, whole), dtype)
        return made if part is None else tf.slice(made, part.starts, part.lengths)
