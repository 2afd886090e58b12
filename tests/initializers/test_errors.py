# SPDX-License-Identifier: Apache-2.0
"""Bad input: a sentence, and nothing written."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest

import philinit as pi
from tests.support.initializers import ALL, name_of

free: Any = pi  # free of types, for what mypy would refuse


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: free.VarianceScaling(-1.0),
            ValueError,
            "`scale` must be positive; got scale=-1.0",
        ),
        (lambda: free.VarianceScaling(0), ValueError, "`scale` must be positive; got scale=0.0"),
        (
            lambda: free.VarianceScaling(math.nan),
            ValueError,
            "`scale` must be finite; got scale=nan",
        ),
        (
            lambda: free.VarianceScaling(math.inf),
            ValueError,
            "`scale` must be finite; got scale=inf",
        ),
        (
            lambda: free.VarianceScaling("1"),
            TypeError,
            "`scale` must be a real number; got scale='1'",
        ),
        (
            lambda: free.VarianceScaling(True),
            TypeError,
            "`scale` must be a real number; got scale=True",
        ),
        (
            lambda: free.VarianceScaling(mode="fan"),
            ValueError,
            "`mode` must be one of fan_in, fan_out,",
        ),
        (
            lambda: free.VarianceScaling(mode=None),
            TypeError,
            "`mode` must be a str; got mode=None",
        ),
        (
            lambda: free.VarianceScaling(distribution="untruncated_normal"),
            ValueError,
            "`distribution` must be one of uniform, normal, truncated_normal; "
            "got distribution='untruncated_normal'",
        ),
        (
            lambda: free.VarianceScaling(in_axis=0.0),
            TypeError,
            "`in_axis` must be an int or a sequence",
        ),
        (lambda: free.HeNormal(in_axis=(1, 1)), ValueError, "`in_axis` must not repeat an axis"),
        (
            lambda: free.HeNormal(in_axis=-1),
            ValueError,
            "`in_axis` and `out_axis` must not share an axis",
        ),
        (lambda: free.HeNormal(gain=0), ValueError, "`gain` must be positive; got gain=0.0"),
        (
            lambda: free.HeNormal(gain=math.nan),
            ValueError,
            "`gain` must be finite; got gain=nan",
        ),
        (lambda: free.HeNormal(gain=1e200), ValueError, "`scale` must be finite; got scale=inf"),
        (
            lambda: free.HeNormal(gain=2.0, activation="relu"),
            ValueError,
            "`gain` and `activation` must not both be given; got gain=2.0, activation='relu'",
        ),
        (lambda: free.HeNormal(activation="geglu"), ValueError, "`activation` must be one of"),
        (
            lambda: free.HeNormal(activation="relu", param=1),
            ValueError,
            "`param` must be left out for relu",
        ),
        (
            lambda: free.HeNormal(param=0.1),
            ValueError,
            "`param` must come with `activation`; got param=0.1",
        ),
        (
            lambda: free.HeNormal(seed=1.0),
            TypeError,
            "`seed` must be an int or None; got seed=1.0",
        ),
        (
            lambda: free.HeNormal(seed=True),
            TypeError,
            "`seed` must be an int or None; got seed=True",
        ),
        (
            lambda: free.HeNormal(seed=1 << 128),
            ValueError,
            "`seed` must lie in [-2**127, 2**128)",
        ),
        (
            lambda: free.HeNormal(seed=-(1 << 127) - 1),
            ValueError,
            "`seed` must lie in [-2**127, 2**128)",
        ),
        (lambda: free.HeNormal(sampler="numpy"), ValueError, "`sampler` must be"),
        (
            lambda: free.HeNormal(names="a"),
            TypeError,
            "`names` must be a sequence of str and int; got names='a'",
        ),
        (
            lambda: free.HeNormal().named(1.5),
            TypeError,
            "`names` must be a sequence of str and int",
        ),
        (
            lambda: free.HeNormal(from_entropy=1),
            TypeError,
            "`from_entropy` must be a bool; got from_entropy=1",
        ),
        (lambda: free.HeNormal(42), TypeError, "positional"),
        (
            lambda: free.Uniform(1.0, 1.0),
            ValueError,
            "`low` must be below `high`; got low=1.0, high=1.0",
        ),
        (lambda: free.Uniform(-1e308, 1e308), ValueError, "`high - low` must not overflow"),
        (
            lambda: free.Normal(stddev=-1.0),
            ValueError,
            "`stddev` must not be negative; got stddev=-1.0",
        ),
        (lambda: free.Normal(math.inf), ValueError, "`mean` must be finite; got mean=inf"),
        (
            lambda: free.TruncatedNormal(lower=2, upper=1),
            ValueError,
            "`lower` must be below `upper`",
        ),
        (lambda: free.Constant(math.nan), ValueError, "`value` must be finite; got value=nan"),
        (lambda: free.Constant("1"), TypeError, "`value` must be a real number; got value='1'"),
        (lambda: free.Identity(math.inf), ValueError, "`gain` must be finite; got gain=inf"),
        (
            lambda: free.Orthogonal(None),
            TypeError,
            "`gain` must be a real number; got gain=None",
        ),
        (lambda: pi.Initializer()((2,)), NotImplementedError, "`Initializer` is abstract"),
    ],
)
def test_bad_parameters_fail_when_the_initializer_is_made(
    make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    "init", [pi.GlorotUniform(seed=1), pi.Ones(), pi.Orthogonal()], ids=name_of
)
@pytest.mark.parametrize(
    ("shape", "keywords", "error", "message"),
    [
        ((2, -3), {}, ValueError, "`shape` must not hold negative dimensions; got shape=(2, -3)"),
        ((2.0, 3), {}, TypeError, "`shape` must hold ints only; got 2.0 of type float"),
        ((2, 3), {"dtype": "int32"}, ValueError, "`dtype` must be one of float32"),
        ((2, 3), {"dtype": "complex64"}, ValueError, "`dtype` must be one of float32"),
        ((2, 3), {"dtype": 7}, TypeError, "`dtype` must be one of float32"),
        ((2, 3), {"dtype": "float64"}, ValueError, "`dtype` must be that of `out` or left out"),
        (
            (3, 2),
            {},
            ValueError,
            "`out` must have the shape asked for; got out of shape (2, 3) for (3, 2)",
        ),
        ((2, 3), {"device": "tpu"}, ValueError, "`device` must be"),
        ((2, 3), {"threads": 0}, ValueError, "`threads` must be at least 1; got threads=0"),
        ((2, 3), {"threads": 1.5}, TypeError, "`threads` must be an int"),
        ((2, 3), {"progress": 1}, TypeError, "`progress` must be callable"),
        ((4, 3), {"shard": slice(1, 5)}, ValueError, "`index` must stay inside the global shape"),
        ((4, 3), {"shard": slice(1, 4)}, ValueError, "`out` must have the shape asked for"),
        (
            (4, 3),
            {"shard": pi.Shard((5, 3), slice(0, 2))},
            ValueError,
            "`shape` must be the global shape of `shard`; got shape=(4, 3)",
        ),
        (
            (4, 4),
            {"shard": (slice(0, 2), slice(0, 3)), "progress": 1},
            TypeError,
            "`progress` must be",
        ),
    ],
)
def test_bad_calls_write_nothing(
    init: Any, shape: Any, keywords: dict[str, Any], error: type[Exception], message: str
) -> None:
    out = np.full((2, 3), 7, np.float32)
    with pytest.raises(error, match=re.escape(message)):
        init(shape, out=out, **keywords)
    assert (out == 7).all()


def test_bad_out() -> None:
    read_only = np.zeros((2, 3), np.float32)
    read_only.flags.writeable = False
    for out in (read_only, np.zeros((3, 2), np.float32).T, np.zeros((2, 3), np.int32)):
        for init in ALL[2], pi.Ones():
            with pytest.raises(ValueError, match="`out` must"):
                init((2, 3), out=out)
            with pytest.raises(ValueError, match="`out` must"):
                init.fill(out)


def test_fill_needs_a_whole_shard_to_know_the_global_shape() -> None:
    out = np.empty((2, 3), np.float32)
    with pytest.raises(TypeError, match=re.escape("`shard` must be a Shard(global_shape, index)")):
        pi.GlorotUniform().fill(out, shard=slice(1, 3))  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="`out` must have the shape of the shard; got out of shape"
    ):
        pi.GlorotUniform().fill(out, shard=pi.Shard((4, 3), slice(1, 4)))


def test_shapes_without_the_axes_that_a_matrix_needs() -> None:
    with pytest.raises(
        ValueError, match="`shape` must have at least 2 axes for an orthogonal matrix"
    ):
        pi.orthogonal((3,))
    with pytest.raises(ValueError, match="`shape` must have 2 axes for an identity matrix"):
        pi.identity((3, 3, 3))
    with pytest.raises(ValueError, match=re.escape("`in_axis` must lie in [-2, 2)")):
        pi.glorot_uniform((3, 3), in_axis=2)


def test_unknown_keywords_are_refused() -> None:
    with pytest.raises(TypeError, match="sed"):
        pi.glorot_uniform((3, 3), sed=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="gian"):
        pi.HeNormal.from_config({"gian": 1.0})
