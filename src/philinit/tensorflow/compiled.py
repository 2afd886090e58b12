# SPDX-License-Identifier: Apache-2.0
"""The stream in TensorFlow's own operations, for programs of XLA, which call no Python: same bits.

kernels/README.md says what is computed. XLA may make one operation of a * b + c, or two, as it
likes: here all such products are exact, so that both give the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from philinit.kernels import constants
from philinit.kernels.table import Plan
from philinit.keys import Key
from philinit.parts import Shard
from philinit.runs import SPAN_LIMIT
from philinit.tensorflow.parts import Late

Values = dict[str, float]  # the parameters of a kernel

_MASK = (1 << 32) - 1


def drawn(source: Any, shape: tuple[int, ...], dtype: np.dtype[Any], part: Any) -> Any:
    """Tensor of `shape`, or of a `part` of it, which is a Shard or Late.

    `source` is a Plan and a Key, or the value of a constant. XLA raises nothing while it runs: of a
    row that there is not all elements are NaN.
    """
    if isinstance(part, Late):
        row, ids = math.prod(shape[1:]), part.ids
        index = ids[..., tf.newaxis] * row + tf.range(row, dtype=tf.int64)
        there = (ids >= 0) & (ids < shape[0])
        nan = tf.constant(math.nan, tf.as_dtype(dtype))
        weights = tf.where(there[..., tf.newaxis], _weights(source, index, 0, dtype), nan)
        return tf.reshape(weights, tf.concat([tf.shape(ids), shape[1:]], 0))
    whole = Shard(shape, ...) if part is None else part
    runs = whole.as_runs
    if runs.span > SPAN_LIMIT:
        raise NotImplementedError(
            "what XLA compiles must span at most 2**62 weights; "
            f"got {runs.span} from first to last: cut it along the outer axes"
        )
    index = tf.range(runs.length, dtype=tf.int64)
    for count, stride in reversed(runs.axes):
        outer = tf.range(count, dtype=tf.int64) * stride
        index = tf.reshape(outer, [-1] + [1] * len(index.shape)) + index
    return tf.reshape(_weights(source, index, runs.origin, dtype), whole.shape)


def can_draw(plan: Plan) -> bool:
    """Whether there is a map for a plan here."""
    return _kind(plan) in _MAPS and plan.kernel.itemsize < 8


def _kind(plan: Plan) -> str:
    return plan.kernel.name.partition("_")[0]


def _weights(source: Any, index: Any, origin: int, dtype: np.dtype[Any]) -> Any:
    """The weights at indices that are counted from an origin."""
    if not isinstance(source, tuple):
        return tf.fill(tf.shape(index), tf.constant(source))
    plan, key = source
    values = plan.values()
    return _rounded(_MAPS[_kind(plan)](_words(index, origin, key), values), values, dtype)


def _words(index: Any, origin: int, key: Key) -> Any:
    """Words `origin + index` of a stream, as int32."""
    block, skip = divmod(origin, 4)
    base = (key.base + block) % (1 << 128)
    index = tf.cast(index + skip, tf.uint64)
    block, lane = _high(index, 2), index & 3
    low = block + (base & (1 << 64) - 1)
    high = tf.cast(low < block, tf.uint64) + (base >> 64)  # the carry
    c0, c1, c2, c3 = low & _MASK, _high(low), high & _MASK, _high(high)
    k0, k1 = key.words
    for _ in range(constants.PHILOX_ROUNDS):
        p, q = c0 * constants.PHILOX_M0, c2 * constants.PHILOX_M1
        c0, c1, c2, c3 = _high(q) ^ c1 ^ k0, q & _MASK, _high(p) ^ c3 ^ k1, p & _MASK
        k0, k1 = k0 + constants.PHILOX_W0 & _MASK, k1 + constants.PHILOX_W1 & _MASK
    upper = tf.where(lane == 2, c2, c3)
    word = tf.where(lane == 0, c0, tf.where(lane == 1, c1, upper))
    return tf.bitcast(tf.cast(word, tf.uint32), tf.int32)


def _high(value: Any, bits: int = 32) -> Any:
    return tf.bitwise.right_shift(value, tf.constant(bits, tf.uint64))


# --- maps: words, and the parameters of a kernel, to float32 -------------------------------------


def _uniform(words: Any, values: Values) -> Any:
    return _fma(tf.cast(words, tf.float32), values["scale"], values["middle"])


def _normal(words: Any, values: Values) -> Any:
    k = words | 1
    bits = _bits(tf.cast((2**31 - 1) - tf.abs(k) + 1, tf.float32))
    octave = tf.bitwise.right_shift(bits, 23) & 31
    height = _polynomial(constants.NORMAL_TABLE, octave, _mantissa(bits) - 1.5)
    return _fma(tf.cast(k, tf.float32) * height, values["stddev"], values["mean"])


def _truncated(words: Any, values: Values) -> Any:
    f = tf.cast(words | 1, tf.float32)
    bits = _bits(_fma(-f, f, constants.TRUNCATED_C))
    shift = constants.TRUNCATED_SHIFT
    segment = tf.bitwise.right_shift(bits, shift) & 15
    height = _polynomial(constants.TRUNCATED_TABLE, segment, _mantissa(bits & (1 << shift) - 1))
    return _fma(f * height, values["stddev"], values["mean"])


_MAPS = {"uniform": _uniform, "normal": _normal, "truncated": _truncated}


def _polynomial(table: Any, row: Any, at: Any) -> Any:
    """Horner's scheme; entry `row` of ``table[d]`` is the coefficient of ``at**d``."""
    *lower, value = (tf.gather(tf.constant(line, tf.float32), row) for line in table)
    for coefficient in reversed(lower):
        value = _fma(value, at, coefficient)
    return value


def _bits(value: Any) -> Any:
    return tf.bitcast(value, tf.int32)


def _mantissa(bits: Any) -> Any:
    """The float32 in [1, 2) with the mantissa of these bits."""
    return tf.bitcast(bits & 0x7FFFFF | 0x3F800000, tf.float32)


def _fma(a: Any, b: Any, c: Any) -> Any:
    """a * b + c of float32, rounded once.

    In float64 the product is exact; its sum is rounded to odd there, that is, to the neighbor of
    odd mantissa where it is not exact. Rounding that to float32 is as if there were one rounding.
    """
    if isinstance(c, float) and c == 0.0:
        return a * b
    a, b, c = (tf.cast(value, tf.float64) for value in (a, b, c))
    product = a * b
    total = product + c
    back = total - product
    rest = (product - (total - back)) + (c - back)  # what the sum has lost, exactly
    bits = tf.bitcast(total, tf.int64)
    away = tf.where((rest > 0) == (total > 0), tf.constant(1, tf.int64), tf.constant(-1, tf.int64))
    odd = tf.where((rest != 0) & (bits & 1 == 0), bits + away, bits)
    return tf.cast(tf.bitcast(odd, tf.float64), tf.float32)


def _rounded(weights: Any, values: Values, dtype: np.dtype[Any]) -> Any:
    """float32 as `dtype`, between the ends that a kernel has."""
    if "low_bits" in values:
        ends = np.array([values["low_bits"], values["high_bits"]], np.uint16).view(dtype)
        low, high = ends.astype(np.float32)
    elif "low" in values:
        low, high = values["low"], values["high"]
    else:
        return tf.cast(weights, tf.as_dtype(dtype))
    return tf.cast(tf.clip_by_value(weights, low, high), tf.as_dtype(dtype))
