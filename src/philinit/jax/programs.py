# SPDX-License-Identifier: Apache-2.0
"""philinit's initializers as XLA operations alone, which any of XLA's devices can run."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from philinit.checks import as_shape
from philinit.initializers.base import Initializer, check_init
from philinit.initializers.constants import Constant, nearest
from philinit.initializers.seeded import Independent, Seeded
from philinit.jax.checks import as_dtype, as_words, check_sharding
from philinit.jax.private import Tracer, untraced
from philinit.jax.xla.indices import first_of
from philinit.jax.xla.keys import fold_in, words_of
from philinit.jax.xla.weights import program, recipe
from philinit.kernels.plan import plan
from philinit.parts import Rows, Shard

_SIZE_LIMIT, _LENGTH_LIMIT = 1 << 64, 1 << 32  # elements of a tensor, and of an axis of a part


def traced(init: Initializer) -> Traced:
    """`init` as a function ``(key, shape, dtype=None, out_sharding=None)`` of XLA operations alone.

    Called as what `philinit.jax.initializer` gives, and of the same bits, it becomes part of the
    program that JAX compiles: it runs wherever XLA does, GPUs and TPUs too, without this process
    and without host memory. ``jax.jit``, ``vmap``, ``scan`` and ``shard_map`` take it,
    ``jax.export`` writes it to a file. Whatever XLA splits the tensor by, ``jax.jit``'s
    `out_shardings` for one, each device computes its own part and sends nothing.

    Parameters
    ----------
    init : philinit initializer
        One of those whose elements are independent draws, such as `Uniform`, `TruncatedNormal`,
        `Normal`, `HeNormal`, or a constant.

    Returns
    -------
    callable
        Hashable, picklable, equal to that of an equal `init`. `shard` and `rows` give parts.

    Raises
    ------
    TypeError
        `init` is no philinit initializer.
    NotImplementedError
        When called: other initializers; float64; the sampler "tensorflow"; bounds of a truncated
        normal that its float32 map does not reach; a tensor of more than 2**64 elements.
    ValueError
        When called: as `philinit.jax.initializer`.

    Notes
    -----
    All arithmetic is on integers, which no fusion, fast-math flag or device computes otherwise.

    Examples
    --------
    >>> import jax, philinit as pi, philinit.jax as pij
    >>> he = pij.traced(pi.HeNormal(seed=42))
    >>> program = jax.jit(lambda key: he(key, (256, 128)))
    >>> program(jax.random.key(0)).shape
    (256, 128)
    """
    check_init(init)
    return Traced(init)


@dataclass(frozen=True, repr=False)
class Traced:
    """What `traced` returns."""

    init: Initializer

    def __repr__(self) -> str:
        return f"traced({self.init!r})"

    def __call__(self, key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        """The weights of a tensor; arguments as of what `philinit.jax.initializer` returns."""
        shape = as_shape(shape)
        if out_sharding is not None:
            check_sharding(out_sharding, shape)
        return self._part(key, shape, [0] * len(shape), shape, dtype, out_sharding)

    def shard(
        self, key: Any, global_shape: Any, starts: Any, lengths: Any, dtype: Any = None
    ) -> Any:
        """The part of `lengths` at `starts` of a tensor, without the rest of it.

        ``self(key, global_shape, dtype)[starts[0] : starts[0] + lengths[0], ...]``; a start may be
        an integer that JAX traces, ``lax.axis_index("x") * 64`` in a ``shard_map`` for one. That
        such a part lies inside the tensor is not checked.
        """
        shape, lengths = as_shape(global_shape), as_shape(lengths)
        if not len(starts) == len(lengths) == len(shape):
            raise ValueError(
                "`starts` and `lengths` must have one entry for each axis of `global_shape`; "
                f"got {len(starts)} and {len(lengths)} for global_shape={shape}"
            )
        starts = [_as_integers("starts", s) if isinstance(s, Tracer) else s for s in starts]
        known = [0 if isinstance(s, Tracer) else s for s in starts]
        part = Shard(shape, tuple(slice(s, s + n) for s, n in zip(known, lengths, strict=True)))
        starts = [
            s if isinstance(s, Tracer) else k for s, k in zip(starts, part.starts, strict=True)
        ]
        return self._part(key, shape, starts, lengths, dtype)

    def rows(self, key: Any, global_shape: Any, ids: Any, dtype: Any = None) -> Any:
        """``self(key, global_shape, dtype)[ids]``, without the rest of the tensor.

        `ids` are integers, an array of them of any shape, or what JAX traces; that traced ones lie
        in [0, global_shape[0]) is not checked. A jax.Array stays on its devices.
        """
        shape = as_shape(global_shape)
        known = Rows(shape, _bounds(ids))
        found = _as_integers("ids", ids) if isinstance(ids, jax.Array) else known.ids
        return self._made(key, shape, (*found.shape, *shape[1:]), dtype, found, rows=True)

    def _part(
        self,
        key: Any,
        shape: tuple[int, ...],
        starts: Sequence[Any],
        lengths: tuple[int, ...],
        dtype: Any,
        sharding: Any = None,
    ) -> Any:
        with jax.enable_x64(True):
            first = first_of(shape, starts)
        return self._made(key, shape, lengths, dtype, first, sharding=sharding)

    def _made(
        self,
        key: Any,
        shape: tuple[int, ...],
        part: tuple[int, ...],
        dtype: Any,
        start: Any,
        *,
        rows: bool = False,
        sharding: Any = None,
    ) -> Any:
        init, found = self.init, as_dtype(jnp.result_type(float) if dtype is None else dtype)
        words = as_words(key)
        if isinstance(init, Constant):
            full = functools.partial(jnp.full, part, nearest("value", init.value, found), found)
            return full() if sharding is None else jax.jit(full, out_shardings=sharding)()
        if not isinstance(init, Independent):
            raise _unable(
                f"`init` must draw each element by itself, or be a constant; got {init!r}"
            )
        if init.sampler != "native":
            raise _unable(f"`sampler` must be 'native'; got {init!r}")
        if found.itemsize == 8:
            raise _unable("`dtype` must be of 32 bits or fewer; got dtype=float64")
        if math.prod(shape) > _SIZE_LIMIT or max(part, default=0) > _LENGTH_LIMIT:
            raise _unable(
                "a tensor must have at most 2**64 elements, and an axis of the part 2**32; got "
                f"shape={shape} and a part of shape {part}"
            )
        drawn = recipe(plan(init._distribution(shape), found, init.sampler), found)
        if drawn is None:
            raise _unable(f"`init` must draw within bounds that float32 can hold; got {init!r}")
        with jax.enable_x64(True):
            make = program(sharding)
            return make(_key(init, words), start, drawn, shape, None if rows else part)


def _bounds(ids: Any) -> Any:
    """Of what is to be checked: `ids`, the least and the largest of those elsewhere, or nothing."""
    if isinstance(ids, Tracer):
        return []
    if not isinstance(ids, jax.Array):
        return ids
    here = all(device.platform == "cpu" for device in ids.devices())
    # While JAX traces, it would trace what looks for them; a program has them from the host anyway.
    whole = here or not ids.size or not untraced()
    return np.asarray(ids if whole else [ids.min(), ids.max()])


def _as_integers(name: str, value: Any) -> Any:
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"`{name}` must be integers; got {name} of dtype {value.dtype}")
    return value


def _unable(sentence: str) -> NotImplementedError:
    return NotImplementedError(f"{sentence}: use philinit.jax.initializer")


def _key(init: Independent, words: Any) -> Any:
    """The six words of the key of `init`, with those of a JAX key folded in."""
    if not isinstance(init, Seeded):  # nothing names it
        return jnp.asarray(words_of(init.key))
    if not isinstance(words, Tracer):
        folded = functools.reduce(lambda k, w: k.fold_in(int(w)), words, init.key)
        return jnp.asarray(words_of(folded))
    return functools.reduce(fold_in, words, jnp.asarray(words_of(init.key)))
