# SPDX-License-Identifier: Apache-2.0
"""Modules made on the meta device: allocated and filled, tensor by tensor, by patterns of names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch

from philinit.checks import Progress, check_progress, check_threads, progress_within
from philinit.filling import pages
from philinit.initializers.base import Initializer
from philinit.initializers.models.maps import ParameterMap
from philinit.initializers.models.plans import naming, refuse_keep
from philinit.torch import streams
from philinit.torch.checks import DTYPES, check_tensor, is_dtensor, local_of
from philinit.torch.initializers import check_layout
from philinit.torch.memory import fill_
from philinit.torch.parts import regions_of
from philinit.torch.plans import plan_of, without_wrappers
from philinit.torch.private import exchange


def materialize(
    module: Any,
    parameters: Any,
    device: Any = "cpu",
    *,
    seed: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Give a module made on the meta device its memory and its weights, in place; return it.

    For ``with torch.device("meta"): model = Model()``, before or after ``fully_shard``,
    ``parallelize_module`` or ``distribute_module``: each process allocates its own shards and
    nothing else, and fills them as `fill_` does. A parameter gets the weights of
    ``init.named(name)`` for its global shape, so that they depend on the seed and the parameter's
    name, not on the order of parameters, nor on how many processes hold it.

    Parameters
    ----------
    module : torch.nn.Module
        What is on the meta device is allocated and filled: parameters, and buffers, persistent
        or not. What has memory stays as it is. Tied parameters stay tied, and have the first of
        their names, the one that ``module.named_parameters()`` gives.
    parameters : mapping of str to initializer, ParameterMap, or callable(name, tensor)
        In a mapping the first pattern that matches the whole name counts (`fnmatch`, case and
        dots as they are: ``*`` is everything, ``*.bias`` all biases, ``layers.[0-3].*`` four
        layers). It names, and a callable gives, a philinit initializer, with
        `philinit.torch.layout` where it has fans; or a callable that writes the tensor it is
        given in place, for what is not drawn: ``torch.Tensor.zero_`` for counters, a function of
        yours for a table of positions. A `philinit.models.ParameterMap` is used as `initialize`
        uses it; then buffers on the meta device must be in the map, too.
    device : str or torch.device
        Where to. With ``fully_shard(offload_policy=CPUOffloadPolicy())``: "cpu".
    seed : int, optional
        With a ParameterMap, and only there: as in `initialize`.
    threads : int, optional
        As in ``init(shape)``.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements of what this process allocates.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before anything is allocated: nothing on the meta device, tensors there that `parameters`
        do not match (all are named), and what `fill_` refuses, with the name.
    RuntimeError
        torch cannot allocate so much.

    Notes
    -----
    ``torch.compile(model)`` puts a prefix before all names: compile the module afterwards.

    A tensor joins the module when it is full: what an interrupted call has left is on the meta
    device still, and the next call goes on with it. FSDP2 moves shards that it must pad, those
    of uneven axes, to new memory, one at a time.

    Examples
    --------
    >>> import torch, philinit as pi, philinit.torch as pt
    >>> with torch.device("meta"):
    ...     model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.BatchNorm1d(256))
    >>> parameters = {
    ...     "0.weight": pt.layout(pi.HeNormal(seed=42)),
    ...     "*.weight": pi.Ones(),
    ...     "*.running_var": pi.Ones(),
    ...     "*.num_batches_tracked": torch.Tensor.zero_,
    ...     "*": pi.Zeros(),
    ... }
    >>> pt.materialize(model, parameters)(torch.ones(2, 64)).shape
    torch.Size([2, 256])
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"`module` must be a torch.nn.Module; got {type(module).__name__}")
    device = _as_device(device)
    threads, progress = check_threads(threads), check_progress(progress)
    named = [*module.named_parameters(), *module.named_buffers()]
    missing = [(name, tensor) for name, tensor in named if tensor.is_meta]
    if not missing:
        raise ValueError(
            "`module` must have something on the meta device; got none: philinit.torch.fill_ "
            "fills parameters that have memory"
        )
    if isinstance(parameters, ParameterMap):
        wanted = _wanted_by_map(module, missing, parameters, seed)
    else:
        wanted = _wanted(missing, parameters, seed)
    total = sum(local_of(tensor).numel() for _, tensor in missing)
    _put(module, _Maker(wanted, total, device, threads, progress))
    return module


def _wanted(missing: list[tuple[str, Any]], parameters: Any, seed: Any) -> dict[int, Any]:
    """By id of the tensor, its initializer on the key of its name, or what writes it."""
    if seed is not None:
        raise ValueError(
            "`seed` must be left out unless `parameters` is a philinit.models.ParameterMap; got "
            f"seed={seed!r}: the initializers have the seeds"
        )
    find = _checked(parameters)
    wanted = {id(tensor): (name, find(name, tensor)) for name, tensor in missing}
    if unmatched := [name for name, init in wanted.values() if init is None]:
        raise ValueError(
            "`parameters` must match every parameter and buffer on the meta device; "
            f"got none for {', '.join(unmatched)}"
        )
    for name, tensor in missing:
        _check(name, tensor, wanted[id(tensor)][1])
    return {key: _by_name(name, init) for key, (name, init) in wanted.items()}


def _wanted_by_map(
    module: Any, missing: list[tuple[str, Any]], parameters: ParameterMap, seed: Any
) -> dict[int, Any]:
    """As `_wanted`, by a map."""
    named = [(without_wrappers(name), tensor) for name, tensor in missing]
    plan = plan_of(module, named, parameters, seed, on_meta=True)
    for one in plan:
        refuse_keep(one)
    return {id(tensor): one.init for one, (_, tensor) in zip(plan, missing, strict=True)}


def _as_device(device: Any) -> Any:
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f'`device` must be one of torch\'s, such as "cpu" or "cuda:0"; got device={device!r}'
        ) from error
    if found.type == "meta":
        raise ValueError('`device` must have memory, such as "cpu" or "cuda"; got device="meta"')
    return found


def _checked(parameters: Any) -> Callable[[str, Any], Any]:
    """`parameters` as a callable(name, tensor), which gives None where nothing matches."""
    if isinstance(parameters, Mapping):
        for pattern in parameters:
            if not isinstance(pattern, str):
                raise TypeError(f"`parameters` must have patterns that are str; got {pattern!r}")
        return lambda name, tensor: next(
            (init for pattern, init in parameters.items() if fnmatchcase(name, pattern)), None
        )
    if callable(parameters):
        return parameters  # type: ignore[no-any-return]  # whatever it gives is checked
    raise TypeError(
        "`parameters` must be a mapping of patterns to initializers, or a callable(name, tensor); "
        f"got {type(parameters).__name__}"
    )


def _check(name: str, tensor: Any, init: Any) -> None:
    """Raise what filling would raise, with the name."""
    if isinstance(init, type) or not callable(init):
        raise TypeError(
            f"{name}: `parameters` must give a philinit initializer such as philinit.Zeros(), or a "
            f"callable that writes a tensor in place; got {init!r}"
        )
    if isinstance(init, Initializer):
        with naming(name):
            local, shape = check_tensor(tensor), tuple(tensor.shape)
            check_layout(init, shape)
            regions_of(tensor)
            init._check(shape, DTYPES[local.dtype])


def _by_name(name: str, init: Any) -> Any:
    """`init` on the key of a name; or a callable that draws from the stream of the name."""
    if isinstance(init, Initializer):
        return init.named(name)

    def write(tensor: Any) -> None:
        with streams.named(name, tensor):
            init(tensor)

    return write


@dataclass
class _Maker:
    """Turns a tensor on the meta device into a filled one; gives back all others as they are."""

    wanted: dict[int, Any]  # by id of the tensor, its initializer, or what writes it
    total: int
    device: Any
    threads: int | None
    progress: Progress | None
    made: dict[int, Any] = field(default_factory=dict)  # for tensors that are met again
    done: int = 0

    def __call__(self, tensor: Any) -> Any:
        if not tensor.is_meta or id(tensor) not in self.wanted:
            return tensor
        made = self.made.get(id(tensor))
        if made is None:
            made = self._make(tensor, self.wanted[id(tensor)])
            # A DTensor parameter takes over the new memory by itself: not to be kept here, too.
            if not (is_dtensor(made) and isinstance(tensor, torch.nn.Parameter)):
                self.made[id(tensor)] = made
        return made

    def _make(self, tensor: Any, init: Any) -> Any:
        made = torch.empty_like(tensor, device=self.device, requires_grad=False)
        local = local_of(made)
        if local.is_cpu:
            pages.advise(local.data_ptr(), local.nbytes)
        count = local.numel()
        report = progress_within(self.progress, self.done, self.total)
        if isinstance(init, Initializer):
            fill_(made, init, threads=self.threads, progress=report)
        else:
            with torch.no_grad():
                init(made)
            if report is not None:
                report(count, count)
        self.done += count
        return made


def _put(module: Any, make: _Maker) -> None:
    """Apply `make` to all tensors of `module`, as ``module.to_empty`` would.

    Unlike that, keep parameters tied, and attributes that they carry.
    """
    owners: dict[int, list[tuple[Any, str]]] = {}
    attributes = {}
    for owner in module.modules():
        for key, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
            owners.setdefault(id(parameter), []).append((owner, key))
            attributes[id(parameter)] = dict(parameter.__dict__)
    try:
        exchange(module, make)
    finally:
        for number, ((owner, key), *others) in owners.items():
            made = getattr(owner, key)
            for name, value in attributes[number].items():
                made.__dict__.setdefault(name, value)
            for other, other_key in others:
                if getattr(other, other_key) is not made:
                    setattr(other, other_key, made)
