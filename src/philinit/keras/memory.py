# SPDX-License-Identifier: Apache-2.0
"""Weights in the memory of whatever backend Keras runs on, without a copy on the way."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from philinit.filling import devices, dlpack
from philinit.initializers.base import Array
from philinit.keras import draws
from philinit.keras.checks import backend, check_seed, float_dtype, no_layouts, static_shape
from philinit.keras.parts import own_axes, sharding_of
from philinit.parts import Shard
from philinit.targets import Target

if backend() == "tensorflow":
    import tensorflow as tf

    from philinit.tensorflow.devices import device_of_scope, is_remote
    from philinit.tensorflow.memory import filled
    from philinit.tensorflow.servers import check_served
    from philinit.tensorflow.traced import made, symbolic


class Request(NamedTuple):
    """Weights that were asked for, and that nothing can refuse any more."""

    source: draws.Source
    seed: Any  # int, keras.random.SeedGenerator, or None where nothing is drawn
    sampler: str
    shape: draws.Shape
    dtype: np.dtype[Any]
    device: str  # the backend's name of where it wants them
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
    ImportError, RuntimeError
        TensorFlow or torch wants the weights on a GPU, and there is no CuPy, or CUDA finds no
        device; or TensorFlow wants them on a server that does not serve.
    """
    device = _device()
    seed = getattr(initializer, "seed", None)
    if hasattr(initializer, "seed") and not isinstance(seed, keras.random.SeedGenerator):
        check_seed(seed)
    sizes, found = static_shape(shape), float_dtype(dtype)
    source = draw(initializer, sizes, found, sampler)
    if device.startswith(("GPU", "cuda")) and not draws.by_gpus(source, found, sampler):
        device = "CPU:0"  # from where the backend copies
    factorized = draw is draws.orthogonal and sampler == "tensorflow"
    gain = initializer.gain if factorized else None
    return Request(source, seed, sampler, sizes, found, device, part, gain)


def _device() -> str:
    """Where the backend makes a variable: in memory of this process, or a server that serves."""
    if backend() == "torch":
        found = keras.ops.empty((0,)).device
        return devices.resolve_device(str(found)) if found.type == "cuda" else "CPU:0"
    if backend() != "tensorflow" or not tf.executing_eagerly():
        return "CPU:0"
    device = device_of_scope()
    if is_remote(device):
        check_served(device)
    return device


def weights(request: Request, layout: Any = None) -> Any:
    """The weights of a request as a tensor of Keras's backend, spread as `layout` says."""
    if request.gain is not None:
        return laid_out(lambda: _orthogonal(request), layout)
    name = backend()
    if name == "jax":
        return _jax(request, layout)
    if layout is not None:
        raise no_layouts(layout, name)
    words = _seed_words(request)
    if name == "tensorflow":
        return _tensorflow(request, words)
    if name == "torch" and request.device != "CPU:0":
        return _on_cuda(request, words)
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
    if backend() != "jax":
        raise no_layouts(layout, backend())
    import jax

    with own_axes(layout):
        value = draw()
    return jax.device_put(value, sharding_of(layout, value.shape))


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


def _seed_words(request: Request) -> Any:
    """The two seed words as Keras draws them: an int alone is a pair with 0."""
    seed = request.seed
    return seed.next() if isinstance(seed, keras.random.SeedGenerator) else (seed or 0, 0)


# --- backends ------------------------------------------------------------------------------------


def _tensorflow(request: Request, words: Any) -> Any:
    source, _, sampler, shape, dtype, device, part, _ = request
    if not (isinstance(words, tuple) or tf.executing_eagerly()):  # a SeedGenerator's in a graph
        tensor = symbolic(lambda found: _tensorflow(request, found), dtype, [words])
        tensor.set_shape(shape if part is None else part.shape)
        return tensor
    init = draws.with_seed(source, words, sampler)
    if tf.executing_eagerly() and device == "CPU:0":  # as there, some calls nearer to the kernel
        return filled(init, shape, dtype, device, part)
    return made(init, shape, dtype, device, part)


def _on_cuda(request: Request, words: Any) -> Any:
    """torch.Tensor on the GPU where Keras has its tensors, filled there."""
    tensor = keras.ops.empty(request.shape, request.dtype.name)
    init = draws.with_seed(request.source, words, request.sampler)
    with devices.opened(tensor, name="tensor") as view:
        init._write(Target(view, request.shape))
    return tensor


def _array(request: Request, words: Any) -> Array:
    array: Array = draws.with_seed(request.source, words, request.sampler)(
        request.shape, request.dtype
    )
    return array


def _jax(request: Request, layout: Any) -> Any:
    from philinit.jax.arrays import array, sharded
    from philinit.jax.checks import as_dtype, as_words
    from philinit.jax.operations import Named, staged
    from philinit.jax.private import Tracer

    shape, dtype, source = request.shape, as_dtype(request.dtype), request.source
    with own_axes(layout):
        words, nothing = _seed_words(request), as_words(None)
    sharding = None if layout is None else sharding_of(layout, shape)
    if isinstance(words, Tracer):
        seedless = draws.Seedless(source, request.sampler)
        return staged(seedless, shape, dtype, words, sharding)
    init = draws.with_seed(source, words, request.sampler)
    if isinstance(nothing, Tracer):
        return staged(Named(init), shape, dtype, nothing, sharding)
    return array(init, shape, dtype) if sharding is None else sharded(init, shape, sharding, dtype)


class _Exported:
    """An array that gives out its memory, bfloat16 too, which NumPy cannot."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __dlpack__(self, **_: Any) -> Any:
        return dlpack.to_capsule(self._array)

    def __dlpack_device__(self) -> tuple[int, int]:
        return 1, 0  # kDLCPU
