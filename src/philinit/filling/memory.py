# SPDX-License-Identifier: Apache-2.0
"""Memory to write into: aligned allocation, and writable views of what others allocated."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from philinit import dtypes
from philinit.checks import refuse_immutable, shown
from philinit.cuda_views import dlpack_device

# One cache line, one AVX-512 vector, and the least that TensorFlow takes without a copy or, on
# DLPack's road, without aborting the process (it is built with EIGEN_MAX_ALIGN_BYTES=64).
ALIGNMENT = 64


def _address_function() -> Callable[[np.ndarray[Any, Any]], int]:
    """The quickest sound way to an array's address, proved on two arrays when it is chosen.

    ``ndarray.ctypes.data`` and ``__array_interface__`` build a dict and strings: 1.1 us. The C
    struct behind an ndarray, PyArrayObject_fields, starts with PyObject_HEAD and `data`, and
    NumPy's ABI keeps it so: 0.2 us. An interpreter where ``id`` is no address gets the slow way.
    """
    head = object.__basicsize__
    read = ctypes.c_void_p.from_address

    def slow(a: np.ndarray[Any, Any]) -> int:
        data: int = a.__array_interface__["data"][0]
        return data

    def fast(a: np.ndarray[Any, Any]) -> int:
        return read(id(a) + head).value or 0

    if sys.implementation.name != "cpython":
        return slow
    probe = np.zeros((2, 3), np.float32)
    inner = probe[1:, 1:]
    return fast if fast(probe) == slow(probe) and fast(inner) == slow(inner) else slow


#: ``address(a) -> int``: where the first element of the ndarray `a` lies; any dtype, any size.
address = _address_function()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Uninitialized C-contiguous ndarray whose address is a multiple of 64.

    >>> empty((1000, 3), np.dtype(np.float32)).ctypes.data % 64
    0

    Parameters
    ----------
    shape : tuple of int
        Dimensions >= 0, checked by the caller. Rank 0 and zero sizes are fine.
    dtype : np.dtype
        One of those of `philinit.dtypes`.

    Returns
    -------
    np.ndarray
        One allocation, none of its pages touched. NumPy asks for huge pages (madvise) from
        4 MiB on, so that whoever touches a page first pays one fault for 2 MiB; the array is a
        window into that allocation, 64 bytes longer, and keeps it alive.

    Raises
    ------
    MemoryError
        There is not that much memory, or not that much address space.
    """
    nbytes = math.prod(shape) * dtype.itemsize
    try:
        raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError, OverflowError):
        raise MemoryError(
            f"an array of shape {shape} and dtype {dtype.name} needs {nbytes} bytes; "
            "there is not that much memory"
        ) from None
    try:
        return np.ndarray(shape, dtype, raw, -address(raw) % ALIGNMENT)
    except ValueError as error:  # 65 axes, or (0, 2**63)
        raise ValueError(
            f"`shape` must be one that NumPy can hold; got shape={shown(shape)}, of which it says: "
            f"{error}"
        ) from None


def writable_view(out: Any, *, name: str = "out") -> np.ndarray[Any, Any]:
    """Writable ndarray that shares the memory of `out`, its rows contiguous and in C order.

    >>> import array
    >>> writable_view(array.array("f", [1.0, 2.0])).tolist()
    [1.0, 2.0]

    Parameters
    ----------
    out : object
        np.ndarray, np.memmap, memoryview, array.array, or anything else with a writable buffer
        or a ``__dlpack__`` in CPU memory (a torch tensor, bfloat16 included). Any alignment.
    name : str
        What messages call the object.

    Returns
    -------
    np.ndarray
        `out` itself where it is an ndarray that is ready. Otherwise a view that keeps alive what
        it shares.

    Raises
    ------
    TypeError
        `out` is of a kind that cannot be written in place.
    ValueError
        `out` is read-only, not of contiguous rows, of another dtype or of foreign byte order.
    NotImplementedError
        `out` lies in the memory of a device other than the CPU.
    """
    if type(out) is np.ndarray:
        view = out
    elif isinstance(out, np.ndarray):
        if isinstance(out, np.ma.MaskedArray):
            raise TypeError(
                f"`{name}` must be a plain array, since a mask would go stale; "
                f"got {type(out).__name__}: pass its `.data`"
            )
        view = np.ndarray.view(out, np.ndarray)  # a subclass may have a `view` of its own
    else:
        view = _foreign(out, name)
    flags = view.flags
    if not (flags.c_contiguous and view.dtype in dtypes.PLAIN):  # else there is nothing to refuse
        dtypes.check_view(view, name)
    if not flags.writeable:
        raise ValueError(
            f"`{name}` must be writable; got a read-only {type(out).__name__}: pass a copy, or "
            "open the file or buffer for writing"
        )
    return view


