# SPDX-License-Identifier: Apache-2.0
"""Every check that several modules share, and its sentence.

A sentence says what must hold, what came as ``name=value``, and what to do about it. TypeError is
for types, ValueError for values, NotImplementedError for a combination that nobody wrote.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

import numpy as np

Progress = Callable[[int, int], object]  # (done, total)

SAMPLERS = ("native", "tensorflow")


def missing_extra(what: str, library: str, extra: str) -> ImportError:
    """The error for `what`, which needs a `library` that is not installed."""
    return ImportError(f'{what} needs {library}: pip install "philinit[{extra}]"')


def is_bool(value: Any) -> bool:
    """Whether `value` is a bool of Python or NumPy, which would pass for the number 0 or 1."""
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def check_bool(name: str, value: Any) -> None:
    """Refuse what is no bool."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be a bool; got {name}={shown(value)}")


def shown(value: Any) -> str:
    """`value` for a message: its repr, but short, in one line, and harmless for a terminal."""
    try:
        text = repr(value)
    except Exception:  # ints of thousands of digits have none, nor has every object of others
        bits = f" of {value.bit_length()} bits" if isinstance(value, int) else ""
        text = f"<{type(value).__name__}{bits}>"
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 160 else f"{text[:100]}...{text[-40:]}"


def is_ordered(value: Any) -> bool:
    """Whether `value` holds entries in an order of its own: no set, no mapping, no string."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Set, Mapping))


LONGEST = 1 << 128  # beyond what any shard can reach, and all products of dimensions can be printed


def as_shape(shape: Any) -> tuple[int, ...]:
    """`shape` as a tuple of Python ints; an int alone is the shape of a vector, as in NumPy.

    Raises
    ------
    TypeError
        A dimension is no integer (bool, float and None included), or `shape` has no order (a set,
        a dict).
    ValueError
        A dimension is negative, or 2**128 and more. Zero is allowed.
    """
    if type(shape) is not tuple:
        if isinstance(shape, (Set, Mapping)):
            raise TypeError(f"`shape` must be a sequence of ints; got shape={shown(shape)}")
        entries = is_ordered(shape) and getattr(shape, "ndim", 1) != 0  # np.array(5) is a 5
        shape = tuple(shape) if entries else (shape,)
    for size in shape:
        if type(size) is not int:
            return as_shape(tuple(_as_size(s, shape) for s in shape))
        if not 0 <= size < LONGEST:
            kind = "negative dimensions" if size < 0 else "dimensions of 2**128 and more"
            raise ValueError(f"`shape` must not hold {kind}; got shape={shown(shape)}")
    return shape  # type: ignore[no-any-return]  # every entry was checked above


def _as_size(size: Any, shape: tuple[Any, ...]) -> int:
    try:
        if is_bool(size):
            raise TypeError
        return operator.index(size)
    except TypeError:
        raise TypeError(
            f"`shape` must hold ints only; got {shown(size)} of type {type(size).__name__} "
            f"in shape={shown(shape)}"
        ) from None


def real(name: str, value: Any) -> float:
    """`value` as a float, which may be infinite or NaN, or the error that says it is none."""
    if type(value) is float:
        return value
    other = isinstance(value, (str, bytes, complex, np.complexfloating)) or is_bool(value)
    if other or getattr(value, "ndim", 0) > 0:
        raise TypeError(f"`{name}` must be a real number; got {name}={shown(value)}")
    try:
        return value.__float__()  # type: ignore[no-any-return]  # float(str) would parse
    except (AttributeError, TypeError):
        raise TypeError(f"`{name}` must be a real number; got {name}={shown(value)}") from None
    except OverflowError:
        raise ValueError(f"`{name}` must fit into float64; got {name}={shown(value)}") from None


def finite(name: str, value: Any) -> float:
    """`value` as a finite float, or the error that says it is none."""
    number = real(name, value)
    if not math.isfinite(number):
        raise ValueError(f"`{name}` must be finite; got {name}={number}")
    return number


def positive(name: str, value: Any) -> float:
    """`value` as a finite float above 0, or the error that says it is none."""
    number = finite(name, value)
    if number <= 0.0:
        raise ValueError(f"`{name}` must be positive; got {name}={number}")
    return number


def one_of(name: str, value: Any, allowed: tuple[str, ...]) -> str:
    """`value` if it is one of the strings `allowed`, or the error that lists them."""
    if not isinstance(value, str):
        raise TypeError(f"`{name}` must be a str; got {name}={value!r}")
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(allowed)}; got {name}={value!r}")
    return value


def check_sampler(sampler: Any) -> str:
    """`sampler` if it names one, else a ValueError."""
    if sampler not in SAMPLERS:
        raise ValueError(f'`sampler` must be "native" or "tensorflow"; got sampler={sampler!r}')
    return str(sampler)


def check_threads(threads: Any) -> int | None:
    """`threads` as an int >= 1 or None, else a TypeError or ValueError."""
    if threads is None:
        return None
    if isinstance(threads, bool) or not hasattr(threads, "__index__"):
        raise TypeError(f"`threads` must be an int or None; got threads={threads!r}")
    if operator.index(threads) < 1:
        raise ValueError(f"`threads` must be at least 1; got threads={threads}")
    return operator.index(threads)


def check_progress(progress: Any) -> Progress | None:
    """`progress` if it can be called as ``progress(done, total)``, or is None; else a TypeError."""
    if progress is not None and not callable(progress):
        raise TypeError(f"`progress` must be callable or None; got progress={progress!r}")
    return progress  # type: ignore[no-any-return]  # callable by now


def progress_within(progress: Progress | None, before: int, total: int) -> Progress | None:
    """`progress` of one piece, which begins at `before`, as progress of all `total`."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)


def check_in_cpu_memory(what: str, view: Any) -> None:
    """Refuse the memory of a CUDA device for `what`, such as "an orthogonal matrix is"."""
    if not isinstance(view, np.ndarray):
        raise NotImplementedError(
            f"{what} made in CPU memory; got the memory of a cuda device: "
            'pass device="cpu" and copy the weights to the device'
        )


def refuse_immutable(out: Any, name: str) -> None:
    """TypeError for the arrays of frameworks that never write in place."""
    kind = type(out)
    for base in kind.__mro__:
        top = base.__module__.partition(".")[0]
        if top in ("tensorflow", "keras"):
            raise TypeError(
                f"`{name}` must be memory that can be written in place; got {top} object "
                f"{kind.__name__}: use philinit.tensorflow.fill"
            )
        if top in ("jax", "jaxlib"):
            raise TypeError(
                f"`{name}` must be memory that can be written in place; got {kind.__name__}: "
                "jax arrays are immutable, fill a NumPy array and hand that to jax"
            )
