# SPDX-License-Identifier: Apache-2.0
"""Modules filled by a map of parameters' names to initializers, in the memory that they have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from philinit.checks import Progress, check_progress, check_threads
from philinit.filling.memory import check_torch_memory
from philinit.initializers.models.maps import normalized
from philinit.initializers.models.plans import chosen, in_turn
from philinit.initializers.models.tables import Table
from philinit.torch.checks import local_of
from philinit.torch.memory import write
from philinit.torch.plans import plan_of, without_wrappers

_CHUNK = 1 << 20  # elements


def initialize(
    module: Any,
    parameters: Any,
    seed: int,
    *,
    only: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Fill the parameters of a module in place, as a map of their names says; return the module.

    A parameter, or the shard that this process holds of a DTensor, gets the weights of
    ``init.named(name)`` for its global shape; called again, the module is back at its first
    weights. Tied parameters are filled once, by the first of their names. Row `padding_idx` of an
    Embedding or EmbeddingBag is zero. Buffers stay as they are. Nothing is allocated.

    Parameters
    ----------
    module : torch.nn.Module
        With memory: `materialize` is for modules on the meta device, and takes the map too.
    parameters : philinit.models.ParameterMap, or what makes one
        Initializers without axes of their own get the fans of torch's weights, (out, in, ...), as
        `layout` gives them; those of tensors with less than 2 axes are (n, n). Names are those of
        ``module.named_parameters()``, without what torch.compile, FSDP and activation
        checkpointing put into them.
    seed : int
        Of all initializers that have none of their own.
    only : sequence of str, optional
        Names, or patterns of them: what else there is stays as it is, and need not be in the map.
        Such as ``module.load_state_dict(state, strict=False).missing_keys``.
    threads, progress
        As in `fill_`; progress counts the elements of all parameters that are filled.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before a byte is written: parameters that the map does not match, all of them with their
        shapes; what `fill_` refuses, with the name.

    Examples
    --------
    >>> import torch, philinit as pi, philinit.torch as pt
    >>> model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.LayerNorm(256))
    >>> parameters = {"*.bias": pi.Zeros(), "1.weight": pi.Ones(), "*": pi.HeNormal()}
    >>> model = pt.initialize(model, parameters, seed=42)
    >>> round(model[0].weight.std().item(), 2) == round((2 / 64) ** 0.5, 2)
    True
    """
    threads, progress = check_threads(threads), check_progress(progress)
    named = _named(module, only)
    plan = plan_of(module, named, parameters, seed)
    sizes = [local_of(tensor).numel() for _, tensor in named]
    for (one, report), (_, tensor) in zip(in_turn(plan, sizes, progress), named, strict=True):
        check_torch_memory(local_of(tensor), "tensor")  # which `progress` may have freed
        write(tensor, one.init, None, threads, report)
    return module


def dry_run(module: Any, parameters: Any, seed: int, *, only: Any = None) -> Table:
    """What `initialize`, or `materialize`, would do, as a `philinit.models.Table`.

    It writes nothing, and raises what they would. The module may be on the meta device.

    >>> parameters = {"bias": pi.Zeros(), "*": pi.HeNormal()}
    >>> table = pt.dry_run(torch.nn.Linear(8, 4), parameters, seed=42)
    >>> [row["name"] for row in table.rows()]
    ['weight', 'bias']
    """
    named = _named(module, only)
    plan = plan_of(module, named, parameters, seed, on_meta=True)
    tensors = {one.name: tensor for one, (_, tensor) in zip(plan, named, strict=True)}
    return Table(plan, lambda name: _chunks(tensors[name]))


def _named(module: Any, only: Any) -> list[tuple[str, Any]]:
    """Name and tensor of each parameter that is wanted, tied ones once."""
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"`module` must be a torch.nn.Module; got {type(module).__name__}")
    named = [(without_wrappers(name), tensor) for name, tensor in module.named_parameters()]
    if not named:
        raise ValueError("`module` must have parameters; got none")
    return chosen(named, only, lambda name: without_wrappers(normalized(name)))


def _chunks(tensor: Any) -> Iterator[Any]:
    """The elements that this process holds, as arrays of float64."""
    for chunk in local_of(tensor).detach().reshape(-1).split(_CHUNK):
        yield chunk.to("cpu", torch.float64, copy=True).numpy()
