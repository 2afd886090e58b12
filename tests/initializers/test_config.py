# SPDX-License-Identifier: Apache-2.0
"""Initializers as values: repr, config, pickle, equality, hash."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

import philinit as pi
from tests.support.initializers import ALL, name_of


@pytest.mark.parametrize("init", ALL, ids=name_of)
def test_repr_config_and_pickle_round_trip(init: Any) -> None:
    for each in (init, init.named("encoder/0/kernel").named(3)):
        assert eval(repr(each), vars(pi) | {"float": float}) == each
        config = json.loads(json.dumps(each.get_config(), allow_nan=False))
        assert type(each).from_config(config) == each
        assert pickle.loads(pickle.dumps(each)) == each
        assert hash(type(each).from_config(config)) == hash(each)
        with pytest.raises(AttributeError):
            each.anything = 1


def test_lists_from_json_are_as_good_as_tuples() -> None:
    init = pi.VarianceScaling(in_axis=[0, 1], out_axis=[2], batch_axis=[], names=["a"], seed=1)
    assert init == pi.VarianceScaling(in_axis=(0, 1), out_axis=(2,), names=("a",), seed=1)
    assert hash(init) == hash(
        pi.VarianceScaling(in_axis=(0, 1), out_axis=(2,), names=("a",), seed=1)
    )
    assert hash(pi.GlorotUniform(batch_axis=[], seed=1)) == hash(pi.GlorotUniform(seed=1))


def test_equality_is_that_of_parameters_and_key() -> None:
    assert len(set(ALL)) == len(ALL)
    init = pi.HeNormal(seed=1)
    assert init == pi.HeNormal(seed=np.int64(1))
    assert init != pi.HeNormal(seed=2)
    assert init != pi.HeUniform(seed=1)
    assert init != pi.HeNormal(seed=1, activation="relu")
    assert init != init.named("a")
    assert init != pi.HeNormal(seed=1, sampler="tensorflow")
    assert pi.Zeros() == pi.Zeros() != pi.Constant(0.0)


def test_repr_shows_what_differs_from_the_default() -> None:
    assert repr(pi.GlorotUniform(seed=42)) == "GlorotUniform(seed=42)"
    assert (
        repr(pi.HeNormal(seed=1, gain=2).named("a")) == "HeNormal(seed=1, names=('a',), gain=2.0)"
    )
    assert repr(pi.Ones()) == "Ones()"
