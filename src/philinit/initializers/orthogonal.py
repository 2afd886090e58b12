# SPDX-License-Identifier: Apache-2.0
"""Orthogonal: the one initializer whose elements are not independent of each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from philinit import distributions
from philinit.checks import check_in_cpu_memory, finite
from philinit.filling.fill import draw
from philinit.filling.memory import empty
from philinit.initializers.base import Array
from philinit.initializers.constants import nearest
from philinit.initializers.seeded import Seeded
from philinit.targets import Target


@dataclass(frozen=True, repr=False, eq=False)
class Orthogonal(Seeded):
    """Orthonormal rows or columns times `gain`: W W^T or W^T W = gain**2 I; Saxe et al. 2014.

    All axes but the last are flattened, as in Keras: W is prod(shape[:-1]) x shape[-1]. W = Q
    sign(diag R) of the QR factors of a standard normal matrix (transposed where it is wide), which
    makes Q uniform over the orthogonal matrices (Mezzadri 2007, arXiv:math-ph/0609050).

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
    Unlike everything else in this package the bits are *not* the same everywhere: the factors come
    from LAPACK, whose rounding depends on library, CPU and threads. The work is done in float64
    for float64 and in float32 otherwise, rounded once for the smaller dtypes, and takes memory for
    a few matrices; Ctrl-C takes effect after the factorization. A shard is cut out of the whole
    matrix, which every caller computes.
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
            dtype = np.float64 if view.dtype == np.float64 else np.float32
            whole = self._matrix(shape, dtype, target.threads)
            view[...] = whole if part is None else whole[part.index]
        if target.progress is not None:
            target.progress(view.size, view.size)

    def _matrix(self, shape: tuple[int, ...], dtype: Any, threads: int | None) -> Array:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = empty((max(rows, columns), min(rows, columns)), np.dtype(dtype))
        target = Target(normal, normal.shape, threads=threads)
        draw(target, distributions.Normal(), self.key)
        q, r = np.linalg.qr(normal)
        q *= np.where(np.diagonal(r) < 0, -self.gain, self.gain).astype(dtype)
        return (q if rows >= columns else q.T).reshape(shape)
