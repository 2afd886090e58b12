# SPDX-License-Identifier: Apache-2.0
"""What is refused of JAX's own kinds of arguments, and the sentence."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from philinit import dtypes
from philinit.jax.private import Tracer, untraced


def as_dtype(dtype: Any) -> np.dtype[Any]:
    """The dtype that is named, float32 for None, if JAX has it in the mode that it is in."""
    found = dtypes.FLOAT32 if dtype is None else dtypes.as_dtype(dtype)
    if jax.dtypes.canonicalize_dtype(found) != found:  # JAX would make it float32
        raise ValueError(
            "`dtype` float64 needs JAX's 64-bit mode; got dtype=float64 with jax_enable_x64 off: "
            'call jax.config.update("jax_enable_x64", True), or ask for float32'
        )
    return found


def check_concrete(name: str, value: Any) -> None:
    """Refuse what has no values yet, because JAX traces."""
    if isinstance(value, Tracer):
        raise NotImplementedError(
            f"`{name}` must have values; got {value}: call it outside of jax.jit and the like, or "
            "by jax.pure_callback"
        )


def in_cpu_memory(name: str, value: Any) -> Any:
    """A jax.Array as an ndarray; refuses one that NumPy could only read by a copy from a device."""
    if not isinstance(value, jax.Array):
        return value
    platforms = {device.platform for device in value.devices()}
    if platforms != {"cpu"}:
        raise ValueError(
            f"`{name}` must lie in CPU memory, where philinit.jax makes rows; got {name} on "
            f"{', '.join(sorted(platforms))}: pass numpy.asarray({name})"
        )
    return np.asarray(value)


def check_device(device: Any) -> None:
    """Refuse what is neither one of JAX's devices nor None."""
    if device is not None and not isinstance(device, jax.Device):
        raise TypeError(
            "`device` must be a jax.Device such as jax.devices()[0], or None; "
            f"got device={device!r}: with a Sharding call philinit.jax.sharded"
        )


def check_sharding(sharding: Any, shape: tuple[int, ...] | None = None) -> None:
    """Refuse what is no sharding, and one with more entries than `shape`, where given, has axes."""
    if not isinstance(sharding, (jax.sharding.Sharding, jax.sharding.PartitionSpec)):
        raise TypeError(
            "`sharding` must be a jax.sharding.Sharding, or a PartitionSpec for the mesh of "
            f"jax.set_mesh; got sharding={sharding!r}"
        )
    spec = getattr(sharding, "spec", sharding)  # other shardings have none
    is_spec = isinstance(spec, jax.sharding.PartitionSpec)
    if is_spec and shape is not None and len(spec) > len(shape):
        raise ValueError(
            "`sharding` must have at most one entry for each axis of `shape`; "
            f"got {spec} for shape={shape}"
        )


def as_words(key: Any) -> Any:
    """The words of a JAX key; traced wherever JAX traces, even if the key itself is not."""
    words = np.zeros(0, np.uint32) if key is None else _words_of(key)
    return words if untraced() else jax.device_put(words)


def _words_of(key: Any) -> Any:
    if not isinstance(key, (jax.Array, np.ndarray)):
        raise TypeError(f"`key` must be a key such as jax.random.key(0), or None; got key={key!r}")
    typed = not key.shape and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    if words.dtype != np.uint32 or words.ndim != 1:
        raise ValueError(
            "`key` must be one key, as jax.random.key(0) or jax.random.PRNGKey(0) gives it; "
            f"got shape {key.shape} and dtype {key.dtype}: use jax.vmap for a batch"
        )
    return words
