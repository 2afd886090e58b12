# SPDX-License-Identifier: Apache-2.0
"""CUDA devices, and memory there as CuPy arrays. CuPy is imported here, and only when used."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from philinit.checks import refuse_immutable
from philinit.dtypes import FLOAT8, PLAIN, check_view, extended

# No device has more; CuPy would say that an integer overflows.
_ADDRESS_SPACE = 2**47


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


def device_count() -> int:
    """How many CUDA devices there are, at least 1.

    Raises
    ------
    ImportError
        There is no CuPy.
    RuntimeError
        There is no device, or no driver: what CUDA said.
    """
    cupy = import_cupy()
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise RuntimeError(f"the cuda backend needs a CUDA device; CUDA said: {error}") from error
    if count == 0:
        raise RuntimeError("the cuda backend needs a CUDA device; CUDA said: there is none")
    return count


def device_index(index: int | None) -> int:
    """The number of a device that exists; CuPy's current one for None."""
    count = device_count()
    if index is None:
        return int(import_cupy().cuda.Device().id)
    if not 0 <= index < count:
        raise ValueError(
            f"`device` must be one of the {count} CUDA devices, cuda:0 to cuda:{count - 1}; "
            f'got device="cuda:{index}"'
        )
    return index


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], index: int) -> Any:
    """Uninitialized C-contiguous CuPy array on CUDA device `index`, from CuPy's allocator."""
    cupy = import_cupy()
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes >= _ADDRESS_SPACE:
        raise MemoryError(
            f"an array of shape {shape} and dtype {dtype.name} needs {nbytes} bytes; "
            "that much memory is not to be had"
        )
    with cupy.cuda.Device(index):
        try:
            return cupy.empty(shape, dtype)
        except ValueError as error:
            if dtype in PLAIN:
                raise
            raise NotImplementedError(
                f"{dtype.name} on a cuda device needs CuPy 14 and NumPy 2.1.2 or newer; got CuPy "
                f"{cupy.__version__} and NumPy {np.__version__}"
            ) from error


def writable_view(out: Any, *, name: str = "out") -> tuple[Any, Any]:
    """CuPy array over CUDA memory, nothing copied, and the stream that its owner works on.

    The stream is None for a CuPy array, whose work goes to CuPy's current stream, and False where
    `out` does not tell: see `opened`.

    Raises what `philinit.filling.memory.writable_view` raises, for the same reasons.
    """
    refuse_immutable(out, name)
    cupy = import_cupy()
    device_count()
    stream: Any = False
    if isinstance(out, cupy.ndarray):
        view, stream = out, None
    elif hasattr(out, "__dlpack_device__"):
        view, stream = _through_dlpack(cupy, out, name)
    else:
        view, stream = _through_interface(cupy, out, name)
    check_view(view, name)
    if view.size and view.data.ptr % min(view.dtype.itemsize, 4):
        # A GPU would stop the kernel there, and answer every later call with an error.
        raise ValueError(
            f"`{name}` must lie at a multiple of {min(view.dtype.itemsize, 4)} bytes on a cuda "
            f"device; got address {view.data.ptr:#x}"
        )
    return view, stream


def _through_dlpack(cupy: Any, out: Any, name: str) -> tuple[Any, Any]:
    stream: Any = False
    torch = sys.modules.get("torch")
    with cupy.cuda.Device(int(out.__dlpack_device__()[1])), contextlib.ExitStack() as stack:
        if torch is not None and isinstance(out, torch.Tensor):
            stream = _stream(cupy, torch.cuda.current_stream(out.device).cuda_stream)
        else:
            stack.enter_context(cupy.cuda.Stream.null)  # which then waits for the producer
        try:
            # -1: torch's own stream fills, so that nobody has to wait for anybody. CuPy would name
            # its default stream, and torch does not know the one of a thread.
            if torch is None or not stream:
                return cupy.from_dlpack(out), stream
            kind = str(out.dtype).removeprefix("torch.")
            if kind not in FLOAT8:
                return cupy.from_dlpack(out.__dlpack__(stream=-1)), stream
            raw = out.view(torch.uint8)  # CuPy knows no float8 in capsules
            return cupy.from_dlpack(raw.__dlpack__(stream=-1)).view(extended(kind)), stream
        except (BufferError, RuntimeError, TypeError, ValueError) as error:
            if type(error).__module__ != "builtins" or "CUDA error" in str(error):
                raise  # CUDA's own: out of memory, or what an earlier kernel has done
            # For example torch: "Can't export tensors that require gradient, use tensor.detach()".
            raise ValueError(
                f"`{name}` must give out its memory through `__dlpack__`; "
                f"{type(out).__name__} refused: {error}"
            ) from error


