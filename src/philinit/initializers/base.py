# SPDX-License-Identifier: Apache-2.0
"""What all initializers share: the interface, equality and configs, and the road to `fill`.

One road: ``init(shape)``, ``init.fill(out)``, ``init.shard(global_shape, index)`` and
``init.rows(global_shape, ids)`` all come to ``_write``, which for every random initializer but
Orthogonal is one call of `philinit.filling.fill.fill`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, Self, TypedDict, TypeVar

import numpy as np

from philinit.checks import Progress, as_shape
from philinit.distributions import Distribution
from philinit.dtypes import as_dtype
from philinit.filling.devices import empty, opened
from philinit.filling.fill import check_shard
from philinit.keys import Key
from philinit.parts import Rows, Shard

Array = np.ndarray[Any, Any]
T = TypeVar("T")

_FLOAT32 = np.dtype(np.float32)


class Call(TypedDict, total=False):
    """The keywords that every initializer takes when it is called; see `Initializer`."""

    device: str | None
    threads: int | None
    out: Any
    shard: Any
    progress: Progress | None


@functools.lru_cache(maxsize=64)
def _dtype_of(name: str) -> np.dtype[Any]:
    return as_dtype(name)


class Initializer:
    """What every initializer can do: a frozen, comparable, hashable, picklable rule.

    Calling it twice gives the same values. Equal initializers, those of one class with the same
    parameters and key, give equal values; ``repr`` can be evaluated to an equal one, and
    ``from_config(get_config())`` is one, through JSON too.

    Subclasses are frozen dataclasses with ``repr=False, eq=False``: both are written once, here.
    """

    def __call__(
        self,
        shape: Any,
        dtype: Any = None,
        *,
        device: str | None = None,
        threads: int | None = None,
        out: Any = None,
        shard: Any = None,
        progress: Progress | None = None,
    ) -> Any:
        """The weights of a tensor, or of one shard of it.

        Parameters
        ----------
        shape : sequence of int, or int
            Shape of the whole tensor, dimensions >= 0. Fans come from it.
        dtype : dtype, optional
            float32 (default), float64, float16 or bfloat16. With `out`: its dtype, or left out.
        device : str, optional
            "cpu", "cuda" (CuPy's current device) or "cuda:N". Default: that of `out`, or "cpu".
            The same bits on each, except for `Orthogonal`.
        threads : int, optional
            At least 1; all CPUs that this process may use by default. Never changes a value.
        out : ndarray or other writable memory, optional
            Written in place and returned; its shape is `shape`, or the shard's. See
            `philinit.fill` for what it can be.
        shard : Shard, Rows, or index of slices, ints and Ellipsis, optional
            The part of the whole tensor that is computed.
        progress : callable(done, total), optional
            Called with elements written and elements to write.

        Returns
        -------
        ndarray, or cupy.ndarray on a CUDA device
            New, C-contiguous, its address a multiple of 64; or `out` itself. On a CUDA device the
            weights are queued on the current stream, as by CuPy's own operations.

        Raises
        ------
        TypeError, ValueError
            Any argument outside what is said above, before a byte is written.
        ImportError, RuntimeError
            A CUDA device is asked for, but there is no CuPy, or no device that works.
        """
        shape = as_shape(shape)
        box = None if shard is None else _as_shard(shape, shard)
        wanted = shape if box is None else box.shape
        if dtype is None:
            found = _FLOAT32
        else:
            found = _dtype_of(dtype) if isinstance(dtype, str) else as_dtype(dtype)
        if out is None:
            out = empty(wanted, found, "cpu" if device is None else device)
        with opened(out, device) as view:
            if dtype is not None and view.dtype != found:
                raise ValueError(
                    f"`dtype` must be that of `out` or left out; got dtype={found.name} and "
                    f"out of dtype {view.dtype.name}"
                )
            if view.shape != wanted:
                raise ValueError(
                    "`out` must have the shape asked for; "
                    f"got out of shape {view.shape} for {wanted}"
                )
            self._write(view, shape, box, threads, progress)
        return out

    def fill(
        self,
        out: T,
        *,
        threads: int | None = None,
        progress: Progress | None = None,
        shard: Shard | Rows | None = None,
    ) -> T:
        """Write the weights into `out` in place and return it; fans from its shape.

        With ``shard=Shard(global_shape, index)``, `out` is that box and the fans are the global
        tensor's; ``shard=Rows(global_shape, ids)`` likewise.
        """
        with opened(out) as view:
            if shard is not None:
                check_shard(view, shard)
            shape = view.shape if shard is None else shard.global_shape
            self._write(view, shape, shard, threads, progress)
        return out

    def shard(
        self,
        global_shape: Any,
        index: Any,
        dtype: Any = None,
        *,
        device: str | None = None,
        threads: int | None = None,
        out: Any = None,
        progress: Progress | None = None,
    ) -> Any:
        """``self(global_shape, dtype)[index]`` bit for bit, without the rest of the tensor."""
        return self(
            global_shape,
            dtype,
            device=device,
            threads=threads,
            out=out,
            shard=Shard(global_shape, index),
            progress=progress,
        )

    def rows(
        self,
        global_shape: Any,
        ids: Any,
        dtype: Any = None,
        *,
        device: str | None = None,
        threads: int | None = None,
        out: Any = None,
        progress: Progress | None = None,
    ) -> Any:
        """``self(global_shape, dtype)[ids]`` bit for bit, without the rest of the tensor.

        For embedding tables whose rows are made when they are first asked for: `ids` is an int or
        an array of ints in [0, global_shape[0]), of any shape, duplicates allowed; the table may
        have up to 2**62 elements.
        """
        return self(
            global_shape,
            dtype,
            device=device,
            threads=threads,
            out=out,
            shard=Rows(global_shape, ids),
            progress=progress,
        )

    def named(self, name: str | int) -> Self:
        """The same rule on an independent key, for one layer of many; a constant stays itself."""
        return self

    @property
    def key(self) -> Key | None:
        """The key of the stream that the values come from; None for a constant."""
        return None

    def distribution_for(self, shape: Any) -> Distribution | None:
        """What is drawn for every element of a tensor of this shape; None where nothing is."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Everything that makes this initializer, as numbers, strings and lists."""
        config: dict[str, Any] = {}
        for f in self._fields():
            if f.init:
                value = getattr(self, f.name)
                if isinstance(value, tuple):
                    value = list(value)
                elif isinstance(value, float) and math.isinf(value):
                    value = str(value)  # JSON has no infinity
                config[f.name] = value
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The initializer that `config`, from `get_config`, describes."""
        infinite = {"inf": math.inf, "-inf": -math.inf}
        values = {n: infinite.get(v, v) if isinstance(v, str) else v for n, v in config.items()}
        return cls(**values)

    def __repr__(self) -> str:
        """The call that makes an equal initializer: its seed, and what differs from the default."""
        parts = []
        for f in self._fields():
            value = getattr(self, f.name)
            if f.init and (f.name == "seed" or value != f.default):
                infinite = isinstance(value, float) and math.isinf(value)
                parts.append(f"{f.name}=" + (f"float('{value}')" if infinite else repr(value)))
        return f"{type(self).__name__}({', '.join(parts)})"

    def _fields(self) -> tuple[dataclasses.Field[Any], ...]:
        """The parameters; none for this class, which is no dataclass itself."""
        return dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()

    def _identity(self) -> tuple[Any, ...]:
        return type(self), *(getattr(self, f.name) for f in self._fields() if f.compare)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Initializer):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __setattr__(self, name: str, value: Any) -> None:  # a dataclass guards its own fields only
        raise dataclasses.FrozenInstanceError(f"`{type(self).__name__}` is frozen; got {name}=...")

    def _write(
        self,
        view: Array,
        shape: tuple[int, ...],
        box: Shard | Rows | None,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        """Write all of `shape`, or the `box` of it, into `view`."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")


def _as_shard(shape: tuple[int, ...], shard: Any) -> Shard | Rows:
    if not isinstance(shard, (Shard, Rows)):
        return Shard(shape, shard)
    if shard.global_shape != shape:
        raise ValueError(
            "`shape` must be the global shape of `shard`; got "
            f"shape={shape} and shard.global_shape={shard.global_shape}"
        )
    return shard
