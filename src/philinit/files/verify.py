# SPDX-License-Identifier: Apache-2.0
"""Compares a file of weights with what it began as, bit for bit."""

import ctypes
import math
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from philinit.checks import Progress, check_threads, progress_within
from philinit.files.layouts import read, stored
from philinit.files.tensors import Stored, Tensor
from philinit.filling.compare import holds
from philinit.filling.memory import address, empty
from philinit.filling.threads import default_threads, run
from philinit.initializers.base import Array
from philinit.kernels.plan import plan

PIECE = 4 << 20  # bytes that a thread compares at once; a smaller one costs more Python than work

_memcmp = ctypes.CDLL(None).memcmp
_memcmp.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


@dataclass(frozen=True)
class Difference:
    """One element that is not what it was: both values and their bits, and how far apart."""

    index: tuple[int, ...]
    expected: float
    found: float
    expected_bits: str
    found_bits: str
    ulps: int | None  # steps from number to number of the dtype; None where one is NaN


@dataclass
class Comparison:
    """A tensor held against a file."""

    tensor: Tensor
    problem: str = ""  # why it could not be compared; it counts as different
    different: int = 0  # elements
    first: Difference | None = None
    changed: np.ndarray[Any, np.dtype[np.bool_]] | None = field(default=None, repr=False)
    """For a tensor of 2 axes and each of its rows: whether any element of it is different."""

    @property
    def equal(self) -> bool:
        """Whether the file holds the tensor, bit for bit."""
        return not self.problem and self.different == 0


def verify_file(
    path: Path,
    tensors: Sequence[Tensor],
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Each of `tensors` held against the tensor of its name in the file.

    Parameters
    ----------
    path : Path
        A .npy or .safetensors file.
    tensors : sequence of Tensor
        What it should hold; other tensors of the file are not looked at.
    threads : int, optional
        As in `philinit.fill`.
    progress : callable(done, total), optional
        Called with bytes compared and bytes to compare.

    Raises
    ------
    ValueError
        It is no such file.
    OSError
        It cannot be read.
    """
    threads = check_threads(threads) or default_threads()
    there = {tensor.name: tensor for tensor in stored(path)}
    results = [Comparison(t, _problem(t, there.get(t.name))) for t in tensors]
    total = sum(result.tensor.nbytes for result in results if not result.problem)
    before = 0
    fd = os.open(path, os.O_RDONLY)
    try:
        for result in results:
            if not result.problem:
                task = _Comparing(fd, there[result.tensor.name].start, result)
                run(task, PIECE, threads, progress_within(progress, before, total))
                if task.first is not None:
                    result.first = task.difference(*task.first)
                before += result.tensor.nbytes
                if progress is not None:
                    progress(before, total)
    finally:
        os.close(fd)
    return results


def _problem(tensor: Tensor, there: Stored | None) -> str:
    if there is None:
        return "not in the file"
    wanted, found = (tensor.shape, tensor.dtype.name), (there.shape, there.dtype)
    if wanted != found:
        return f"{found[1]} of shape {found[0]} in the file, not {wanted[1]} of shape {wanted[0]}"
    return ""


class _Comparing:
    """One tensor, piece by piece: a task for the threads, counted in bytes."""

    def __init__(self, fd: int, start: int, result: Comparison) -> None:
        self.fd = fd
        self.start = start
        self.result = result
        self.tensor = result.tensor
        self.count = self.tensor.nbytes
        if len(self.tensor.shape) == 2:
            result.changed = np.zeros(self.tensor.shape[0], np.bool_)
        self.first: tuple[int, Any, Any] | None = None  # element, and its bits: expected, found
        self.lock = threading.Lock()
        self.local = threading.local()  # two buffers of each thread

    def chunks(self, size: int) -> Iterator[tuple[int, int]]:
        """(first, end) of pieces of so many bytes, or less at the end."""
        return ((begin, min(begin + size, self.count)) for begin in range(0, self.count, size))

    def write(self, begin: int, end: int) -> int:
        """Compare the bytes of one piece; return how many those were."""
        if not hasattr(self.local, "buffers"):
            dtype, size = self.tensor.dtype, min(PIECE, self.count)
            self.local.buffers = [empty((size // dtype.itemsize,), dtype) for _ in range(2)]
        offset = begin // self.tensor.dtype.itemsize
        size = (end - begin) // self.tensor.dtype.itemsize
        made, found = (buffer[:size] for buffer in self.local.buffers)
        read(self.fd, found.view(np.uint8), self.start + begin)
        if not self._is_drawn(offset, found):
            self.tensor.write(made, offset, threads=1)
            if _memcmp(address(made), address(found), made.nbytes):
                self._count(offset, made, found)
        return end - begin

    def _is_drawn(self, offset: int, found: Array) -> bool:
        """Whether `found` is what the kernels draw; False for what they do not draw, too."""
        stream = self.tensor.stream()
        if stream is None:
            return False
        distribution, key, sampler = stream
        made_by = plan(distribution, self.tensor.dtype, sampler)
        return holds(found, made_by, key, offset)

    def _count(self, offset: int, made: Array, found: Array) -> None:
        """Note all differences of one piece, in which there are some."""
        bits = np.dtype(f"u{made.itemsize}")
        expected, found = made.view(bits), found.view(bits)
        unlike = expected != found
        first = int(unlike.argmax())
        rows = self._rows(offset, unlike)
        with self.lock:
            self.result.different += int(np.count_nonzero(unlike))
            if self.first is None or offset + first < self.first[0]:
                self.first = offset + first, expected[first], found[first]
            if self.result.changed is not None:
                self.result.changed[rows] = True

    def _rows(self, offset: int, unlike: Array) -> Array:
        """The rows, of a tensor of 2 axes, in which an element of this piece is different."""
        if self.result.changed is None:
            return np.empty(0, np.intp)
        width = self.tensor.shape[1]
        rows = np.arange(offset // width, (offset + unlike.size - 1) // width + 1)
        begins = np.maximum(rows * width - offset, 0)  # the first row may have begun before
        return rows[np.logical_or.reduceat(unlike, begins)]

    def difference(self, element: int, expected: Any, found: Any) -> Difference:
        """What is told of one element, given its bits."""
        dtype = self.tensor.dtype
        before, after = (float(np.array(bits).view(dtype)) for bits in (expected, found))
        digits = 2 * dtype.itemsize
        index = np.unravel_index(element, self.tensor.shape)
        return Difference(
            tuple(int(i) for i in index),
            before,
            after,
            f"0x{int(expected):0{digits}x}",
            f"0x{int(found):0{digits}x}",
            None
            if math.isnan(before) or math.isnan(after)
            else ulps(int(expected), int(found), dtype),
        )


def ulps(one: int, other: int, dtype: np.dtype[Any]) -> int:
    """How many numbers of `dtype` apart two of them are, given as their bits; 0.0 is -0.0."""
    sign = 1 << (8 * dtype.itemsize - 1)
    a, b = (bits if bits < sign else sign - bits for bits in (one, other))
    return abs(a - b)


def ranges(indices: Array) -> list[tuple[int, int]]:
    """Ascending numbers as (first, last) of each stretch without a gap."""
    if indices.size == 0:
        return []
    ends = np.flatnonzero(np.diff(indices) > 1)
    firsts = indices[np.concatenate(([0], ends + 1))]
    lasts = indices[np.concatenate((ends, [indices.size - 1]))]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))