def _through_interface(cupy: Any, out: Any, name: str) -> tuple[Any, Any]:
    """By hand, since CuPy would wait for the stream that the interface names."""
    found = out.__cuda_array_interface__
    pointer, read_only = found["data"]
    if read_only:
        raise ValueError(
            f"`{name}` must be writable; got a read-only {type(out).__name__}: pass a copy"
        )
    if found.get("mask") is not None:
        raise TypeError(f"`{name}` must be a plain array; got one with a mask")
    dtype, shape = np.dtype(found["typestr"]), tuple(found["shape"])
    if not math.prod(shape):
        return cupy.empty(shape, dtype), None
    view = _over(cupy, pointer, shape, dtype, found.get("strides"), out)
    pointer = found.get("stream")
    return view, False if pointer is None else _stream(cupy, pointer)


def _over(
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


def from_capsule(capsule: Any) -> Any:
    """CuPy array over the memory of a DLPack capsule, which it keeps alive; not of size 0.

    The device is asked of CUDA: TensorFlow numbers its GPUs by itself.
    """
    cupy = import_cupy()
    array = cupy.from_dlpack(capsule)
    return _over(cupy, array.data.ptr, array.shape, array.dtype, array.strides, array)


@contextlib.contextmanager
def lent(pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: int) -> Iterator[Any]:
    """A context that yields a CuPy array over memory lent by an address, as `opened` does."""
    cupy = import_cupy()
    with opened(_over(cupy, pointer, shape, dtype, None, None), _stream(cupy, stream)) as view:
        yield view


def to_capsule(view: Any, device: int) -> Any:
    """DLPack capsule over a CuPy array, for a consumer that calls its device number `device`.

    All work on the current stream is waited for. When the consumer drops the memory, its own
    streams, which nobody else knows, may still read it, and CuPy's pool would hand it out at once:
    it goes back when all that the device has queued by then is done.
    """
    synchronize()
    held = _Borrowed(view)
    view = _over(import_cupy(), view.data.ptr, view.shape, view.dtype, view.strides, held, device)
    # Without max_version CuPy makes a capsule of the old kind, the only one TensorFlow takes.
    return view.__dlpack__(stream=-1)


class _Borrowed:
    """The owner of memory that a consumer has borrowed; dies when that drops it, in any thread."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __del__(self) -> None:
        try:
            threading.Thread(target=_outlast, args=(self._array,), daemon=True).start()
        except RuntimeError:  # no more threads, as at the end of the process
            _outlast(self._array)


def _outlast(array: Any) -> None:
    """Hold an array until its device has done what is queued."""
    array.device.synchronize()


class _Handle:
    """A stream of somebody else, in the words of the CUDA stream protocol."""

    def __init__(self, pointer: int) -> None:
        self._pointer = pointer

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._pointer


def _stream(cupy: Any, pointer: int) -> Any:
    """CuPy's name for a stream; 0 and 1 are the legacy default stream, 2 is that of the thread."""
    streams = cupy.cuda.Stream
    if pointer in (0, 1, 2):
        return streams.ptds if pointer == 2 else streams.null
    if hasattr(streams, "from_external"):  # CuPy 14
        return streams.from_external(_Handle(pointer))
    return cupy.cuda.ExternalStream(pointer)


def synchronize() -> None:
    """Wait for the work queued on CuPy's current stream."""
    import_cupy().cuda.get_current_stream().synchronize()


def check_not_captured(what: str) -> None:
    """Refuse what no CUDA graph can hold, before it breaks the capture of the current stream."""
    stream = import_cupy().cuda.get_current_stream()
    if stream.ptr not in (0, 1) and stream.is_capturing():  # the legacy stream never is
        raise RuntimeError(f"while its stream is captured into a CUDA graph a fill {what}")


@contextlib.contextmanager
def opened(view: Any, stream: Any = None) -> Iterator[Any]:
    """A context that yields `view`, with its device current and `stream` the current stream.

    Where `stream` is False, that is the legacy default stream, which comes after what the others
    were given before, non-blocking ones excepted; all work is waited for at the end.
    """
    with view.device, contextlib.ExitStack() as stack:
        unknown = stream is False
        if unknown:
            check_not_captured("must be of memory that names its stream: pass a CuPy array")
            stream = import_cupy().cuda.Stream.null
        if stream is not None:
            stack.enter_context(stream)
        if unknown:
            stack.callback(synchronize)
        yield view
