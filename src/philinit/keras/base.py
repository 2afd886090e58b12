# SPDX-License-Identifier: Apache-2.0
"""From a call of a Keras initializer to its weights, and what our subclasses share."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import keras

from philinit.checks import check_sampler
from philinit.keras import draws
from philinit.keras.memory import backend, box_of, check_place, deliver, laid_out, traced
from philinit.parts import Shard


def prepared(
    initializer: Any,
    rule: draws.Rule,
    shape: Any,
    dtype: Any,
    sampler: str,
    layout: Any,
    box: Shard | None = None,
) -> Callable[[], Any]:
    """What gives the weights of ``initializer(shape, dtype)``; errors as `draws.prepare`."""
    check_place()
    job = draws.prepare(initializer, rule, shape, dtype, sampler)
    if rule is draws.orthogonal and sampler == "tensorflow":
        return lambda: laid_out(lambda: _cut(_orthogonal(initializer.gain, job), box), layout)
    return lambda: deliver(job._replace(box=box), layout)


def _cut(whole: Any, box: Shard | None) -> Any:
    return whole if box is None else keras.ops.slice(whole, box.starts, box.lengths)


def _orthogonal(gain: Any, job: draws.Job) -> Any:
    """Q sign(diag R) of the QR factors of a normal matrix, with the backend's own operations."""
    rows, columns = math.prod(job.shape[:-1]), job.shape[-1]
    normals = deliver(job._replace(shape=(max(rows, columns), min(rows, columns))))
    kept = ("float32", "float64", *(["float16"] if backend() == "tensorflow" else []))
    if job.dtype.name not in kept:  # no backend has QR factors in the rest
        normals = keras.ops.cast(normals, "float32")
    q, r = keras.ops.qr(normals)
    q *= keras.ops.sign(keras.ops.diag(r))
    if rows < columns:
        q = keras.ops.transpose(q)
    return gain * keras.ops.reshape(keras.ops.cast(q, job.dtype.name), job.shape)


class Faster:
    """A Keras initializer whose calls philinit answers."""

    sampler = "tensorflow"
    _rule: ClassVar[Any]  # a draws.Rule

    def __call__(
        self,
        shape: Any,
        dtype: Any = None,
        layout: Any = None,
        partition_shape: Any = None,
        partition_offset: Any = None,
    ) -> Any:
        """The weights, as a tensor of Keras's backend.

        Parameters
        ----------
        shape : sequence of int
            Fans come from it.
        dtype : optional
            float32, float64, float16 or bfloat16; ``keras.config.floatx()`` by default.
        layout : keras.distribution.TensorLayout or jax.sharding.Sharding, optional
            On the JAX backend: each device computes its own part.
        partition_shape, partition_offset : sequence of int, optional
            On the TensorFlow backend: the part that is wanted, as a ParameterServerStrategy with
            a `variable_partitioner` asks for it.
        """
        box = box_of(self, shape, partition_shape, partition_offset)
        keras_can = self._is_in_keras() and box is None
        if not (keras_can and traced(for_xla=True)):
            try:
                return prepared(self, type(self)._rule, shape, dtype, self.sampler, layout, box)()
            except draws.KerasOnlyError:
                if not keras_can:
                    raise
        keras_call: Any = super().__call__  # type: ignore[misc]  # that of the Keras class
        return laid_out(lambda: keras_call(shape, dtype), layout)

    def _is_in_keras(self) -> bool:
        """Whether Keras gives the numbers that were asked for."""
        return True


class Drawing(Faster):
    """An initializer with a seed and, keyword-only, a `sampler`."""

    def __init__(self, *args: Any, sampler: str = "tensorflow", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sampler = check_sampler(sampler)
        seed = getattr(self, "seed", None)
        if type(seed) is int:
            draws.check_seed(seed)
        self._check()

    def get_config(self) -> dict[str, Any]:
        """Keras's config, and the sampler where it is not the default.

        Without it the config is one that Keras's own class takes as well: that is what Keras
        makes of it in a process that has not imported `philinit.keras`.
        """
        config: dict[str, Any] = super().get_config()  # type: ignore[misc]  # Keras's
        return config if self.sampler == "tensorflow" else {**config, "sampler": self.sampler}

    def _is_in_keras(self) -> bool:
        return self.sampler == "tensorflow" and backend() == "tensorflow"

    def _check(self) -> None:
        """Refuse numbers that Keras would let through."""

    def _finite(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if draws.is_number(value) and not math.isfinite(value):
                raise ValueError(f"`{name}` must be finite; got {name}={value}")


class WithStddev(Drawing):
    """With `mean` and `stddev`."""

    def _check(self) -> None:
        self._finite("mean", "stddev")
        stddev = getattr(self, "stddev", 0.0)
        if draws.is_number(stddev) and stddev < 0:
            raise ValueError(f"`stddev` must not be negative; got stddev={stddev}")


class Scaling(Drawing):
    """With `scale`, and fans."""

    _rule = draws.variance_scaling

    def _check(self) -> None:
        self._finite("scale")


class KerasFills(Faster):
    """Constants that Keras itself fills once and in place; only a layout or a part needs more."""

    def __call__(
        self,
        shape: Any,
        dtype: Any = None,
        layout: Any = None,
        partition_shape: Any = None,
        partition_offset: Any = None,
    ) -> Any:
        """As every other initializer here."""
        if not (layout is partition_shape is partition_offset is None):
            return super().__call__(shape, dtype, layout, partition_shape, partition_offset)
        keras_call: Any = super(Faster, self).__call__  # type: ignore[misc]
        return keras_call(shape, dtype)
