# SPDX-License-Identifier: Apache-2.0
"""What a Keras initializer draws: philinit's distribution, with Keras's own roundings.

All is decided before anything is drawn, so that a call that Keras should rather answer itself
takes no seed and writes no byte. What depends on plain numbers only is worked out once; the cache
tells 1 from 1.0, which round differently.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from philinit.distributions import TRUNCATED_STDDEV, Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling.cuda import launch as cuda
from philinit.initializers.base import Initializer
from philinit.initializers.constants import Constant, Identity
from philinit.initializers.fans import compute_fans
from philinit.initializers.orthogonal import Orthogonal
from philinit.initializers.seeded import KeyedDistribution, Seeded
from philinit.keras.checks import KerasOnlyError, is_number, number
from philinit.kernels.plan import plan
from philinit.keys import Key

Shape = tuple[int, ...]
Dtype = np.dtype[Any]
Source = Distribution | Initializer  # of the weights; an initializer may still lack its seed
Draw = Callable[[Any, Shape, Dtype, str], Source]  # of a Keras initializer, and a sampler

# Keras hands TensorFlow 32-bit seeds: each word of a 64-bit one modulo tf.int32.max - 1.
_SEED_MODULUS = 2**31 - 2

_FLOAT32: Dtype = np.dtype(np.float32)

_cached = functools.lru_cache(maxsize=1024, typed=True)


def with_seed(source: Source, words: Any, sampler: str) -> Initializer:
    """The initializer that draws from `source` with the two seed words, as TensorFlow gets them."""
    if not isinstance(words, tuple):
        words = [int(word) for word in keras.ops.convert_to_numpy(words)]
    seed = words[0] % _SEED_MODULUS + (words[1] % _SEED_MODULUS << 64)
    if isinstance(source, Seeded):
        return dataclasses.replace(source, seed=seed)
    return source if isinstance(source, Initializer) else _keyed(source, seed, sampler)


@dataclass(frozen=True)
class Seedless:
    """`with_seed` as a function of the seed's words, which a compiled program has when it runs."""

    source: Source
    sampler: str

    def __call__(self, words: Any) -> Initializer:
        """The initializer of these words."""
        return with_seed(self.source, tuple(words), self.sampler)


@_cached
def _keyed(distribution: Distribution, seed: int, sampler: str) -> Initializer:
    return KeyedDistribution(distribution, Key.from_seed(seed), sampler)


def by_gpus(source: Source, dtype: Dtype, sampler: str) -> bool:
    """Whether CUDA kernels draw it: not orthogonal ones, nor TensorFlow's float64 normals."""
    if isinstance(source, Initializer):
        return not isinstance(source, Orthogonal)
    try:
        cuda.check(plan(source, dtype, sampler))
    except NotImplementedError:
        return False
    return True


# --- roundings -----------------------------------------------------------------------------------


def _rounded(name: str, value: Any, *steps: Dtype) -> float:
    """`value` rounded to one dtype after the other; an overflow is an error."""
    result = np.float64(value)
    for dtype in steps:
        with np.errstate(all="ignore"):
            result = result.astype(dtype)
        if math.isinf(float(result)) and math.isfinite(value):
            raise ValueError(f"`{name}` must fit into {dtype.name}; got {name}={value}")
    return float(result)


def _cast(name: str, value: Any, dtype: Dtype) -> float:
    """`value` after ``tf.cast(value, dtype)``, where a Python float is a float32 first."""
    through_float32 = type(value) is float or dtype.itemsize == 2
    return _rounded(name, value, *([_FLOAT32] if through_float32 else []), dtype)


def _converted(name: str, value: Any, dtype: Dtype) -> float:
    """`value` after ``tf.convert_to_tensor(value, dtype)``; NumPy does it for NumPy's float64."""
    by_numpy = isinstance(value, np.float64) and dtype == np.float16
    through_float32 = dtype.itemsize == 2 and not by_numpy
    return _rounded(name, value, *([_FLOAT32] if through_float32 else []), dtype)


# --- distributions -------------------------------------------------------------------------------


@_cached
def _uniform(low: Any, high: Any, dtype: Dtype, sampler: str) -> Source:
    if sampler == "tensorflow":
        low, high = _cast("minval", low, dtype), _cast("maxval", high, dtype)
        _rounded("maxval - minval", high - low, dtype)
    if low == high:  # or so close that they are the same number of `dtype`: Keras's constant
        return Constant(low + 0.0)  # never -0.0: it is added to 0 * U
    return _possible(Uniform(low, high), dtype, sampler)


@_cached
def _normal(kind: Any, mean: Any, stddev: Any, dtype: Dtype, sampler: str) -> Source:
    if sampler == "tensorflow":
        mean, stddev = _converted("mean", mean, dtype), _converted("stddev", stddev, dtype)
    return _possible(kind(mean, stddev), dtype, sampler)


def _possible(distribution: Distribution, dtype: Dtype, sampler: str) -> Distribution:
    plan(distribution, dtype, sampler)  # raises where `dtype` cannot hold it
    return distribution


