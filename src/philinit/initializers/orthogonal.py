# SPDX-License-Identifier: Apache-2.0
"""Orthogonal: the one initializer whose elements are not independent of each other."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit import forks
from philinit.checks import check_in_cpu_memory, finite
from philinit.dtypes import FLOAT32, FLOAT64
from philinit.filling.memory import empty
from philinit.initializers.base import Array
from philinit.initializers.constants import nearest
from philinit.initializers.seeded import Seeded
from philinit.targets import Target


@dataclass(frozen=True, repr=False, eq=False)
class Orthogonal(Seeded):
    """Orthonormal rows or columns times `gain`: W W^T or W^T W = gain**2 I; Saxe et al. 2014.

    All axes but the last are flattened, as in Keras: W is prod(shape[:-1]) x shape[-1]. W is
    uniform over all such matrices (the Haar measure): a product of Householder reflections of
    independent normal vectors (Stewart 1980, doi:10.1137/0717034), transposed where W is wide.

    >>> w = pi.Orthogonal(2.0, seed=42)((16, 64))
    >>> bool(np.allclose(w @ w.T, 4 * np.eye(16), atol=1e-4))
    True

    Parameters
    ----------
    gain : float
        Finite.
    seed, names, from_entropy
        As in `Seeded`. There is no sampler to choose.

    Raises
    ------
    TypeError, ValueError
        When made: `gain` is no finite real number. When called: a shape with less than 2 axes; a
        gain that the dtype cannot hold.
    NotImplementedError
        When called: for the memory of a CUDA device.

    Notes
    -----
    Bit-identical on every CPU and for any number of threads. The work is done in float64 for
    float64 and in float32 otherwise, rounded once for the smaller dtypes. A tall or square matrix
    of float32 or float64 is made where it belongs, others beside it, and a shard is cut out of the
    whole matrix, which every caller computes; 96 columns of normals come on top. `progress` is told
    the share of the work that is done, in weights.
    """

    gain: float = 1.0

    elementwise = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "gain", finite("gain", self.gain))

    def _write(self, target: Target) -> None:
        view, shape, part = target.view, target.shape, target.part
        if len(shape) < 2:
            raise ValueError(
                f"`shape` must have at least 2 axes for an orthogonal matrix; got shape={shape}"
            )
        nearest("gain", self.gain, view.dtype)
        check_in_cpu_memory("an orthogonal matrix is", view)
        if view.size:
            here = part is None and view.flags.c_contiguous and view.dtype in (FLOAT32, FLOAT64)
            whole = self._matrix(target, shape, here)
            if not np.may_share_memory(whole, view):
                view[...] = whole if part is None else whole[part.index]
        if target.progress is not None:
            target.progress(view.size, view.size)

    def _matrix(self, target: Target, shape: tuple[int, ...], here: bool) -> Array:
        """A tensor of the whole `shape`; in the memory of the target where `here` and it fits."""
        view, progress = target.view, target.progress
        rows, columns = math.prod(shape[:-1]), shape[-1]
        if here and rows >= columns:
            matrix = view.reshape(rows, columns)
        else:
            dtype = FLOAT64 if view.dtype == FLOAT64 else FLOAT32
            matrix = empty((max(rows, columns), min(rows, columns)), dtype)
        share = None
        if progress is not None:
            share = lambda done, total: progress(view.size * done // total, view.size)  # noqa: E731
        _reflections().orthonormal_columns(matrix, self.gain, self.key, target.threads, share)
        whole: Array = (matrix if rows >= columns else matrix.T).reshape(shape)
        return whole


@functools.cache
def _reflections() -> Any:  # late: they need the kernels
    with forks.lock:
        from philinit.filling import reflections

    return reflections
