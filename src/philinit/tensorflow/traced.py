# SPDX-License-Identifier: Apache-2.0
"""Tensors of eager code and of graphs; in a graph they are filled whenever it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from philinit.checks import Progress
from philinit.initializers.config import is_own
from philinit.initializers.constants import Constant
from philinit.initializers.seeded import Independent
from philinit.kernels.plan import plan
from philinit.parts import Shard
from philinit.tensorflow import compiled, memory
from philinit.tensorflow.devices import device_name, is_gpu, is_remote
from philinit.tensorflow.parts import ROWS_BY_KEY, at_run, index_of, tensors_in
from philinit.tensorflow.private import in_xla_context, leave_as_it_is
from philinit.tensorflow.servers import filled_anywhere, filled_by_graph

leave_as_it_is("philinit")


def left_in_graph(*, for_xla: bool = False) -> bool:
    """Whether TensorFlow traces the call into a graph, other than as a variable's initial value.

    TensorFlow lifts initial values out of a tf.function and runs them before it. All else stays
    in the graph, where Python is a burden: XLA runs none, and a file can hold none. With `for_xla`
    it counts only if XLA is to compile the graph.
    """
    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    if graph.get_name_scope().rpartition("/")[2].startswith("Initializer"):
        return False
    return not for_xla or in_xla_context(graph)


def symbolic(make: Callable[..., Any], dtype: np.dtype[Any], inputs: Sequence[Any] = ()) -> Any:
    """The tensor of a graph that is `make`, of the eager `inputs`, called when the graph runs."""
    if left_in_graph(for_xla=True):
        raise NotImplementedError(
            "what is drawn by Python cannot be part of a function that XLA compiles "
            "(jit_compile=True): call the initializer outside of it"
        )
    return tf.py_function(make, list(inputs), tf.as_dtype(dtype))


def made(
    init: Any,
    shape: Any,
    dtype: np.dtype[Any],
    device: Any = None,
    part: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """tf.Tensor of `shape`, or of a `part` of it: eager, or symbolic inside a graph.

    The part is a Shard or Rows; inside a graph a Shard or Late, and there `shape` may be a tensor.
    """
    if tf.executing_eagerly():
        name = device_name(device)
        return filled_anywhere(init, shape, dtype, name, part, threads, progress)
    name = device_name("CPU:0" if device is None else device)
    if is_gpu(name) or is_remote(name):
        where = "CPU memory" if is_gpu(name) else "this process's memory"
        raise NotImplementedError(
            f"a tensor inside a tf.function or a tf.Graph must be in {where}; "
            f"got device={name!r}: say device='CPU:0', or call it outside"
        )
    if isinstance(shape, tuple):
        init._check(shape, dtype)
    if left_in_graph(for_xla=True):
        if progress is not None:
            raise NotImplementedError(
                "`progress` must be left out where XLA compiles (jit_compile=True); "
                f"got progress={progress!r}"
            )
        return _compiled(init, shape, dtype, part)
    if progress is None and is_own(init):
        tensor = filled_by_graph(init, shape, dtype, part, threads)
    else:
        known = shape if isinstance(shape, tuple) else None
        index = index_of(part)

        def make(*told: Any) -> Any:
            whole, found = at_run(known, index, told)
            return memory.filled(init, whole, dtype, name, found, threads, progress)

        tensor = symbolic(make, dtype, tensors_in(shape, part))
    return _shaped(tensor, shape, part)


def _compiled(init: Any, shape: Any, dtype: np.dtype[Any], part: Any) -> Any:
    """A tensor that XLA computes."""
    if not isinstance(shape, tuple):
        raise NotImplementedError(
            "`shape` must be known when XLA compiles (jit_compile=True); "
            f"got shape={shape}: pass the numbers themselves"
        )
    if index_of(part) == ROWS_BY_KEY:
        raise NotImplementedError(
            "XLA (jit_compile=True) makes no rows by key; got a call of rows_by_key: call it "
            "outside of the function that XLA compiles, and pass it the rows"
        )
    own = is_own(init)  # other classes may write what they like
    if own and isinstance(init, Constant):
        return compiled.drawn(init((), dtype), shape, dtype, part)
    if own and isinstance(init, Independent):
        drawn = plan(init._distribution(shape), dtype, init.sampler)
        if compiled.can_draw(drawn):
            return compiled.drawn((drawn, init.key), shape, dtype, part)
    raise NotImplementedError(
        "XLA (jit_compile=True) draws Uniform, Normal and TruncatedNormal between -2 and 2, of "
        'sampler "native" in float32, float16 and bfloat16, and constants; got '
        f"init={init!r} in {dtype.name}: call it outside of the function that XLA compiles"
    )


def _shaped(tensor: Any, shape: Any, part: Any) -> Any:
    """A tensor that a graph knows nothing of, with what it can know of its shape."""
    if isinstance(part, Shard):
        shape = part.shape
    elif part is not None and isinstance(shape, tuple):
        shape = part.ids.shape.concatenate(shape[1:])
    elif part is not None:
        shape = tf.concat([tf.shape(part.ids, shape.dtype), shape[1:]], 0)
    if isinstance(shape, tf.Tensor):
        return tf.reshape(tensor, shape)  # which finds out: the memory stays the same
    tensor.set_shape(shape)
    return tensor
