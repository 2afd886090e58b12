# SPDX-License-Identifier: Apache-2.0
"""CUDA memory of others as CuPy arrays, nothing copied, and the stream that its owner works on."""

from __future__ import annotations

import contextlib
import math
import sys
from typing import Any

import numpy as np

# DLDeviceType: memory that CUDA kernels can reach; kDLCUDA, kDLCUDAManaged.
CUDA_DEVICES = (2, 13)


def import_cupy() -> Any:
    """CuPy, or the ImportError that names the extras."""
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise  # CuPy is here, but lacks something: its own message is the right one
        raise ImportError(
            'the cuda backend needs CuPy: pip install "philinit[cuda12]" where the driver is '
            'for CUDA 12, "philinit[cuda13]" for CUDA 13'
        ) from error
    return cupy


def on_cuda(thing: Any, name: str = "out") -> bool:
    """Whether an object lies in the memory of a CUDA device, as far as it says so itself.

    >>> on_cuda(np.zeros(3))
    False
    """
    kind = type(thing)
    if kind is np.ndarray:
        return False
    if kind.__module__ == "cupy":  # asked for its device, it would ask CUDA, each time
        return True
    if hasattr(kind, "__dlpack_device__"):
        return dlpack_device(thing, name)[0] in CUDA_DEVICES
    return hasattr(thing, "__cuda_array_interface__")


def dlpack_device(thing: Any, name: str) -> tuple[int, int]:
    """DLPack's numbers of the device where an object lies."""
    try:
        device_type, index = thing.__dlpack_device__()
    except (BufferError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(  # for example torch, of its meta device
            f"`{name}` must lie in memory of a device; {type(thing).__name__} refused to name its "
            f"own: {error}"
        ) from None
    return int(device_type), int(index)


def view_of(thing: Any, name: str, *, write: bool) -> tuple[Any, Any]:
    """CuPy array over the CUDA memory of an object, to `write` or to read, and its owner's stream.

    The stream is None for a CuPy array, whose work goes to CuPy's current stream, and False where
    the owner does not tell.
    """
    cupy = import_cupy()
    if isinstance(thing, cupy.ndarray):
        return thing, None
    if type(thing).__module__.startswith("tensorflow"):
        return from_capsule(thing.__dlpack__()), False
    if hasattr(thing, "__dlpack_device__"):
        return _through_dlpack(cupy, thing, name)
    return _through_interface(cupy, thing, name, write)


def _through_dlpack(cupy: Any, thing: Any, name: str) -> tuple[Any, Any]:
    stream: Any = False
    torch = sys.modules.get("torch")
    with cupy.cuda.Device(dlpack_device(thing, name)[1]), contextlib.ExitStack() as stack:
        capsule = thing
        try:
            if torch is not None and isinstance(thing, torch.Tensor):
                # -1: torch's own stream fills, so that nobody has to wait for anybody. CuPy would
                # name its default stream, and torch does not know the one of a thread.
                stream = stream_at(cupy, torch.cuda.current_stream(thing.device).cuda_stream)
                kind = str(thing.dtype).removeprefix("torch.")
                if kind.startswith(("float8_e4m3", "float8_e5m2")):
                    import ml_dtypes

                    # CuPy does not know them in capsules.
                    capsule = thing.view(torch.uint8).__dlpack__(stream=-1)
                    return cupy.from_dlpack(capsule).view(getattr(ml_dtypes, kind)), stream
                capsule = thing.__dlpack__(stream=-1)
            else:
                stack.enter_context(cupy.cuda.Stream.null)  # which then waits for the producer
            return cupy.from_dlpack(capsule), stream
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            if type(error).__module__ != "builtins" or "CUDA error" in str(error):
                raise  # CUDA's own: out of memory, or what an earlier kernel has done
            # For example torch: "Can't export tensors that require gradient, use tensor.detach()".
            raise ValueError(
                f"`{name}` must give out its memory through `__dlpack__`; "
                f"{type(thing).__name__} refused: {error}"
            ) from error


def _through_interface(cupy: Any, thing: Any, name: str, write: bool) -> tuple[Any, Any]:
    """By hand, since CuPy would wait for the stream that the interface names."""
    found = thing.__cuda_array_interface__
    pointer, read_only = found["data"]
    if read_only and write:
        raise ValueError(
            f"`{name}` must be writable; got a read-only {type(thing).__name__}: pass a copy"
        )
    if found.get("mask") is not None:
        raise TypeError(f"`{name}` must be a plain array; got one with a mask")
    dtype, shape = np.dtype(found["typestr"]), tuple(found["shape"])
    if not math.prod(shape):
        return cupy.empty(shape, dtype), None
    view = over(cupy, pointer, shape, dtype, found.get("strides"), thing)
    pointer = found.get("stream")
    return view, False if pointer is None else stream_at(cupy, pointer)


def from_capsule(capsule: Any) -> Any:
    """CuPy array over the memory of a capsule of TensorFlow's, which it keeps alive.

    TensorFlow has finished all that it had queued on the GPU when it hands out a capsule, and
    numbers its GPUs by itself: the device is asked of CUDA.
    """
    cupy = import_cupy()
    array = cupy.from_dlpack(capsule)
    if not array.size:
        return array
    return over(cupy, array.data.ptr, array.shape, array.dtype, array.strides, array)


def over(
    cupy: Any,
    pointer: int,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    strides: Any,
    owner: Any,
    device: int = -1,
) -> Any:
    """CuPy array over somebody's memory, by default on the device where CUDA says that it lies."""
    nbytes = math.prod(shape) * dtype.itemsize
    held = cupy.cuda.UnownedMemory(pointer, nbytes, owner, device)
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(held, 0), strides)


class _Handle:
    """A stream of somebody else, in the words of the CUDA stream protocol."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._pointer


def stream_at(cupy: Any, pointer: int) -> Any:
    """CuPy's name for a stream; 0 and 1 are the legacy default stream, 2 is that of the thread."""
    streams = cupy.cuda.Stream
    if pointer in (0, 1, 2):
        return streams.ptds if pointer == 2 else streams.null
    if hasattr(streams, "from_external"):  # CuPy 14
        return streams.from_external(_Handle(pointer))
    return cupy.cuda.ExternalStream(pointer)


def check_not_captured(what: str) -> None:
    """Refuse what no CUDA graph can hold, before it breaks the capture of the current stream."""
    stream = import_cupy().cuda.get_current_stream()
    if stream.ptr not in (0, 1) and stream.is_capturing():  # the legacy stream never is
        raise RuntimeError(f"while its stream is captured into a CUDA graph a fill {what}")
