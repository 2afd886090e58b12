# SPDX-License-Identifier: Apache-2.0
"""TensorFlow's tensors and variables, filled in the memory that TensorFlow will train in.

TensorFlow allocates (``tf.raw_ops.Empty``), philinit writes through a view of that memory, and
``tf.Variable`` takes the tensor over as it is. Memory that TensorFlow has not allocated itself
it never updates in place: the first optimizer step copies it. Hence `variable` and `to_tensor`
are the normal way, and `from_dlpack` is for tensors that are mostly read.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from philinit import backends, dlpack, dtypes, memory
from philinit.errors import missing_extra
from philinit.fans import as_shape
from philinit.sharding import Shard

try:
    import tensorflow as tf
except ModuleNotFoundError as error:
    if error.name != "tensorflow":
        raise  # TensorFlow is here, but lacks something: its own message is the right one
    raise missing_extra("philinit.tensorflow", "TensorFlow", "tensorflow") from error

from philinit._tensorflow_devices import check_eager, check_strategy, device_name, is_gpu

# tf.raw_ops.Empty takes its shape in int32.
_LARGEST_DIMENSION = 2**31 - 1

# No process has more. TensorFlow would try for ten seconds before it gives up.
_ADDRESS_SPACE = 2**47


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
        (``philinit[cuda12]`` or ``philinit[cuda13]``), with the same bits.
    name, trainable, **variable_kwargs
        Passed to tf.Variable.
    threads : int, optional
        How many threads fill. Default: all CPUs that the process may use.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements, after each chunk.

    Returns
    -------
    tf.Variable

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind; a shape or dtype that cannot be.
    MemoryError
        TensorFlow cannot allocate so much.
    ImportError, RuntimeError
        The variable would be on a GPU, and there is no CuPy, or CUDA finds no device: say
        ``device="CPU:0"`` to have it in CPU memory.
    NotImplementedError
        The call is inside a tf.function, a tf.Graph, or a tf.distribute strategy other than
        OneDeviceStrategy and MirroredStrategy over CPUs. (A mirrored variable's further
        replicas share the first one's memory until the first update, which copies it.)

    Examples
    --------
    >>> import philinit as pi, philinit.tensorflow as pit
    >>> table = pit.variable(pi.GlorotUniform(seed=42), (10_000, 64), name="table")
    >>> table.shape
    TensorShape([10000, 64])
    """
    check_eager("variable")
    check_strategy()
    device = device_name(device)
    _check_init(init)
    tensor = _filled(init, _static_shape(shape), _np_dtype(dtype), device, None, threads, progress)
    with tf.device(None), tf.device(device):
        return tf.Variable(tensor, trainable=trainable, name=name, **variable_kwargs)


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
    _check_init(init)
    shape, dtype = _static_shape(shape), _np_dtype(dtype)
    box = shard if shard is None or isinstance(shard, Shard) else Shard(shape, shard)
    eager = tf.executing_eagerly()
    device = device_name("CPU:0" if device is None and not eager else device)
    if not eager and is_gpu(device):
        raise NotImplementedError(
            "a tensor inside a tf.function or a tf.Graph must be in CPU memory; "
            f"got device={device!r}: say device='CPU:0', or call it outside"
        )
    if eager:
        return _filled(init, shape, dtype, device, box, threads, progress)
    symbolic = tf.py_function(
        lambda: _filled(init, shape, dtype, device, box, threads, progress), [], tf.as_dtype(dtype)
    )
    symbolic.set_shape(shape if box is None else box.shape)
    return symbolic


