# SPDX-License-Identifier: Apache-2.0
"""All that is taken from torch beyond what it documents; a probe for each, and what is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

OLDEST, NEWEST = "2.2", "2.13.0"  # the versions of torch that are supported; the newest one tested


def needed(owner: Any, name: str) -> Any:
    """The attribute `name` of `owner`, or the one sentence that says what torch has moved."""
    found = getattr(owner, name, needed)
    if found is needed:
        kind = owner if isinstance(owner, type) else type(owner)
        raise ImportError(
            f"philinit.torch needs {kind.__module__}.{kind.__qualname__}.{name} of torch {OLDEST} "
            f"to {NEWEST}; torch {torch.__version__} has none: please report it"
        )
    return found


# Missing: whether a tensor's elements are what its memory holds. A class that takes operations into
# its own hands, such as a packed one, does so by another method of this name.
DISPATCH = needed(torch.Tensor, "__torch_dispatch__")


def exchange(module: Any, make: Callable[[Any], Any]) -> None:
    """Replace each parameter and buffer of a module by ``make(tensor)``.

    Missing: such a method, which keeps FSDP2 and recurrent layers informed. ``to_empty`` does, but
    allocates memory for all tensors at once.
    """
    needed(module, "_apply")(make)


def base_of(tensor: Any) -> Any:
    """The tensor that `tensor` is a view of, or itself; what wrote to the one wrote to the other.

    Missing: a public name for it.
    """
    base = needed(tensor, "_base")
    return tensor if base is None else base


def split_factor(placement: Any) -> int:
    """How many pieces of a tensor axis there were before a placement, a Shard, has cut it again.

    Missing: a public class for it. FSDP2 makes ``_StridedShard`` where tensor parallelism came
    first; of a plain Shard this is 1.
    """
    plain = type(placement).__name__ == "Shard"
    return 1 if plain else int(needed(placement, "split_factor"))


def shard_order(tensor: Any) -> dict[int, tuple[int, ...]]:
    """For a tensor axis of a DTensor, its mesh axes in the order in which they cut it.

    Missing: a property of DTensor. Older versions know no order but that of the placements.
    """
    order = getattr(needed(tensor, "_spec"), "shard_order", ())
    return {entry.tensor_dim: tuple(entry.mesh_dims) for entry in order or ()}
