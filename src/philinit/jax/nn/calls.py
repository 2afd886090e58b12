# SPDX-License-Identifier: Apache-2.0
"""An initializer as jax.nn.initializers returns one: its call has JAX's defaults and warnings."""

from __future__ import annotations

from dataclasses import dataclass
from types import EllipsisType
from typing import Any

import jax
import numpy as np

from philinit.dtypes import as_dtype
from philinit.initializers.base import Initializer
from philinit.jax.initializers import initializer


@dataclass(frozen=True)
class Keyed:
    """`init` on the keys that it is called with; `dtype` is that of a call that names none.

    Frozen, hashable and picklable, and equal to one with the same parameters: a static argument of
    jax.jit does not compile anew where a new but equal one comes.
    """

    init: Initializer
    dtype: Any

    def __call__(
        self,
        key: Any,
        shape: Any,
        dtype: Any | EllipsisType = ...,
        out_sharding: Any = None,
    ) -> jax.Array:
        """The weights of a key: those of `philinit.jax.initializer` with `init`.

        Parameters
        ----------
        key : JAX key
            Typed or raw, of any implementation, traced or not.
        shape : sequence of int, or int
            Fans come from it.
        dtype : optional
            By default, the one that the initializer was created with. None is JAX's default float.
        out_sharding : jax.sharding.Sharding or PartitionSpec, optional
            Each device computes its own shard.
        """
        if not isinstance(key, (jax.Array, np.ndarray)):
            raise TypeError(f"`key` must be a key such as jax.random.key(0); got key={key!r}")
        found = _canonical(self.dtype if dtype is ... else dtype)
        return initializer(self.init)(key, shape, found, out_sharding)


def _canonical(dtype: Any) -> Any:
    """`dtype` as JAX reads it: `float` is its default, and float64 what its 64-bit mode allows."""
    if dtype is None or dtype is float:
        return None
    found = as_dtype(dtype)
    if jax.dtypes.canonicalize_dtype(found) != found:
        return jax.numpy.empty((), dtype).dtype  # JAX warns, in its own words
    return found
