# SPDX-License-Identifier: Apache-2.0
"""Initializers of mostly zeros: Dirac, DeltaOrthogonal, Sparse."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from philinit.checks import check_in_cpu_memory, finite, is_bool, shown
from philinit.distributions import Normal, Uniform
from philinit.filling.fill import draw
from philinit.initializers.base import Array, Initializer
from philinit.initializers.constants import nearest
from philinit.initializers.fans import as_roles, compute_fans
from philinit.initializers.orthogonal import Orthogonal
from philinit.initializers.seeded import Seeded
from philinit.kernels.plan import plan
from philinit.targets import Target


class _Mostly(Initializer):
    """Written as a whole, of which a shard is cut out."""

    elementwise = False

    def _fill(self, whole: Array, threads: int | None) -> None:
        """Write a whole tensor."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise what `_fill` would raise for this shape and dtype."""
        raise NotImplementedError(f"`{type(self).__name__}` is abstract: use one of its subclasses")

    def _write(self, target: Target) -> None:
        view, shape, part, threads, progress = target
        self._check(shape, view.dtype)
        check_in_cpu_memory(f"{type(self).__name__} is", view)
        if part is None:
            self._fill(view, threads)
        elif view.size:
            whole = np.empty(shape, view.dtype)
            self._fill(whole, threads)
            view[...] = whole[part.index]
        if progress is not None:
            progress(view.size, view.size)


class _Centered(_Mostly):
    """A matrix (in, out) at the center of a convolution's kernel, 0 elsewhere."""

    gain: float
    in_axis: int
    out_axis: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "gain", finite("gain", self.gain))
        roles = as_roles(self.in_axis, self.out_axis, ())
        for name in ("in_axis", "out_axis"):
            axis = roles[name]
            if not isinstance(axis, int):
                raise TypeError(f"`{name}` must be one axis of a kernel; got {name}={axis}")
            object.__setattr__(self, name, axis)

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if len(shape) < 3:
            raise ValueError(
                f"`shape` must have at least 3 axes for a convolution; got shape={shape}"
            )
        compute_fans(shape, self.in_axis, self.out_axis)
        self._check_channels(shape[self.in_axis], shape[self.out_axis])
        nearest("gain", self.gain, dtype)

    def _check_channels(self, channels_in: int, channels_out: int) -> None:
        raise NotImplementedError

    def _center(self, kernel: Array) -> Array:
        """A view of the matrix (in, out) at the center."""
        moved = np.moveaxis(kernel, (self.in_axis, self.out_axis), (-2, -1))
        center: Array = moved[tuple(self._middle(n) for n in moved.shape[:-2])]
        return center

    @staticmethod
    def _middle(length: int) -> int:
        raise NotImplementedError


@dataclass(frozen=True, repr=False, eq=False)
class Dirac(_Centered):
    """Convolutions that hand on their channels: `gain` at the center, 0 elsewhere.

    Channel c of each group comes from channel c of its inputs, as in `torch.nn.init.dirac_`; the
    center is at ``size // 2``. Where there are more channels out than in, the rest is 0.

    >>> w = pi.models.Dirac()((3, 3, 8, 8))
    >>> bool((w[1, 1] == np.eye(8)).all()), float(w.sum())
    (True, 8.0)

    Parameters
    ----------
    gain : float
        Finite.
    groups : int
        Of the convolution; divides the channels out.
    in_axis, out_axis : int
        Of a kernel, one each: -2 and -1, as in Keras, by default; 1 and 0 for torch's.

    Raises
    ------
    TypeError, ValueError
        When made: parameters not as described above. When called: less than 3 axes; channels
        that `groups` does not divide; a gain that the dtype cannot hold.
    NotImplementedError
        When called: for the memory of a CUDA device.
    """

    gain: float = 1.0
    groups: int = 1
    in_axis: int = field(default=-2, kw_only=True)
    out_axis: int = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_bool(self.groups) or not isinstance(self.groups, int):
            raise TypeError(f"`groups` must be an int; got groups={shown(self.groups)}")
        if self.groups < 1:
            raise ValueError(f"`groups` must be at least 1; got groups={self.groups}")

    def _check_channels(self, channels_in: int, channels_out: int) -> None:
        if channels_out % self.groups:
            raise ValueError(
                "`groups` must divide the channels out; "
                f"got groups={self.groups} for {channels_out} channels"
            )

    @staticmethod
    def _middle(length: int) -> int:
        return length // 2

    def _fill(self, whole: Array, threads: int | None) -> None:
        whole[...] = 0
        if not whole.size:
            return
        center = self._center(whole)
        size = center.shape[1] // self.groups
        channels = np.arange(min(center.shape[0], size))
        for group in range(self.groups):
            center[channels, group * size + channels] = nearest("gain", self.gain, whole.dtype)