def fill(variable: Any, init: Any, *, threads: int | None = None, progress: Any = None) -> Any:
    """Refill a variable in place, and return it; fans come from its shape.

    No memory is needed where TensorFlow has allocated the variable's own memory. Where that is
    shared with another variable or tensor, or imported through DLPack, the variable moves to
    memory of its own first, which costs its size once; the others keep their values. An
    exception on the way, such as KeyboardInterrupt, leaves the variable part old, part new.
    Nothing else may write to the variable meanwhile.

    Parameters
    ----------
    variable : tf.Variable or keras.Variable
        In the memory of a CPU or, through CuPy, of a GPU; of dtype float32, float64, float16 or
        bfloat16. Of a variable mirrored over several CPU replicas each replica is filled.
    init, threads, progress
        As for `philinit.tensorflow.variable`.

    Raises
    ------
    TypeError, ValueError
        `variable` is no variable (a tf.Tensor is immutable: see `to_tensor`), or of another dtype.
    NotImplementedError
        `variable` is on another machine, or the call is inside a tf.function or a strategy's
        run().
    RuntimeError
        Somebody assigned to the variable meanwhile; or it is on a GPU that CUDA cannot use.
    ImportError
        `variable` is on a GPU, and there is no CuPy.
    """
    check_eager("fill")
    _check_init(init)
    if tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context():
        raise NotImplementedError(
            "philinit.tensorflow.fill must be called outside of a strategy's run(), where each "
            "replica sees its own part only; got a call inside: call it before"
        )
    for component in _components(variable):
        _refill(component, init, threads, progress)
    return variable


