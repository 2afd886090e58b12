# SPDX-License-Identifier: Apache-2.0
"""Variables, made and refilled in the memory that TensorFlow will train in."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from philinit.checks import Progress, check_progress, check_threads
from philinit.dtypes import not_contiguous
from philinit.filling import devices, dlpack
from philinit.filling import memory as host_memory
from philinit.initializers.base import check_init
from philinit.tensorflow import memory, servers
from philinit.tensorflow.checks import Wanted, check_eager, static_shape, wanted
from philinit.tensorflow.devices import (
    device_name,
    device_of_strategy,
    gpu_number,
    is_remote,
    on,
    on_servers,
)
from philinit.tensorflow.parts import held


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
        ParameterServerStrategy, OneDeviceStrategy and MirroredStrategy. (Of a mirrored variable
        the first replica is filled where it is, and TensorFlow makes the others of it: each GPU
        gets a copy; replicas on CPUs share the memory until the first update, which copies it.)

    Examples
    --------
    >>> import philinit as pi, philinit.tensorflow as pit
    >>> table = pit.variable(pi.GlorotUniform(seed=42), (10_000, 64), name="table")
    >>> table.shape
    TensorShape([10000, 64])
    """
    check_eager("variable")
    check_init(init)
    asked = wanted(shape, dtype, threads, progress)
    variable_kwargs.update(trainable=trainable, name=name)
    if tf.distribute.has_strategy():
        if on_servers():
            found = _empty_on_servers(asked, device, variable_kwargs)
            return _refilled(found, init, asked.threads, asked.progress)
        device = device_of_strategy(device)
    name_of = device_name(device)
    tensor = servers.filled_anywhere(init, asked.shape, asked.dtype, name_of, None, *asked[2:])
    with on(name_of):
        return tf.Variable(tensor, **variable_kwargs)


def fill(variable: Any, init: Any, *, threads: int | None = None, progress: Any = None) -> Any:
    """Refill a variable in place, and return it; fans come from its shape.

    No memory is needed where TensorFlow has allocated the variable's own memory. Where that is
    shared with another variable or tensor, or imported through DLPack, the variable moves to
    memory of its own first, which costs its size once; the others keep their values. So does a
    variable on a parameter server, and each part of a partitioned one; see `serve`. An
    exception on the way, such as KeyboardInterrupt, leaves the variable part old, part new.
    Nothing else may write to the variable meanwhile.

    >>> v = pit.variable(pi.HeNormal(seed=1), (784, 256))
    >>> pit.fill(v, pi.HeNormal(seed=2)) is v
    True

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
    return _refilled(variable, init, check_threads(threads), check_progress(progress))


def _refilled(variable: Any, init: Any, threads: int | None, progress: Progress | None) -> Any:
    remote = []
    for one in held(variable):
        if is_remote(one.device):
            remote.append(one)
        else:
            memory.refill(*one, init, threads, progress)
    if remote:
        servers.refill(remote, init, threads, progress)
    return variable


def from_dlpack(array: Any) -> Any:
    """tf.Tensor (eager) that shares the memory of `array`, and keeps it alive.

    TensorFlow never writes to imported memory. A tf.Variable made from the tensor shares it as
    well, until its first update, or first ``tf.gather``, which copies it into TensorFlow's own
    memory: twice the memory for that moment. Use `variable` for what is trained.

    >>> w = pi.he_normal((784, 256), seed=42)
    >>> bool((pit.from_dlpack(w).numpy() == w).all())
    True

    Parameters
    ----------
    array : np.ndarray, or what else `philinit.filling.memory.writable_view` takes
        C-contiguous and writable, of dtype float32, float64, float16 or bfloat16, at an address
        that is a multiple of 64, as philinit's own arrays are. Do not write to it while
        TensorFlow may read it. Or a CuPy array, or other CUDA memory that `philinit.fill` takes:
        all work queued on CuPy's current stream is waited for, since TensorFlow's streams wait
        for nobody's; and when TensorFlow drops the memory, CuPy has it back after the device has
        done what was queued by then.

    Raises
    ------
    ValueError
        The address is not a multiple of 64 (TensorFlow would abort the process at the first
        use), or `array` is read-only, not contiguous, or of another dtype, or on a GPU that
        TensorFlow was told not to see.
    """
    check_eager("from_dlpack")
    with devices.opened(array, name="array") as view:
        if not view.flags.c_contiguous:
            raise not_contiguous(view, "array")
        on_cpu = isinstance(view, np.ndarray)
        if view.size == 0:  # nothing to share, and such an address may be anything
            return memory.empty(view.shape, view.dtype, "CPU:0" if on_cpu else "GPU:0")
        rest = (host_memory.address(view) if on_cpu else view.data.ptr) % host_memory.ALIGNMENT
        if rest:
            raise ValueError(
                f"`array` must lie at a multiple of {host_memory.ALIGNMENT} bytes, or TensorFlow "
                f"aborts the process; got address % {host_memory.ALIGNMENT} == {rest}: pass an "
                "array made by philinit.filling.memory.empty, or copy it with tf.constant"
            )
        if on_cpu:
            return tf.experimental.dlpack.from_dlpack(dlpack.to_capsule(view))
        from philinit.filling.cuda import memory as cuda_memory

        capsule = cuda_memory.to_capsule(view, gpu_number(view.device.id))
        return tf.experimental.dlpack.from_dlpack(capsule)


def _empty_on_servers(asked: Wanted, device: Any, keywords: dict[str, Any]) -> Any:
    """What the parameter server strategy makes of a shape, in memory that nobody has written."""
    if device is not None:
        raise ValueError(
            "`device` must be left out in the scope of a ParameterServerStrategy, which chooses "
            f"the servers itself; got device={device!r}"
        )

    def initial(partition_shape: Any = None, partition_offset: Any = None) -> Any:
        part = asked.shape if partition_shape is None else static_shape(partition_shape)
        return memory.empty(part, asked.dtype, device_name(None))

    return tf.Variable(initial, shape=asked.shape, dtype=tf.as_dtype(asked.dtype), **keywords)
