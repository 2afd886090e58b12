# SPDX-License-Identifier: Apache-2.0
"""What a map of names to initializers does to a model, as a table: expected and observed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit.initializers.base import Initializer
from philinit.initializers.constants import Constant, Identity
from philinit.initializers.fans import compute_fans
from philinit.initializers.models.adjusted import Padded
from philinit.initializers.models.composites import Composite, replaced
from philinit.initializers.models.maps import Planned, brief
from philinit.initializers.models.scaled import Scaled
from philinit.initializers.orthogonal import Orthogonal
from philinit.initializers.scaling import VarianceScaling
from philinit.initializers.seeded import Seeded

_CHUNK = 1 << 20  # elements that are summed at a time
_WIDEST = 60  # characters of an initializer in a terminal


@dataclass(frozen=True)
class Table:
    """A model's parameters, each with its initializer and with what is expected of its weights.

    ``print(table)`` shows it; `rows` has it for JSON. `observed` adds what the model's weights are
    now: mean and standard deviation, those of this process's shards.

    >>> arrays = {"up.bias": np.ones(16, np.float32)}
    >>> table = pi.models.dry_run(arrays, {"*": pi.Zeros()}, seed=42).observed()
    >>> table.rows()[0]["observed_mean"]
    1.0
    """

    parameters: list[Planned]
    read: Callable[[str], Any]  # by name, the weights as an array, or several
    found: dict[str, tuple[float, float]] | None = None

    def observed(self) -> Table:
        """The same table, with the mean and the standard deviation of the weights as they are."""
        found = {one.name: statistics(self.read(one.name)) for one in self.parameters}
        return dataclasses.replace(self, found=found)

    def rows(self) -> list[dict[str, Any]]:
        """One dict a parameter, in the model's order.

        Its keys: "name"; "shape"; "dtype"; "initializer", the repr without seed and names; "fans",
        all pairs (fan_in, fan_out) that it depends on; "mean" and "stddev", those expected of the
        weights, None where they are not known; after `observed` "observed_mean" and
        "observed_stddev".
        """
        return [self._row(one) for one in self.parameters]

    def _row(self, one: Planned) -> dict[str, Any]:
        mean, stddev = expected(one.init, one.shape) or (None, None)
        row = {
            "name": one.name,
            "shape": list(one.shape),
            "dtype": one.dtype.name,
            "initializer": brief(_anonymous(one.init)),
            "fans": [list(pair) for pair in fans_of(one.init, one.shape)],
            "mean": mean,
            "stddev": stddev,
        }
        if self.found is not None:
            row["observed_mean"], row["observed_stddev"] = self.found[one.name]
        return row

    def __str__(self) -> str:
        rows = self.rows()
        heads = ["name", "shape", "dtype", "initializer", "fans", "mean", "stddev"]
        heads += ["observed_mean", "observed_stddev"] if self.found is not None else []
        lines = [heads, *([_shown(row[head]) for head in heads] for row in rows)]
        for line in lines:
            line[3] = line[3] if len(line[3]) <= _WIDEST else f"{line[3][: _WIDEST - 3]}..."
        widths = [max(len(line[c]) for line in lines) for c in range(len(heads))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        total = sum(one.size for one in self.parameters)
        return "\n".join([*text, f"{len(rows)} parameters, {total:,} weights"])


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        pairs = value and isinstance(value[0], list)
        return ", ".join(_shown(v) for v in value) if pairs else f"({', '.join(map(str, value))})"
    return str(value)


def _anonymous(init: Initializer) -> Initializer:
    """`init` without names and seeds, for a table that says both once."""
    if isinstance(init, Composite):
        init = replaced(init, names=()) if hasattr(init, "names") else init
        return init._map(_anonymous)
    if isinstance(init, Seeded):
        return dataclasses.replace(init, seed=0, names=(), from_entropy=True)
    return init


def fans_of(init: Initializer, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """The pairs (fan_in, fan_out) that the weights depend on, each once."""
    if isinstance(init, VarianceScaling):
        return [compute_fans(shape, init.in_axis, init.out_axis, init.batch_axis)]
    if isinstance(init, (Scaled, Padded)):
        return fans_of(init.initializer, shape)
    if not isinstance(init, Composite):
        return []
    pairs = (pair for piece in init.pieces(shape) for pair in fans_of(piece.init, piece.shape))
    return list(dict.fromkeys(pairs))


def expected(init: Initializer, shape: tuple[int, ...]) -> tuple[float, float] | None:
    """Mean and standard deviation of the weights over the tensor; None where they are not known.

    Those of the distribution, of the mixture for a tensor in parts; in exact arithmetic for
    constants and identities.
    """
    if isinstance(init, Padded):
        rows = len(init._rows(shape)) / max(shape[0], 1)
        return _mixture([(1.0 - rows, expected(init.initializer, shape)), (rows, (0.0, 0.0))])
    if isinstance(init, Scaled):
        return expected(init._scaled(shape), shape)
    if isinstance(init, Composite):
        pieces = init.pieces(shape)
        sizes = [math.prod(piece.shape) for piece in pieces]
        total = max(sum(sizes), 1)
        return _mixture(
            [(n / total, expected(p.init, p.shape)) for n, p in zip(sizes, pieces, strict=True)]
        )
    if isinstance(init, Constant):
        return init.value, 0.0
    if isinstance(init, Orthogonal):
        return 0.0, abs(init.gain) / math.sqrt(max(math.prod(shape[:-1]), shape[-1], 1))
    if isinstance(init, Identity):
        ones = min(shape) / max(math.prod(shape), 1)
        return _mixture([(ones, (init.gain, 0.0)), (1.0 - ones, (0.0, 0.0))])
    found = init.distribution_for(shape) or init
    known: tuple[float, float] | None = found.moments() if hasattr(found, "moments") else None
    return known


def _mixture(
    parts: list[tuple[float, tuple[float, float] | None]],
) -> tuple[float, float] | None:
    known = [(share, moments) for share, moments in parts if moments is not None]
    if len(known) < len(parts):
        return None
    mean = sum(share * m for share, (m, _) in known)
    second = sum(share * (s * s + (m - mean) ** 2) for share, (m, s) in known)
    return mean, math.sqrt(second)


def statistics(arrays: Any) -> tuple[float, float]:
    """Mean and standard deviation of all elements of an array, or of several, in float64."""
    count, mean, spread = 0, 0.0, 0.0
    for array in [arrays] if hasattr(arrays, "reshape") else arrays:
        flat = array.reshape(-1)
        for start in range(0, flat.size, _CHUNK):
            chunk = np.asarray(flat[start : start + _CHUNK], np.float64)
            here, more = float(chunk.mean()), chunk.size
            shift, total = here - mean, count + more
            # Chan, Golub & LeVeque 1979: the moments of two sets joined.
            spread += float(((chunk - here) ** 2).sum()) + shift * shift * count * more / total
            mean, count = mean + shift * more / total, total
    return (mean, math.sqrt(spread / count)) if count else (math.nan, math.nan)
