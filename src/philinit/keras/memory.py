# SPDX-License-Identifier: Apache-2.0
"""Weights in the memory of whatever backend Keras runs on, without a copy on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from philinit.filling import dlpack
from philinit.keras import draws, traced
from philinit.keras.checks import backend, check_layout, check_seed, float_dtype, static_shape
from philinit.keras.parts import own_axes, sharding_of
from philinit.parts import Shard

# Keras hands TensorFlow 32-bit seeds: each word of a 64-bit one modulo tf.int32.max - 1.
SEED_MODULUS = 2**31 - 2


class Request(NamedTuple):
    """Weights that were asked for, and that nothing can refuse any more."""

    source: draws.Source
    seed: Any  # int, keras.random.SeedGenerator, or None where nothing is drawn
    sampler: str
    shape: draws.Shape
    dtype: np.dtype[Any]
    device: str  # TensorFlow's name of where it wants them
    part: Shard | None = None  # which part of the tensor; None: all
    gain: Any = None  # if a number: this times the Q factor of what is drawn


def requested(
    initializer: Any,
    draw: draws.Draw,
    shape: Any,
    dtype: Any,
    sampler: str,
    part: Shard | None = None,
) -> Request:
    """What ``initializer(shape, dtype)`` asks for, by the function of `draws` for its class.

    Raises
    ------
    KerasOnlyError
        Shape, dtype, seed or parameters of a kind that only Keras can answer, or refuse.
    ValueError, NotImplementedError
        Numbers that cannot be drawn in `dtype`; see `philinit.filling.fill.fill`.
    RuntimeError
        TensorFlow wants the weights on a server that does not serve.
    """
    device = _device()
    seed = getattr(initializer, "seed", None)
    if hasattr(initializer, "seed") and not isinstance(seed, keras.random.SeedGenerator):
        check_seed(seed)
    sizes, found = static_shape(shape), float_dtype(dtype)
    source = draw(initializer, sizes, found, sampler)
    factorized = draw is draws.orthogonal and sampler == "tensorflow"
    gain = initializer.gain if factorized else None
    return Request(source, seed, sampler, sizes, found, device, part, gain)


def _device() -> str:
    """Where TensorFlow makes a variable: here, or on a server that serves."""
    if backend() == "tensorflow":
        import tensorflow as tf

        from philinit.tensorflow.devices import device_name, scope_elsewhere

        elsewhere = scope_elsewhere() if tf.executing_eagerly() else None
        if elsewhere is not None:
            from philinit.tensorflow.servers import check_served

            device = device_name(elsewhere)
            check_served(device)
            return device
    return "CPU:0"


def weights(request: Request, layout: Any = None) -> Any:
    """The weights of a request as a tensor of Keras's backend, spread as `layout` says."""
    if request.gain is not None:
        return laid_out(lambda: _orthogonal(request), layout)
    name = backend()
    if name == "jax":
        return _jax(request, layout)
    check_layout(layout, name)
    words = _seed_words(request.seed)
    if name == "tensorflow":
        import tensorflow as tf

        if tf.executing_eagerly():
            return _tensorflow(request, words)
        shape = request.shape if request.part is None else request.part.shape
        draw = lambda found: _tensorflow(request, found)  # noqa: E731  (looked up when it runs)
        return traced.tensorflow_tensor(draw, words, shape, request.dtype)
    array = _array(request, words)
    if name == "numpy":
        return array
    if name == "torch":
        import torch

        return keras.ops.convert_to_tensor(torch.from_dlpack(_Exported(array)))
    return keras.ops.convert_to_tensor(array)


def laid_out(draw: Callable[[], Any], layout: Any) -> Any:
    """The whole tensor that `draw` gives, spread as `layout` says."""
    if layout is None:
        return draw()
    if (name := backend()) != "jax":
        check_layout(layout, name)
    import jax

    with own_axes(layout):
        value = draw()
    return jax.device_put(value, sharding_of(layout))


def _orthogonal(request: Request) -> Any:
    """Q sign(diag R) of the QR factors of a normal matrix, with the backend's own operations."""
    rows, columns = math.prod(request.shape[:-1]), request.shape[-1]
    shape = max(rows, columns), min(rows, columns)
    normals = weights(request._replace(shape=shape, part=None, gain=None))
    kept = ("float32", "float64", *(["float16"] if backend() == "tensorflow" else []))
    if request.dtype.name not in kept:  # no backend has QR factors in the rest
        normals = keras.ops.cast(normals, "float32")
    q, r = keras.ops.qr(normals)
    q *= keras.ops.sign(keras.ops.diag(r))
    if rows < columns:
        q = keras.ops.transpose(q)
    whole = request.gain * keras.ops.reshape(keras.ops.cast(q, request.dtype.name), request.shape)
    part = request.part
    return whole if part is None else keras.ops.slice(whole, part.starts, part.lengths)


# --- seeds ---------------------------------------------------------------------------------------


def _seed_words(seed: Any) -> Any:
    """The two seed words as Keras draws them: an int alone is a pair with 0."""
    return seed.next() if isinstance(seed, keras.random.SeedGenerator) else (seed or 0, 0)


def _initializer(request: Request, words: Any) -> Any:
    """philinit's initializer with both words, as Keras's TensorFlow backend takes them."""
    if not isinstance(words, tuple):
        words = tuple(int(word) for word in keras.ops.convert_to_numpy(words))
    seed = words[0] % SEED_MODULUS + (words[1] % SEED_MODULUS << 64)
    return draws.with_seed(request.source, seed, request.sampler)


# --- backends ------------------------------------------------------------------------------------


def _tensorflow(request: Request, words: Any) -> Any:
    from philinit.tensorflow import memory, servers

    filled = memory.filled if request.device.startswith("CPU") else servers.filled
    init, shape, dtype, device = (
        _initializer(request, words),
        request.shape,
        request.dtype,
        request.device,
    )
    return filled(init, shape, dtype, device, request.part, None, None)


def _array(request: Request, words: Any) -> np.ndarray[Any, Any]:
    array: np.ndarray[Any, Any] = _initializer(request, words)(request.shape, request.dtype)
    return array


def _jax(request: Request, layout: Any) -> Any:
    import jax

    from philinit.jax.arrays import initializer  # here: only Keras's JAX backend has JAX

    with own_axes(layout):
        words = _seed_words(request.seed)
    shape, dtype = request.shape, request.dtype
    if isinstance(words, jax.core.Tracer):
        return traced.jax_array(lambda w: _array(request, w), words, shape, dtype, layout)
    sharding = None if layout is None else sharding_of(layout)
    return initializer(_initializer(request, words), sharding)(None, shape, dtype)


class _Exported:
    """An array that gives out its memory, bfloat16 too, which NumPy cannot."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self._array = array

    def __dlpack__(self, **_: Any) -> Any:
        return dlpack.to_capsule(self._array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU
