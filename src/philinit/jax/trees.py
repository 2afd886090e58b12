# SPDX-License-Identifier: Apache-2.0
"""Pytrees of shapes -> pytrees of arrays, by a map of the leaves' names to initializers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from philinit.checks import Progress, as_shape, check_progress, check_threads
from philinit.initializers.models.adjusted import Keep
from philinit.initializers.models.maps import Planned, normalized
from philinit.initializers.models.plans import chosen, in_turn, naming, planned, refuse_keep
from philinit.initializers.models.tables import Table
from philinit.jax.arrays import array, sharded
from philinit.jax.checks import as_dtype
from philinit.jax.parts import concrete


def initialize(
    tree: Any,
    parameters: Any,
    seed: int,
    *,
    shardings: Any = None,
    only: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """The tree with an array in the place of each shape, as a map of their names says.

    A leaf becomes the array of ``init.named(name)``, filled shard by shard as `sharded` does: no
    process holds more than its own shards, nothing is sent. Given the arrays of a trained model,
    it makes those that the model began with.

    Parameters
    ----------
    tree : pytree of jax.ShapeDtypeStruct, or of arrays
        Such as ``jax.eval_shape(model.init, key, x)`` of Flax, ``nnx.eval_shape``'s state, what
        ``equinox.filter_eval_shape`` gives. A leaf's name is the way to it, by keys, attributes
        and positions: "params.Dense_0.kernel", "layers.0.weight".
    parameters : philinit.models.ParameterMap, or what makes one
        Fans come from shapes as in `jax.nn.initializers`, (..., in, out).
    seed : int
        Of all initializers that have none of their own.
    shardings : jax.sharding.Sharding, PartitionSpec, or a tree of them, optional
        One for all leaves, or one for each in a tree of the same structure. By default that of
        the leaf, where it has one; else JAX's default device.
    only : sequence of str, optional
        Names, or patterns of them: other leaves stay as they are, and need not be in the map.
    threads, progress
        As in `sharded`; progress counts the elements of all leaves that are filled, each once.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before anything is allocated: leaves that the map does not match, all of them with their
        shapes; what `sharded` refuses, with the name; `Keep` where there is no array to keep.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, philinit as pi, philinit.jax as pij
    >>> def init(key):
    ...     kernel = jax.random.normal(key, (64, 256))
    ...     return {"dense": {"kernel": kernel, "bias": jnp.zeros(256)}}
    >>> shapes = jax.eval_shape(init, jax.random.key(0))
    >>> tree = pij.initialize(shapes, {"*.bias": pi.Zeros(), "*": pi.HeNormal()}, seed=42)
    >>> jax.tree.map(jnp.shape, tree)
    {'dense': {'bias': (256,), 'kernel': (64, 256)}}
    """
    threads, progress = check_threads(threads), check_progress(progress)
    leaves, structure = _leaves(tree)
    plan, positions = _plan(leaves, parameters, seed, only)
    spread = _spread(shardings, [leaf for _, leaf in leaves], structure)
    targets = []
    for one, position in zip(plan, positions, strict=True):
        with naming(one.name):
            where = spread[position]
            targets.append(None if where is None else concrete(where, one.shape))
        if not (isinstance(one.init, Keep) and _is_array(leaves[position][1])):
            refuse_keep(one)
    made = [leaf for _, leaf in leaves]
    turns = in_turn(plan, [one.size for one in plan], progress)
    for (one, report), position, target in zip(turns, positions, targets, strict=True):
        call: Any = {"threads": threads, "progress": report}
        if isinstance(one.init, Keep):
            if report is not None:
                report(one.size, one.size)
        elif target is None:
            made[position] = array(one.init, one.shape, one.dtype, **call)
        else:
            if report is not None:  # `sharded` counts what this process computes
                call["progress"] = _whole(report, one.size)
            made[position] = sharded(one.init, one.shape, target, one.dtype, **call)
    return jax.tree_util.tree_unflatten(structure, made)


def dry_run(tree: Any, parameters: Any, seed: int, *, only: Any = None) -> Table:
    """What `initialize` would do, as a `philinit.models.Table`; allocates nothing.

    Its `observed` needs arrays for leaves, and reads what this process can address.

    >>> shapes = {"kernel": jax.ShapeDtypeStruct((8, 16), jnp.float32)}
    >>> pij.dry_run(shapes, {"kernel": pi.HeNormal()}, seed=42).rows()[0]["name"]
    'kernel'
    """
    leaves, _ = _leaves(tree)
    plan, positions = _plan(leaves, parameters, seed, only)
    arrays = {one.name: leaves[p][1] for one, p in zip(plan, positions, strict=True)}
    return Table(plan, lambda name: _chunks(name, arrays[name]))


def _leaves(tree: Any) -> tuple[list[tuple[str, Any]], Any]:
    """Name and leaf of each, and the structure that they were taken from."""
    found, structure = jax.tree_util.tree_flatten_with_path(tree)
    if not found:
        raise ValueError("`tree` must have leaves; got none")
    return [(name_of(path), leaf) for path, leaf in found], structure


def name_of(path: Any) -> str:
    """A leaf's name: keys, attributes and positions, with dots between them."""
    parts = []
    for entry in path:
        part = next((getattr(entry, a) for a in ("key", "name", "idx") if hasattr(entry, a)), entry)
        parts.append(str(part))
    while len(parts) > 1 and parts[-1] in ("value", "raw_value"):  # of Flax's variables
        parts.pop()
    return ".".join(parts).strip(".") or "array"


