# SPDX-License-Identifier: Apache-2.0
"""Parameter servers and graphs: a process fills memory of its own when it is asked to.

A request is a short JSON text, the argument of TensorFlow's op EagerPyFunc, and after it tensors:
the numbers of rows, and a shape that only the run of a graph knows. That op runs in the process of
its device and looks there, by name, for the Python function that `serve` has put up.
So what goes over the network is the request and, where something fails, the reason: no weights.
A graph holds requests as well, to a function that every process with this module has put up.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from philinit import dtypes
from philinit._version import __version__
from philinit.checks import Progress
from philinit.filling.threads import run
from philinit.initializers.config import describe, described
from philinit.parts import Rows, Shard
from philinit.tensorflow import memory
from philinit.tensorflow.devices import is_remote, on
from philinit.tensorflow.parts import Held, at_run, index_of, tensors_in
from philinit.tensorflow.private import put_up

NAME = "philinit.tensorflow.serve"
IN_GRAPHS = "philinit (import philinit.tensorflow in the process that runs the graph)"

# What TensorFlow makes of the exceptions of Python.
_FROM_PYTHON = (
    tf.errors.InvalidArgumentError,
    tf.errors.ResourceExhaustedError,
    tf.errors.UnimplementedError,
    tf.errors.UnknownError,
)

# Servers that fill at the same time; each has a thread here, which waits.
_AT_ONCE = 128

_served: Any = None  # TensorFlow itself holds it weakly


# --- in the process of a server ------------------------------------------------------------------


def serve() -> None:
    """Let the other processes of the cluster have philinit fill memory in this one.

    To be called once in the program of each parameter server, before ``server.join()``. From then
    on philinit fills tensors there when the coordinator asks for them, with all CPUs of that
    process, and does nothing else: what is asked for is data, never code.

    Examples
    --------
    >>> import philinit.tensorflow as pit
    >>> pit.serve()
    >>> # server = tf.distribute.Server(cluster, "ps", task_index); server.join()
    """
    global _served
    _served = put_up(NAME, _answer)


def _answer(text: Any, *told: Any) -> Any:
    request = json.loads(text.numpy())
    if request["philinit"] != __version__:
        raise ValueError(
            "philinit must be of one version in all processes; "
            f"got {request['philinit']} and, here, {__version__}"
        )
    if "shape" not in request:
        return tf.constant(True)
    shape, index = request["shape"], request["part"]
    if type(index) is list:
        index = tuple(e if type(e) is int else slice(*e) for e in index)
    dtype, init = dtypes.as_dtype(request["dtype"]), described(request["init"])
    whole, part = at_run(None if shape is None else tuple(shape), index, told)
    return memory.filled(init, whole, dtype, "CPU:0", part, request["threads"])


_answering = put_up(IN_GRAPHS, _answer)


# --- in the process that asks --------------------------------------------------------------------


def filled_anywhere(
    init: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    device: str,
    part: Shard | Rows | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """`memory.filled` by the process of the device; of another one's only a name comes back."""
    if not is_remote(device):
        return memory.filled(init, shape, dtype, device, part, threads, progress)
    told = tensors_in(shape, part)
    tensor = _ask(device, [_request(init, shape, dtype, part, threads), *told], tf.as_dtype(dtype))
    if progress is not None:
        progress(math.prod(tensor.shape), math.prod(tensor.shape))
    return tensor


def filled_by_graph(
    init: Any, shape: Any, dtype: np.dtype[Any], part: Any = None, threads: int | None = None
) -> Any:
    """The tensor of a graph that is filled whenever it runs, in whichever process it then is.

    A py_function would be known to the process that has built the graph, and to no other.
    """
    request = [_request(init, shape, dtype, part, threads), *tensors_in(shape, part)]
    kinds = [tf.as_dtype(dtype)]
    # By its name, what XLA says of an operation that it cannot compile leads here.
    name = "philinit_calls_Python"
    return tf.raw_ops.EagerPyFunc(input=request, token=IN_GRAPHS, Tout=kinds, name=name)[0]


def check_served(device: str) -> None:
    """Refuse a device whose process does not serve."""
    _ask(device, [_text({})], tf.bool)


def _request(init: Any, shape: Any, dtype: np.dtype[Any], part: Any, threads: int | None) -> str:
    index = index_of(part)
    if type(index) is tuple:
        index = [e if isinstance(e, int) else (e.start, e.stop) for e in index]
    return _text(
        {
            "init": describe(init),
            "shape": shape if isinstance(shape, tuple) else None,
            "part": index,
            "dtype": dtype.name,
            "threads": threads,
        }
    )


def _text(request: dict[str, Any]) -> str:
    return json.dumps({"philinit": __version__, **request})


def _ask(device: str, request: list[Any], dtype: Any) -> Any:
    with on(device):
        try:
            # It returns when the server has answered.
            return tf.raw_ops.EagerPyFunc(input=request, token=NAME, Tout=[dtype])[0]
        except _FROM_PYTHON as error:
            raise _translated(error, device) from error


def _translated(error: Exception, device: str) -> Exception:
    """A server's error, which TensorFlow makes its own, as the one that it was."""
    text = str(error).strip().partition("\n")[0]
    if f"callback with key={NAME}" in text:
        return RuntimeError(
            "the process of a parameter server must let philinit fill its memory; got "
            f"device={device!r}, where it does not: call philinit.tensorflow.serve() there, "
            "before server.join(), or say device='CPU:0' to have the weights made here and sent"
        )
    for kind in (ValueError, TypeError, NotImplementedError, MemoryError):
        _, raised, reason = text.partition(f"{kind.__name__}: ")
        if raised:
            return kind(f"{reason} ({device})")
    return RuntimeError(f"{device!r} cannot fill its memory: {text}")


def refill(remote: list[Held], init: Any, threads: int | None, progress: Progress | None) -> None:
    """Give each variable new memory with its values, on all servers at the same time."""
    task = _Servers(remote, init, threads)
    run(task, 1, min(len(task.queues), _AT_ONCE), progress)
    if progress is not None:
        progress(task.count, task.count)


class _Servers:
    """Variables of several servers: a task for the threads, each of which waits for one server."""

    def __init__(self, remote: list[Held], init: Any, threads: int | None) -> None:
        queues = defaultdict(list)
        for one in remote:
            queues[one.device].append(one)
        self.queues = list(queues.values())
        self.init, self.threads = init, threads
        self.count = sum(math.prod(memory.shape_now(one.variable)) for one in remote)

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """One server after the other."""
        return ((i, i + size) for i in range(0, len(self.queues), size))

    def write(self, begin: int, end: int) -> int:
        """The variables on one server, one after the other; the number of weights."""
        done = 0
        for variable, device, part in itertools.chain(*self.queues[begin:end]):
            shape = memory.shape_now(variable) if part is None else part.global_shape
            dtype = dtypes.as_dtype(variable.dtype)
            tensor = filled_anywhere(self.init, shape, dtype, device, part, self.threads)
            with on(device):
                tf.raw_ops.AssignVariableOp(resource=variable.handle, value=tensor)
            done += math.prod(tensor.shape)
        return done
