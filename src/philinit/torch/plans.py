# SPDX-License-Identifier: Apache-2.0
"""Which initializer for which tensor of a module, by a map of names; all that is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

from philinit.filling.memory import check_torch_memory
from philinit.initializers.base import Initializer
from philinit.initializers.models.adjusted import Keep, Padded
from philinit.initializers.models.composites import Composite
from philinit.initializers.models.maps import Planned
from philinit.initializers.models.plans import naming, planned
from philinit.torch.checks import DTYPES, check_tensor
from philinit.torch.initializers import check_layout, layout
from philinit.torch.parts import regions_of

# Components that wrappers put into names: torch.compile, FSDP, activation checkpointing.
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


def plan_of(
    module: Any, named: list[tuple[str, Any]], parameters: Any, seed: Any, *, on_meta: bool = False
) -> list[Planned]:
    """The initializers of named tensors of a module; what filling would raise is raised here."""
    described = []
    for name, tensor in named:
        with naming(name):
            local = check_tensor(tensor)
            if local.is_meta and not on_meta:
                raise ValueError(
                    "`module` must have memory; got a parameter on the meta device: "
                    "philinit.torch.materialize allocates and fills a module"
                )
            if not local.is_meta:
                check_torch_memory(local, "tensor")
            if local is not tensor:
                regions_of(tensor)
        described.append((name, tuple(tensor.shape), DTYPES[local.dtype]))
    plan = planned(parameters, described, seed, as_torch, lambda p: check_layout(p.init, p.shape))
    rows = {id(weight): row for weight, row in _padding(module)}
    return [
        one._replace(init=Padded(one.init, rows[id(tensor)]))
        if id(tensor) in rows and not isinstance(one.init, Keep)
        else one
        for one, (_, tensor) in zip(plan, named, strict=True)
    ]


def as_torch(init: Initializer, shape: tuple[int, ...]) -> Initializer:
    """`init` with torch's fans for weights that have an input and an output axis."""
    if isinstance(init, Composite):
        ranks = {len(piece.shape): piece.shape for piece in init.pieces(shape)}
        own = next(iter(ranks.values()), ())  # pieces have one rank
        return init._map(lambda child: as_torch(child, own))
    found: Initializer = layout(init) if len(shape) > 1 else init
    return found


def without_wrappers(name: str) -> str:
    """A parameter's name without the components that wrappers put into it."""
    return _WRAPPERS.sub("", name)


def _padding(module: Any) -> Iterator[tuple[Any, int]]:
    """The weights of which one row is padding, and the row."""
    for each in module.modules():
        known = isinstance(each, (torch.nn.Embedding, torch.nn.EmbeddingBag))
        if known and each.padding_idx is not None:
            yield each.weight, each.padding_idx
