# SPDX-License-Identifier: Apache-2.0
"""Variables and tensors, made and refilled in the memory that TensorFlow will train in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from philinit import dtypes
from philinit.filling import devices as backends
from philinit.filling import dlpack, memory
from philinit.parts import Shard
from philinit.tensorflow import memory as _tensorflow_memory
from philinit.tensorflow import servers as _tensorflow_servers
from philinit.tensorflow.devices import (
    check_eager,
    check_strategy,
    device_name,
    is_gpu,
    is_remote,
    on_servers,
)
from philinit.tensorflow.memory import check_init, empty, np_dtype, static_shape
from philinit.tensorflow.parts import place
from philinit.tensorflow.refill import Part, refill
from philinit.tensorflow.servers import is_sharded, parts_of


def variable(
    init: Any,
    shape: Any,
    dtype: Any = None,
    *,
    device: Any = None,
    name: str | None = None,
    trainable: bool = True,
    threads: int | None = None,
    progress: Any = None,
    **variable_kwargs: Any,
) -> Any:
    """tf.Variable of the given shape, filled by `init` in the memory that it trains in.

    Peak memory is the variable itself: no copy is made here, nor by the first optimizer step.

    Parameters
    ----------
    init : philinit initializer
        An object such as ``philinit.GlorotUniform(seed=42)``; fans come from `shape`.
    shape : int, sequence of int, or tf.TensorShape
        Any rank, sizes of zero and dimensions above 2**31 - 1 included.
    dtype : optional
        float32 (default), float64, float16 or bfloat16, as a str, np.dtype or tf.DType.
    device : str, optional
        Such as "CPU:0" or "GPU:0". Default: the device scope around the call, or TensorFlow's own
        choice, the first GPU where there is one. The GPU's memory is filled through CuPy
        (``philinit[cuda12]`` or ``philinit[cuda13]``), with the same bits. A device of another
        process, such as "/job:ps/task:0", is filled by that process; see `serve`.
    name, trainable, **variable_kwargs
        Passed to tf.Variable.
    threads : int, optional
        How many threads fill. Default: all CPUs that the process may use.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.

    Returns
    -------
    tf.Variable
        In the scope of a ParameterServerStrategy whatever that strategy makes, in parts if it has
        a `variable_partitioner`. All servers fill their parts at the same time, each in its own
        memory; no weights go over the network. Each must have called `serve`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind; a shape or dtype that cannot be.
    MemoryError
        TensorFlow cannot allocate so much.
    ImportError, RuntimeError
        The variable would be on a GPU, and there is no CuPy, or CUDA finds no device: say
        ``device="CPU:0"`` to have it in CPU memory. Or on a server that has not called `serve`.
    NotImplementedError
        The call is inside a tf.function, a tf.Graph, or a tf.distribute strategy other than
        ParameterServerStrategy, and OneDeviceStrategy and MirroredStrategy over CPUs. (A mirrored
        variable's further replicas share the first one's memory until the first update, which
        copies it.)

    Examples
    --------
    >>> import philinit as pi, philinit.tensorflow as pit
    >>> table = pit.variable(pi.GlorotUniform(seed=42), (10_000, 64), name="table")
    >>> table.shape
    TensorShape([10000, 64])
    """
    check_eager("variable")
    variable_kwargs.update(trainable=trainable, name=name)
    if on_servers():
        check_init(init)
        made = _untouched_on_servers(static_shape(shape), np_dtype(dtype), device, variable_kwargs)
        return fill(made, init, threads=threads, progress=progress)
    check_strategy()
    device = device_name(device)
    check_init(init)
    tensor = _filled(init, static_shape(shape), np_dtype(dtype), device, None, threads, progress)
    with tf.device(None), tf.device(device):
        return tf.Variable(tensor, **variable_kwargs)


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

    Inside a tf.function or a tf.Graph the tensor is symbolic (a ``tf.py_function``): it is filled
    when it is first run, in this process, and may be any size, for it is no part of the graph. As
    the initial value of a variable it is run once and, as above, never copied. There it must be
    in CPU memory.

    Parameters
    ----------
    init, shape, dtype, device, threads, progress
        As for `variable`.
    shard : Shard, or index of slices, ints and Ellipsis, optional
        The box of the tensor of shape `shape` that is wanted; fans come from `shape`.
    """
    check_init(init)
    shape, dtype = static_shape(shape), np_dtype(dtype)
    box = shard if shard is None or isinstance(shard, Shard) else Shard(shape, shard)
    eager = tf.executing_eagerly()
    device = device_name("CPU:0" if device is None and not eager else device)
    if not eager and (is_gpu(device) or is_remote(device)):
        where = "CPU memory" if is_gpu(device) else "this process's memory"
        raise NotImplementedError(
            f"a tensor inside a tf.function or a tf.Graph must be in {where}; "
            f"got device={device!r}: say device='CPU:0', or call it outside"
        )
    if eager:
        return _filled(init, shape, dtype, device, box, threads, progress)
    symbolic = tf.py_function(
        lambda: _filled(init, shape, dtype, device, box, threads, progress), [], tf.as_dtype(dtype)
    )
    symbolic.set_shape(shape if box is None else box.shape)
    return symbolic


