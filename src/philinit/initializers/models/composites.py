# SPDX-License-Identifier: Apache-2.0
"""What initializers made of others have in common, and pieces of one tensor along an axis."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np

from philinit.checks import is_bool, is_ordered, progress_within, shown
from philinit.initializers.base import Initializer
from philinit.initializers.config import describe, described
from philinit.initializers.models.windows import write_window
from philinit.keys import Key
from philinit.parts import Rows
from philinit.targets import Target

C = TypeVar("C", bound=Initializer)
Change = Callable[[Initializer], Initializer]


class Piece(NamedTuple):
    """What one of the initializers fills: positions [start, stop) on the axis."""

    init: Initializer
    shape: tuple[int, ...]  # of the tensor that `init` fills: fans come from it
    start: int
    stop: int


class Composite(Initializer):
    """An initializer made of others, which have the streams; it draws nothing itself."""

    def pieces(self, shape: tuple[int, ...]) -> list[Piece]:
        """What fills a tensor of this shape, along `axis_of(shape)`, in order."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _map(self, change: Change) -> Self:
        """The same of changed initializers."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _at(self, layer: int) -> Self:
        """The same in layer number `layer`, for what depends on it; see `Scaled`."""
        return self._map(lambda init: init._at(layer) if isinstance(init, Composite) else init)

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        for piece in self.pieces(shape):
            piece.init._check(piece.shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Parameters as numbers, strings and lists; an initializer as its name and parameters."""
        return {f.name: _plain(getattr(self, f.name)) for f in self._fields()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The object that `config`, from `get_config`, describes."""
        return cls(**{name: _from_plain(value) for name, value in config.items()})


def _plain(value: Any) -> Any:
    if isinstance(value, Initializer):
        return describe(value)
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def _from_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return described(value)
    return tuple(_from_plain(v) for v in value) if isinstance(value, list) else value


@dataclass(frozen=True, repr=False, eq=False)
class Joined(Composite):
    """Pieces along one axis, each on a stream of its own."""

    axis: int = dataclasses.field(default=0, kw_only=True)
    rename: Any = dataclasses.field(default=None, kw_only=True)
    names: Sequence[str | int] = dataclasses.field(default=(), kw_only=True)

    _dropped: ClassVar[bool] = False  # whether a piece lacks the axis

    def __post_init__(self) -> None:
        if is_bool(self.axis) or not isinstance(self.axis, int):
            raise TypeError(f"`axis` must be an int; got axis={shown(self.axis)}")
        names = tuple(self.names) if is_ordered(self.names) else (None,)
        if not all(isinstance(name, (str, int)) and not is_bool(name) for name in names):
            raise TypeError(
                f"`names` must be a sequence of str and int; got names={shown(self.names)}"
            )
        object.__setattr__(self, "names", names)

    def named(self, name: str | int) -> Self:
        """The same with an independent key for each piece; nests."""
        return dataclasses.replace(self, names=(*self.names, name))

    def axis_of(self, shape: tuple[int, ...]) -> int:
        """The axis counted from the front."""
        rank = len(shape)
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"`axis` must be one of the tensor's; got axis={self.axis} for shape={shape}"
            )
        return self.axis % rank

    def _new_name(self, number: int) -> str:
        """What stands in the name of piece `number` instead of ``rename[0]``."""
        raise NotImplementedError

    def _on_its_stream(self, init: Initializer, number: int) -> Initializer:
        """The initializer of piece `number` with the names folded into its key."""
        names = self.names
        if self.rename is None:
            names = (*names, number)
        else:
            old = rf"(?<![^.]){re.escape(self.rename[0])}(?![^.])"
            new = self._new_name(number)
            names = tuple(
                re.sub(old, lambda _: new, n, count=1) if isinstance(n, str) else n for n in names
            )
            if names == self.names and new != self.rename[0]:
                raise ValueError(
                    "`rename` must name a component, or several, of the tensor's name; got "
                    f"rename={self.rename!r} for the names {self.names!r}"
                )
        return functools.reduce(lambda found, name: found.named(name), names, init)

    def _write(self, target: Target) -> None:
        view, shape, part, threads, progress = target
        axis, dropped = self.axis_of(shape), self._dropped
        if isinstance(part, Rows):
            raise NotImplementedError(
                f"rows by number are not made of a tensor in parts; got {type(self).__name__}: "
                "ask for a shard, or for rows of one part"
            )
        starts, lengths = (
            ((0,) * len(shape), shape) if part is None else (part.starts, part.lengths)
        )
        view, total, done = view.reshape(lengths), view.size, 0
        index = [slice(s, s + n) for s, n in zip(starts, lengths, strict=True)]
        pieces = self.pieces(shape)
        for piece in pieces:  # before any of them is written
            piece.init._check(piece.shape, view.dtype)
        for piece in pieces:
            low = max(piece.start, starts[axis])
            high = min(piece.stop, starts[axis] + lengths[axis])
            if low >= high:
                continue
            local: Any = low - starts[axis]
            local = local if dropped else slice(local, local + high - low)
            window = view[(*(slice(None),) * axis, local)]
            index[axis] = slice(low - piece.start, high - piece.start)
            of_piece = [*index[:axis], *index[axis + dropped :]]
            report = progress_within(progress, done, total)
            write_window(piece.init, window, piece.shape, tuple(of_piece), threads, report)
            done += window.size
        if progress is not None and not done:
            progress(0, 0)


def replaced(composite: C, **fields: Any) -> C:
    """`composite` with these fields."""
    changed: Any = composite
    return dataclasses.replace(changed, **fields)  # type: ignore[no-any-return]


class Adjusted(Composite):
    """One initializer for the whole tensor, and what is done to it."""

    initializer: Any

    @property
    def elementwise(self) -> bool:  # type: ignore[override]  # a class attribute elsewhere
        """Whether a shard can be made without the whole tensor."""
        return bool(self.initializer.elementwise)

    @property
    def key(self) -> Key | None:
        """The key of the initializer inside."""
        found: Key | None = self.initializer.key
        return found

    def named(self, name: str | int) -> Self:
        """The same on an independent key."""
        return self._map(lambda init: init.named(name))

    def _map(self, change: Change) -> Self:
        return replaced(self, initializer=change(self.initializer))

    def axis_of(self, shape: tuple[int, ...]) -> int:
        """An axis along which there is one piece: the first."""
        return 0

    def pieces(self, shape: tuple[int, ...]) -> list[Piece]:
        """The whole tensor."""
        return [Piece(self.initializer, shape, 0, shape[0] if shape else 1)]
