# SPDX-License-Identifier: Apache-2.0
"""Modules made on the meta device: allocated and filled, tensor by tensor, by rules on names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import torch

from philinit.checks import Progress
from philinit.initializers.base import Initializer
from philinit.torch.checks import check_tensor, dtype_name, is_dtensor, local_of
from philinit.torch.initializers import check_layout
from philinit.torch.memory import boxes_of, fill_

Rule = Initializer | Callable[[Any], Any]


def materialize(
    module: Any,
    rules: Any,
    device: Any = "cpu",
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """Give a module made on the meta device its memory and its weights, in place; return it.

    For ``with torch.device("meta"): model = Model()``, before or after ``fully_shard``,
    ``parallelize_module`` or ``distribute_module``: each process allocates its own shards and
    nothing else, and fills them as `fill_` does. A parameter gets the weights of
    ``rule.named(name)`` for its global shape, so that they depend on the seed and the parameter's
    name, not on the order of parameters, nor on how many processes hold it.

    Parameters
    ----------
    module : torch.nn.Module
        What is on the meta device is allocated and filled: parameters, and buffers, persistent
        or not. What has memory stays as it is. Tied parameters stay tied, and have the first of
        their names, the one that ``module.named_parameters()`` gives.
    rules : mapping of str to rule, or callable(name, tensor) -> rule
        In a mapping the first pattern that matches the whole name counts (`fnmatch`, case and
        dots as they are: ``*`` is everything, ``*.bias`` all biases, ``layers.[0-3].*`` four
        layers). A rule is a philinit initializer, with `philinit.torch.layout` where it has
        fans; or a callable that writes the tensor it is given in place, for what is not drawn:
        ``torch.Tensor.zero_`` for counters, a function of yours for a table of positions.
    device : str or torch.device
        Where to. With ``fully_shard(offload_policy=CPUOffloadPolicy())``: "cpu".
    threads : int, optional
        As in ``init(shape)``.
    progress : callable, optional
        Called as ``progress(done, total)``, in elements of what this process allocates.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before anything is allocated: nothing on the meta device, parameters or buffers without a
        rule (all are named), and what `fill_` refuses, with the name.
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
    >>> rules = {
    ...     "0.weight": pt.layout(pi.HeNormal(seed=42)),
    ...     "*.weight": pi.Ones(),
    ...     "*.running_var": pi.Ones(),
    ...     "*.num_batches_tracked": torch.Tensor.zero_,
    ...     "*": pi.Zeros(),
    ... }
    >>> pt.materialize(model, rules)(torch.ones(2, 64)).shape
    torch.Size([2, 256])
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"`module` must be a torch.nn.Module; got {type(module).__name__}")
    device = _as_device(device)
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` must be callable or None; got progress={progress!r}")
    wanted = _wanted(module, _checked(rules), threads)
    _put(module, _Maker(wanted, device, threads, progress))
    return module


class _Wanted(NamedTuple):
    """A tensor on the meta device, and what to make of it."""

    name: str
    tensor: Any
    rule: Rule


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


def _checked(rules: Any) -> Callable[[str, Any], Any]:
    """`rules` as a callable(name, tensor), which gives None where nothing matches."""
    if isinstance(rules, Mapping):
        for pattern in rules:
            if not isinstance(pattern, str):
                raise TypeError(f"`rules` must have patterns that are str; got {pattern!r}")
        return lambda name, tensor: next(
            (rule for pattern, rule in rules.items() if fnmatchcase(name, pattern)), None
        )
    if callable(rules):
        found: Callable[[str, Any], Any] = rules
        return found
    raise TypeError(
        "`rules` must be a mapping of patterns to rules, or a callable(name, tensor); "
        f"got {type(rules).__name__}"
    )


def _wanted(
    module: Any, rules: Callable[[str, Any], Any], threads: int | None
) -> dict[int, _Wanted]:
    """By id, all that is on the meta device, with its rule; errors tell the names."""
    named = [*module.named_parameters(), *module.named_buffers()]
    missing = [(name, tensor) for name, tensor in named if tensor.is_meta]
    if not missing:
        raise ValueError(
            "`module` must have something on the meta device; got none: philinit.torch.fill_ "
            "fills parameters that have memory"
        )
    found = {id(t): _Wanted(name, t, rules(name, t)) for name, t in missing}
    unmatched = [wanted.name for wanted in found.values() if wanted.rule is None]
    if unmatched:
        raise ValueError(
            "`rules` must have a rule for every parameter and buffer on the meta device; "
            f"got none for {', '.join(unmatched)}"
        )
    for wanted in found.values():
        try:
            _check(wanted, threads)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise type(error)(f"{wanted.name}: {error}") from error
    return found


def _check(wanted: _Wanted, threads: int | None) -> None:
    tensor, rule = wanted.tensor, wanted.rule
    if not isinstance(rule, Initializer):
        if isinstance(rule, type) or not callable(rule):
            raise TypeError(
                "a rule must be a philinit initializer such as philinit.Zeros(), or a callable "
                f"that writes a tensor in place; got {rule!r}"
            )
        return
    check_tensor(tensor)
    shape = tuple(tensor.shape)
    check_layout(rule, shape)
    boxes_of(tensor)
    # An empty box of the tensor: everything is looked at, and nothing is drawn.
    rule.shard(shape, (slice(0, 0),) * len(shape), dtype_name(tensor), threads=threads)


class _Maker:
    """Turns a tensor on the meta device into a filled one; gives back all others as they are."""

    def __init__(
        self,
        wanted: dict[int, _Wanted],
        device: Any,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        self._wanted, self._device = wanted, device
        self._threads, self._progress = threads, progress
        self._made: dict[int, Any] = {}  # for tensors that are met again
        self._done = 0
        self._total = sum(local_of(w.tensor).numel() for w in wanted.values())

    def __call__(self, tensor: Any) -> Any:
        if not tensor.is_meta or id(tensor) not in self._wanted:
            return tensor
        if id(tensor) not in self._made:
            made = self._make(self._wanted[id(tensor)])
            # A DTensor parameter takes over the new memory by itself: not to be kept here, too.
            if is_dtensor(made) and isinstance(tensor, torch.nn.Parameter):
                return made
            self._made[id(tensor)] = made
        return self._made[id(tensor)]

    def _make(self, wanted: _Wanted) -> Any:
        made = torch.empty_like(wanted.tensor, device=self._device, requires_grad=False)
        count, before = local_of(made).numel(), self._done
        if not isinstance(wanted.rule, Initializer):
            with torch.no_grad():
                wanted.rule(made)
            self._report(count, before)
        else:
            init = wanted.rule.named(wanted.name)
            report = None if self._progress is None else lambda done, _: self._report(done, before)
            fill_(made, init, threads=self._threads, progress=report)
        self._done = before + count
        return made

    def _report(self, done: int, before: int) -> None:
        if self._progress is not None:
            self._progress(before + done, self._total)


def _put(module: Any, make: _Maker) -> None:
    """Apply `make` to all tensors of `module`, as ``module.to_empty`` would.

    torch's own way of exchanging tensors, ``Module._apply``, keeps FSDP2 and recurrent layers
    informed. Unlike ``to_empty`` this keeps parameters tied, and attributes that they carry.
    """
    places: dict[int, list[tuple[Any, str]]] = {}
    attributes = {}
    for owner in module.modules():
        for key, parameter in owner._parameters.items():
            if parameter is not None:
                places.setdefault(id(parameter), []).append((owner, key))
                attributes[id(parameter)] = dict(parameter.__dict__)
    try:
        module._apply(make)
    finally:
        for number, ((owner, key), *others) in places.items():
            made = owner._parameters[key]
            for name, value in attributes[number].items():
                made.__dict__.setdefault(name, value)
            for other, other_key in others:
                if other._parameters[other_key] is not made:
                    setattr(other, other_key, made)