def random_uniform(initializer: Any, shape: Shape, dtype: Dtype, sampler: str) -> Source:
    """U[minval, maxval); the constant where both are equal."""
    low, high = number("minval", initializer.minval), number("maxval", initializer.maxval)
    return _uniform(low, high, dtype, sampler)


def random_normal(
    initializer: Any, shape: Shape, dtype: Dtype, sampler: str, kind: Any = Normal
) -> Source:
    """N(mean, stddev**2)."""
    mean, stddev = number("mean", initializer.mean), number("stddev", initializer.stddev)
    return _normal(kind, mean, stddev, dtype, sampler)


def truncated_normal(initializer: Any, shape: Shape, dtype: Dtype, sampler: str) -> Source:
    """N(mean, stddev**2), cut at 2 stddev on either side."""
    return random_normal(initializer, shape, dtype, sampler, TruncatedNormal)


def variance_scaling(initializer: Any, shape: Shape, dtype: Dtype, sampler: str) -> Source:
    """Variance ``scale / n``, with the fans of Keras: axes that are named leave no others."""
    ins, outs = getattr(initializer, "input_axes", None), getattr(initializer, "output_axes", None)
    if ins is None or outs is None:
        fans = _fans(shape)
    else:
        try:
            fans = math.prod(shape[a] for a in ins), math.prod(shape[a] for a in outs)
        except (IndexError, TypeError):
            raise KerasOnlyError(
                f"`input_axes` and `output_axes` must be axes of the shape; got {ins}, {outs}"
            ) from None
    scale, mode = number("scale", initializer.scale), initializer.mode
    return _scaled(scale, mode, initializer.distribution, fans, dtype, sampler)


_fans = _cached(compute_fans)


@_cached
def _scaled(
    scale: Any, mode: str, distribution: str, fans: tuple[int, int], dtype: Dtype, sampler: str
) -> Source:
    """The operations in Keras's order, since each of them rounds."""
    n = {"fan_in": fans[0], "fan_out": fans[1]}.get(mode, (fans[0] + fans[1]) / 2.0)
    variance = scale / max(1.0, n)
    if not 0.0 < variance < math.inf:
        raise ValueError(f"`scale` must be positive and finite; got scale={scale}")
    stddev = math.sqrt(variance)
    if distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return _uniform(-limit, limit, dtype, sampler)
    if distribution == "untruncated_normal":
        return _normal(Normal, 0.0, stddev, dtype, sampler)
    return _normal(TruncatedNormal, 0.0, stddev / TRUNCATED_STDDEV, dtype, sampler)


# --- constants, and what starts from normals -----------------------------------------------------


def constant(initializer: Any, shape: Shape, dtype: Dtype, sampler: str) -> Source:
    """`value` everywhere. Arrays, and what is no finite number, are left to Keras."""
    value = initializer.value
    if type(value) not in (int, float) or not is_number(value) or not math.isfinite(value):
        raise KerasOnlyError(f"`value` must be a finite Python number; got value={value!r}")
    return Constant(_cast("value", value, dtype))


def identity(initializer: Any, shape: Shape, dtype: Dtype, sampler: str) -> Source:
    """`gain` on the diagonal. A negative one, which makes Keras's zeros negative, is Keras's."""
    gain = initializer.gain
    if type(gain) not in (int, float) or not is_number(gain) or not 0.0 < gain < math.inf:
        raise KerasOnlyError(f"`gain` must be a positive Python number; got gain={gain!r}")
    if len(shape) != 2:
        raise KerasOnlyError(f"`shape` must have 2 axes; got shape={shape}")
    return Identity(_converted("gain", gain, dtype))


def orthogonal(initializer: Any, shape: Shape, dtype: Dtype, sampler: str) -> Source:
    """philinit's own matrix; of sampler "tensorflow" the normals that the backend factorizes."""
    gain = number("gain", initializer.gain)
    if len(shape) < 2:
        raise KerasOnlyError(f"`shape` must have at least 2 axes; got shape={shape}")
    if sampler == "native":  # an error where `gain` is not finite
        return Orthogonal(_rounded("gain", gain, dtype), seed=0)
    if 0 in shape:
        raise KerasOnlyError(f"`shape` must not have an empty axis; got shape={shape}")
    return _normal(Normal, 0.0, 1.0, dtype, sampler)


#: Keras's classes with a call of their own; the others inherit one of these.
BY_CLASS: dict[type, Draw] = {
    keras.initializers.RandomUniform: random_uniform,
    keras.initializers.RandomNormal: random_normal,
    keras.initializers.TruncatedNormal: truncated_normal,
    keras.initializers.VarianceScaling: variance_scaling,
    keras.initializers.Orthogonal: orthogonal,
    keras.initializers.Constant: constant,
    keras.initializers.Identity: identity,
    keras.initializers.Zeros: lambda *_: Constant(0.0),
    keras.initializers.Ones: lambda *_: Constant(1.0),
}
