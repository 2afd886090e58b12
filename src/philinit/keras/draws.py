# SPDX-License-Identifier: Apache-2.0
"""What a Keras initializer draws: philinit's distribution, with Keras's own roundings.

Everything here is decided before anything is drawn, so that a call that Keras should rather
answer itself leaves no trace: no seed taken, no byte written.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from philinit import dtypes, initializers
from philinit.checks import as_shape
from philinit.distributions import (
    TRUNCATED_STDDEV,
    Distribution,
    Normal,
    TruncatedNormal,
    Uniform,
)
from philinit.initializers.base import Initializer
from philinit.initializers.fans import compute_fans
from philinit.initializers.seeded import KeyedDistribution
from philinit.kernels.plan import plan
from philinit.keys import Key
from philinit.parts import Shard

Shape = tuple[int, ...]
Make = Callable[[int], Initializer]  # from a seed of 128 bits
# (Keras initializer, shape, dtype, sampler) -> what makes philinit's initializer
Rule = Callable[[Any, Shape, "np.dtype[Any]", str], Make]

# Keras hands TensorFlow 32-bit seeds: each word of a 64-bit one modulo tf.int32.max - 1.
SEED_MODULUS = 2**31 - 2

_FLOAT32: np.dtype[Any] = np.dtype(np.float32)


class KerasOnlyError(ValueError):
    """A call that makes sense to Keras, but that philinit has no numbers for."""


class Job(NamedTuple):
    """A draw that nothing can refuse any more."""

    make: Make
    seed: Any  # int, keras.random.SeedGenerator, or None where nothing is drawn
    shape: Shape
    dtype: np.dtype[Any]
    box: Shard | None = None  # the part that is wanted; None: all


def prepare(initializer: Any, rule: Rule, shape: Any, dtype: Any, sampler: str) -> Job:
    """The job that answers ``initializer(shape, dtype)``.

    Raises
    ------
    KerasOnlyError
        Shape, dtype, seed or parameters of a kind that only Keras can answer, or refuse.
    ValueError, NotImplementedError
        Numbers that cannot be drawn in `dtype`; see `philinit.filling.fill.fill`.
    """
    seed = getattr(initializer, "seed", None)
    if hasattr(initializer, "seed") and not isinstance(seed, keras.random.SeedGenerator):
        check_seed(seed)
    sizes, found = _static_shape(shape), _float_dtype(dtype)
    return Job(rule(initializer, sizes, found, sampler), seed, sizes, found)


def check_seed(seed: Any) -> None:
    """Refuse what is no integer of 64 bits, the largest that Keras can hand to TensorFlow."""
    if type(seed) is not int or not -(2**63) <= seed < 2**63:
        raise KerasOnlyError(f"`seed` must be an int in [-2**63, 2**63); got seed={seed!r}")


def joined(first: int, second: int = 0) -> int:
    """Keras's pair of seed words, as its TensorFlow backend takes them, in one philinit seed."""
    return first % SEED_MODULUS + (second % SEED_MODULUS << 64)


def _static_shape(shape: Any) -> Shape:
    try:
        return as_shape(tuple(shape))
    except Exception:  # what a tensor raises when it has no value yet is the backend's choice
        raise KerasOnlyError(f"`shape` must be a tuple of ints >= 0; got shape={shape!r}") from None


def _float_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        return dtypes.as_dtype(keras.backend.standardize_dtype(dtype))
    except (TypeError, ValueError):
        raise KerasOnlyError(
            f"`dtype` must be one of {', '.join(dtypes.NAMES)}; got dtype={dtype!r}"
        ) from None


# --- numbers -------------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy that float64 holds exactly."""
    if type(value) is int or isinstance(value, np.integer):
        return abs(int(value)) <= 2**53
    return type(value) is float or isinstance(value, (np.float64, np.float32, np.float16))


def _number(name: str, value: Any) -> Any:
    if not is_number(value):
        raise KerasOnlyError(f"`{name}` must be a number of Python or NumPy; got {name}={value!r}")
    return value


def _rounded(name: str, value: Any, *steps: np.dtype[Any]) -> float:
    """`value` rounded to one dtype after the other; an overflow is an error."""
    number = np.float64(value)
    for dtype in steps:
        with np.errstate(all="ignore"):
            number = number.astype(dtype)
        if math.isinf(float(number)) and math.isfinite(value):
            raise ValueError(f"`{name}` must fit into {dtype.name}; got {name}={value}")
    return float(number)


def _cast(name: str, value: Any, dtype: np.dtype[Any]) -> float:
    """`value` after ``tf.cast(value, dtype)``, where a Python float is a float32 first."""
    through_float32 = type(value) is float or dtype.itemsize == 2
    return _rounded(name, value, *([_FLOAT32] if through_float32 else []), dtype)


def _converted(name: str, value: Any, dtype: np.dtype[Any]) -> float:
    """`value` after ``tf.convert_to_tensor(value, dtype)``; NumPy does it for NumPy's float64."""
    by_numpy = isinstance(value, np.float64) and dtype == np.float16
    through_float32 = dtype.itemsize == 2 and not by_numpy
    return _rounded(name, value, *([_FLOAT32] if through_float32 else []), dtype)


