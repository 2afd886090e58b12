# SPDX-License-Identifier: Apache-2.0
"""Initializers on a logarithmic scale, as state-space models have them: LogUniform and others.

The numbers are drawn in float64 and mapped block by block, with the same bits on every CPU.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit import distributions
from philinit.checks import check_bool, check_in_cpu_memory, positive
from philinit.dtypes import at_least, below, largest
from philinit.filling.fill import draw
from philinit.initializers.base import Array, Initializer
from philinit.initializers.elementary import exp, expm1, ln, log
from philinit.initializers.seeded import Seeded
from philinit.parts import Rows
from philinit.rounding import to_nearest
from philinit.targets import Target

_BLOCK = 1 << 16  # elements
_WHAT = "numbers on a logarithmic scale are"  # in messages


@dataclass(frozen=True, repr=False, eq=False)
class _Mapped(Seeded):
    """A function of independent uniform numbers, element by element."""

    low: float = 1.0
    high: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("low", "high"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        if not self.low < self.high:
            raise ValueError(f"`low` must be below `high`; got low={self.low}, high={self.high}")

    def _uniform(self) -> distributions.Uniform:
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _map(self, x: Array, dtype: np.dtype[Any]) -> Array:
        """The weights of uniform numbers; both are float64."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        reach = max(map(abs, self.support()))
        if reach > largest(dtype):
            raise ValueError(
                f"the numbers drawn must stay below {largest(dtype):.6g}, the largest "
                f"{dtype.name}; got {self!r}"
            )

    def support(self) -> tuple[float, float]:
        """The interval that the weights are in."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _write(self, target: Target) -> None:
        view, shape, _, threads, progress = target
        self._check(shape, view.dtype)
        check_in_cpu_memory(_WHAT, view)
        flat = view.reshape(-1) if view.flags.c_contiguous else view.flat
        uniform, done = self._uniform(), 0
        whole = view.dtype if view.dtype.itemsize > 2 else np.dtype(np.float32)
        for offset, count in _blocks(target):
            drawn = np.empty(count, np.float64)
            draw(Target(drawn, drawn.shape, None, threads), uniform, self.key, offset=offset)
            with to_nearest():
                flat[done : done + count] = self._map(drawn, view.dtype).astype(whole)
            done += count
            if progress is not None:
                progress(done, view.size)
        if progress is not None and not done:
            progress(0, 0)


def _blocks(target: Target) -> Iterator[tuple[int, int]]:
    """Where the elements of a target lie in the tensor, some at a time: offset and count."""
    part = target.part
    runs = iter([(0, target.view.size)]) if part is None else iter(part.as_runs)
    for offset, length in runs:
        for start in range(0, length, _BLOCK):
            yield offset + start, min(_BLOCK, length - start)


@dataclass(frozen=True, repr=False, eq=False)
class LogUniform(_Mapped):
    """exp of U[ln low, ln high): each power of ten as likely as the next; in [low, high).

    Density 1 / (x ln(high / low)). Of state-space models the time steps dt, Gu et al. 2022,
    arXiv:2111.00396; with ``inverse_softplus=True`` the biases whose softplus ln(1 + exp(b)) is
    such a number, as in Mamba: b = ln(exp(x) - 1), Gu & Dao 2023, arXiv:2312.00752.

    >>> steps = pi.models.LogUniform(0.001, 0.1, seed=42)((1000,))
    >>> bool(steps.min() >= 0.001 and steps.max() < 0.1)
    True

    Parameters
    ----------
    low, high : float
        0 < low < high; 0.001 and 0.1 by default.
    inverse_softplus : bool
        Whether to give ln(exp(x) - 1) instead of x. Then `high` must not be above 700.
    seed, names, from_entropy
        As in `Seeded`. There is no sampler to choose.

    Raises
    ------
    TypeError, ValueError
        When made: parameters not as described above. When called: numbers that the dtype
        cannot hold.
    NotImplementedError
        When called: for the memory of a CUDA device.
    """

    low: float = 0.001
    high: float = 0.1
    inverse_softplus: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_bool("inverse_softplus", self.inverse_softplus)
        if not 1e-290 < self.low < self.high < (700.0 if self.inverse_softplus else 1e290):
            raise ValueError(
                "`low` and `high` must be well inside of float64's range (up to 700 for "
                f"inverse_softplus); got low={self.low}, high={self.high}"
            )
        self._uniform()

    def _uniform(self) -> distributions.Uniform:
        return distributions.Uniform(ln(self.low), ln(self.high))

    def _map(self, x: Array, dtype: np.dtype[Any]) -> Array:
        if self.inverse_softplus:
            return log(expm1(np.clip(exp(x), self.low, self.high)))
        return np.clip(exp(x), at_least(self.low, dtype), below(self.high, dtype))

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        super()._check(shape, dtype)
        if not self.inverse_softplus and at_least(self.low, dtype) > below(self.high, dtype):
            raise ValueError(
                f"the bounds must hold at least one number of {dtype.name}; got {self!r}"
            )

    def support(self) -> tuple[float, float]:
        """(low, high), or the inverse softplus of both."""
        if not self.inverse_softplus:
            return self.low, self.high
        return math.log(math.expm1(self.low)), math.log(math.expm1(self.high))

    def moments(self) -> tuple[float, float] | None:
        """Mean and standard deviation; None for `inverse_softplus`."""
        if self.inverse_softplus:
            return None
        width = math.log(self.high / self.low)
        mean = (self.high - self.low) / width
        second = (self.high + self.low) / 2 * mean
        return mean, math.sqrt(max(second - mean * mean, 0.0))


@dataclass(frozen=True, repr=False, eq=False)
class UniformLogarithm(_Mapped):
    """ln of U[low, high), as Mamba-2 has it for A; Dao & Gu 2024, arXiv:2405.21060.

    >>> a = pi.models.UniformLogarithm(1.0, 16.0, seed=42)((1000,))
    >>> bool(a.min() >= 0.0 and a.max() < math.log(16))
    True

    Parameters
    ----------
    low, high : float
        0 < low < high; 1 and 16 by default.
    seed, names, from_entropy
        As in `Seeded`. There is no sampler to choose.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        As `LogUniform`.
    """

    low: float = 1.0
    high: float = 16.0

    def _uniform(self) -> distributions.Uniform:
        return distributions.Uniform(self.low, self.high)

    def _map(self, x: Array, dtype: np.dtype[Any]) -> Array:
        return log(x)

    def support(self) -> tuple[float, float]:
        """(ln low, ln high)."""
        return math.log(self.low), math.log(self.high)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation."""
        a, b = self.low, self.high
        la, lb, width = math.log(a), math.log(b), b - a
        mean = (b * lb - a * la) / width - 1.0
        second = (b * (lb * lb - 2 * lb + 2) - a * (la * la - 2 * la + 2)) / width
        return mean, math.sqrt(max(second - mean * mean, 0.0))


