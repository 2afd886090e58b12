# SPDX-License-Identifier: Apache-2.0
"""An ordered map of patterns on parameters' names to initializers."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, Self

from philinit.checks import as_shape, is_ordered, shown
from philinit.initializers.base import Initializer
from philinit.initializers.config import Configured, describe, described
from philinit.initializers.models.composites import Composite
from philinit.initializers.seeded import Seeded
from philinit.keys import as_seed

Entry = tuple[str | re.Pattern[str], Initializer]
_NUMBER = re.compile(r"(?<![^.])[0-9]+(?![^.])")  # a component that is a number


def normalized(name: str) -> str:
    """A parameter's name in the one spelling that patterns and keys see, with dots.

    ``encoder/0/kernel:0``, as TensorFlow has it, is ``encoder.0.kernel``. Words stay as they are:
    Keras's "kernel" is no "weight".

    >>> normalized("encoder/0/kernel:0")
    'encoder.0.kernel'
    """
    if not isinstance(name, str) or not name:
        raise TypeError(f"names of parameters must be non-empty str; got {shown(name)}")
    return re.sub(r":\d+$", "", name).replace("/", ".")


class Planned(NamedTuple):
    """A parameter and its initializer, with seed and name."""

    name: str
    shape: tuple[int, ...]
    dtype: Any
    init: Initializer

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, repr=False, eq=False)
class ParameterMap(Configured):
    r"""Which initializer for which parameter: the first pattern that matches its name counts.

    Frozen, comparable, hashable; ``left + right`` asks `left` first. Initializers that were given
    no seed have the one of the call that uses the map.

    Parameters
    ----------
    entries : sequence of (pattern, initializer), mapping, or callable(name, shape)
        A pattern is a str that matches the whole name (`fnmatch`, case as it is: ``*`` is
        everything, ``*.bias`` all biases, ``layers.[0-3].*`` four layers), or a compiled regular
        expression that is found in it (``re.search``: anchor it with ``^`` and ``$``). Both see
        names with dots, as `normalized` makes them; a ``/`` in a str is a dot. A layer's number,
        for `Scaled` by depth, is the group "layer" of the expression, or its first group;
        otherwise the first component of the name that is a number. A callable gives the
        initializer for a name and a shape, or None; it has no JSON.

    Raises
    ------
    TypeError, ValueError
        When made: other kinds of entries, none at all.

    Examples
    --------
    >>> import re, philinit as pi
    >>> parameters = pi.models.ParameterMap([
    ...     ("*.bias", pi.Zeros()),
    ...     (re.compile(r"layers\.(\d+)\."), pi.models.Scaled(pi.Normal(), "1/sqrt(2(i+1))")),
    ... ])
    >>> parameters.initializer("layers.7.up.weight", (8, 4), seed=1).distribution_for((8, 4))
    Normal(mean=0.0, stddev=0.0125)
    >>> pi.models.ParameterMap.from_json(parameters.to_json()) == parameters
    True
    """

    entries: Any

    def __post_init__(self) -> None:
        entries = self.entries
        if isinstance(entries, Mapping):
            entries = tuple(entries.items())
        if is_ordered(entries):
            found = tuple(_as_entry(entry) for entry in entries)
            if not found:
                raise ValueError("`entries` must hold at least one pattern; got none")
            object.__setattr__(self, "entries", found)
        elif isinstance(entries, (Initializer, type)) or not callable(entries):
            raise TypeError(
                "`entries` must be pairs of a pattern and an initializer, a mapping of such, or a "
                f"callable(name, shape); got {shown(entries)}"
            )

    @staticmethod
    def of(parameters: Any) -> ParameterMap:
        """`parameters` if it is a map, or the map of such entries."""
        known = isinstance(parameters, ParameterMap)
        return parameters if known else ParameterMap(parameters)

    def find(self, name: str, shape: Any) -> Initializer | None:
        """The initializer for a parameter, in its layer but without seed and name; None: no match.

        `name` may be spelled in any way that `normalized` knows.
        """
        return self._find(normalized(name), as_shape(shape))

    def _find(self, name: str, shape: tuple[int, ...]) -> Initializer | None:
        if callable(self.entries):
            found = self.entries(name, shape)
            if found is None:
                return None
            if not isinstance(found, Initializer):
                raise TypeError(
                    f"{name}: `parameters` must give a philinit initializer or None; got {found!r}"
                )
            return _in_layer(unseeded(found), name, None)
        for pattern, init in self.entries:
            if isinstance(pattern, str):
                if fnmatchcase(name, pattern):
                    return _in_layer(init, name, None)
            elif match := pattern.search(name):
                return _in_layer(init, name, match)
        return None

    def initializer(self, name: str, shape: Any, seed: int) -> Initializer:
        """The initializer for one parameter: with the seed, on the key of its name.

        Raises
        ------
        ValueError
            No pattern matches.
        """
        return self.initializers({name: shape}, seed)[normalized(name)]

    def initializers(self, shapes: Mapping[str, Any], seed: int) -> dict[str, Initializer]:
        """`initializer` for each name and shape of a mapping, by normalized name, in its order.

        Raises
        ------
        ValueError
            Names that no pattern matches, all of them with their shapes; two names that are one.
        """
        seed = as_seed(seed)
        found: dict[str, Initializer] = {}
        unmatched = []
        for given, shape in shapes.items():
            name, shape = normalized(given), as_shape(shape)
            init = self._find(name, shape)
            if name in found:
                raise ValueError(f"names of parameters must differ; got {name} twice")
            if init is None:
                unmatched.append(f"{name} {shape}")
            else:
                found[name] = seeded(init, seed).named(name)
        if unmatched:
            raise ValueError(
                "`parameters` must match the name of every parameter; got no match for "
                + ", ".join(unmatched)
            )
        return found

    def __add__(self, other: Any) -> ParameterMap:
        """The entries of this map, then those of another."""
        if not isinstance(other, ParameterMap):
            return NotImplemented
        return ParameterMap((*self, *other))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._listed())

    def __len__(self) -> int:
        return len(self._listed())

    def _listed(self) -> tuple[Entry, ...]:
        if callable(self.entries):
            raise TypeError("a map that is a callable has no entries to list")
        listed: tuple[Entry, ...] = self.entries
        return listed

    def __repr__(self) -> str:
        if callable(self.entries):
            return f"ParameterMap({self.entries!r})"
        pairs = (f"({pattern!r}, {brief(init)})" for pattern, init in self)
        return f"ParameterMap([{', '.join(pairs)}])"

    def get_config(self) -> dict[str, Any]:
        """The entries as dicts of a pattern, "match" or "regex", and a description, "init"."""
        return {"entries": [{**_plain(pattern), "init": _config(init)} for pattern, init in self]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The map that `config`, from `get_config`, describes."""
        return cls([(_from_plain(entry), described(entry["init"])) for entry in config["entries"]])

    def to_json(self, indent: int | None = 1) -> str:
        """`get_config` as JSON."""
        return json.dumps(self.get_config(), indent=indent, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The map that `text`, from `to_json`, describes."""
        return cls.from_config(json.loads(text))


def _as_entry(entry: Any) -> Entry:
    try:
        pattern, init = entry
    except (TypeError, ValueError):
        pattern = init = None
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, bytes):
        pattern = None
    if not (isinstance(pattern, (str, re.Pattern)) and isinstance(init, Initializer)):
        raise TypeError(
            "`entries` must be pairs of a pattern, a str or a compiled regular expression of str, "
            f"and a philinit initializer such as philinit.Zeros(); got {shown(entry)}"
        )
    return pattern.replace("/", ".") if isinstance(pattern, str) else pattern, unseeded(init)


def _in_layer(init: Initializer, name: str, match: re.Match[str] | None) -> Initializer:
    """`init` told the number of its layer, if the name has one."""
    if not isinstance(init, Composite):
        return init
    if match is not None and match.re.groups:
        group = match["layer"] if "layer" in match.re.groupindex else match[1]
        if group is not None and group.isdecimal():
            return init._at(int(group))
    found = _NUMBER.search(name)
    return init if found is None else init._at(int(found[0]))


def seeded(init: Initializer, seed: int) -> Initializer:
    """`init` with this seed wherever none was given."""
    if isinstance(init, Composite):
        return init._map(lambda child: seeded(child, seed))
    if isinstance(init, Seeded) and init.from_entropy:
        return init._with(seed=seed, from_entropy=False)
    return init


def unseeded(init: Initializer) -> Initializer:
    """`init` with 0 for every seed that was not given, so that equal entries are equal."""
    if isinstance(init, Composite):
        return init._map(unseeded)
    if isinstance(init, Seeded) and init.from_entropy:
        return init._with(seed=0)
    return init


def brief(init: Initializer) -> str:
    """The repr of an initializer without seeds that were not given."""
    return re.sub(r"seed=0, from_entropy=True(, )?", "", repr(init)).replace(", )", ")")


def _config(init: Initializer) -> Any:
    def without_entropy(value: Any) -> Any:
        if isinstance(value, list):
            return [without_entropy(v) for v in value]
        if not isinstance(value, dict):
            return value
        dropped = ("seed", "from_entropy") if value.get("from_entropy") else ()
        return {k: without_entropy(v) for k, v in value.items() if k not in dropped}

    return without_entropy(describe(init))


def _plain(pattern: str | re.Pattern[str]) -> dict[str, Any]:
    if isinstance(pattern, str):
        return {"match": pattern}
    flags = pattern.flags & ~re.UNICODE
    return {"regex": pattern.pattern} | ({"flags": flags} if flags else {})


def _from_plain(entry: Mapping[str, Any]) -> str | re.Pattern[str]:
    if "match" in entry:
        return str(entry["match"])
    return re.compile(entry["regex"], entry.get("flags", 0))
