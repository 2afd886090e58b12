# SPDX-License-Identifier: Apache-2.0
"""What a parameter server does: it fills memory of its own when another process asks it to.

A request is a short JSON text, the argument of TensorFlow's op EagerPyFunc. That op runs in the
process of its device and looks there, by name, for the Python function that `serve` has put up.
So what goes over the network is the request and, where something fails, the reason: no weights.
"""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf

from philinit import dtypes
from philinit._version import __version__
from philinit.initializers.config import described
from philinit.parts import Shard
from philinit.tensorflow.memory import filled

NAME = "philinit.tensorflow.serve"

_served: Any = None  # TensorFlow itself holds it weakly


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
    # TensorFlow's py_function makes up a name that only its own process knows.
    from tensorflow.python.ops import script_ops

    class Served(script_ops.EagerFunc):  # type: ignore[misc]  # untyped base
        def __init__(self) -> None:
            pass

        def __call__(self, device: Any, token: Any, args: Any) -> Any:
            # The base class may keep the result for a gradient: then the first update would copy.
            with tf.init_scope():
                return _answer(json.loads(args[0].numpy()))

    global _served
    _served = Served()
    script_ops._py_funcs._funcs[NAME] = _served


def _answer(request: dict[str, Any]) -> Any:
    if request["philinit"] != __version__:
        raise ValueError(
            "philinit must be of one version in all processes; "
            f"got {request['philinit']} and, here, {__version__}"
        )
    if "shape" not in request:
        return tf.constant(True)
    shape = tuple(request["shape"])
    box = request["box"]
    if box is not None:
        box = Shard(shape, tuple(e if type(e) is int else slice(*e) for e in box))
    dtype = dtypes.as_dtype(request["dtype"])
    init = described(request["init"])
    return filled(init, shape, dtype, "CPU:0", box, request["threads"], None)
