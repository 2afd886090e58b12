# SPDX-License-Identifier: Apache-2.0
"""CUDA devices, and memory there as CuPy arrays to write; CuPy is imported only when used."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from philinit.checks import refuse_immutable
from philinit.cuda_views import check_not_captured, import_cupy, over, stream_at, view_of
from philinit.dtypes import PLAIN, check_view

# No device has more; CuPy would say that an integer overflows.
_ADDRESS_SPACE = 2**47


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
            "there is not that much memory"
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
    """CuPy array over CUDA memory, and the stream that its owner works on: see `opened`.

    Raises what `philinit.filling.memory.writable_view` raises, for the same reasons.
    """
    refuse_immutable(out, name)
    device_count()
    view, stream = view_of(out, name, write=True)
    check_view(view, name)
    if view.size and view.data.ptr % min(view.dtype.itemsize, 4):
        # A GPU would stop the kernel there, and answer every later call with an error.
        raise ValueError(
            f"`{name}` must lie at a multiple of {min(view.dtype.itemsize, 4)} bytes on a cuda "
            f"device; got address {view.data.ptr:#x}"
        )
    return view, stream


@contextlib.contextmanager
def lent(pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any], stream: int) -> Iterator[Any]:
    """A context that yields a CuPy array over memory lent by an address, as `opened` does."""
    cupy = import_cupy()
    with opened(over(cupy, pointer, shape, dtype, None, None), stream_at(cupy, stream)) as view:
        yield view


def to_capsule(view: Any, device: int) -> Any:
    """DLPack capsule over a CuPy array, for a consumer that calls its device number `device`.

    All work on the current stream is waited for. When the consumer drops the memory, its own
    streams, which nobody else knows, may still read it, and CuPy's pool would hand it out at once:
    it goes back when all that the device has queued by then is done.
    """
    synchronize()
    held = _Borrowed(view)
    view = over(import_cupy(), view.data.ptr, view.shape, view.dtype, view.strides, held, device)
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


def synchronize() -> None:
    """Wait for the work queued on CuPy's current stream."""
    import_cupy().cuda.get_current_stream().synchronize()


@contextlib.contextmanager
def between(stream: Any, *, looked_at: bool) -> Iterator[None]:
    """A context whose work comes after what `stream` has queued, and before what it will queue.

    So that ids are there when they are read, and their memory is not given to others before. Of
    False, an unknown one, all work is waited for at the end. A graph that is captured holds ids
    that were `looked_at`, and whoever has the graph keeps them.
    """
    here, null = import_cupy().cuda.get_current_stream(), import_cupy().cuda.Stream.null
    there = null if stream is False else here if stream is None else stream
    captured = here.ptr not in (0, 1) and here.is_capturing()
    if there.ptr != here.ptr and not (captured and looked_at):
        check_not_captured("must not wait for the stream of its ids: make them on the captured one")
        here.wait_event(there.record())
    yield
    if captured:
        return
    if stream is False:
        here.synchronize()
    elif there.ptr != here.ptr:
        there.wait_event(here.record())


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
