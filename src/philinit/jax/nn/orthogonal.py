# SPDX-License-Identifier: Apache-2.0
"""Orthogonal matrices with JAX's choice of axes, and kernels of convolutions that hold one."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit.checks import is_bool
from philinit.initializers import sparse
from philinit.initializers.base import Array
from philinit.initializers.orthogonal import Orthogonal
from philinit.targets import Target


@dataclass(frozen=True, repr=False, eq=False)
class ColumnsOrthogonal(Orthogonal):
    """`Orthogonal` whose columns are numbered along `column_axis`, its rows along all others."""

    column_axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        axis = self.column_axis
        if is_bool(axis) or not hasattr(axis, "__index__"):
            raise TypeError(f"`column_axis` must be an int; got column_axis={axis!r}")
        object.__setattr__(self, "column_axis", operator.index(axis))

    def _write(self, target: Target) -> None:
        if len(target.shape) > 1:  # else it has no matrix, says the class above
            self._check_axis(len(target.shape), target.shape)
        super()._write(target)

    def _check_axis(self, rank: int, shape: tuple[int, ...]) -> None:
        if not -rank <= self.column_axis < rank:
            raise ValueError(
                f"`column_axis` must lie in [{-rank}, {rank}) for shape={shape}; "
                f"got column_axis={self.column_axis}"
            )

    def _matrix(self, target: Target, shape: tuple[int, ...], here: bool) -> Array:
        others = list(shape)
        columns = others.pop(self.column_axis)
        here = here and self.column_axis % len(shape) == len(shape) - 1
        matrix = super()._matrix(target, (*others, columns), here)
        return np.moveaxis(matrix, -1, self.column_axis)


@dataclass(frozen=True, repr=False, eq=False)
class DeltaOrthogonal(sparse.DeltaOrthogonal):
    """A kernel of 3, 4 or 5 axes with the matrix of `ColumnsOrthogonal` at its center."""

    column_axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "column_axis", self._matrix().column_axis)

    def _matrix(self) -> ColumnsOrthogonal:
        return ColumnsOrthogonal(self.gain, self.column_axis, seed=self.seed, names=self.names)

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if not 3 <= len(shape) <= 5:
            raise ValueError(
                "`shape` must have 3, 4 or 5 axes for the kernel of a convolution; "
                f"got shape={shape}"
            )
        super()._check(shape, dtype)
        self._matrix()._check_axis(2, shape)
