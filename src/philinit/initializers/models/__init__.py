# SPDX-License-Identifier: Apache-2.0
r"""Whole models: an ordered map from parameter names to initializers, the same in all frameworks.

`philinit.torch`, `philinit.keras`, `philinit.tensorflow` and `philinit.jax` each have a function
`initialize(model, parameters, seed)`, and a `dry_run` with the same arguments. The ones in this
module take a mapping of names to arrays. A parameter gets the weights of ``init.named(name)``,
where `init` has the seed, and `name` is the full name with dots between its components. So the
weights do not depend on the order of parameters, the number of processes, or the framework.
`FORMULAS` has the gains by depth that `Scaled` knows by name.

Examples
--------
>>> import re, numpy as np, philinit as pi
>>> layers = 12
>>> residual = pi.models.Scaled(pi.Normal(0, 0.02), "1/sqrt(2L)", depth=layers)
>>> parameters = pi.models.ParameterMap([
...     ("*.bias", pi.Zeros()),
...     ("*.ln_?.weight", pi.Ones()),
...     (re.compile(r"h\.(\d+)\..*c_proj.weight"), residual),
...     ("*", pi.Normal(0, 0.02)),
... ])
>>> weights = {"h.3.mlp.c_proj.weight": np.empty((256, 64), np.float32)}
>>> weights = pi.models.initialize(weights, parameters, seed=42)
>>> init = pi.Normal(0, 0.02 / (2 * layers) ** 0.5, seed=42)
>>> name, w = weights.popitem()
>>> bool((w == init.named(name)((256, 64))).all())
True
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from philinit.checks import Progress, check_progress, check_threads
from philinit.filling.devices import opened
from philinit.initializers.logarithms import LogRange, LogUniform, UniformLogarithm
from philinit.initializers.models.adjusted import Keep, Padded
from philinit.initializers.models.maps import ParameterMap, normalized
from philinit.initializers.models.pieces import Parts, Stacked
from philinit.initializers.models.plans import in_turn, planned
from philinit.initializers.models.scaled import FORMULAS, Scaled
from philinit.initializers.models.tables import Table
from philinit.initializers.sparse import DeltaOrthogonal, Dirac, Sparse

__all__ = [
    "FORMULAS", "DeltaOrthogonal", "Dirac", "Keep", "LogRange", "LogUniform", "Padded",
    "ParameterMap", "Parts", "Scaled", "Sparse", "Stacked", "Table", "UniformLogarithm",
    "dry_run", "initialize", "normalized",
]  # fmt: skip

Arrays = TypeVar("Arrays", bound=Mapping[str, Any])


def initialize(
    arrays: Arrays,
    parameters: Any,
    seed: int,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Arrays:
    """Fill arrays by their names, in place, and return the mapping of them.

    >>> arrays = {"up.kernel": np.empty((8, 16), np.float32)}
    >>> arrays = pi.models.initialize(arrays, {"*.kernel": pi.HeNormal()}, seed=42)
    >>> same = pi.HeNormal(seed=42).named("up.kernel")((8, 16))
    >>> bool((arrays["up.kernel"] == same).all())
    True

    Parameters
    ----------
    arrays : mapping of str to ndarray, or other writable memory
        As `philinit.fill` takes it.
    parameters : ParameterMap, or what makes one
        Which initializer for which name.
    seed : int
        Of all initializers that have none of their own.
    threads, progress
        As in ``init(shape)``; progress counts the elements of all arrays.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        Before a byte is written: names that no pattern matches, all of them with their shapes;
        what ``init(shape, out=array)`` refuses, with the name.
    """
    threads, progress = check_threads(threads), check_progress(progress)
    plan = planned(parameters, _described(arrays), seed)
    turns = in_turn(plan, [one.size for one in plan], progress)
    for (one, report), array in zip(turns, arrays.values(), strict=True):
        one.init.fill(array, threads=threads, progress=report)
    return arrays


def dry_run(arrays: Mapping[str, Any], parameters: Any, seed: int) -> Table:
    """What `initialize` would do, as a `Table`; writes nothing, and raises what that would.

    >>> arrays = {"up.bias": np.empty(16, np.float32)}
    >>> pi.models.dry_run(arrays, {"*.bias": pi.Zeros()}, seed=42).rows()[0]["name"]
    'up.bias'
    """
    plan = planned(parameters, _described(arrays), seed)
    by_name = dict(zip([one.name for one in plan], arrays.values(), strict=True))

    def read(name: str) -> Any:
        with opened(by_name[name]) as view:
            return view

    return Table(plan, read)


def _described(arrays: Any) -> list[tuple[str, tuple[int, ...], Any]]:
    """Name, shape and dtype of each array."""
    if not isinstance(arrays, Mapping):
        raise TypeError(
            f"`arrays` must be a mapping of names to arrays; got {type(arrays).__name__}"
        )
    found = []
    for name, array in arrays.items():
        with opened(array, name=str(name)) as view:
            found.append((name, view.shape, view.dtype))
    return found
