# SPDX-License-Identifier: Apache-2.0
"""Initializers with a key, and those whose elements are independent draws from a distribution."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from philinit import distributions
from philinit.checks import as_shape, check_sampler, is_bool, is_ordered, one_of, shown
from philinit.distributions import Distribution
from philinit.filling.fill import draw
from philinit.initializers.base import Initializer
from philinit.initializers.config import from_plain, plain
from philinit.kernels.plan import plan
from philinit.keys import Key, as_seed, fresh_seed
from philinit.targets import Target


@functools.lru_cache(maxsize=4096)
def _key(seed: int, names: tuple[str | int, ...]) -> Key:
    return functools.reduce(Key.fold_in, names, Key.from_seed(seed))


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Seeded(Initializer):
    """An initializer with a key.

    Parameters
    ----------
    seed : int, optional
        In [-2**127, 2**128). If left out, 128 bits are drawn from the operating system, once:
        `seed` is then that number, and `from_entropy` is True, in the repr as well.
    names : sequence of str and int
        Hashed into the key, one after the other; `named` appends to them.
    from_entropy : bool
        Whether the seed was drawn. For information only: it changes no value or comparison.
    """

    seed: int | None = None
    names: Sequence[str | int] = ()
    from_entropy: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.from_entropy, bool):
            raise TypeError(
                f"`from_entropy` must be a bool; got from_entropy={self.from_entropy!r}"
            )
        seed = self.seed
        if seed is None:
            object.__setattr__(self, "seed", fresh_seed())
            object.__setattr__(self, "from_entropy", True)
        elif type(seed) is not int or seed.bit_length() > 127:
            object.__setattr__(self, "seed", as_seed(seed))
        object.__setattr__(self, "names", _as_names(self.names))

    @property
    def key(self) -> Key:
        """The key of `seed` with all `names` folded in."""
        assert self.seed is not None  # set when the initializer was made
        return _key(self.seed, self.names)

    def named(self, name: str | int) -> Self:
        """The same initializer on an independent key; nests: ``init.named("a").named(3)``."""
        return self._with(names=_as_names((*self.names, name)))


def _as_names(names: Any) -> tuple[str | int, ...]:
    if is_ordered(names):
        names = tuple(names)
    known = isinstance(names, tuple) and all(
        isinstance(n, (str, int)) and not is_bool(n) for n in names
    )
    if not known:
        raise TypeError(f"`names` must be a sequence of str and int; got names={shown(names)}")
    # Of NumPy's strings and of enumerations what they are, so that the repr can be evaluated.
    return tuple(str.__str__(n) if isinstance(n, str) else int(n) for n in names)


class Independent(Initializer):
    """An initializer whose elements are independent draws from one distribution.

    Element i is a pure function of sampler, key and i: the same bits for any number of threads,
    for any shard, and for any memory.
    """

    _keyed = True
    sampler: str

    @property
    def key(self) -> Key:
        """The key of the stream."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def distribution_for(self, shape: Any) -> Distribution:
        """What is drawn for every element of a tensor of this shape."""
        return self._distribution(as_shape(shape))

    def _distribution(self, shape: tuple[int, ...]) -> Distribution:
        """`distribution_for` of a shape that was checked."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _write(self, target: Target) -> None:
        draw(target, self._distribution(target.shape), self.key, self.sampler)

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        plan(self._distribution(shape), dtype, self.sampler)


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Sampled(Seeded, Independent):
    """Independent draws on the key of a seed.

    Parameters
    ----------
    sampler : str
        "native", or "tensorflow" for the bits that TensorFlow gives for the same seed.
    """

    sampler: str = "native"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler != "native":
            check_sampler(self.sampler)


@dataclass(frozen=True, repr=False, eq=False)
class KeyedDistribution(Independent):
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

    def _distribution(self, shape: tuple[int, ...]) -> Distribution:
        return self.distribution

    def get_config(self) -> dict[str, Any]:
        """Distribution, key and sampler, as numbers, strings and lists."""
        values = dataclasses.asdict(self.distribution)
        return {
            "distribution": {"class": type(self.distribution).__name__} | plain(values),
            "stream": {"words": list(self.stream.words), "base": self.stream.base},
            "sampler": self.sampler,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """What `config`, from `get_config`, describes."""
        values = dict(config["distribution"])
        kind = one_of("class", values.pop("class"), ("Uniform", "Normal", "TruncatedNormal"))
        distribution = getattr(distributions, kind)(**from_plain(values))
        stream = Key(tuple(config["stream"]["words"]), config["stream"]["base"])
        return cls(distribution, stream, config["sampler"])