@dataclass(frozen=True, repr=False, eq=False)
class DeltaOrthogonal(_Centered, Seeded):
    """Convolutions that keep the norm: orthonormal rows times `gain` at the center, 0 elsewhere.

    The matrix (in, out) is that of `Orthogonal`; the center is at ``(size - 1) // 2``. Xiao et al.
    2018, arXiv:1806.05393.

    >>> center = pi.models.DeltaOrthogonal(seed=42)((3, 3, 8, 8))[1, 1]
    >>> bool(np.allclose(center @ center.T, np.eye(8), atol=1e-5))
    True

    Parameters
    ----------
    gain : float
        Finite.
    in_axis, out_axis : int
        Of a kernel, one each: -2 and -1, as in Keras, by default; 1 and 0 for torch's.
    seed, names, from_entropy
        As in `Seeded`. There is no sampler to choose.

    Raises
    ------
    TypeError, ValueError
        When made: parameters not as described above. When called: less than 3 axes; more
        channels in than out; a gain that the dtype cannot hold.
    NotImplementedError
        When called: for the memory of a CUDA device.
    """

    gain: float = 1.0
    in_axis: int = field(default=-2, kw_only=True)
    out_axis: int = field(default=-1, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        Seeded.__post_init__(self)

    def _check_channels(self, channels_in: int, channels_out: int) -> None:
        if channels_in > channels_out:
            raise ValueError(
                "a delta-orthogonal kernel must not have more channels in than out; got "
                f"{channels_in} in and {channels_out} out"
            )

    @staticmethod
    def _middle(length: int) -> int:
        return (length - 1) // 2

    def _fill(self, whole: Array, threads: int | None) -> None:
        whole[...] = 0
        if not whole.size:
            return
        center = self._center(whole)
        center[...] = self._matrix()(center.shape, whole.dtype, threads=threads)

    def _matrix(self) -> Orthogonal:
        return Orthogonal(self.gain, seed=self.seed, names=self.names)


@dataclass(frozen=True, repr=False, eq=False)
class Sparse(_Mostly, Seeded):
    """N(0, stddev) with ``ceil(sparsity * rows)`` zeros in each column, at random; Martens 2010.

    As `torch.nn.init.sparse_`: every set of so many rows of a column W[:, j] is as likely as any
    other. The numbers between the zeros are those of `Normal` with the same seed and names.

    >>> w = pi.models.Sparse(0.75, seed=42)((100, 8))
    >>> (w == 0).sum(axis=0).tolist()
    [75, 75, 75, 75, 75, 75, 75, 75]

    Parameters
    ----------
    sparsity : float
        In [0, 1].
    stddev : float
        At least 0; of the numbers that are not zeros.
    seed, names, from_entropy
        As in `Seeded`. There is no sampler to choose.

    Raises
    ------
    TypeError, ValueError
        When made: parameters not as described above. When called: not 2 axes.
    NotImplementedError
        When called: for the memory of a CUDA device.
    """

    sparsity: float = 0.9
    stddev: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        sparsity = finite("sparsity", self.sparsity)
        if not 0.0 <= sparsity <= 1.0:
            raise ValueError(f"`sparsity` must be in [0, 1]; got sparsity={sparsity}")
        object.__setattr__(self, "sparsity", sparsity)
        object.__setattr__(self, "stddev", Normal(0.0, self.stddev).stddev)

    def _check(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if len(shape) != 2:
            raise ValueError(f"`shape` must have 2 axes for a sparse matrix; got shape={shape}")
        plan(Normal(0.0, self.stddev), dtype, "native")

    def _fill(self, whole: Array, threads: int | None) -> None:
        rows, columns = whole.shape
        draw(Target(whole, whole.shape, threads=threads), Normal(0.0, self.stddev), self.key)
        zeros = math.ceil(self.sparsity * rows)
        order, key = np.empty(rows, np.float64), self.key.fold_in("zeros")
        for column in range(columns):  # the rows in the order of random numbers
            target = Target(order, order.shape, threads=1)
            draw(target, Uniform(0.0, 1.0), key.fold_in(column))
            whole[np.argsort(order, kind="stable")[:zeros], column] = 0
