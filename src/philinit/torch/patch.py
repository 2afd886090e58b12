# SPDX-License-Identifier: Apache-2.0
"""`accelerate`, `install` and `uninstall`: torch's own initialization answered by philinit.

The functions of torch.nn.init get other code while somebody accelerates, and their old one back
afterwards. They stay the same objects, so that whoever holds one gets ours: modules that imported
it by value, tables, wrappers. ``Tensor.normal_`` and ``Tensor.uniform_``, which are no Python
functions, are covered by methods of ours.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import torch

from philinit.torch import draws, init, streams
from philinit.torch.private import init_function

_METHODS = {"normal_": {"mean": 0.0, "std": 1.0}, "uniform_": {"from": 0.0, "to": 1.0}}

_lock = threading.Lock()
_blocks = 0
_installed = False
_code: dict[str, tuple[Any, Any]] = {}  # name in torch.nn.init -> (torch's code, ours)
_methods: dict[str, tuple[Any, Any]] = {}  # name in torch.Tensor -> (what was set there, ours)


@contextlib.contextmanager
def accelerate(*, seed: int | None = None, named: Any = None) -> Iterator[None]:
    """Let philinit draw what torch.nn.init, ``t.normal_()`` and ``t.uniform_()`` would.

    Model code stays as it is: modules that initialize themselves when they are built or reset,
    ``model.apply(init_weights)``, functions imported by value. Constants, and random numbers by
    other ways (``torch.randn``, dropout), stay torch's.

    Parameters
    ----------
    seed : int, optional
        Call number n of the block draws from the n-th stream of this seed. Without one each call
        takes its key from torch's generator, which goes on: ``torch.manual_seed`` makes runs
        repeatable. So does a `generator` that the code passes.
    named : torch.nn.Module, optional
        Its parameters and buffers, and views of them, draw from the streams of their names, those
        of ``philinit.Normal(..., seed=seed).named(name)``: whatever the order, the number of
        processes and the `generator`, and the same numbers each time. It must exist already; use
        `parameters_on_meta` and `materialize`, or build it first and initialize it again here.
        In what `materialize` calls, names count too, where there is a `seed`.

    Raises
    ------
    TypeError, ValueError
        `seed` is no int of 128 bits, `named` no module.

    Notes
    -----
    The block acts in its own thread and context only; it may be nested, the innermost counts. What
    philinit cannot draw torch does, as it would without: see `philinit.torch.init`. So it does for
    a leaf that requires gradients, outside of ``torch.no_grad()``, under torch.compile, and where
    a mode watches torch's operations. Strided tensors are drawn into new memory and copied.

    Weights that transformers has marked as loaded stay: its own functions ask first, then call
    torch's. An Embedding's row `padding_idx` stays zero: torch's code sets it afterwards.

    Examples
    --------
    >>> import torch, philinit.torch as pt
    >>> with pt.accelerate(seed=42):
    ...     model = torch.nn.Transformer(64, 4, 2, 2, batch_first=True)
    """
    if named is not None and not isinstance(named, torch.nn.Module):
        raise TypeError(f"`named` must be a torch.nn.Module; got named={type(named).__name__}")
    names = None if named is None else streams.Names(lambda: _tensors_of(named))
    found = streams.Streams(seed, names)
    _enter(1)
    try:
        with streams.used(found):
            yield
    finally:
        _enter(-1)


def install(*, seed: int | None = None) -> None:
    """`accelerate` for the whole process, all threads, until `uninstall`.

    Installed twice it is installed once, with the later seed. Inside an `accelerate` block the
    block's streams count. Threads share the streams of a seed, each call takes the next one.

    >>> pt.install(seed=42)
    >>> layer = torch.nn.Linear(64, 64)  # its weights are made by philinit
    >>> pt.uninstall()
    """
    global _installed
    found = streams.Streams(seed)
    with _lock:
        _patch(True)
        _installed = True
        streams.use_everywhere(found)


def uninstall() -> None:
    """Undo `install`; nothing happens where it was not called.

    >>> pt.install()
    >>> pt.uninstall()
    """
    global _installed
    with _lock:
        streams.use_everywhere(None)
        _installed = False
        _patch(_blocks > 0)


def _tensors_of(module: Any) -> Iterator[tuple[str, Any]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _enter(change: int) -> None:
    global _blocks
    with _lock:
        _patch(_blocks + change > 0 or _installed)
        _blocks += change


def _patch(wanted: bool) -> None:
    """Put our code in, or torch's back; `_lock` is held."""
    if wanted == bool(_code):
        return
    if wanted:
        functions = {name: init_function(name) for name in draws.BY_NAME}
        for name, function in functions.items():
            init.OWN.setdefault(name, _copy(function))
            ours = _rerouted(name, function)
            _code[name] = function.__code__, ours
            function.__code__ = ours
        for name in _METHODS:
            method = _method(name, getattr(torch.Tensor, name))
            _methods[name] = vars(torch.Tensor).get(name), method
            setattr(torch.Tensor, name, method)
        return
    for name, (code, ours) in _code.items():
        function = init_function(name)
        if function.__code__ is ours:  # else somebody has exchanged it meanwhile
            function.__code__ = code
    for name, (before, method) in _methods.items():
        if vars(torch.Tensor).get(name) is method:
            if before is None:
                delattr(torch.Tensor, name)
            else:
                setattr(torch.Tensor, name, before)
    _code.clear()
    _methods.clear()


def _copy(function: FunctionType) -> FunctionType:
    return FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )


def _rerouted(name: str, function: Any) -> Any:
    """Code with the parameters of `function`, which asks `answer`.

    It names torch's source as its own, which TorchScript reads and compiles.
    """
    parameters = ", ".join(inspect.signature(function).parameters)
    lines = (
        f"def {name}({parameters}):",
        f"    from {__name__} import answer",
        f"    return answer({name!r}, {parameters})",
    )
    found: dict[str, Any] = {}
    exec("\n".join(lines), found)
    own = function.__code__
    ours = found[name].__code__
    return ours.replace(co_filename=own.co_filename, co_firstlineno=own.co_firstlineno)


def answer(name: str, *arguments: Any) -> Any:
    """What the function `name` of torch.nn.init returns for all its arguments."""
    if torch.compiler.is_compiling() or streams.current() is None:
        return init.OWN[name](*arguments)
    return getattr(init, name)(*arguments)


def _method(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    defaults = _METHODS[name]

    def method(self: Any, *args: Any, generator: Any = None, **kwargs: Any) -> Any:
        keywords = kwargs if generator is None else {**kwargs, "generator": generator}
        known = len(args) <= len(defaults) and kwargs.keys() <= set([*defaults][len(args) :])
        traced = torch.compiler.is_compiling() or streams.current() is None
        if traced or not known or (self.requires_grad and torch.is_grad_enabled()):
            return original(self, *args, **keywords)
        values = defaults | kwargs
        rest = [*values.values()][len(args) :]
        return init.drawn(name, original, self, (*args, *rest), generator)

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = original.__doc__
    return method
