# SPDX-License-Identifier: Apache-2.0
"""Parts, stacks and padding in the memory of a CUDA device, played by a stand-in."""

from __future__ import annotations

from typing import Any

import pytest

import philinit as pi
from philinit.initializers.models import LogUniform, Padded, Parts, Scaled, Stacked
from tests.support.cuda_backend import by_dtype, needs_gxx

pytestmark = needs_gxx

NORMAL = pi.Normal(seed=1)
EACH = [
    Parts([NORMAL, pi.Zeros(), pi.Uniform(seed=2)], axis=0),
    Parts([NORMAL, pi.Constant(0.5)], axis=1),
    Stacked(Scaled(pi.HeNormal(seed=1), "1/sqrt(i+1)"), axis=0),
    Stacked(NORMAL, axis=1),
    Padded(NORMAL, (0, -2)),
]


@by_dtype
@pytest.mark.parametrize("init", EACH, ids=lambda init: type(init).__name__)
def test_g2_the_bits_are_those_of_the_cpu(cupy: Any, init: Any, dtype: str) -> None:
    whole = init((6, 8, 5), dtype)
    assert cupy.asnumpy(init((6, 8, 5), dtype, device="cuda")).tobytes() == whole.tobytes()
    part = init.shard((6, 8, 5), (slice(1, 5), slice(2, 7)), dtype, device="cuda")
    assert cupy.asnumpy(part).tobytes() == whole[1:5, 2:7].tobytes()


def test_what_only_a_cpu_makes_is_refused(cupy: Any) -> None:
    with pytest.raises(NotImplementedError, match="made in CPU memory"):
        LogUniform(seed=1)((4,), device="cuda")
