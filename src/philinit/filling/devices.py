# SPDX-License-Identifier: Apache-2.0
"""Who computes: device strings, new memory on a device, and which device an object's memory is on.

Nothing here imports CuPy before somebody asks for a CUDA device or hands over CUDA memory.
"""

from __future__ import annotations

import contextlib
import re
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from philinit.cuda_views import on_cuda
from philinit.filling import memory

_CUDA = re.compile(r"cuda(?::(\d+))?")


def _index(device: Any) -> int | None:
    """N of "cuda:N"; None for "cuda" alone."""
    if not isinstance(device, str):
        raise TypeError(f'`device` must be a string such as "cpu"; got device={device!r}')
    match = _CUDA.fullmatch(device)
    if match is None:
        raise ValueError(f'`device` must be "cpu", "cuda" or "cuda:N"; got device={device!r}')
    return None if match[1] is None else int(match[1])


def resolve_device(device: str) -> str:
    """The device that a string names: "cpu", or "cuda:N"; "cuda" is CuPy's current device.

    Raises
    ------
    TypeError, ValueError
        `device` is no string, or names no device of this machine.
    ImportError
        "cuda" or "cuda:N" without CuPy.
    RuntimeError
        "cuda" or "cuda:N" with CuPy, but CUDA finds no driver or no device.
    """
    if device == "cpu":
        return "cpu"
    index = _index(device)
    from philinit.filling.cuda import memory as cuda_memory

    return f"cuda:{cuda_memory.device_index(index)}"


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], device: str) -> Any:
    """Uninitialized C-contiguous array on `device`: an ndarray (`memory.empty`) or a CuPy array.

    Raises what `resolve_device` raises, and MemoryError.
    """
    if device == "cpu":
        return memory.empty(shape, dtype)
    index = _index(device)
    from philinit.filling.cuda import memory as cuda_memory

    return cuda_memory.empty(shape, dtype, cuda_memory.device_index(index))


def opened(
    out: Any, device: str | None = None, *, name: str = "out"
) -> AbstractContextManager[Any]:
    """A context that yields `out` as an array to write: an ndarray, or a CuPy array.

    CuPy work inside the context is queued on the device and stream that the owner of CUDA memory
    works on; see `philinit.filling.cuda.memory.opened`.

    Parameters
    ----------
    out : object
        What `memory.writable_view` takes, or CUDA memory: a CuPy array, a torch tensor, anything
        with a ``__dlpack__`` or a ``__cuda_array_interface__``.
    device : str, optional
        Where `out` must lie, if it matters; "cuda" is any CUDA device.
    name : str
        What messages call the object.

    Raises
    ------
    ValueError
        `out` lies elsewhere, or is read-only, not of contiguous rows or of another dtype.
    TypeError, NotImplementedError, ImportError, RuntimeError
        `out` cannot be written in place; CUDA cannot be used.
    """
    if not on_cuda(out, name):
        view = memory.writable_view(out, name=name)
        if device is not None and device != "cpu":
            _index(device)
            raise _elsewhere(name, "CPU memory", device)
        return contextlib.nullcontext(view)
    if device == "cpu":
        raise _elsewhere(name, "the memory of a cuda device", device)
    from philinit.filling.cuda import memory as cuda_memory

    view, stream = cuda_memory.writable_view(out, name=name)
    index = None if device is None else _index(device)
    if index is not None and index != view.device.id:
        raise _elsewhere(name, f"the memory of cuda:{view.device.id}", device)
    return cuda_memory.opened(view, stream)


def _elsewhere(name: str, found: str, device: str | None) -> ValueError:
    return ValueError(
        f"`{name}` must lie on the device asked for; got {name} in {found} and device={device!r}: "
        "leave `device` out to fill it where it is"
    )
