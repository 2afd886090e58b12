# SPDX-License-Identifier: Apache-2.0
"""`accelerate`, `install` and `uninstall`: Keras's own initializers answered by philinit.

Keras's classes get another ``__call__`` while somebody accelerates, and their old one back
afterwards; instances, configs and saved models stay Keras's throughout.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import keras

from philinit.checks import check_sampler
from philinit.keras import draws
from philinit.keras.memory import laid_out, requested, weights
from philinit.keras.private import own_call
from philinit.keras.traced import left_in_graph

_KERAS_FILLS = {keras.initializers.Zeros, keras.initializers.Ones}  # once and in place as it is

_lock = threading.Lock()
_here: ContextVar[str | None] = ContextVar("philinit.keras.accelerate", default=None)
_everywhere: str | None = None
_blocks = 0
_replaced: dict[type, tuple[Any, Any]] = {}  # class -> (Keras's __call__, ours)


@contextlib.contextmanager
def accelerate(*, sampler: str = "tensorflow") -> Iterator[None]:
    """Let philinit compute the weights of Keras's own initializers inside a ``with`` block.

    On the TensorFlow backend the weights are those that Keras gives for the same seeds, bit for
    bit; on JAX, torch and NumPy they are the TensorFlow backend's as well, which changes what
    seeds give there. Model code stays as it is: names such as "glorot_uniform", defaults, and
    objects of Keras's classes are all accelerated; instances and saved models stay Keras's own.
    Subclasses with a ``__call__`` of their own, callables, and random numbers that are no initial
    weights (dropout) are left alone.

    Parameters
    ----------
    sampler : str
        "tensorflow", or "native" for the fastest, which has other numbers.

    Raises
    ------
    ValueError
        `sampler` is neither.

    Notes
    -----
    The block acts in its own thread and context only; it may be nested, the innermost counts. What
    philinit cannot draw Keras does, as it would without: integer weights, parameters that are
    tensors, standard deviations below 0. So it does where a tf.function calls an initializer for
    anything but a variable's initial value, since that graph may go to XLA or into a file, on a
    parameter server that has not called `philinit.tensorflow.serve`, and on a GPU where there is
    no CuPy. Keras 2 (tf_keras, and tf.keras with TF_USE_LEGACY_KERAS set, of which a warning
    tells) is left alone.

    Examples
    --------
    >>> import keras, philinit.keras
    >>> with philinit.keras.accelerate():
    ...     model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32)])
    """
    sampler = check_sampler(sampler)
    _tell_of_keras_2()
    _enter(1)
    try:
        token = _here.set(sampler)
        try:
            yield
        finally:
            _here.reset(token)
    finally:
        _enter(-1)


def install(*, sampler: str = "tensorflow") -> None:
    """`accelerate` for the whole process, all threads, until `uninstall`.

    Installed twice it is installed once, with the later sampler. Inside an `accelerate` block the
    block's sampler counts.

    >>> pk.install()
    >>> layer = keras.layers.Dense(64)  # its weights will be made by philinit
    >>> pk.uninstall()
    """
    global _everywhere
    sampler = check_sampler(sampler)
    _tell_of_keras_2()
    with _lock:
        _patch(True)
        _everywhere = sampler


def uninstall() -> None:
    """Undo `install`; nothing happens where it was not called.

    >>> pk.install(sampler="native")
    >>> pk.uninstall()
    """
    global _everywhere
    with _lock:
        _everywhere = None
        _patch(_blocks > 0)


def _tell_of_keras_2() -> None:
    if os.environ.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        warnings.warn(
            "accelerate() and install() act on Keras 3; TF_USE_LEGACY_KERAS makes tf.keras Keras "
            "2, which stays as it is: pass philinit.tensorflow.initializer(...) to its layers",
            stacklevel=4,
        )


def _enter(change: int) -> None:
    global _blocks
    with _lock:
        _patch(_blocks + change > 0 or _everywhere is not None)
        _blocks += change


def _patch(wanted: bool) -> None:
    """Put our calls in, or Keras's back; `_lock` is held."""
    if wanted == bool(_replaced):
        return
    if wanted:
        calls = {cls: own_call(cls) for cls in draws.BY_CLASS.keys() - _KERAS_FILLS}
        for cls, original in calls.items():
            ours = _rerouted(original, draws.BY_CLASS[cls])
            _replaced[cls] = original, ours
            cls.__call__ = ours  # type: ignore[method-assign]  # which is the point
        return
    for cls, (original, ours) in _replaced.items():
        if cls.__dict__["__call__"] is ours:  # else somebody has put theirs around it meanwhile
            cls.__call__ = original  # type: ignore[method-assign]
    _replaced.clear()


def _rerouted(original: Any, draw: draws.Draw) -> Any:
    def call(self: Any, shape: Any, dtype: Any = None, layout: Any = None) -> Any:
        sampler = _here.get() or _everywhere
        if sampler is not None and not left_in_graph():
            try:
                request = requested(self, draw, shape, dtype, sampler)
            except (ImportError, ValueError, NotImplementedError, RuntimeError):
                pass  # what `requested` refuses; nothing was drawn: Keras does as without us
            else:
                return weights(request, layout)
        return laid_out(lambda: original(self, shape, dtype), layout)

    functools.update_wrapper(call, original)
    del call.__wrapped__  # type: ignore[attr-defined]  # Keras's JAX backend asks the signature
    return call
