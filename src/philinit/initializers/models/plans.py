# SPDX-License-Identifier: Apache-2.0
"""The initializer of every parameter of a model, found and checked before anything is written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from philinit.checks import Progress, progress_within
from philinit.initializers.base import Initializer
from philinit.initializers.models.adjusted import Keep
from philinit.initializers.models.maps import ParameterMap, Planned, normalized
from philinit.initializers.models.pieces import Parts

Named = tuple[str, Any, Any]  # name, shape, dtype
T = TypeVar("T")


def planned(
    parameters: Any,
    named: Iterable[Named],
    seed: int,
    layout: Callable[[Initializer, tuple[int, ...]], Initializer] | None = None,
    check: Callable[[Planned], None] | None = None,
) -> list[Planned]:
    """The initializer of each parameter, where none of them would be refused.

    Parameters
    ----------
    parameters : ParameterMap, or what makes one
        Which initializer for which name.
    named : iterable of (name, shape, dtype)
        The dtype is one of NumPy's or ml_dtypes', of `philinit.dtypes.NAMES`.
    seed : int
        Of all initializers that have none of their own.
    layout : callable, optional
        Gives an initializer the fans of a framework's weights, for a shape.
    check : callable, optional
        Raises what filling would raise beyond shape and dtype.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        What filling would raise, with the name; names that no pattern matches, all of them.
    """
    listed = list(named)
    found = ParameterMap.of(parameters).initializers(
        _distinct((name, shape) for name, shape, _ in listed), seed
    )
    plan = []
    for (name, init), (_, shape, dtype) in zip(found.items(), listed, strict=True):
        with naming(name):
            one = Planned(name, tuple(shape), dtype, init)
            if layout is not None:
                one = one._replace(init=layout(init, one.shape))
            if check is not None:
                check(one)
            init._check(one.shape, dtype)
        plan.append(one)
    return plan


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """What is refused inside says the name of the parameter first."""
    try:
        yield
    except (TypeError, ValueError, NotImplementedError) as error:
        raise type(error)(f"{name}: {error}") from error


def _distinct(pairs: Iterator[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, shape in pairs:
        if name in found:
            raise ValueError(f"names of parameters must differ; got {name} twice")
        found[name] = shape
    return found


def _keeps(init: Initializer) -> bool:
    """Whether `init` leaves anything as it is."""
    if isinstance(init, Parts):
        return any(_keeps(child) for _, child in init.parts)
    inside = getattr(init, "initializer", None)  # of other composites
    return isinstance(init, Keep) or (inside is not None and _keeps(inside))


def refuse_keep(one: Planned) -> None:
    """Refuse to leave as it is what has no memory yet."""
    if _keeps(one.init):
        raise ValueError(
            f"{one.name}: `Keep` must be for a parameter that has memory; got one to be allocated"
        )


def in_turn(
    plan: list[Planned], sizes: list[int], progress: Progress | None
) -> Iterator[tuple[Planned, Progress | None]]:
    """Each parameter, and the progress of its own part of all `sizes` elements."""
    done, total = 0, sum(sizes)
    for one, size in zip(plan, sizes, strict=True):
        yield one, progress_within(progress, done, total)
        done += size


def chosen(
    named: list[tuple[str, T]], only: Any, spelled: Callable[[str], str] = normalized
) -> list[tuple[str, T]]:
    """What has a name that `only`, names or patterns of them, asks for; all for None.

    `spelled` makes the one spelling in which names and patterns are compared.

    Raises
    ------
    TypeError, ValueError
        `only` is a str, or no sequence of them; entries that match no name, all of them.
    """
    if only is None:
        return named
    if isinstance(only, (str, bytes)) or not isinstance(only, Iterable):
        raise TypeError(
            f"`only` must be a sequence of names or patterns of them; got only={only!r}"
        )
    names = {name: spelled(name) for name, _ in named}
    found: set[str] = set()
    unknown = []
    for pattern in only:
        wanted = spelled(pattern)
        matched = {name for name in names if fnmatchcase(names[name], wanted)}
        found |= matched
        if not matched:
            unknown.append(pattern)
    if unknown:
        raise ValueError(
            f"`only` must name parameters of the model; got {', '.join(unknown)}, which it has not"
        )
    return [(name, it) for name, it in named if name in found]
