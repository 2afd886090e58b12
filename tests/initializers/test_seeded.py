# SPDX-License-Identifier: Apache-2.0
"""Seeds and names: entropy drawn once, keys folded, independent values."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

import philinit as pi
from philinit import distributions
from philinit.initializers.models.maps import seeded
from tests.support.initializers import same


def test_a_missing_seed_is_drawn_once_and_shown() -> None:
    init, other = pi.GlorotUniform(), pi.GlorotUniform()
    assert init.seed != other.seed
    assert init.seed is not None
    assert 0 <= init.seed < 1 << 128
    assert init.from_entropy
    assert repr(init) == f"GlorotUniform(seed={init.seed}, from_entropy=True)"
    assert eval(repr(init), vars(pi).copy()) == init == pi.GlorotUniform(seed=init.seed)
    assert same(init((5, 5)), init((5, 5)))
    assert same(init((5, 5)), pi.glorot_uniform((5, 5), seed=init.seed))
    assert init.named("a").from_entropy
    assert not same(pi.glorot_uniform((5, 5)), pi.glorot_uniform((5, 5)))


def test_the_key_is_that_of_the_seed_with_the_names_folded_in() -> None:
    init = pi.Normal(seed=42)
    assert init.key == pi.Key.from_seed(42)
    assert init.named("a").named(3).key == pi.Key.from_seed(42).fold_in("a").fold_in(3)
    assert init.named("a/3") != init.named("a").named(3)
    assert init.named("3").key != init.named(3).key
    expected = np.empty((3, 5), np.float32)
    pi.fill(expected, distributions.Normal(0.0, 0.05), pi.Key.from_seed(42).fold_in("a"))
    assert same(init.named("a")((3, 5)), expected)
    assert pi.Zeros().named("a") == pi.Zeros()
    assert pi.Zeros().key is None


def test_names_give_independent_values() -> None:
    a, b = (pi.Normal(0.0, 1.0, seed=1).named(name)((1 << 16,)) for name in ("a", "b"))
    z = float(np.mean(a.astype(np.float64) * b)) * math.sqrt(a.size)
    assert abs(z) < 4.5
    assert float(np.mean(a.astype(np.float64) * (b + 0.05 * a))) * math.sqrt(a.size) > 4.5


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Labeled(pi.Normal):
    """A class beyond philinit, which makes more of its fields."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "label", (self.seed, *self.names))


def test_what_a_class_of_your_own_makes_of_its_fields_follows_name_and_seed() -> None:
    init = Labeled(seed=1).named("a").named(2)
    assert vars(init)["label"] == (1, "a", 2)
    assert same(init((3,)), pi.Normal(seed=1).named("a").named(2)((3,)))
    assert vars(seeded(Labeled(), 5))["label"] == (5,)
