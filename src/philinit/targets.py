# SPDX-License-Identifier: Apache-2.0
"""Memory to write, checked and opened: what every private core takes."""

from __future__ import annotations

from typing import Any, NamedTuple

from philinit.checks import Progress


class Target(NamedTuple):
    """Memory that was checked and opened, and how it is to be written."""

    view: Any  # ndarray or CuPy array: writable, of one of `dtypes.NAMES`, in C order, with gaps
    shape: tuple[int, ...]  # of the whole tensor: fans come from it
    part: Any = None  # the Shard or Rows of the tensor that `view` is, of its shape; None: all
    threads: int | None = None  # for CPUs; None: as many as the process may use
    progress: Progress | None = None
