# SPDX-License-Identifier: Apache-2.0
"""Parts of one tensor, and stacks of tensors: each with fans and a stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from philinit.checks import is_bool, is_ordered, shown
from philinit.initializers.base import Initializer, check_init
from philinit.initializers.models.composites import Change, Composite, Joined, Piece, replaced


@dataclass(frozen=True, repr=False, eq=False)
class Parts(Joined):
    """Parts of one tensor along an axis, each with an initializer, fans and a stream of its own.

    For packed projections (q, k and v; gate and up) and padded vocabularies:
    ``Parts([GlorotUniform()] * 3)``, ``Parts([(50257, Normal()), (None, Zeros())])``.

    >>> qkv = pi.models.Parts([pi.GlorotUniform(seed=42)] * 3)((192, 64))
    >>> bool((qkv[:64] == qkv[64:128]).any())
    False

    Parameters
    ----------
    parts : sequence of initializer, or of (length, initializer)
        In order. Without lengths all parts are equally long. A length of None, once, is all that
        the others leave. `Keep` leaves its part as it is.
    axis : int (keyword only)
        Of the tensor; the first by default, which is torch's output axis. Negative numbers count
        from the end.
    rename : (str, sequence of str), optional (keyword only)
        Gives each part the stream of a parameter with a name of its own, so that a packed
        tensor's weights equal those of separate ones: ``("qkv_proj", ("q_proj", "k_proj",
        "v_proj"))`` puts each in the place of the component "qkv_proj" of the tensor's name.
        Otherwise the number of the part, 0, 1, ..., is folded in after the name.
    names : sequence of str and int (keyword only)
        As in `Seeded`, for all parts.

    Raises
    ------
    TypeError, ValueError
        When made: parameters of other kinds. When called: lengths that do not add up to that of
        the axis, or an axis that cannot be cut into equal parts.
    """

    parts: Sequence[Any] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not is_ordered(self.parts):
            raise TypeError(f"`parts` must be a sequence; got parts={shown(self.parts)}")
        found = tuple(
            (None, part) if isinstance(part, Initializer) else _sized(part) for part in self.parts
        )
        if not found:
            raise ValueError("`parts` must hold at least one initializer; got none")
        open_ = sum(length is None for length, _ in found)
        if 1 < open_ < len(found):
            raise ValueError(
                "`parts` must leave the length of all open, or of one at most; got "
                f"{[length for length, _ in found]}"
            )
        object.__setattr__(self, "parts", found)
        if self.rename is not None:
            object.__setattr__(self, "rename", self._as_rename(len(found)))

    def _as_rename(self, count: int) -> tuple[str, tuple[str, ...]]:
        try:
            old, new = self.rename
            new = () if isinstance(new, str) else tuple(new)
        except (TypeError, ValueError):
            old, new = None, ()
        if not (isinstance(old, str) and len(new) == count and _all_str(new)):
            raise ValueError(
                f"`rename` must be a name and {count} new ones, one for each part; "
                f"got rename={shown(self.rename)}"
            )
        if len(set(new)) < count:  # two parts would have the same weights
            raise ValueError(f"`rename` must have names that differ; got rename={self.rename!r}")
        return old, new

    @property
    def elementwise(self) -> bool:  # type: ignore[override]  # a class attribute elsewhere
        """Whether a shard can be made without the whole tensor."""
        return all(init.elementwise for _, init in self.parts)

    def _map(self, change: Change) -> Self:
        return replaced(self, parts=tuple((length, change(init)) for length, init in self.parts))

    def _new_name(self, number: int) -> str:
        return str(self.rename[1][number])

    def pieces(self, shape: tuple[int, ...]) -> list[Piece]:
        """The parts, one after the other."""
        axis = self.axis_of(shape)
        found, stop = [], 0
        for number, (length, (_, init)) in enumerate(
            zip(self._lengths(shape, axis), self.parts, strict=True)
        ):
            start, stop = stop, stop + length
            own = (*shape[:axis], length, *shape[axis + 1 :])
            found.append(Piece(self._on_its_stream(init, number), own, start, stop))
        return found

    def _lengths(self, shape: tuple[int, ...], axis: int) -> list[int]:
        given, whole = [length for length, _ in self.parts], shape[axis]
        known = sum(length for length in given if length is not None)
        open_ = given.count(None)
        rest, uneven = divmod(whole - known, open_) if open_ else (0, whole - known)
        if uneven or rest < 0:
            wanted = f"{len(given)} equal ones" if open_ > 1 else str(given)
            raise ValueError(
                f"`parts` must fill axis {axis} of the tensor; got {wanted} for shape={shape}"
            )
        return [rest if length is None else length for length in given]


@dataclass(frozen=True, repr=False, eq=False)
class Stacked(Joined):
    """Tensors of one kind stacked along an axis: each with the fans and the stream of its own.

    For the layers of ``scan`` and for experts: a tensor of shape (12, 512, 2048) is filled as 12 of
    shape (512, 2048), each on an independent key.

    >>> stack = pi.models.Stacked(pi.HeNormal(seed=42))((12, 64, 256))
    >>> bool((stack[0] == stack[1]).any())
    False

    Parameters
    ----------
    initializer : initializer
        Of one of the tensors; a `Scaled` by depth takes the number of the slice for that of the
        layer, unless the tensor's name has said it.
    axis : int (keyword only)
        Of the stack; the first by default.
    rename : (str, str), optional (keyword only)
        Gives slice i the stream of a parameter with a name of its own, so that stacked layers
        equal those that are not: ``("layers", "layers.{}")`` puts ``layers.0``, ``layers.1``, ...
        in the place of the component "layers" of the tensor's name. Otherwise the number of the
        slice is folded in after the name.
    names : sequence of str and int (keyword only)
        As in `Seeded`, for all slices.
    """

    initializer: Any = None

    _dropped = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_init(self.initializer)
        if self.rename is not None:
            pair = tuple(self.rename) if is_ordered(self.rename) else ()
            if not (len(pair) == 2 and _all_str(pair) and pair[1].count("{}") == 1):
                raise ValueError(
                    '`rename` must be a name and a new one with a {}, as ("layers", "layers.{}"); '
                    f"got rename={shown(self.rename)}"
                )
            object.__setattr__(self, "rename", pair)

    @property
    def elementwise(self) -> bool:  # type: ignore[override]  # a class attribute elsewhere
        """Whether a shard can be made without the whole tensor."""
        return bool(self.initializer.elementwise)

    def _map(self, change: Change) -> Self:
        return replaced(self, initializer=change(self.initializer))

    def _new_name(self, number: int) -> str:
        return str(self.rename[1]).replace("{}", str(number))

    def pieces(self, shape: tuple[int, ...]) -> list[Piece]:
        """The slices, one after the other; none of them has the axis of the stack."""
        axis = self.axis_of(shape)
        own = (*shape[:axis], *shape[axis + 1 :])
        return [
            Piece(self._on_its_stream(self._slice(number), number), own, number, number + 1)
            for number in range(shape[axis])
        ]

    def _slice(self, number: int) -> Initializer:
        init: Initializer = self.initializer
        return init._at(number) if isinstance(init, Composite) else init


def _sized(part: Any) -> tuple[int | None, Initializer]:
    try:
        length, init = part
    except (TypeError, ValueError):
        raise TypeError(
            "`parts` must hold initializers, or pairs of a length and an initializer; "
            f"got {shown(part)}"
        ) from None
    check_init(init)
    if length is not None and (is_bool(length) or not isinstance(length, int) or length < 0):
        raise ValueError(f"`parts` must have lengths that are ints >= 0 or None; got {length!r}")
    return length, init


def _all_str(values: tuple[Any, ...]) -> bool:
    return all(isinstance(value, str) and value for value in values)
