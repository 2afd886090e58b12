# SPDX-License-Identifier: Apache-2.0
"""Small tensors, warm: the cost of a call."""

from __future__ import annotations

from typing import Any

import pytest

import philinit as pi


@pytest.mark.parametrize("side", [64, 512])
@pytest.mark.parametrize("rule", ["GlorotUniform", "HeNormal"])
@pytest.mark.parametrize("library", ["philinit", "keras"])
def test_call(benchmark: Any, library: str, rule: str, side: int) -> None:
    module: Any = pi if library == "philinit" else pytest.importorskip("keras").initializers
    init = getattr(module, rule)(seed=42)
    benchmark.group = f"{rule} ({side}, {side})"
    made = benchmark(lambda: init((side, side)))
    assert tuple(made.shape) == (side, side)
