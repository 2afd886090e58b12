# SPDX-License-Identifier: Apache-2.0
"""Ids of rows, numbers or keys, as 64-bit integers: in the memory that holds them, or in a copy."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import numpy as np

from philinit.checks import shown
from philinit.cuda_views import check_not_captured, import_cupy, on_cuda, view_of


class Ids(NamedTuple):
    """Ids that were looked at: a C-contiguous ndarray or, on a CUDA device, a CuPy array."""

    array: Any
    stream: Any = None  # of CuPy, on which the ids come to be; False: their owner's, not known
    last: int | None = None  # the largest of them, where somebody has looked


def numbers_of_rows(ids: Any, rows: int, *, copy: bool) -> Ids:
    """Numbers of rows in int64, each in [0, rows): by one look at them.

    On a device this waits for one number to come back.
    """
    found, stream = _opened(ids, "ids")
    with _on(found, stream):
        if not isinstance(found, np.ndarray):
            check_not_captured("must not look at the ids of rows: make a philinit.Rows before")
        numbers = _as(np.int64, found, "ids", copy)
        last = int(numbers.view(np.uint64).max()) if numbers.size else 0  # of all, negative ones
        if last >= rows and numbers.size:
            least, most = int(found.min()), int(found.max())
            raise ValueError(
                f"`ids` must lie in [0, {rows}), the rows that there are; "
                f"got {least if least < 0 else most}"
            )
    return Ids(numbers, stream, last)


def keys_of_rows(keys: Any, *, copy: bool) -> Ids:
    """Row keys in uint64; signed ones by their two's complement."""
    found, stream = _opened(keys, "keys")
    if found.dtype.kind in "fO" and not hasattr(keys, "dtype"):
        found = _from_ints(np.array(keys, object))  # no dtype of NumPy's holds both -1 and 2**63
    with _on(found, stream):
        return Ids(_as(np.uint64, found, "keys", copy), stream)


def _opened(ids: Any, name: str) -> tuple[Any, Any]:
    """An array over the memory of `ids`, where they have any, and its stream."""
    if type(ids) is np.ndarray:
        return ids, None
    if on_cuda(ids, name):
        found, stream = view_of(ids, name, write=False)
        return found, import_cupy().cuda.get_current_stream() if stream is None else stream
    found = np.asarray(ids)  # shares the memory of torch's, TensorFlow's and JAX's CPU tensors
    if found.size == 0 and found.dtype == np.float64 and not hasattr(ids, "dtype"):
        found = found.astype(np.int64)  # what NumPy makes of []
    return found, None


def _on(found: Any, stream: Any) -> contextlib.ExitStack:
    """A context in which CuPy works where ids are, behind what their owner has queued."""
    stack = contextlib.ExitStack()
    if not isinstance(found, np.ndarray):
        stack.enter_context(found.device)
        stack.enter_context(stream or import_cupy().cuda.Stream.null)
    return stack


def _as(dtype: Any, found: Any, name: str, copy: bool) -> Any:
    if found.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be integers; got {name} of dtype {found.dtype}")
    if found.dtype.itemsize == 8 and found.dtype.isnative:  # the same bits
        found = found.view(dtype)
    host = isinstance(found, np.ndarray)
    copy = copy or not (found.flags.aligned if host else found.data.ptr % 8 == 0)
    found = found.astype(dtype, order="C", copy=copy)
    if host and copy:
        found.flags.writeable = False
    return found


def _from_ints(keys: Any) -> Any:
    """An array of Python ints as uint64, by their two's complement."""
    for key in keys.ravel():
        if isinstance(key, bool) or not isinstance(key, int):
            raise TypeError(f"`keys` must be integers; got {shown(key)}")
        if not -(1 << 63) <= key < 1 << 64:
            raise ValueError(f"`keys` must lie in [-2**63, 2**64); got {shown(key)}")
    return (keys & ((1 << 64) - 1)).astype(np.uint64)