def from_dlpack(array: Any) -> Any:
    """tf.Tensor (eager) that shares the memory of `array`, and keeps it alive.

    TensorFlow never writes to imported memory. A tf.Variable made from the tensor shares it as
    well, until its first update, or first ``tf.gather``, which copies it into TensorFlow's own
    memory: twice the memory for that moment. Use `variable` for what is trained.

    Parameters
    ----------
    array : np.ndarray, or what else `philinit.memory.writable_view` takes
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
            return _empty(view.shape, view.dtype, "CPU:0" if on_cpu else "GPU:0")
        _check_alignment(memory.address(view) if on_cpu else view.data.ptr)
        if on_cpu:
            return tf.experimental.dlpack.from_dlpack(dlpack.to_capsule(view))
        from philinit.backends import cuda_memory

        cuda_memory.synchronize()
        # Without max_version CuPy makes a capsule of the old kind, the only one TensorFlow takes.
        return tf.experimental.dlpack.from_dlpack(view.__dlpack__())


def _check_alignment(address: int) -> None:
    if address % memory.ALIGNMENT:
        raise ValueError(
            f"`array` must lie at a multiple of {memory.ALIGNMENT} bytes, or TensorFlow aborts the "
            f"process; got address % {memory.ALIGNMENT} == {address % memory.ALIGNMENT}: pass an "
            "array made by philinit (philinit.memory.empty), or copy it with tf.constant"
        )


# --- memory --------------------------------------------------------------------------------------


def _check_init(init: Any) -> None:
    if isinstance(init, type) or not (callable(init) and callable(getattr(init, "fill", None))):
        raise TypeError(
            "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); "
            f"got init={init!r}"
        )


def _static_shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, tf.TensorShape):
        if not shape.is_fully_defined():
            raise ValueError(f"`shape` must be fully defined; got shape={shape}")
        shape = shape.as_list()
    return as_shape(shape)


def _np_dtype(dtype: Any) -> np.dtype[Any]:
    return np.dtype(np.float32) if dtype is None else dtypes.as_dtype(dtype)


def _filled(
    init: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: str,
    box: Shard | None,
    threads: int | None,
    progress: Any,
) -> Any:
    tensor = _empty(shape if box is None else box.shape, dtype, device)
    where = {} if box is None else {"shard": box}
    with _written(tensor, device) as view:
        init.fill(view, **where, threads=threads, progress=progress)
    return tensor


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], device: str) -> Any:
    """tf.Tensor in memory that TensorFlow has allocated, and in all but odd cases not touched."""
    nbytes = math.prod(shape) * dtype.itemsize
    needs = f"a tensor of shape {shape} and dtype {dtype.name} needs {nbytes} bytes"
    if nbytes >= _ADDRESS_SPACE:
        raise MemoryError(f"{needs}; that much memory is not to be had")
    with tf.device(None), tf.device(device):
        try:
            if max(shape, default=0) <= _LARGEST_DIMENSION:
                return tf.raw_ops.Empty(shape=shape, dtype=tf.as_dtype(dtype), init=False)
            return _empty_long(shape, tf.as_dtype(dtype))
        except tf.errors.ResourceExhaustedError as error:
            raise MemoryError(f"{needs}; TensorFlow cannot allocate that much") from error
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(
                f"`shape` must be one that TensorFlow can hold; got shape={shape}"
            ) from error


def _empty_long(shape: tuple[int, ...], dtype: Any) -> Any:
    """`_empty` for dimensions that Empty's int32 cannot say: as several shorter ones, reshaped."""
    whole = tf.constant(shape, tf.int64)
    parts: list[int] = []
    for length in shape:
        if length <= _LARGEST_DIMENSION:
            parts.append(length)
            continue
        fewest = -(-length // _LARGEST_DIMENSION)
        rows = next((r for r in range(fewest, fewest + 4096) if length % r == 0), 0)
        if not rows or 0 in shape:
            # No such divisor, as for a prime. Fill takes int64, at the cost of writing zeros.
            return tf.raw_ops.Fill(dims=whole, value=tf.zeros([], dtype))
        parts += [rows, length // rows]
    return tf.reshape(tf.raw_ops.Empty(shape=parts, dtype=dtype, init=False), whole)


def _view(tensor: Any, device: str = "CPU:0") -> Any:
    """Writable array over an eager tensor's memory: an ndarray, or a CuPy array on a GPU.

    TensorFlow has finished all that it had queued on the GPU when it hands out a capsule.
    """
    capsule = tf.experimental.dlpack.to_dlpack(tensor)
    if not is_gpu(device):
        return dlpack.from_capsule(capsule)
    from philinit.backends import cuda_memory

    return cuda_memory.from_capsule(capsule)


@contextlib.contextmanager
def _written(tensor: Any, device: str) -> Iterator[Any]:
    """A context that yields `_view(tensor)` to write; TensorFlow may read the tensor after it.

    The view is dropped at the end: while it lives, the first update would copy the tensor.
    """
    if not is_gpu(device):
        yield _view(tensor)
        return
    if math.prod(tensor.shape) == 0:  # no memory, but arguments to check
        yield np.empty(tuple(tensor.shape), tensor.dtype.as_numpy_dtype)
        return
    from philinit.backends import cuda_memory

    with cuda_memory.opened(_view(tensor, device), False) as view:
        yield view


def _components(variable: Any) -> tuple[Any, ...]:
    """The tf.Variables that hold the values: one, or one a replica."""
    found = variable
    if not isinstance(found, tf.Variable):
        found = getattr(variable, "value", None)  # keras.Variable
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
    for part in parts:
        dtypes.as_dtype(part.dtype)
        device_name(part.device)
    return parts


def _refill(variable: Any, init: Any, threads: int | None, progress: Any) -> None:
    handle = variable.handle
    if variable.shape.is_fully_defined():
        shape = tuple(variable.shape.as_list())
    else:
        shape = tuple(tf.raw_ops.VariableShape(input=handle, out_type=tf.int64).numpy().tolist())
    device = device_name(variable.device)
    if math.prod(shape) == 0 or not shape:  # the op below needs an axis; nothing to save here
        dtype = dtypes.as_dtype(variable.dtype)
        variable.assign(_filled(init, shape, dtype, device, None, threads, progress))
        return
    with tf.device(None), tf.device(variable.device):
        # A scatter of no rows makes TensorFlow do what it does before any sparse update: give the
        # variable memory that it owns alone, by a copy unless it does already. It leaves the
        # variable in copy-on-read mode, in which a read is a copy: what we wrote there were lost.
        tf.raw_ops.ResourceScatterUpdate(
            resource=handle,
            indices=tf.zeros([0], tf.int64),
            updates=tf.zeros([0, *shape[1:]], variable.dtype),
        )
        tf.raw_ops.DisableCopyOnRead(resource=handle)
        tensor = tf.raw_ops.ReadVariableOp(resource=handle, dtype=variable.dtype)
        where = _address(tensor, device)
        if _address_now(variable, device) == where:
            with _written(tensor, device) as view:
                init.fill(view, threads=threads, progress=progress)
            if _address_now(variable, device) == where:
                return
    raise RuntimeError(
        f"nothing else may use the variable while it is filled; {variable.name!r} was moved "
        "in memory by another thread: fill it again"
    )


def _address_now(variable: Any, device: str) -> int:
    value = tf.raw_ops.ReadVariableOp(resource=variable.handle, dtype=variable.dtype)
    return _address(value, device)


def _address(tensor: Any, device: str) -> int:
    view = _view(tensor, device)
    return int(view.data.ptr) if is_gpu(device) else memory.address(view)
