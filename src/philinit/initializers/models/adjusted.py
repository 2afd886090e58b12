# SPDX-License-Identifier: Apache-2.0
"""An initializer with rows of zeros, and one that writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit.checks import is_bool, is_ordered, shown
from philinit.initializers.base import Initializer, check_init
from philinit.initializers.models.composites import Adjusted
from philinit.parts import Rows
from philinit.targets import Target


@dataclass(frozen=True, repr=False, eq=False)
class Padded(Adjusted):
    """An initializer with zeros in some rows, as at the `padding_idx` of an embedding.

    The other rows are those that they would be without: the stream goes on below the zeros.

    >>> table = pi.models.Padded(pi.Normal(seed=42), 0)((1000, 64))
    >>> bool(table[0].any()), bool(table[1].any())
    (False, True)

    Parameters
    ----------
    initializer : initializer
    padding : int, or sequence of int
        Rows, by their positions on the first axis; negative ones count from the end.
    """

    initializer: Any
    padding: Any

    def __post_init__(self) -> None:
        check_init(self.initializer)
        rows = tuple(self.padding) if is_ordered(self.padding) else (self.padding,)
        if any(is_bool(row) or not isinstance(row, int) for row in rows):
            raise TypeError(f"`padding` must be ints; got padding={shown(self.padding)}")
        object.__setattr__(self, "padding", rows)

    def _rows(self, shape: tuple[int, ...]) -> list[int]:
        """The rows counted from the front."""
        if not shape or not all(-shape[0] <= row < shape[0] for row in self.padding):
            raise ValueError(
                f"`padding` must be rows of the tensor; got {self.padding} for shape={shape}"
            )
        return sorted({row % shape[0] for row in self.padding})

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._rows(shape)
        super()._check(shape, dtype)

    def _write(self, target: Target) -> None:
        view, shape, part, _, _ = target
        rows = self._rows(shape)
        zero: Any = None  # indices of rows
        if isinstance(part, Rows):  # before anything is written, since it may refuse
            zero = zip(*np.nonzero(np.isin(np.atleast_1d(part.host_ids), rows)), strict=True)
        self.initializer._write(target)
        if isinstance(part, Rows):
            view = view if part.ids.ndim else view[None]
        else:
            start, count = (0, shape[0]) if part is None else (part.starts[0], part.lengths[0])
            zero = (row - start for row in rows if start <= row < start + count)
            view = view if part is None else view.reshape(part.lengths)
        if view.size:
            bits = view.view(np.dtype(f"u{view.dtype.itemsize}"))  # CuPy stores those of any dtype
            for index in zero:
                bits[index] = 0


@dataclass(frozen=True, repr=False, eq=False)
class Keep(Initializer):
    """Leaves a parameter, or a part of one, as it is; it must have memory.

    >>> w = np.arange(3, dtype=np.float32)
    >>> pi.models.Keep().fill(w).tolist()
    [0.0, 1.0, 2.0]
    """

    def __call__(self, shape: Any, dtype: Any = None, *, out: Any = None, **call: Any) -> Any:
        """`out` as it is.

        Raises
        ------
        ValueError
            There is no `out`.
        """
        if out is None:
            raise ValueError("`out` must be given to be left as it is; got none")
        return super().__call__(shape, dtype, out=out, **call)

    def _write(self, target: Target) -> None:
        if target.progress is not None:
            target.progress(target.view.size, target.view.size)
