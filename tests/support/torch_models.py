# SPDX-License-Identifier: Apache-2.0
"""What holds for models of any library that have never heard of philinit."""

from collections.abc import Callable
from typing import Any

import torch

import philinit as pi
import philinit.torch as pt
from tests.support.torch_tensors import same


def check_that_weights_suffice(build: Callable[[], Any]) -> None:
    """A model on the meta device wants weights alone: its own code computes the buffers."""
    with pt.parameters_on_meta():
        model = build()
    assert all(p.is_meta for p in model.parameters())
    init, reference = pi.Normal(stddev=0.02, seed=1), build()
    pt.materialize(model, {"*": init})
    for name, parameter in model.named_parameters():
        assert same(parameter, init.named(name)(tuple(parameter.shape))), name
    found, wanted = (dict(m.named_buffers()) for m in (model, reference))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert len(list(model.parameters())) == len(list(reference.parameters()))  # tied are tied


def check_the_distributions(build: Callable[[], Any]) -> None:
    """Within `accelerate` the library's code draws what it does without, and again the same."""
    torch.manual_seed(1)
    theirs = build()
    with pt.accelerate(seed=3):
        ours = build()
    with pt.accelerate(seed=3):
        again = build()
    for (name, a), b, c in zip(
        ours.named_parameters(), theirs.parameters(), again.parameters(), strict=True
    ):
        assert torch.equal(a, c), name
        if b.numel() >= 100 and b.std():
            assert abs(a.std() / b.std() - 1) < 4.5 / a.numel() ** 0.5, name
            assert not torch.equal(a, b), name
