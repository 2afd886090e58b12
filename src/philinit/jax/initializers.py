# SPDX-License-Identifier: Apache-2.0
"""philinit's initializers as JAX and Flax call theirs: with a key, a shape and a dtype."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import PartitionSpec

from philinit.checks import as_shape
from philinit.initializers.base import Initializer, check_init
from philinit.jax.arrays import array, sharded
from philinit.jax.checks import as_dtype, as_words, check_sharding
from philinit.jax.operations import Named, staged
from philinit.jax.parts import current_mesh
from philinit.jax.private import Tracer


def initializer(init: Initializer, sharding: Any = None) -> Callable[..., jax.Array]:
    """`init` as a function ``(key, shape, dtype=None, out_sharding=None)``, as Flax calls it.

    It stands wherever one of jax.nn.initializers does: ``kernel_init=`` of Flax's linen and NNX
    layers, with or without jax.jit, vmap and eval_shape. Its weights are those of
    ``init.named(w0).named(w1)...``, where w0, w1, ... are the words of ``jax.random.key_data(key)``
    (two for JAX's default keys): another key, another stream, and other weights for another `init`
    on the same key. With None for a key they are those of `init` itself.

    Parameters
    ----------
    init : philinit initializer
        As in `sharded`.
    sharding : jax.sharding.Sharding or PartitionSpec, optional
        How the weights are spread, unless the call names an `out_sharding`: each device then
        computes its own shard. Flax names none, not even where its metadata does. With none
        every device of the mesh of ``jax.set_mesh``, if that has set one, has the whole tensor.

    Returns
    -------
    callable
        Hashable, picklable, equal to that of an equal `init` and sharding. Its dtype is, as in
        JAX, that of ``jnp.result_type(float)`` unless the call names one.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        When called: as `sharded`; a batch of keys.

    Notes
    -----
    Under jax.jit on CPUs XLA has philinit write the weights into the program's own buffer. There a
    `sharding` must be a NamedSharding or PartitionSpec; without one they are cut as jax.jit's
    `out_shardings`, or constraints inside, cut JAX's own operations. docs/jax.md says more.

    Examples
    --------
    >>> import jax, philinit as pi, philinit.jax as pij
    >>> kernel_init = pij.initializer(pi.HeNormal(seed=42))
    >>> kernel_init(jax.random.key(0), (256, 128)).shape
    (256, 128)
    """
    check_init(init)
    if sharding is not None:
        check_sharding(sharding)
    return _Initializer(init, sharding)


@dataclass(frozen=True, repr=False)
class _Initializer:
    """What `initializer` returns."""

    init: Initializer
    sharding: Any

    def __repr__(self) -> str:
        sharding = "" if self.sharding is None else f", {self.sharding!r}"
        return f"initializer({self.init!r}{sharding})"

    def __call__(self, key: Any, shape: Any, dtype: Any = None, out_sharding: Any = None) -> Any:
        shape = as_shape(shape)
        found = as_dtype(jax.numpy.result_type(float) if dtype is None else dtype)
        sharding = self.sharding if out_sharding is None else out_sharding
        words = as_words(key)
        if not isinstance(words, Tracer):
            init = Named(self.init)(words)
            if sharding is None and current_mesh() is not None:
                sharding = PartitionSpec()  # as of JAX's own results: on every device of the mesh
            alone = sharding is None
            return array(init, shape, found) if alone else sharded(init, shape, sharding, found)
        self.init._check(shape, found)
        if sharding is not None:
            check_sharding(sharding, shape)
        return staged(Named(self.init), shape, found, words, sharding)