def initializer(init: Any, *, device: Any = None, threads: int | None = None) -> Any:
    """`init` as TensorFlow and Keras call initializers, for whole variables and for parts of them.

    ``initializer(init)(shape, dtype)`` is ``to_tensor(init, shape, dtype)``. A part of a variable
    is that box of the whole: ``init(shape)[box]`` bit for bit, with the fans of the whole.

    Parameters
    ----------
    init : philinit initializer
        An object such as ``philinit.GlorotUniform(seed=42)``.
    device, threads
        As for `to_tensor`. Where TensorFlow makes the variable on a parameter server, that server
        fills its part, if it has called `serve`. With ``device="CPU:0"`` the part is filled here,
        and TensorFlow sends it: no server needs philinit, but this process needs about three
        times the memory of a part, which must stay below 2 GiB.

    Returns
    -------
    callable(shape, dtype=None, partition_info=None, partition_shape=None, partition_offset=None)
        Frozen and picklable. What tf.Variable takes for an initial value, with functools.partial
        (without `shape` and `dtype` of its own tf.Variable asks for the whole, and cuts it);
        a Keras layer for an initializer (a saved model remembers those of `philinit.keras` only);
        tf.compat.v1.get_variable, with a partitioner too. It raises ValueError where a part is
        described twice, by halves, or does not lie in the whole.

    Examples
    --------
    >>> import philinit as pi, philinit.tensorflow as pit
    >>> draw = pit.initializer(pi.GlorotUniform(seed=42))
    >>> draw((10, 4), partition_shape=(3, 4), partition_offset=(7, 0)).shape
    TensorShape([3, 4])
    """
    check_init(init)
    return _Initializer(init, device, threads)


@dataclass(frozen=True)
class _Initializer:
    init: Any
    device: Any = None
    threads: int | None = None

    def __call__(
        self,
        shape: Any,
        dtype: Any = None,
        partition_info: Any = None,
        partition_shape: Any = None,
        partition_offset: Any = None,
    ) -> Any:
        whole, box = place(shape, partition_info, partition_shape, partition_offset)
        return to_tensor(
            self.init, whole, dtype, device=self.device, shard=box, threads=self.threads
        )


def fill(variable: Any, init: Any, *, threads: int | None = None, progress: Any = None) -> Any:
    """Refill a variable in place, and return it; fans come from its shape.

    No memory is needed where TensorFlow has allocated the variable's own memory. Where that is
    shared with another variable or tensor, or imported through DLPack, the variable moves to
    memory of its own first, which costs its size once; the others keep their values. So does a
    variable on a parameter server, and each part of a partitioned one; see `serve`. An
    exception on the way, such as KeyboardInterrupt, leaves the variable part old, part new.
    Nothing else may write to the variable meanwhile.

    Parameters
    ----------
    variable : tf.Variable or keras.Variable
        In the memory of a CPU or, through CuPy, of a GPU; of dtype float32, float64, float16 or
        bfloat16. Of a variable mirrored over several CPU replicas each replica is filled. The
        parts of a partitioned variable get their parts of the values.
    init, threads, progress
        As for `philinit.tensorflow.variable`.

    Raises
    ------
    TypeError, ValueError
        `variable` is no variable (a tf.Tensor is immutable: see `to_tensor`), or of another dtype.
    NotImplementedError
        The call is inside a tf.function or a strategy's run().
    RuntimeError
        Somebody assigned to the variable meanwhile; or it is on a GPU that CUDA cannot use, or on
        a server that has not called `serve`.
    ImportError
        `variable` is on a GPU, and there is no CuPy.
    """
    check_eager("fill")
    check_init(init)
    if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
        raise NotImplementedError(
            "philinit.tensorflow.fill must be called outside of a strategy's run(), where each "
            "replica sees its own part only; got a call inside: call it before"
        )
    parts = _parts(variable)
    for part in parts:
        if not is_remote(part.device):
            refill(part, init, threads, progress)
    far = [part for part in parts if is_remote(part.device)]
    if far:
        _tensorflow_servers.refill(far, init, threads, progress)
    return variable


