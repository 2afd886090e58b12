# SPDX-License-Identifier: Apache-2.0
"""The record of an unfinished file: what it will hold, and how many bytes of it are safe.

It stands beside the unfinished file as JSON. A record never says more than what the disk has: the
bytes are flushed first, and then the new record takes the place of the old one in one step. So
after a crash of the program or of the machine the file can be continued where its record says.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from philinit._version import __version__
from philinit.checks import shown
from philinit.files.tensors import Tensor

_UNLIKE = (AttributeError, RuntimeError, TypeError, ValueError)  # the deeply nested included
_UNIMPORTANT = ("from_entropy",)  # that a seed was drawn changes no value


def partial_of(path: Path) -> Path:
    """Where the file `path` is until it is finished."""
    return path.with_name(path.name + ".partial")


def record_of(path: Path) -> Path:
    """Where the record of the file `path` is until then."""
    return path.with_name(path.name + ".partial.json")


def sync_folder(path: Path) -> None:
    """Make names that were given or changed in the folder of `path` survive a crash."""
    folder = os.open(path.absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@dataclass(frozen=True)
class Record:
    """What an unfinished file will hold, and that its first `done` bytes are on the disk."""

    tensors: tuple[Tensor, ...]
    size: int
    done: int = 0

    def save(self, path: Path, done: int) -> None:
        """Write the record of `path` with `done` bytes, which must be on the disk already."""
        fresh = record_of(path).with_suffix(".json.new")
        document = {
            "philinit": __version__,
            "done": done,
            "size": self.size,
            "tensors": [tensor.describe() for tensor in self.tensors],
        }
        fresh.unlink(missing_ok=True)  # of a crash; and never what a link there names
        with fresh.open("x", encoding="utf-8") as file:
            json.dump(document, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(record_of(path))
        sync_folder(path)

    @staticmethod
    def remove(path: Path) -> None:
        """Remove the record of `path`, and one that a crash has left half written."""
        record_of(path).unlink(missing_ok=True)
        record_of(path).with_suffix(".json.new").unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> Record:
        """The record of `path`; a ValueError if there is none, or none that can be read."""
        record, partial = record_of(path), partial_of(path)
        if not partial.exists():
            raise ValueError(
                f"--resume needs an unfinished {partial.name}, and there is none: start without it"
            )
        if not record.exists():
            raise ValueError(
                f"--resume needs the record {record.name}, and there is none: start again with "
                "--force"
            )
        if not record.is_file():  # to read a pipe would wait for whoever writes into it
            raise ValueError(
                f"--resume needs a record that philinit wrote; {record.name} is no file: start "
                "again with --force"
            )
        text = record.read_text(encoding="utf-8")
        try:
            found = json.loads(text)
            tensors = tuple(Tensor.from_description(d) for d in found["tensors"])
            size, done = found["size"], found["done"]
            if not (tensors and type(size) is type(done) is int and 0 <= done <= size):
                raise ValueError(f"done={shown(done)} of size={shown(size)}")
            return cls(tensors, size, done)
        except (ArithmeticError, LookupError, *_UNLIKE) as error:
            raise ValueError(
                f"--resume needs a record that philinit wrote; {record.name} cannot be read "
                f"({shown(error)}): start again with --force"
            ) from error


def difference(then: Sequence[Tensor], now: Sequence[Tensor]) -> str | None:
    """The first difference of two descriptions, as a phrase; None if there is none."""
    old, new = ({t.name: t.describe() for t in tensors} for tensors in (then, now))
    for name in old | new:
        where = f" of tensor {name!r}" if name else ""
        if name not in new or name not in old:
            return f"tensor {name!r} only {'then' if name in old else 'now'}"
        for key in old[name] | new[name]:
            if key not in _UNIMPORTANT:
                # As JSON, in which a list that was read and a tuple are the same.
                before, after = (json.dumps(d[name].get(key)) for d in (old, new))
                if before != after:
                    return f"{key}{where} was {before}, and is now {after}"
    return None
