# SPDX-License-Identifier: Apache-2.0
"""Initializers with a key, and those whose elements are independent draws from a distribution."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from philinit.checks import Progress, check_sampler, is_bool
from philinit.distributions import Distribution
from philinit.filling.fill import fill
from philinit.initializers.base import Array, Initializer
from philinit.keys import Key, as_seed, fresh_seed
from philinit.parts import Rows, Shard


@functools.lru_cache(maxsize=4096)
def _key(seed: int, names: tuple[str | int, ...]) -> Key:
    return functools.reduce(Key.fold_in, names, Key.from_seed(seed))


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Seeded(Initializer):
    """An initializer with a key.

    Parameters
    ----------
    seed : int, optional
        In [-2**127, 2**128). Left out, 128 bits of entropy are drawn from the operating system,
        once, here: `seed` then is the number drawn and `drawn` is True, in the repr as well.
    names : sequence of str and int
        Folded into the key one after the other; `named` appends to it.
    drawn : bool
        That the seed was not given. For information: it changes no value and no comparison.
    """

    seed: int | None = None
    names: Sequence[str | int] = ()
    drawn: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.drawn, bool):
            raise TypeError(f"`drawn` must be a bool; got drawn={self.drawn!r}")
        seed = self.seed
        if seed is None:
            object.__setattr__(self, "seed", fresh_seed())
            object.__setattr__(self, "drawn", True)
        elif type(seed) is not int or seed.bit_length() > 127:
            object.__setattr__(self, "seed", as_seed(seed))
        if type(self.names) is not tuple or self.names:
            self._check_names()

    def _check_names(self) -> None:
        names: Any = self.names  # whatever came
        known = isinstance(names, Iterable) and not isinstance(names, (str, bytes))
        names = tuple(names) if known else names
        if not known or any(is_bool(n) or not isinstance(n, (str, int)) for n in names):
            raise TypeError(f"`names` must be a sequence of str and int; got names={names!r}")
        object.__setattr__(self, "names", names)

    @property
    def key(self) -> Key:
        """The key of `seed` with all `names` folded in."""
        assert self.seed is not None  # set when the initializer was made
        return _key(self.seed, tuple(self.names))

    def named(self, name: str | int) -> Self:
        """The same rule on an independent key; may be nested: ``init.named("a").named(3)``."""
        return dataclasses.replace(self, names=(*self.names, name))


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Sampled(Seeded):
    """An initializer whose elements are independent draws from one distribution.

    Parameters
    ----------
    sampler : str
        "native", or "tensorflow" for the bits that TensorFlow gives for the same seed.

    Notes
    -----
    Element i is a pure function of sampler, key and i: the same bits for any number of threads,
    for any shard, and for any memory.
    """

    sampler: str = "native"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler != "native":
            check_sampler(self.sampler)

    def distribution_for(self, shape: Any) -> Distribution:
        """What is drawn for every element of a tensor of this shape."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _write(
        self,
        view: Array,
        shape: tuple[int, ...],
        box: Shard | Rows | None,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        _draw(view, box, self.distribution_for(shape), self.key, self.sampler, threads, progress)


@dataclass(frozen=True, repr=False, eq=False)
class Drawn(Initializer):
    """Independent draws from one distribution on one key, both as given; fans play no part.

    What the adapters for other libraries come down to, once they have worked out a layer's
    distribution and which stream the other library would have drawn it from.

    Parameters
    ----------
    distribution : Uniform, Normal or TruncatedNormal
    stream : Key
    sampler : str
        "native" or "tensorflow".
    """

    distribution: Distribution
    stream: Key
    sampler: str = "native"

    def __post_init__(self) -> None:
        check_sampler(self.sampler)

    @property
    def key(self) -> Key:
        """The key as given."""
        return self.stream

    def distribution_for(self, shape: Any) -> Distribution:
        """The distribution as given, for every shape."""
        return self.distribution

    def _write(
        self,
        view: Array,
        shape: tuple[int, ...],
        box: Shard | Rows | None,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        _draw(view, box, self.distribution, self.stream, self.sampler, threads, progress)


def _draw(
    view: Array,
    box: Shard | Rows | None,
    distribution: Distribution,
    key: Key,
    sampler: str,
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Write the weights of a whole tensor, or of the `box` of it, into `view`."""
    fill(view, distribution, key, shard=box, sampler=sampler, threads=threads, progress=progress)
