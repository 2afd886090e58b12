# SPDX-License-Identifier: Apache-2.0
"""Large arrays of JAX's own on a CPU whose memory nobody has written yet.

JAX has none to give: even ``jnp.empty`` writes zeros. But the result of a foreign function,
``jax.ffi``, it leaves to that function, and here is one that writes nothing. Zeros would cost four
times what the weights do: one thread of JAX stores them, on pages of 4 KiB.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, SingleDeviceSharding

from philinit.jax.private import untraced

# Bytes from which on an array is asked for here: for each new shape JAX compiles a program, which
# takes as long as storing this many zeros.
LEAST = 32 << 20

_NAME = "philinit_unwritten"


def unwritten(shape: tuple[int, ...], dtype: np.dtype[Any], device: Any) -> jax.Array | None:
    """An array on one CPU, whose elements are what its memory happens to hold; None: not to be had.

    `device` is as in `philinit.jax.memory.filled`. Where JAX traces it gives a tracer, or None.
    """
    if jax.config.jax_debug_nans or jax.config.jax_debug_infs:  # they look at every result
        return None
    if not _registered():
        return None
    if isinstance(device, jax.Device):
        device = SingleDeviceSharding(device)
    program = _program(shape, dtype, device)
    if jax.sharding.get_abstract_mesh().empty:
        return program()
    # A program runs on all devices of the mesh that is set, unless that is of the one device.
    if device is None or not untraced():
        return None
    with jax.set_mesh(Mesh(np.array(list(device.device_set)), "x")):
        return program()


@functools.lru_cache(maxsize=256)
def _program(shape: tuple[int, ...], dtype: np.dtype[Any], sharding: Any) -> Any:
    result = jax.ShapeDtypeStruct(shape, dtype)
    return jax.jit(lambda: jax.ffi.ffi_call(_NAME, result)(), out_shardings=sharding)


@functools.cache
def _registered() -> bool:
    """Whether JAX has taken the function: once a process."""
    # Of what is registered before there is a backend, a refusal would end the backend.
    jax.local_devices(backend="cpu")
    try:
        jax.ffi.register_ffi_target(_NAME, jax.ffi.pycapsule(_nothing), platform="cpu")
    except (AttributeError, RuntimeError):  # an interface that is older, or newer
        return False
    return True


# --- as jaxlib/include/xla/ffi/api/c_api.h has it ------------------------------------------------


class _Version(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("extensions", ctypes.c_void_p),
        ("major", ctypes.c_int),
        ("minor", ctypes.c_int),
    )


class _Metadata(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("version", _Version))


class _Extension(ctypes.Structure):
    _fields_ = (
        ("size", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("metadata", ctypes.POINTER(_Metadata)),
    )


class _Call(ctypes.Structure):
    _fields_ = (("size", ctypes.c_size_t), ("extensions", ctypes.POINTER(_Extension)))


_METADATA = 1  # the kind of extension by which XLA asks what it calls


def _answer(call: Any) -> None:
    """Name the interface's version where asked for it, and do nothing where called."""
    extensions = call.contents.extensions
    if extensions and extensions.contents.kind == _METADATA:
        version = extensions.contents.metadata.contents.version
        version.major, version.minor = 0, 1


_nothing = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Call))(_answer)
