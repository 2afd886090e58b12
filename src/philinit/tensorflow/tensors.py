# SPDX-License-Identifier: Apache-2.0
"""Tensors in TensorFlow's own memory: whole, a shard, rows by number or by key; in graphs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from philinit.initializers.base import check_init
from philinit.parts import Rows, Shard
from philinit.tensorflow.checks import ids_in_graph, keys_in_graph, wanted
from philinit.tensorflow.memory import ids_now
from philinit.tensorflow.parts import ROWS, ROWS_BY_KEY, Late
from philinit.tensorflow.traced import made


def to_tensor(
    init: Any,
    shape: Any,
    dtype: Any = None,
    *,
    device: Any = None,
    shard: Any = None,
    threads: int | None = None,
    progress: Any = None,
) -> Any:
    """tf.Tensor of the given shape, filled by `init` in TensorFlow's own memory.

    Errors and memory are those of `variable`. A tf.Variable made from the tensor shares its
    memory; drop the tensor before training, else the first update copies it.

    Inside a tf.function or a tf.Graph the tensor is symbolic: it is filled when it is run, and may
    be any size, for it is no part of the graph. The process that runs it must have imported
    philinit.tensorflow; with `progress`, or an initializer of your own, it must be this process.
    As the initial value of a variable it is run once and, as above, never copied. There it must
    be in CPU memory. `shape` may be a tensor, or hold some, that only the run knows.

    With ``jit_compile=True`` the weights are computed by XLA, with the same bits: uniform, normal,
    and truncated normal between -2 and 2, of sampler "native" in float32, float16 and bfloat16, and
    constants. All else is a NotImplementedError while the function is traced; but for the initial
    value of a variable, which TensorFlow computes before. What was traced without XLA cannot be
    compiled later: TensorFlow's error then names an operation ``philinit_calls_Python``.

    >>> pit.to_tensor(pi.GlorotUniform(seed=42), (784, 256)).shape
    TensorShape([784, 256])

    Parameters
    ----------
    init, shape, dtype, device, threads, progress
        As for `variable`.
    shard : Shard, or index of slices, ints and Ellipsis, optional
        The part of the tensor of shape `shape` that is wanted; fans come from `shape`.
    """
    check_init(init)
    asked = wanted(shape, dtype, threads, progress)
    part = shard
    if not (shard is None or isinstance(shard, Shard)):
        if not isinstance(asked.shape, tuple):
            raise ValueError(
                "`shape` must be known when the graph is built where there is a `shard` of it; got "
                f"shape={shape} and shard={shard}: pass the numbers themselves"
            )
        part = Shard(asked.shape, shard)
    return made(init, asked.shape, asked.dtype, device, part, asked.threads, asked.progress)


def rows(
    init: Any,
    shape: Any,
    ids: Any,
    dtype: Any = None,
    *,
    device: Any = None,
    threads: int | None = None,
    progress: Any = None,
) -> Any:
    """tf.Tensor of the rows `ids` of the tensor of shape `shape`, of which nothing else is made.

    ``tf.gather(to_tensor(init, shape, dtype), ids)`` bit for bit, in TensorFlow's own memory, also
    for tables that no memory could hold: for embeddings whose rows are made when they are first
    asked for. Eager, and inside a tf.function or `tf.data.Dataset.map`, as `to_tensor` is. No
    gradient goes through: the rows are constants that `ids` choose.

    Parameters
    ----------
    init, shape, dtype, device, threads, progress
        As for `to_tensor`; `shape` is that of the whole table, up to 2**62 elements.
    ids : tf.Tensor or array of ints, of any shape
        In [0, shape[0]), duplicates allowed. The result has the shape of `ids`, then that of a row.
        Those of int64 are read where they are; a GPU's are for rows on the same GPU.

    Raises
    ------
    ValueError, tf.errors.InvalidArgumentError
        A number is none of a row's: the former where `ids` has values now, the latter where a graph
        finds out when it runs. In a function with ``jit_compile=True`` nothing can be raised then:
        such rows are NaN.

    Examples
    --------
    >>> import tensorflow as tf, philinit as pi, philinit.tensorflow as pit
    >>> init, shape = pi.Uniform(-0.05, 0.05, seed=42), (10**12, 64)
    >>> words = tf.data.Dataset.from_tensor_slices([[3, 10**11], [7, 7]])
    >>> for batch in words.map(lambda ids: pit.rows(init, shape, ids)):
    ...     print(batch.shape)
    (2, 64)
    (2, 64)
    """
    check_init(init)
    asked = wanted(shape, dtype, threads, progress)
    if tf.executing_eagerly():
        part: Any = Rows(asked.shape, ids_now(ids), copy=False)
    else:
        part = Late(ROWS, ids_in_graph(ids, asked.shape))
    return made(init, asked.shape, asked.dtype, device, part, asked.threads, asked.progress)


def rows_by_key(
    init: Any,
    width: Any,
    keys: Any,
    dtype: Any = None,
    *,
    global_shape: Any = None,
    device: Any = None,
    threads: int | None = None,
    progress: Any = None,
) -> Any:
    """tf.Tensor of rows of a table without a size, each a pure function of `init` and its key.

    For tables that add rows while they are trained, such as those of
    ``tf.lookup.experimental.MutableHashTable``: a row that is evicted and added again is the same.

    Parameters
    ----------
    init, width, keys, global_shape
        As in ``init.rows_by_key``; `keys` may be a tensor of ints, inside a graph as well.
    dtype, device, threads, progress
        As for `to_tensor`.

    Raises
    ------
    NotImplementedError
        XLA compiles the function that the call is in (``jit_compile=True``).

    Examples
    --------
    >>> import tensorflow as tf, philinit as pi, philinit.tensorflow as pit
    >>> keys = tf.strings.to_hash_bucket_strong(["red", "blue"], 2**62, [1, 2])
    >>> pit.rows_by_key(pi.Normal(stddev=0.02, seed=42), 64, keys).shape
    TensorShape([2, 64])
    """
    check_init(init)
    eager = tf.executing_eagerly()
    part: Any = init._by_key(width, ids_now(keys) if eager else [], global_shape)
    table = part.global_shape
    asked = wanted(table, dtype, threads, progress)
    if not eager:
        part = Late(ROWS_BY_KEY, keys_in_graph(keys))
    return made(init, table, asked.dtype, device, part, asked.threads, asked.progress)