# --- distributions -------------------------------------------------------------------------------


def _drawn(distribution: Distribution, dtype: np.dtype[Any], sampler: str) -> Make:
    plan(distribution, dtype, sampler)  # raises where `dtype` cannot hold it
    return lambda seed: KeyedDistribution(distribution, Key.from_seed(seed), sampler)


def _uniform(low: Any, high: Any, dtype: np.dtype[Any], sampler: str) -> Make:
    low, high = _number("minval", low), _number("maxval", high)
    if sampler == "tensorflow":
        low, high = _cast("minval", low, dtype), _cast("maxval", high, dtype)
        _rounded("maxval - minval", high - low, dtype)
    if low == high:  # or so close that they are the same number of `dtype`: Keras's constant
        return lambda _: initializers.Constant(low + 0.0)  # never -0.0: it is added to 0 * U
    return _drawn(Uniform(low, high), dtype, sampler)


def _normal(kind: Any, mean: Any, stddev: Any, dtype: np.dtype[Any], sampler: str) -> Make:
    mean, stddev = _number("mean", mean), _number("stddev", stddev)
    if sampler == "tensorflow":
        mean, stddev = _converted("mean", mean, dtype), _converted("stddev", stddev, dtype)
    return _drawn(kind(mean, stddev), dtype, sampler)


def random_uniform(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """U[minval, maxval); the constant where both are equal."""
    return _uniform(initializer.minval, initializer.maxval, dtype, sampler)


def random_normal(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """N(mean, stddev**2)."""
    return _normal(Normal, initializer.mean, initializer.stddev, dtype, sampler)


def truncated_normal(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """N(mean, stddev**2), cut at 2 stddev on either side."""
    return _normal(TruncatedNormal, initializer.mean, initializer.stddev, dtype, sampler)


def _keras_fans(shape: Shape, input_axes: Any, output_axes: Any) -> tuple[int, int]:
    """(fan_in, fan_out) as Keras counts them: axes that are named leave no receptive field."""
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    return compute_fans(shape)


def variance_scaling(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """Variance ``scale / n``; the operations in Keras's order, since each of them rounds."""
    axes = (getattr(initializer, "input_axes", None), getattr(initializer, "output_axes", None))
    fan_in, fan_out = _keras_fans(shape, *axes)
    n = {"fan_in": fan_in, "fan_out": fan_out}.get(initializer.mode, (fan_in + fan_out) / 2.0)
    variance = _number("scale", initializer.scale) / max(1.0, n)
    if not 0.0 < variance < math.inf:
        raise ValueError(f"`scale` must be positive and finite; got scale={initializer.scale}")
    if initializer.distribution == "uniform":
        limit = math.sqrt(3.0 * variance)
        return _uniform(-limit, limit, dtype, sampler)
    if initializer.distribution == "untruncated_normal":
        return _normal(Normal, 0.0, math.sqrt(variance), dtype, sampler)
    return _normal(TruncatedNormal, 0.0, math.sqrt(variance) / TRUNCATED_STDDEV, dtype, sampler)


# --- constants, and what starts from normals -----------------------------------------------------


def constant(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """`value` everywhere. Arrays, and what is no finite number, are left to Keras."""
    value = initializer.value
    if type(value) not in (int, float) or not is_number(value) or not math.isfinite(value):
        raise KerasOnlyError(f"`value` must be a finite Python number; got value={value!r}")
    found = _cast("value", value, dtype)
    return lambda _: initializers.Constant(found)


def identity(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """`gain` on the diagonal. A negative one, which makes Keras's zeros negative, is Keras's."""
    gain = initializer.gain
    if type(gain) not in (int, float) or not is_number(gain) or not 0.0 < gain < math.inf:
        raise KerasOnlyError(f"`gain` must be a positive Python number; got gain={gain!r}")
    if len(shape) != 2:
        raise KerasOnlyError(f"`shape` must have 2 axes; got shape={shape}")
    found = _converted("gain", gain, dtype)
    return lambda _: initializers.Identity(found)


def zeros(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """0 everywhere."""
    return lambda _: initializers.Zeros()


def ones(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """1 everywhere."""
    return lambda _: initializers.Ones()


def orthogonal(initializer: Any, shape: Shape, dtype: np.dtype[Any], sampler: str) -> Make:
    """With sampler "tensorflow" the normals that Keras factorizes; else the orthogonal matrix."""
    gain = _number("gain", initializer.gain)
    if len(shape) < 2:
        raise KerasOnlyError(f"`shape` must have at least 2 axes; got shape={shape}")
    if sampler == "native":
        gain = _rounded("gain", gain, dtype)
        initializers.Orthogonal(gain, seed=0)  # raises where `gain` is not finite
        return lambda seed: initializers.Orthogonal(gain, seed=seed)
    if 0 in shape:
        raise KerasOnlyError(f"`shape` must not have an empty axis; got shape={shape}")
    return _normal(Normal, 0.0, 1.0, dtype, sampler)
