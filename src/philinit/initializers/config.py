# SPDX-License-Identifier: Apache-2.0
"""Frozen records of parameters, as initializers are: config, repr, equality, hash, description."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping
from typing import Any, Self

_INFINITE = {"inf": math.inf, "-inf": -math.inf}  # JSON has no infinity


class Configured:
    """A record whose parameters are all that it is.

    Subclasses are frozen dataclasses with ``repr=False, eq=False``: both are written once, here.
    """

    def get_config(self) -> dict[str, Any]:
        """Everything that makes this object, as numbers, strings and lists."""
        return plain({f.name: getattr(self, f.name) for f in self._fields() if f.init})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The object that `config`, from `get_config`, describes."""
        return cls(**from_plain(config))

    def _with(self, **changes: Any) -> Self:
        """The same but for these fields, whose values were checked.

        A class beyond philinit may have made more of its fields: it is made anew.
        """
        if not is_own(self):
            given = {f.name for f in self._fields() if f.init}
            named = {name: value for name, value in changes.items() if name in given}
            return dataclasses.replace(self, **named)  # type: ignore[type-var]
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__, **changes)
        return made

    def __repr__(self) -> str:
        """The call that makes an equal object: its seed, and what differs from the default."""
        parts = []
        for f in self._fields():
            value = getattr(self, f.name)
            # By their reprs, for -0.0 == 0.0.
            if f.init and (f.name == "seed" or repr(value) != repr(f.default)):
                infinite = isinstance(value, float) and math.isinf(value)
                parts.append(f"{f.name}=" + (f"float('{value}')" if infinite else repr(value)))
        return f"{type(self).__name__}({', '.join(parts)})"

    def _fields(self) -> tuple[dataclasses.Field[Any], ...]:
        """The parameters; none for a class that is no dataclass itself."""
        return dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()

    def _identity(self) -> tuple[Any, ...]:
        return type(self), *(getattr(self, f.name) for f in self._fields() if f.compare)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Configured):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __setattr__(self, name: str, value: Any) -> None:  # a dataclass guards its own fields only
        raise dataclasses.FrozenInstanceError(f"`{type(self).__name__}` is frozen; got {name}=...")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON can hold them: lists for tuples, strings for infinities."""
    found = {}
    for name, value in values.items():
        infinite = isinstance(value, float) and math.isinf(value)
        found[name] = str(value) if infinite else list(value) if type(value) is tuple else value
    return found


def from_plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters again, from what `plain` gave."""
    return {n: _INFINITE.get(v, v) if isinstance(v, str) else v for n, v in values.items()}


def describe(init: Any) -> dict[str, Any]:
    """What `described` makes an equal initializer of, in any process; through JSON too.

    Raises
    ------
    TypeError
        `init` is none of philinit's own initializers.
    """
    if not is_own(init):
        raise TypeError(
            "in a file or another process `init` must be one of philinit's own initializers, which "
            f"can be made anew there; got init={init!r}"
        )
    return {"init": type(init).__name__, **init.get_config()}


def is_own(init: Any) -> bool:
    """Whether `describe` takes this: an initializer of philinit's own, not of a class beyond it."""
    return _own(type(init).__name__) is type(init)


def described(description: Mapping[str, Any]) -> Any:
    """The initializer that a `description`, from `describe`, stands for."""
    config = dict(description)
    kind = _own(config.pop("init"))
    if kind is None:
        raise ValueError(
            f"`init` must name one of philinit's initializers; got init={description['init']!r}"
        )
    return kind.from_config(config)


def _own(name: Any) -> Any:
    """The initializer class of this name, which every process with philinit has; None if none."""
    for home in ("philinit.initializers", "philinit.initializers.models"):
        package = importlib.import_module(home)  # imports this module: late
        found = getattr(package, name, None) if isinstance(name, str) else None
        if isinstance(found, type) and issubclass(found, Configured):
            return found
    return None
