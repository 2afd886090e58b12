# SPDX-License-Identifier: Apache-2.0
"""What all initialisers share: the interface, seeds and names, and the road to `fill`.

One road: ``init(shape)``, ``init.fill(out)`` and ``init.shard(global_shape, index)`` all come to
``_write``, which for every random initialiser but Orthogonal is one call of `philinit.fill.fill`
for each run of consecutive elements.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict, TypeVar

import numpy as np

from philinit.backends import empty, opened
from philinit.distributions import Distribution
from philinit.dtypes import as_dtype
from philinit.fans import as_shape, is_bool
from philinit.fill import check_sampler, check_shard, fill
from philinit.keys import Key, as_seed, fresh_seed
from philinit.sharding import Rows, Shard

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], object]
T = TypeVar("T")

_FLOAT32 = np.dtype(np.float32)


class Call(TypedDict, total=False):
    """The keywords that every initialiser takes when it is called; see `Initializer`."""

    device: str | None
    threads: int | None
    out: Any
    shard: Any
    progress: Progress | None


@functools.lru_cache(maxsize=4096)
def _key(seed: int, names: tuple[str | int, ...]) -> Key:
    return functools.reduce(Key.fold_in, names, Key.from_seed(seed))


@functools.lru_cache(maxsize=64)
def _dtype_of(name: str) -> np.dtype[Any]:
    return as_dtype(name)


class Initializer:
    """What every initialiser can do: a frozen, comparable, hashable, picklable rule.

    Calling it twice gives the same values. Equal initialisers, those of one class with the same
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
        """Everything that makes this initialiser, as numbers, strings and lists."""
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
        """The initialiser that `config`, from `get_config`, describes."""
        infinite = {"inf": math.inf, "-inf": -math.inf}
        values = {n: infinite.get(v, v) if isinstance(v, str) else v for n, v in config.items()}
        return cls(**values)

    def __repr__(self) -> str:
        """The call that makes an equal initialiser: its seed, and what differs from the default."""
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


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Seeded(Initializer):
    """An initialiser with a key.

    Parameters
    ----------
    seed : int, optional
        In [-2**127, 2**128). Left out, 128 bits of entropy are drawn from the operating system,
        once, here: `seed` then is the number drawn and `drawn` is True, in the repr as well.
    names : sequence of str and int
        Folded into the key one after the other; `named` appends to it.
    drawn : bool
        That the seed was not given. For information: it changes no value and no comparison.
    """

    seed: int | None = None
    names: Sequence[str | int] = ()
    drawn: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.drawn, bool):
            raise TypeError(f"`drawn` must be a bool; got drawn={self.drawn!r}")
        seed = self.seed
        if seed is None:
            object.__setattr__(self, "seed", fresh_seed())
            object.__setattr__(self, "drawn", True)
        elif type(seed) is not int or seed.bit_length() > 127:
            object.__setattr__(self, "seed", as_seed(seed))
        if type(self.names) is not tuple or self.names:
            self._check_names()

    def _check_names(self) -> None:
        names: Any = self.names  # whatever came
        known = isinstance(names, Iterable) and not isinstance(names, (str, bytes))
        names = tuple(names) if known else names
        if not known or any(is_bool(n) or not isinstance(n, (str, int)) for n in names):
            raise TypeError(f"`names` must be a sequence of str and int; got names={names!r}")
        object.__setattr__(self, "names", names)

    @property
    def key(self) -> Key:
        """The key of `seed` with all `names` folded in."""
        assert self.seed is not None  # set when the initialiser was made
        return _key(self.seed, tuple(self.names))

    def named(self, name: str | int) -> Self:
        """The same rule on an independent key; may be nested: ``init.named("a").named(3)``."""
        return dataclasses.replace(self, names=(*self.names, name))


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class Sampled(Seeded):
    """An initialiser whose elements are independent draws from one distribution.

    Parameters
    ----------
    sampler : str
        "native", or "tensorflow" for the bits that TensorFlow gives for the same seed.

    Notes
    -----
    Element i is a pure function of sampler, key and i: the same bits for any number of threads,
    for any shard, and for any memory.
    """

    sampler: str = "native"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampler != "native":
            check_sampler(self.sampler)

    def distribution_for(self, shape: Any) -> Distribution:
        """What is drawn for every element of a tensor of this shape."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _write(
        self,
        view: Array,
        shape: tuple[int, ...],
        box: Shard | Rows | None,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        _draw(view, box, self.distribution_for(shape), self.key, self.sampler, threads, progress)


@dataclass(frozen=True, repr=False, eq=False)
class Drawn(Initializer):
    """Independent draws from one distribution on one key, both as given; fans play no part.

    What the adapters for other libraries come down to, once they have worked out a layer's
    distribution and which stream the other library would have drawn it from.

    Parameters
    ----------
    distribution : Uniform, Normal or TruncatedNormal
    stream : Key
    sampler : str
        "native" or "tensorflow".
    """

    distribution: Distribution
    stream: Key
    sampler: str = "native"

    def __post_init__(self) -> None:
        check_sampler(self.sampler)

    @property
    def key(self) -> Key:
        """The key as given."""
        return self.stream

    def distribution_for(self, shape: Any) -> Distribution:
        """The distribution as given, for every shape."""
        return self.distribution

    def _write(
        self,
        view: Array,
        shape: tuple[int, ...],
        box: Shard | Rows | None,
        threads: int | None,
        progress: Progress | None,
    ) -> None:
        _draw(view, box, self.distribution, self.stream, self.sampler, threads, progress)


def _draw(
    view: Array,
    box: Shard | Rows | None,
    distribution: Distribution,
    key: Key,
    sampler: str,
    threads: int | None,
    progress: Progress | None,
) -> None:
    """Write the weights of a whole tensor, or of the `box` of it, into `view`."""
    fill(view, distribution, key, shard=box, sampler=sampler, threads=threads, progress=progress)
