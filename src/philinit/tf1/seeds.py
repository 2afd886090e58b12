# SPDX-License-Identifier: Apache-2.0
"""What the random TensorFlow 1 initializers share: seeds become the streams of TensorFlow's ops.

Every one comes down to a `KeyedDistribution` and the part of it that is wanted.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from philinit.checks import check_sampler
from philinit.distributions import Distribution
from philinit.initializers.seeded import KeyedDistribution
from philinit.keys import Key, as_seed, fresh_seed
from philinit.parts import Shard
from philinit.tf1.base import TF1Initializer, tensor

_MASK32 = (1 << 32) - 1


def stateful_key(seed: int, seed2: int) -> Key:
    """The stream of TensorFlow's random ops of these two attributes, when they are first run."""
    return Key((seed & _MASK32, seed >> 32 & _MASK32), seed2 << 64)


@dataclass(frozen=True, repr=False, eq=False)
class Random(TF1Initializer):
    """A random initializer with TensorFlow 1's interface and seeds.

    >>> tf1.random_normal_initializer(seed=42, sampler="native")((784, 256)).shape
    TensorShape([784, 256])

    Parameters
    ----------
    seed : int, optional
        In [-2**127, 2**128). An int gives every tensor of one shape the same values, as in
        TensorFlow. None gives each tensor its own: where ``tf.compat.v1.set_random_seed`` was
        called, from the graph's seed and the number of unseeded random ops and variables before
        it (with TensorFlow 2.21's bits); else from `entropy` and the number of tensors before it.
    dtype : optional
        Used where the call gives none: float32 (default), float64, float16 or bfloat16.
    sampler : str
        "tensorflow": the bits of TensorFlow's random op of this seed when it is first run, under
        the graph seed of the moment; like there only ``seed % (2**31 - 1)`` counts. "native": the
        fastest, on ``Key.from_seed(seed)`` whatever the graph seed, so that the weights equal
        those of philinit's own initializer with this seed.
    entropy : int, optional
        128 bits from the operating system, drawn when the initializer is made without a seed.
        Shown in the repr; pass it to have an unseeded run again.

    Notes
    -----
    TensorFlow 1 runs its op anew, and goes on in the stream, with each run of the variable's
    initializer in one session, or each eager call with the same seed. Here every run gives the
    values of the first.

    A part of a partitioned variable is that part of the whole: the values do not depend on the
    partitioning, and fans are the whole variable's. (TensorFlow draws each part for itself, with
    the same values in each part where there is a `seed`.)
    """

    sampler: str = field(default="tensorflow", kw_only=True)
    entropy: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        object.__setattr__(self, "dtype", self._checked(self.dtype))
        seed, entropy = self.seed, self.entropy
        if seed is not None:
            object.__setattr__(self, "seed", as_seed(seed))
            if entropy is not None:
                raise ValueError(
                    "`entropy` must be left out where there is a `seed`; "
                    f"got seed={seed} and entropy={entropy}"
                )
        else:
            drawn = fresh_seed() if entropy is None else as_seed(entropy)
            object.__setattr__(self, "entropy", drawn)
        # The tensors made so far without any seed, and the stream of each variable in parts.
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_made", 0)
        object.__setattr__(self, "_begun", {})

    def distribution_for(self, shape: Any) -> Distribution:
        """What is drawn for every element of a whole variable of this shape."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _init(self, whole: tuple[int, ...], part: Shard | None) -> KeyedDistribution:
        """philinit's initializer of a whole variable, with a stream of its own."""
        return KeyedDistribution(self.distribution_for(whole), self._key(whole, part), self.sampler)

    def _tensor(self, whole: tuple[int, ...], part: Shard | None, dtype: Any) -> Any:
        return tensor(self._init(whole, part), whole, part, dtype)

    def _key(self, whole: tuple[int, ...], part: Shard | None) -> Key:
        """The stream of a whole variable; all parts of one variable must get the same."""
        if self.seed is not None:
            if self.sampler == "native":
                return Key.from_seed(self.seed)
            return stateful_key(*tf.compat.v1.get_seed(self.seed))
        if part is None:
            return self._next()
        # TensorFlow makes the parts of a variable one after the other, the one at 0 first.
        begun: dict[Any, Key] = self._begun  # type: ignore[attr-defined]  # no field
        variable = threading.get_ident(), whole
        if variable not in begun or not any(part.starts):
            begun[variable] = self._next()
        return begun[variable]

    def _next(self) -> Key:
        """A stream of its own for one more variable."""
        seed, seed2 = tf.compat.v1.get_seed(None)
        if seed is None:
            with self._lock:  # type: ignore[attr-defined]  # no field
                made: int = self._made  # type: ignore[attr-defined]  # no field
                object.__setattr__(self, "_made", made + 1)
            return Key.from_seed(self.entropy).fold_in(made)
        if self.sampler == "native":
            return Key.from_seed(seed + (seed2 << 64))
        return stateful_key(seed, seed2)

    def __reduce__(self) -> Any:  # a lock cannot be pickled
        values = {f.name: getattr(self, f.name) for f in self._fields()}
        return functools.partial(type(self), **values), ()
