# SPDX-License-Identifier: Apache-2.0
"""Variables of TensorFlow's DTensor: each local device's shard in one buffer, filled in place."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from philinit.parts import Shard
from philinit.tensorflow.devices import check_eager, device_name
from philinit.tensorflow.memory import (
    check_init,
    check_progress,
    filled,
    np_dtype,
    static_shape,
)


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

    Device d of the mesh gets ``init(shape)[box of d]`` bit for bit, with the fans of `shape`:
    devices that the layout gives the same box get the same bits. The whole tensor is nowhere; a
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
    sizes, found = static_shape(shape), np_dtype(dtype)
    boxes = _boxes(sizes, layout)
    devices = [device_name(device) for device in layout.mesh.local_devices()]
    check_progress(progress)
    shards, done, total = [], 0, sum(box.size for box in boxes)
    for device, box in zip(devices, boxes, strict=True):
        shards.append(filled(init, sizes, found, device, box, threads, None))
        done += box.size
        if progress is not None:
            progress(done, total)
    dtensor = tf.experimental.dtensor
    packed = dtensor.pack(shards, layout)
    return dtensor.DVariable(packed, name=name, trainable=trainable, **variable_kwargs)


def _boxes(shape: tuple[int, ...], layout: Any) -> list[Shard]:
    """The box of each local device of the mesh."""
    if not isinstance(layout, tf.experimental.dtensor.Layout):
        raise TypeError(f"`layout` must be a tf.experimental.dtensor.Layout; got layout={layout!r}")
    specs, mesh = layout.sharding_specs, layout.mesh
    if len(specs) != len(shape):
        raise ValueError(
            f"`layout` must have as many axes as `shape`; got specs={specs} and shape={shape}"
        )
    counts = [1 if s == tf.experimental.dtensor.UNSHARDED else mesh.dim_size(s) for s in specs]
    for axis, (length, count) in enumerate(zip(shape, counts, strict=True)):
        if length % count:
            raise ValueError(
                "`layout` must cut each axis into equal parts; "
                f"got {count} parts of axis {axis} of shape={shape}"
            )
    lengths = [length // count for length, count in zip(shape, counts, strict=True)]
    return [
        Shard(
            shape,
            tuple(
                slice(n * place.get(spec, 0), n * place.get(spec, 0) + n)
                for n, spec in zip(lengths, specs, strict=True)
            ),
        )
        for place in mesh.local_device_locations()
    ]
