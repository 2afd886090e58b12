# SPDX-License-Identifier: Apache-2.0
"""Variables of TensorFlow's DTensor: each local device's shard in one buffer, filled in place."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from philinit.initializers.base import check_init
from philinit.tensorflow.checks import check_eager, wanted
from philinit.tensorflow.devices import device_name
from philinit.tensorflow.memory import filled
from philinit.tensorflow.parts import shards_of


def dtensor_variable(
    init: Any,
    shape: Any,
    layout: Any,
    dtype: Any = None,
    *,
    name: str | None = None,
    trainable: bool = True,
    threads: int | None = None,
    progress: Any = None,
    **variable_kwargs: Any,
) -> Any:
    """tf.experimental.dtensor.DVariable of a layout, each shard filled where it lies.

    Device d of the mesh gets ``init(shape)[shard of d]`` bit for bit, with the fans of `shape`:
    devices that the layout gives the same shard get the same bits. The whole tensor is nowhere; a
    process has the shards of its own devices, one buffer each, and nothing is sent between
    processes. (DTensor's updates are not in place: a step needs each shard once more.)

    Parameters
    ----------
    init : philinit initializer
        An object such as ``philinit.GlorotUniform(seed=42)``.
    shape : int, sequence of int, or tf.TensorShape
        Of the whole tensor.
    layout : tf.experimental.dtensor.Layout
        As many axes as `shape`. A mesh dimension must divide the axis that is sharded over it. The
        devices must be CPUs or, through CuPy, GPUs; with several clients each of them makes the
        same call.
    dtype, threads
        As for `philinit.tensorflow.variable`.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements of the local shards, after each of them.
    name, trainable, **variable_kwargs
        Passed to DVariable.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind; a layout that does not fit the shape.
    NotImplementedError
        The call is inside a tf.function or a tf.Graph; a device that is neither CPU nor GPU.

    Examples
    --------
    >>> import philinit as pi, philinit.tensorflow as pit
    >>> from tensorflow.experimental import dtensor
    >>> mesh = dtensor.create_mesh([("x", 1)], devices=["CPU:0"])
    >>> layout = dtensor.Layout(["x", dtensor.UNSHARDED], mesh)
    >>> pit.dtensor_variable(pi.GlorotUniform(seed=42), (16, 8), layout).shape
    TensorShape([16, 8])
    """
    check_eager("dtensor_variable")
    check_init(init)
    asked = wanted(shape, dtype, threads, progress)
    shards = shards_of(asked.shape, layout)
    devices = [device_name(device) for device in layout.mesh.local_devices()]
    tensors, done, total = [], 0, sum(shard.size for shard in shards)
    for device, shard in zip(devices, shards, strict=True):
        tensors.append(filled(init, asked.shape, asked.dtype, device, shard, asked.threads))
        done += shard.size
        if asked.progress is not None:
            asked.progress(done, total)
    dtensor = tf.experimental.dtensor
    packed = dtensor.pack(tensors, layout)
    return dtensor.DVariable(packed, name=name, trainable=trainable, **variable_kwargs)