def _plan(
    leaves: list[tuple[str, Any]], parameters: Any, seed: Any, only: Any
) -> tuple[list[Planned], list[int]]:
    """The initializer of each leaf that is wanted, and its position among all."""
    numbered = [(name, number) for number, (name, _) in enumerate(leaves)]
    positions = [number for _, number in chosen(numbered, only)]
    described = []
    for name, leaf in (leaves[number] for number in positions):
        if not (hasattr(leaf, "shape") and hasattr(leaf, "dtype")):
            raise TypeError(
                f"{name}: `tree` must have leaves with a shape and a dtype, such as "
                f"jax.ShapeDtypeStruct or arrays; got {type(leaf).__name__}"
            )
        with naming(name):
            described.append((normalized(name), as_shape(leaf.shape), as_dtype(leaf.dtype)))
    return planned(parameters, described, seed), positions


def _spread(shardings: Any, leaves: list[Any], structure: Any) -> list[Any]:
    """The sharding of each leaf; None for JAX's default device."""
    kinds = (jax.sharding.Sharding, jax.sharding.PartitionSpec)
    if shardings is None:
        return [_own_sharding(leaf) for leaf in leaves]
    if isinstance(shardings, kinds):
        return [shardings] * len(leaves)
    try:
        return list(structure.flatten_up_to(shardings))
    except (TypeError, ValueError) as error:
        raise ValueError(
            "`shardings` must be one sharding, or a tree of the structure of `tree`; got another "
            f"structure: {error}"
        ) from error


def _own_sharding(leaf: Any) -> Any:
    """The sharding of a shape or an array; None for an array that is not committed to a device."""
    found = getattr(leaf, "sharding", None)
    return found if getattr(leaf, "committed", True) else None


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, (jax.Array, np.ndarray))


def _whole(report: Progress, size: int) -> Progress:
    """Progress of what one process computes of a tensor, as progress of the tensor's `size`."""
    return lambda done, total: report(size * done // total if total else size, size)


def _chunks(name: str, leaf: Any) -> Iterator[Any]:
    """The elements of an array that this process can address, each once."""
    if not _is_array(leaf):
        raise ValueError(f"{name}: `tree` must hold arrays to be observed; got {leaf!r}")
    if isinstance(leaf, np.ndarray):
        yield leaf
        return
    for shard in leaf.addressable_shards:
        if shard.replica_id == 0:
            yield np.asarray(shard.data)
