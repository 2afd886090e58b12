# SPDX-License-Identifier: Apache-2.0
"""Modules built with their parameters on the meta device, and their buffers computed as ever."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn.modules.module import register_module_parameter_registration_hook

from philinit.torch.checks import LAZY
from philinit.torch.private import DISPATCH, parameter_of

_here: ContextVar[object] = ContextVar("philinit.torch.parameters_on_meta", default=None)


@contextlib.contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Build modules whose parameters lie on the meta device, for `materialize`.

    ``with torch.device("meta")`` puts everything there, and so loses what a module's own code
    computes once: rotary frequencies, position ids, index tables. Here such buffers, and all else
    but parameters, are computed where they would be; a parameter moves when a module registers it,
    before it is initialized. Parameters tied before or after stay tied.

    Notes
    -----
    The block acts in its own thread and context only. A parameter has memory for the moment in
    which it is made: ``torch.empty``, as torch's own modules have it, takes none that is used. A
    buffer computed from parameters is on the meta device as they are. DTensors and parameters of
    lazy modules stay as they are.

    Examples
    --------
    >>> import torch, philinit as pi, philinit.torch as pt
    >>> class Positions(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.weight = torch.nn.Parameter(torch.empty(8, 4))
    ...         self.register_buffer("ids", torch.arange(8))
    >>> with pt.parameters_on_meta():
    ...     model = Positions()
    >>> model.weight.is_meta, model.ids.sum().item()
    (True, 28)
    >>> pt.materialize(model, {"weight": pi.Normal(seed=1)}).weight.is_meta
    False
    """
    mine = object()
    moved: dict[int, tuple[Any, Any]] = {}  # by id: a weak reference, and what took its place

    def move(module: Any, name: str, parameter: Any) -> Any:
        kind = type(parameter)
        taken = parameter.is_meta or isinstance(parameter, LAZY)
        if _here.get() is not mine or taken or kind.__torch_dispatch__ != DISPATCH:
            return None
        reference, made = moved.get(id(parameter), (None, None))
        if reference is None or reference() is not parameter:
            made = parameter_of(kind, torch.empty_like(parameter, device="meta"))
            made.requires_grad_(parameter.requires_grad)
            made.__dict__.update(parameter.__dict__)
            moved[id(parameter)] = weakref.ref(parameter), made
        return made

    handle = register_module_parameter_registration_hook(move)
    token = _here.set(mine)
    try:
        yield
    finally:
        _here.reset(token)
        handle.remove()
