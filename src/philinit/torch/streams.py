# SPDX-License-Identifier: Apache-2.0
"""Where a tensor's stream comes from: a seed, its name, or torch's generator."""

from __future__ import annotations

import bisect
import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import torch

from philinit.keys import Key
from philinit.torch.checks import DTYPES, is_dtensor, local_of

Named = Callable[[], Iterable[tuple[str, Any]]]  # gives names and tensors, as they are now


class Names:
    """Finds the name of a tensor by the memory that it has: of ``p``, ``p.data`` and ``p[3:]``."""

    def __init__(self, named: Named) -> None:
        self._named = named
        self._starts: list[int] = []
        self._found: list[tuple[Any, str]] = []  # weak references to the tensors, and their names

    def find(self, tensor: Any) -> tuple[str, int] | None:
        """The name of what holds `tensor`, and how many elements come before; None if none does."""
        start = local_of(tensor).data_ptr()
        found = self._at(tensor, start)
        if found is None:
            self._look()  # the module may have moved, or be another by now
            found = self._at(tensor, start)
        return found

    def _at(self, tensor: Any, start: int) -> tuple[str, int] | None:
        number = bisect.bisect_right(self._starts, start) - 1
        if number < 0:
            return None
        reference, name = self._found[number]
        owner = reference()
        if owner is None:
            return None
        local = local_of(owner)
        first = local.data_ptr()
        if not first <= start < first + max(local.nbytes, 1):
            return None
        before: int = (start - first) // local.element_size()
        if before and is_dtensor(tensor):
            return None  # counted in a shard, and so another number on each process
        return name, before

    def _look(self) -> None:
        plain = [
            (local_of(tensor).data_ptr(), -number, weakref.ref(tensor), name)
            for number, (name, tensor) in enumerate(self._named())
            if local_of(tensor).dtype in DTYPES and not tensor.is_meta
        ]
        plain.sort(key=lambda entry: entry[:2])  # of two at one address the first one counts
        self._starts = [start for start, *_ in plain]
        self._found = [(reference, name) for *_, reference, name in plain]


class Streams:
    """The streams of one `accelerate` block, or of `install`.

    Parameters
    ----------
    seed : int, optional
        Without one the streams come from torch's generators.
    names : Names, optional
        Whose streams come from their names; where there is no seed, from one that is drawn here.
    """

    def __init__(self, seed: int | None = None, names: Names | None = None) -> None:
        self._base = None if seed is None else Key.from_seed(seed)
        if self._base is None and names is not None:
            self._base = from_generator(None)
        self._numbered = seed is not None
        self._names = names
        self._calls = itertools.count()

    @property
    def agree(self) -> bool:
        """Whether processes that make the same calls get the same streams, as DTensors need."""
        return self._numbered

    def key(self, tensor: Any, generator: Any) -> Key:
        """The key for a tensor; the next one where nobody knows its name."""
        if self._base is not None:
            for names in (_made.get(), self._names):
                found = None if names is None else names.find(tensor)
                if found is not None:
                    name, before = found
                    key = self._base.fold_in(name)
                    return key.fold_in(before) if before else key
            if self._numbered and generator is None:
                return self._base.fold_in(next(self._calls))
        return from_generator(generator)


def from_generator(generator: Any) -> Key:
    """A key of 126 bits from one of torch's generators, which goes on; None: the one of CPUs."""
    device = "cpu" if generator is None else generator.device
    words = torch.empty(2, dtype=torch.int64, device=device)
    first, second = words.random_(generator=generator).tolist()
    return Key((first & 0xFFFFFFFF, first >> 32), second << 64)


_here: ContextVar[Streams | None] = ContextVar("philinit.torch.accelerate", default=None)
_made: ContextVar[Names | None] = ContextVar("philinit.torch.materialize", default=None)
_everywhere: Streams | None = None


def current() -> Streams | None:
    """Those of the innermost block around the caller, or of `install`."""
    return _here.get() or _everywhere


@contextlib.contextmanager
def used(streams: Streams) -> Iterator[None]:
    """Let `streams` be the current ones of this thread and context."""
    token = _here.set(streams)
    try:
        yield
    finally:
        _here.reset(token)


def use_everywhere(streams: Streams | None) -> None:
    """Let `streams` be the current ones where there are no others; None ends that."""
    global _everywhere
    _everywhere = streams


@contextlib.contextmanager
def named(name: str, tensor: Any) -> Iterator[None]:
    """Let the stream of a tensor come from its name, if there is a seed."""
    token = _made.set(Names(lambda: [(name, tensor)]))
    try:
        yield
    finally:
        _made.reset(token)
