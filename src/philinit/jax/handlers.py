# SPDX-License-Identifier: Apache-2.0
"""What XLA calls while a compiled program runs: it writes weights into the program's own buffers.

XLA calls on the thread that runs the program, on several at once where there are several devices,
and may do so on the main thread. The interpreter is held for microseconds; philinit's threads,
which write, do without it. Nothing is ever raised to XLA: an exception is given back as an error.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from philinit.cuda_views import import_cupy
from philinit.filling import memory, pages
from philinit.initializers.base import Array, Initializer
from philinit.jax import endings
from philinit.jax.ffi import EXECUTE, MAJOR, MINOR, Frame
from philinit.parts import Shard
from philinit.targets import Target

TARGET = "philinit_fill"  # what programs call

#: Makes an initializer of the words of a key, when the program runs. Hashable, with a full repr.
Source = Callable[[Any], Initializer]

_sources: dict[str, Source] = {}  # by name


def name_of(source: Source) -> str:
    """What programs call a source: its repr, which is the same in every process.

    So JAX's persistent cache has one program for all of them. Whoever runs a program has traced
    it, and so has asked here; another source of the same repr gets a name of its own.
    """
    name = repr(source)
    while _sources.setdefault(name, source) != source:
        name += "'"
    return name


def platforms() -> tuple[str, ...]:
    """Where XLA calls, as `jax.lax.platform_dependent` names platforms; nowhere if it refuses."""
    return () if refusal() else tuple(platform.lower() for platform in _HANDLERS)


@functools.cache
def refusal() -> str:
    """Have XLA know philinit, once a process; "" or one sentence that says why it does not."""
    try:
        # Of what is registered before there is a backend, a refusal would end the backend.
        jax.local_devices()
        for platform, handler in _HANDLERS.items():
            jax.ffi.register_ffi_target(TARGET, jax.ffi.pycapsule(handler), platform=platform)
    except (AttributeError, RuntimeError) as error:  # an interface that is older, or newer
        said = str(error).partition("\n")[0]
        return (
            f"philinit.jax knows version {MAJOR}.{MINOR} of XLA's foreign function interface, and "
            f"jax {jax.__version__} refuses it: inside jax.jit weights come through a Python "
            f"callback; JAX said: {said}"
        )
    endings.wait_at_exit()
    return ""


class _Began(threading.local):
    """Whether a call of XLA's on this thread has got as far as Python."""

    here = False


_began = _Began()


def _handler(write: Callable[[Frame], None]) -> Any:
    """A C function that XLA calls with the address of a frame, of which `write` does the work.

    A signal's exception comes up where Python begins to run on the main thread, which a program may
    have been keeping busy. ctypes would print it, and tell XLA that all is well: so what comes up
    does it before a function that only says that it ran. What it returns would not do: where there
    was an exception, ctypes returns whatever was returned before.
    """

    def begin(_: int) -> int:
        _began.here = True
        return 0

    def end(_: int, __: Any, arguments: Any) -> int:
        began, _began.here = _began.here, False
        return _answer(write, arguments[0], began)

    calm: Any = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(begin)
    calm.errcheck = end
    return ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(calm)


def _answer(write: Callable[[Frame], None], address: int, calm: bool) -> int:
    """Answer a call of XLA's: the address of an error, or 0."""
    frame = Frame.from_address(address)
    try:
        if not calm:
            raise KeyboardInterrupt
        if not frame.asks_for_version() and frame.stage == EXECUTE:
            with endings.running:
                write(frame)
    except BaseException as error:
        return frame.error(error)
    return 0


def _on_cpu(frame: Frame) -> None:
    view = frame.result.view()
    if view.nbytes >= pages.LEAST:
        pages.advise(memory.address(view), view.nbytes)
    if frame.attributes.size and view.size:  # else nothing is to be written
        _write(frame, view, *(operand.view() for operand in frame.operands))


def _on_cuda(frame: Frame) -> None:
    from philinit.filling.cuda import memory as cuda_memory

    result, stream = frame.result, frame.stream()
    if not (frame.attributes.size and 0 not in result.shape):
        return
    with cuda_memory.lent(result.data, result.shape, result.dtype, stream) as view:
        operands = []
        for operand in frame.operands:  # some words, in the device's memory
            with cuda_memory.lent(operand.data, operand.shape, operand.dtype, stream) as found:
                operands.append(import_cupy().asnumpy(found))
        _write(frame, view, *operands)


def _write(frame: Frame, view: Any, words: Array, position: Array) -> None:
    """The weights that an operation of `philinit.jax.operations` asks for."""
    shape, name = frame.integers(0), frame.text(1)
    source = _sources.get(name)
    if source is None:
        raise RuntimeError(
            "a compiled program must run in a process that has traced it; got one that asks for "
            f"weights of {name}: lower or call the traced function in this process"
        )
    axes = len(view.shape) - len(shape)
    batch, lengths = view.shape[:axes], view.shape[axes:]
    part = None
    if lengths != shape:
        starts = (int(p) * n for p, n in zip(position, lengths, strict=True))
        part = Shard(shape, tuple(slice(s, s + n) for s, n in zip(starts, lengths, strict=True)))
    for index in np.ndindex(batch):
        source(words[index].tolist())._write(Target(view[(*index, ...)], shape, part))


_HANDLERS = {"cpu": _handler(_on_cpu)}  # by platform, as long as the process
if importlib.util.find_spec("cupy") is not None:
    _HANDLERS["CUDA"] = _handler(_on_cuda)
