# SPDX-License-Identifier: Apache-2.0
"""A part of a tensor, or rows of it: indices, their words, numbers of those, rounded to a dtype."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from philinit.jax.xla import indices
from philinit.jax.xla.maps import MAPS
from philinit.jax.xla.rounding import clamp, rounded
from philinit.jax.xla.words import random_words
from philinit.kernels.table import Plan


@dataclass(frozen=True)
class Recipe:
    """What is compiled into a program: a map, its parameters, the dtype."""

    map: str
    parameters: tuple[tuple[str, float], ...]
    dtype: np.dtype[Any]


def recipe(plan: Plan, dtype: np.dtype[Any]) -> Recipe | None:
    """That of a kernel's plan; None where its map is not among those written here."""
    name = plan.kernel.name.rpartition("_")[0].removesuffix("_clamped")
    known = name in MAPS and dtype.itemsize < 8
    return Recipe(name, tuple(plan.values().items()), dtype) if known else None


@functools.lru_cache(maxsize=256)
def program(sharding: Any) -> Any:
    """`weights` as a program, spread in some way; None: as XLA likes."""
    options = {"inline": True} if sharding is None else {"out_shardings": sharding}
    return jax.jit(weights, static_argnames=("recipe", "shape", "part"), **options)


def weights(
    key: Any, start: Any, recipe: Recipe, shape: tuple[int, ...], part: tuple[int, ...] | None
) -> jax.Array:
    """Of the part of a tensor that begins at index `start`; None: of the rows numbered `start`.

    `key` is six words. Call this in JAX's 64-bit mode.
    """
    index = indices.of_rows(shape, start) if part is None else indices.of_part(shape, start, part)
    parameters = dict(recipe.parameters)
    made = MAPS[recipe.map](random_words(key, index), parameters)
    ends = _ends(parameters, recipe.dtype)
    return rounded(clamp(made, *ends) if ends else made, recipe.dtype)


def _ends(p: dict[str, float], dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """Between which numbers the map's have to be moved."""
    if "low" in p:
        return p["low"], p["high"]
    if "low_bits" in p:
        patterns = np.array([int(p["low_bits"]), int(p["high_bits"])], f"u{dtype.itemsize}")
        low, high = patterns.view(dtype).astype(np.float32).tolist()
        return low, high
    return None