def from_dlpack(array: Any) -> Any:
    """tf.Tensor (eager) that shares the memory of `array`, and keeps it alive.

    TensorFlow never writes to imported memory. A tf.Variable made from the tensor shares it as
    well, until its first update, or first ``tf.gather``, which copies it into TensorFlow's own
    memory: twice the memory for that moment. Use `variable` for what is trained.

    Parameters
    ----------
    array : np.ndarray, or what else `philinit.filling.memory.writable_view` takes
        C-contiguous and writable, of dtype float32, float64, float16 or bfloat16, at an address
        that is a multiple of 64, as philinit's own arrays are. Do not write to it while
        TensorFlow may read it. Or a CuPy array, or other CUDA memory that `philinit.fill` takes:
        all work queued on CuPy's current stream is waited for, since TensorFlow's streams wait
        for nobody's.

    Raises
    ------
    ValueError
        The address is not a multiple of 64 (TensorFlow would abort the process at the first
        use), or `array` is read-only, not contiguous, or of another dtype.
    """
    check_eager("from_dlpack")
    with backends.opened(array, name="array") as view:
        on_cpu = isinstance(view, np.ndarray)
        if view.size == 0:  # nothing to share, and such an address may be anything
            return empty(view.shape, view.dtype, "CPU:0" if on_cpu else "GPU:0")
        _check_alignment(memory.address(view) if on_cpu else view.data.ptr)
        if on_cpu:
            return tf.experimental.dlpack.from_dlpack(dlpack.to_capsule(view))
        from philinit.filling.cuda import memory as cuda_memory

        cuda_memory.synchronize()
        # Without max_version CuPy makes a capsule of the old kind, the only one TensorFlow takes.
        return tf.experimental.dlpack.from_dlpack(view.__dlpack__())


def _check_alignment(address: int) -> None:
    if address % memory.ALIGNMENT:
        raise ValueError(
            f"`array` must lie at a multiple of {memory.ALIGNMENT} bytes, or TensorFlow aborts the "
            f"process; got address % {memory.ALIGNMENT} == {address % memory.ALIGNMENT}: pass an "
            "array made by philinit (philinit.filling.memory.empty), or copy it with tf.constant"
        )


# --- which memory --------------------------------------------------------------------------------


def _filled(
    init: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: str,
    box: Shard | None,
    threads: int | None,
    progress: Any,
) -> Any:
    """tf.Tensor of `shape`, or of the `box` of it, written by the process of the device."""
    write = _tensorflow_servers.filled if is_remote(device) else _tensorflow_memory.filled
    return write(init, shape, dtype, device, box, threads, progress)


def _untouched_on_servers(
    shape: tuple[int, ...], dtype: np.dtype[Any], device: Any, keywords: dict[str, Any]
) -> Any:
    """What the parameter server strategy makes of a shape, in memory that nobody has touched."""
    if device is not None:
        raise ValueError(
            "`device` must be left out in the scope of a ParameterServerStrategy, which chooses "
            f"the servers itself; got device={device!r}"
        )

    def initial(partition_shape: Any = None, partition_offset: Any = None) -> Any:
        part = shape if partition_shape is None else static_shape(partition_shape)
        return empty(part, dtype, device_name(None))

    return tf.Variable(initial, shape=shape, dtype=tf.as_dtype(dtype), **keywords)


def _parts(variable: Any) -> list[Part]:
    """The tf.Variables that hold the values: one, or one a replica, or one a shard."""
    found = variable
    if not isinstance(found, tf.Variable) and not is_sharded(found):
        found = getattr(variable, "value", None)  # keras.Variable
    if is_sharded(found):
        dtypes.as_dtype(found.dtype)
        return [Part(v, device_name(v.device), box) for v, box in parts_of(found)]
    if not isinstance(found, tf.Variable):
        hint = ""
        if isinstance(variable, tf.Tensor):
            hint = ": tensors are immutable, make a new one with philinit.tensorflow.to_tensor"
        elif isinstance(variable, np.ndarray):
            hint = ": fill arrays with the initializer's own fill"
        raise TypeError(f"`variable` must be a tf.Variable; got {type(variable).__name__}{hint}")
    parts: tuple[Any, ...] = (found,)
    if isinstance(found, tf.distribute.DistributedValues):
        if found.synchronization == tf.VariableSynchronization.ON_READ:
            raise NotImplementedError(
                "`variable` must hold the same value on each replica; got one that is "
                "aggregated when it is read: fill its replicas one by one"
            )
        parts = tuple(found.distribute_strategy.experimental_local_results(found))
    dtypes.as_dtype(found.dtype)
    return [Part(part, device_name(part.device)) for part in parts]
