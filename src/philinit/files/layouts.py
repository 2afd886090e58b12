# SPDX-License-Identifier: Apache-2.0
"""Files of weights as numbers of bytes: a header, then the tensors one after the other.

Every byte follows from the description alone. So any piece of a file can be made by itself: to
write a file larger than memory, to go on with one, and to verify one.
"""

import bisect
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from philinit.checks import shown
from philinit.files import npy, safetensors
from philinit.files.tensors import Stored, Tensor
from philinit.initializers.base import Array

_FORMATS = {".npy": npy, ".safetensors": safetensors}


def check_suffix(path: Path) -> str:
    """The suffix of `path`, which names the format; a ValueError if it names none."""
    if path.suffix not in _FORMATS:
        raise ValueError(f"the file must end in {' or '.join(_FORMATS)}; got {path.name}")
    return path.suffix


@dataclass(frozen=True)
class Layout:
    """All bytes of a file: the header, then the tensors in order, without gaps."""

    header: bytes
    tensors: tuple[Tensor, ...]
    starts: tuple[int, ...] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        ends = [len(self.header)]
        for tensor in self.tensors:
            ends.append(ends[-1] + tensor.nbytes)
        object.__setattr__(self, "starts", tuple(ends[:-1]))
        object.__setattr__(self, "size", ends[-1])

    def write(self, image: Array, start: int, threads: int | None = None) -> None:
        """Bytes `start`, `start + 1`, ... of the file into `image`, an array of uint8.

        Both ends must be the file's, or multiples of 8: no element is cut in two then.
        """
        stop = start + image.size
        if start < len(self.header):
            text = np.frombuffer(self.header, np.uint8)[start:stop]
            image[: text.size] = text
        for i in range(self._at(start), len(self.tensors)):
            tensor, begin = self.tensors[i], self.starts[i]
            if begin >= stop:
                break
            low, high = max(begin, start), min(begin + tensor.nbytes, stop)
            if low < high:
                part = image[low - start : high - start].view(tensor.dtype)
                tensor.write(part, (low - begin) // tensor.dtype.itemsize, threads)

    def resumed(self, done: int) -> int:
        """Where to go on after `done` bytes: a tensor that comes only as a whole starts again."""
        i = self._at(done)
        return done if self.tensors[i].in_pieces else min(done, self.starts[i])

    def _at(self, byte: int) -> int:
        """Index of the tensor in which `byte` lies; of the first one for the header."""
        return max(bisect.bisect_right(self.starts, byte) - 1, 0)


def read(fd: int, image: Array, start: int) -> None:
    """Bytes `start`, `start + 1`, ... of an open file into `image`, an array of uint8.

    Copied, not mapped: memory that stands for a file which others cut short ends the process.
    """
    left = image.data
    while left:
        try:
            if not (count := os.preadv(fd, [left], start)):
                raise OSError(errno.EIO, "the file ends there")
        except OSError as error:
            raise OSError(f"the file cannot be read at byte {start}: {error.strerror}") from error
        left, start = left[count:], start + count


def layout(path: Path, tensors: Sequence[Tensor]) -> Layout:
    """How `tensors` are stored in a file of that name."""
    header, ordered = _FORMATS[check_suffix(path)].arrange(tensors)
    return Layout(header, tuple(ordered))


def stored(path: Path) -> list[Stored]:
    """The tensors of an existing file; a ValueError for what is no such file."""
    found: list[Any] = _FORMATS[check_suffix(path)].stored(path)
    size = path.stat().st_size
    for tensor in found:
        end = tensor.start + tensor.nbytes
        if end > size:
            raise ValueError(f"{path.name} ends early: it has {size} bytes and needs {shown(end)}")
    return found