@dataclass(frozen=True, repr=False, eq=False)
class LogRange(Initializer):
    """ln(1), ln(2), ln(3), ... along the last axis: Mamba's and S4D's A.

    Each is the nearest float64, rounded to the dtype; to 16 bits by way of float32.

    >>> np.exp(pi.models.LogRange()((4,))).round(5).tolist()
    [1.0, 2.0, 3.0, 4.0]

    Raises
    ------
    ValueError
        When called: a shape without an axis.
    NotImplementedError
        When called: for the memory of a CUDA device.

    References
    ----------
    S4D-Real: Gu et al. 2022, arXiv:2206.11893.
    """

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if not shape:
            raise ValueError("`shape` must have an axis to count along; got shape=()")

    def _write(self, target: Target) -> None:
        view, shape, part, _, progress = target
        self._check(shape, view.dtype)
        check_in_cpu_memory(_WHAT, view)
        start, count = 0, shape[-1]
        if part is not None and not (isinstance(part, Rows) and len(shape) > 1):
            if isinstance(part, Rows):
                view[...] = self._table(0, count, view.dtype)[part.host_ids]
                count = 0
            else:
                start, count = part.starts[-1], part.lengths[-1]
                view = view.reshape(part.lengths)
        if count and view.size:
            view[...] = self._table(start, count, view.dtype)
        if progress is not None:
            progress(target.view.size, target.view.size)

    def _table(self, start: int, count: int, dtype: np.dtype[Any]) -> Array:
        whole = dtype if dtype.itemsize > 2 else np.dtype(np.float32)
        numbers = [ln(n + 1.0) for n in range(start, start + count)]
        return np.array(numbers, np.float64).astype(whole).astype(dtype)
