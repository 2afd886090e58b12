# SPDX-License-Identifier: Apache-2.0
"""What every initializer can do: called, filled in place, by shard, by rows, renamed."""

from __future__ import annotations

from typing import Any, Self, TypedDict, TypeVar, Unpack

import numpy as np

from philinit.checks import Progress, as_shape, check_progress, check_threads
from philinit.distributions import Distribution
from philinit.dtypes import FLOAT32, as_dtype
from philinit.filling.devices import empty, opened
from philinit.filling.fill import check_part
from philinit.initializers.config import Configured
from philinit.keyed import RowsByKey, rows_of
from philinit.keys import Key
from philinit.parts import Rows, Shard
from philinit.targets import Target

Array = np.ndarray[Any, Any]
T = TypeVar("T")


class Call(TypedDict, total=False):
    """The keywords of `Initializer.__call__`, but for `shard`."""

    device: str | None
    threads: int | None
    out: Any
    progress: Progress | None


class AnyCall(Call, total=False):
    """The keywords of `Initializer.__call__`."""

    shard: Any


class Initializer(Configured):
    """What every initializer can do: frozen, comparable, hashable, picklable.

    Calling it twice gives the same values. Equal initializers, those of one class with the same
    parameters and key, give equal values; ``repr`` can be evaluated to an equal one, and
    ``from_config(get_config())`` is one, through JSON too.

    >>> init = pi.HeNormal(seed=42)
    >>> init == eval(repr(init), vars(pi)) == type(init).from_config(init.get_config())
    True
    """

    #: Whether a shard can be made without the whole tensor.
    elementwise = True

    #: Whether a row can be made without its place in a table, and whether that takes the fans.
    _keyed = False
    _takes_fans = False

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
            Shape of the whole tensor, dimensions >= 0. The fans are computed from it.
        dtype : dtype, optional
            float32 (default), float64, float16, bfloat16 or float8 (e4m3fn, e5m2, e4m3fnuz,
            e5m2fnuz). With `out`, its dtype or nothing.
        device : str, optional
            "cpu", "cuda" (CuPy's current device) or "cuda:N". Default: that of `out`, or "cpu".
            The same bits on each; `Orthogonal` is made in CPU memory only.
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
            Any argument not as described above, before a byte is written.
        ImportError, RuntimeError
            A CUDA device is asked for, but there is no CuPy, or no device that works.
        """
        shape = as_shape(shape)
        part = None if shard is None else _as_part(shape, shard)
        wanted = shape if part is None else part.shape
        found = FLOAT32 if dtype is None else as_dtype(dtype)
        if threads is not None or progress is not None:
            threads, progress = check_threads(threads), check_progress(progress)
        if out is None:
            out = empty(wanted, found, "cpu" if device is None else device)
            if type(out) is np.ndarray:  # made here: nothing to look at
                self._write(Target(out, shape, part, threads, progress))
                return out
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
            self._write(Target(view, shape, part, threads, progress))
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

        With ``shard=Shard(global_shape, index)``, `out` is that shard and the fans are the global
        tensor's; ``shard=Rows(global_shape, ids)`` likewise.
        """
        if threads is not None or progress is not None:
            threads, progress = check_threads(threads), check_progress(progress)
        with opened(out) as view:
            if shard is not None:
                check_part(view, shard)
            shape = view.shape if shard is None else shard.global_shape
            self._write(Target(view, shape, shard, threads, progress))
        return out

    def shard(self, global_shape: Any, index: Any, dtype: Any = None, **call: Unpack[Call]) -> Any:
        """``self(global_shape, dtype)[index]`` bit for bit, without the rest of the tensor.

        Takes the keywords of a call: `device`, `threads`, `out`, `progress`.
        """
        part = Shard(global_shape, index)
        return self(part.global_shape, dtype, **call, shard=part)

    def rows(self, global_shape: Any, ids: Any, dtype: Any = None, **call: Unpack[Call]) -> Any:
        """``self(global_shape, dtype)[ids]`` bit for bit, without the rest of the tensor.

        For embedding tables whose rows are made when they are first needed. `ids` is an int, or an
        array of ints of any shape, in [0, global_shape[0]); duplicates are fine. The table may have
        up to 2**62 elements. Takes the keywords of a call: `device`, `threads`, `out`, `progress`.

        `ids` of int64 in CPU memory, those of torch, TensorFlow and JAX included, are not copied.
        `ids` on a CUDA device are for rows that go to memory of that device.
        """
        part = Rows(global_shape, ids, copy=False)
        return self(part.global_shape, dtype, **call, shard=part)

    def rows_by_key(
        self,
        width: Any,
        keys: Any,
        dtype: Any = None,
        *,
        global_shape: Any = None,
        **call: Unpack[Call],
    ) -> Any:
        """Rows of a table without a fixed size: each depends only on this initializer and its key.

        For embedding tables that add rows while they are trained: a row that is evicted and added
        again starts with the same weights, in any order and on any machine. No row by key shares a
        random word with a row by number.

        Parameters
        ----------
        width : int, or sequence of int
            Weights of a row, or its shape; at most 2**28 weights.
        keys : int, or array of ints of any shape
            Such as hashed feature ids, in [-2**63, 2**64); duplicates are fine. A negative key
            stands for its two's complement in 64 bits: -1 and 2**64 - 1 are the same key. Keys of
            64 bits are not copied; see `rows`.
        global_shape : sequence of int, optional
            The shape (rows, width) of a table to take the fans from; only for an initializer that
            scales with them, such as `GlorotUniform`. It does not limit the keys.
        dtype, device, threads, out, progress
            As in a call; the shape of the result is that of `keys`, followed by that of a row.

        Raises
        ------
        TypeError, ValueError
            Any argument not as described above, before a byte is written.
        NotImplementedError
            The initializer neither draws its weights independently nor is a constant.
        """
        part = self._by_key(width, keys, global_shape)
        return self(part.global_shape, dtype, **call, shard=part)

    def _by_key(self, width: Any, keys: Any, global_shape: Any) -> RowsByKey:
        """The part that such rows are; refuses what this initializer has none of."""
        if not self._keyed:
            raise NotImplementedError(
                "rows by key are made by initializers that draw each weight independently, and by "
                f"constants; got {type(self).__name__}"
            )
        if self._takes_fans and global_shape is None:
            raise ValueError(
                f"`global_shape` must be given, since {type(self).__name__} scales with the fans "
                "and a table without a size has none: pass the shape (rows, width) of a table "
                "that has them"
            )
        return rows_of(width, keys, global_shape)

    def named(self, name: str | int) -> Self:
        """The same initializer on an independent key, for one layer of many.

        A constant has no key, and is returned unchanged.
        """
        return self

    @property
    def key(self) -> Key | None:
        """The key of the stream that the values come from; None for a constant."""
        return None

    def distribution_for(self, shape: Any) -> Distribution | None:
        """What is drawn for every element of a tensor of this shape; None where nothing is."""
        return None

    # The two methods below are what the package itself calls, with arguments that were checked.

    def _write(self, target: Target) -> None:
        """Write the weights of a target."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise what writing a tensor of this shape and dtype would raise; write nothing."""
        nothing = Shard(shape, slice(0, 0)) if shape else None  # a scalar has no empty part
        view = np.empty(() if nothing is None else nothing.shape, dtype)
        self._write(Target(view, shape, nothing))


def check_init(init: Any) -> None:
    """Refuse what is none of philinit's initializers."""
    if not isinstance(init, Initializer):
        raise TypeError(
            "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); "
            f"got init={init!r}"
        )


def _as_part(shape: tuple[int, ...], shard: Any) -> Shard | Rows:
    if not isinstance(shard, (Shard, Rows)):
        return Shard(shape, shard)
    if shard.global_shape != shape:
        raise ValueError(
            "`shape` must be the global shape of `shard`; got "
            f"shape={shape} and shard.global_shape={shard.global_shape}"
        )
    return shard
