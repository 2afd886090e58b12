# SPDX-License-Identifier: Apache-2.0
"""philinit's initializers as TensorFlow and Keras call theirs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from philinit.initializers.base import Initializer, check_init
from philinit.initializers.config import describe, described
from philinit.tensorflow.checks import wanted
from philinit.tensorflow.parts import requested_part
from philinit.tensorflow.traced import made


@dataclass(frozen=True)
class _Initializer:
    init: Initializer
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
        part = None
        if not (partition_info is partition_shape is partition_offset is None):
            shape, part = requested_part(shape, partition_info, partition_shape, partition_offset)
        whole, dtype, threads, _ = wanted(shape, dtype, self.threads, None)
        return made(self.init, whole, dtype, self.device, part, threads)

    def get_config(self) -> dict[str, Any]:
        """What Keras clones and saves a layer's initializer by."""
        known_to_keras(type(self))
        device = self.device
        if isinstance(device, tf.DeviceSpec):
            device = device.to_string()
        device = getattr(device, "name", device)  # of a tf.config.LogicalDevice
        return {"init": describe(self.init), "device": device, "threads": self.threads}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _Initializer:
        """The initializer that `config`, from `get_config`, describes."""
        return cls(**{**config, "init": described(config["init"])})


classes: set[type] = {_Initializer}  # that Keras should know, once somebody has imported it


def known_to_keras(kind: type) -> None:
    """Let Keras, where somebody has imported it, find a class of ours by a name of ours."""
    if not kind.__module__.startswith("philinit."):
        return
    classes.add(kind)
    if (saving := getattr(sys.modules.get("keras"), "saving", None)) is not None:
        saving.register_keras_serializable(".".join(kind.__module__.split(".")[:2]))(kind)


def initializer(init: Any, *, device: Any = None, threads: int | None = None) -> Any:
    """`init` as TensorFlow and Keras call initializers, for whole variables and for parts of them.

    ``initializer(init)(shape, dtype)`` is ``to_tensor(init, shape, dtype)``. A part of a variable
    is that shard of the whole: ``init(shape)[part]`` bit for bit, with the fans of the whole.

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
        a Keras layer for an initializer (import `philinit.keras` before loading what was saved);
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
