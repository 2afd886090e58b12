# SPDX-License-Identifier: Apache-2.0
"""Rows by key: those of a table that has no size, and whose rows have keys instead of numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from philinit.checks import as_shape, shown
from philinit.ids import keys_of_rows
from philinit.parts import Rows
from philinit.runs import Runs, Strides

# Row K begins 2**63 + 2**64 K counters behind the base of a stream: the two words of K add to the
# two upper ones, and the bit that is set in the lower two says that it is a row by key.
ROWS_BY_KEY = 1 << 63

# Weights of a row, at the most: rows cannot meet, and a launch on a device holds a whole one.
WIDTH_LIMIT = 1 << 28


@dataclass(frozen=True, eq=False)
class RowsByKey(Rows):
    """Rows by key of a table, in the order of `ids`; fans are those of its shape.

    Parameters
    ----------
    global_shape : sequence of int
        Of any number of rows, which bounds no key, and of at most 2**28 weights a row.
    ids : int, or array of ints of any shape
        Keys in [-2**63, 2**64), duplicates allowed; negative ones stand for their two's complement
        in 64 bits. Stored as uint64.

    Raises
    ------
    TypeError, ValueError
        `ids` holds no integers, or one outside of 64 bits; no axis; too long a row.
    """

    _named = "keys"

    def __post_init__(self, copy: bool) -> None:
        shape = as_shape(self.global_shape)
        if math.prod(shape[1:]) > WIDTH_LIMIT:
            raise ValueError(f"`width` must be at most 2**28 weights; got width={shape[1:]}")
        object.__setattr__(self, "global_shape", shape)
        self._take(keys_of_rows(self.ids, copy=copy))

    def runs_into(self, strides: Strides) -> Runs:
        """The rows as runs, in the order of their keys, and where they go."""
        runs = super().runs_into(strides)
        if len(runs.axes) > 1:
            raise NotImplementedError(
                f"rows by key must each be contiguous in `out`; got strides {strides}"
            )
        return replace(runs, axes=tuple((count, 0) for count, _ in runs.axes), keyed=True)


def rows_of(width: Any, keys: Any, global_shape: Any = None) -> RowsByKey:
    """Rows of a width, or of a shape; fans are those of one row where no table is named.

    The part is for one call: keys of 64 bits are used where they are.
    """
    row = as_shape(width)
    table = (1, *row) if global_shape is None else as_shape(global_shape)
    if not table or table[1:] != row:
        raise ValueError(
            "`global_shape` must be (rows, width), a table of such rows; got "
            f"global_shape={table} for width={shown(width)}"
        )
    return RowsByKey(table, keys, copy=False)