def _foreign(out: Any, name: str) -> np.ndarray[Any, Any]:
    """View of the memory of an object that is no ndarray."""
    refuse_immutable(out, name)
    _check_device(out, name)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, torch.Tensor):
        check_torch_memory(out, name)
    try:
        buffer = memoryview(out)
    except TypeError:
        if hasattr(out, "__dlpack__"):
            return _through_dlpack(out, name)
        raise TypeError(
            f"`{name}` must be a NumPy array, or have a writable buffer or a `__dlpack__` method; "
            f"got {type(out).__name__}"
        ) from None
    return np.asarray(buffer)


def check_torch_memory(tensor: Any, name: str) -> None:
    """Refuse a torch tensor that has no memory, or whose memory holds other numbers than its own.

    torch exports the address of a freed storage as NULL plus the tensor's offset: whoever wrote
    there would end the process.

    >>> import torch
    >>> check_torch_memory(torch.empty(3), "weight")
    """
    try:
        plain = type(tensor).__torch_dispatch__ == sys.modules["torch"].Tensor.__torch_dispatch__
        storage = tensor.untyped_storage()
        nbytes, address_ = storage.nbytes(), storage.data_ptr() if plain else 0
    except (AttributeError, NotImplementedError, RuntimeError, ValueError):
        plain = False  # functional tensors, zero tensors, ...
    if not plain:  # a class that takes operations into its own hands need have nothing in memory
        raise ValueError(
            f"`{name}` must be a plain torch tensor, in memory of its own; got "
            f"{type(tensor).__name__} of a kind that need not have any"
        )
    span = count = tensor.numel()
    if not tensor.is_contiguous():
        pairs = zip(tensor.shape, tensor.stride(), strict=True)
        span = 1 + sum(stride * (length - 1) for length, stride in pairs)
    last = (tensor.storage_offset() + span) * tensor.element_size()
    if count and (not address_ or nbytes < last):
        raise ValueError(
            f"`{name}` must have memory; got a torch tensor whose storage was freed or cut short "
            f"to {nbytes} bytes, as FSDP frees what it has gathered: fill the module's parameter"
        )
    if tensor.is_neg() or tensor.is_conj():
        raise ValueError(
            f"`{name}` must hold its own numbers; got a torch tensor that stands for their "
            "negatives or conjugates: pass .resolve_neg() of it, or the tensor it was made from"
        )


def _check_device(out: Any, name: str) -> None:
    if hasattr(out, "__dlpack_device__"):
        from philinit.filling import dlpack

        device_type, index = dlpack_device(out, name)
        if device_type in dlpack.HOST_DEVICES:
            return
        where = f"cuda:{index}" if device_type == 2 else f"DLPack device {device_type}:{index}"
    elif hasattr(out, "__cuda_array_interface__"):
        where = "a cuda device"
    else:
        return
    raise NotImplementedError(
        f"`{name}` must lie in CPU memory; got {type(out).__name__} on {where}: "
        "fill a CPU array and copy it to the device"
    )


def _through_dlpack(out: Any, name: str) -> np.ndarray[Any, Any]:
    from philinit.filling import dlpack

    try:
        return dlpack.from_object(out)
    except (BufferError, RuntimeError, TypeError) as error:
        # For example torch: "Can't export tensors that require gradient, use tensor.detach()".
        raise ValueError(
            f"`{name}` must give out its memory through `__dlpack__`; "
            f"{type(out).__name__} refused: {error}"
        ) from error
