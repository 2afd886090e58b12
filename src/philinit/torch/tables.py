# SPDX-License-Identifier: Apache-2.0
"""Rows of a table that need not exist, as new tensors."""

from __future__ import annotations

from typing import Any

import torch

from philinit.checks import Progress, check_progress, check_threads
from philinit.initializers.base import check_init
from philinit.parts import Rows
from philinit.targets import Target
from philinit.torch.checks import DTYPES, is_dtensor
from philinit.torch.initializers import check_layout
from philinit.torch.memory import opened
from philinit.torch.private import DISPATCH
from philinit.torch.traced import check_traced, number_of, operator_of_rows


def rows(
    init: Any,
    shape: Any,
    ids: Any,
    dtype: Any = None,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """torch.Tensor of the rows `ids` of the tensor of shape `shape`, of which nothing else is made.

    ``init(shape)[ids]`` bit for bit, also of tables that no memory could hold: for embeddings whose
    rows are made when they are first asked for. Nothing is copied. No gradient goes through: the
    rows are constants that `ids` choose.

    Parameters
    ----------
    init : philinit initializer
        Fans come from `shape`; see `fill_`.
    shape : int, or sequence of int
        Of the whole table, up to 2**62 elements.
    ids : torch.Tensor, or array of ints, of any shape
        In [0, shape[0]), duplicates allowed. The result has the shape of `ids`, then that of a row,
        and lies on the device of `ids`: a CPU's or, through CuPy, a CUDA device's memory.
    dtype : torch.dtype, optional
        As for `philinit.torch.fill_`; ``torch.get_default_dtype()`` by default.
    threads, progress
        As in ``init(shape)``.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        `ids` holds no integers, or one that is none of a row's; what `fill_` refuses of `init`.
    ImportError, RuntimeError
        `ids` is on a CUDA device, and there is no CuPy, or no device that works.

    Notes
    -----
    Under torch.compile this is an operator of the graph, ``philinit::rows``. `ids` of 64 bits are
    read where they are. One number comes back of those on a CUDA device, to check them, which waits
    for torch's stream, so that no CUDA graph can hold it.

    Examples
    --------
    >>> import torch, philinit as pi, philinit.torch as pt
    >>> init, shape = pi.Normal(stddev=0.02, seed=42), (10**12, 64)
    >>> pt.rows(init, shape, torch.tensor([[3, 10**11], [7, 7]])).shape
    torch.Size([2, 2, 64])
    """
    if torch.compiler.is_compiling():
        check_traced("rows", progress)
        return _in_graph(_rows, init, shape, ids, dtype, (("threads", threads),))
    return _made(init, Rows(shape, _numbers(ids), copy=False), ids, dtype, threads, progress)


_rows = operator_of_rows("rows", rows, axes=1)


def rows_by_key(
    init: Any,
    width: Any,
    keys: Any,
    dtype: Any = None,
    *,
    global_shape: Any = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Any:
    """torch.Tensor of rows of a table without a size, each a pure function of `init` and its key.

    For tables that add rows while they are trained: a row that is evicted and added again is the
    same. Nothing is copied.

    Parameters
    ----------
    init, width, global_shape
        As in ``init.rows_by_key``; where there is a `global_shape`, see `fill_` for its fans.
    keys : torch.Tensor, or array of ints, of any shape
        The rows lie on the device of `keys`: in a CPU's or, through CuPy, a CUDA device's memory.
    dtype : torch.dtype, optional
        As for `philinit.torch.fill_`; ``torch.get_default_dtype()`` by default.
    threads, progress
        As in ``init(shape)``.

    Raises
    ------
    TypeError, ValueError, NotImplementedError
        What ``init.rows_by_key`` refuses, and `fill_` of `init`; `keys` without values.
    ImportError, RuntimeError
        `keys` is on a CUDA device, and there is no CuPy, or no device that works.

    Notes
    -----
    Under torch.compile this is an operator of the graph, ``philinit::rows_by_key``; as in `rows`.

    Examples
    --------
    >>> import torch, philinit as pi, philinit.torch as pt
    >>> init = pi.Normal(stddev=0.02, seed=42)
    >>> pt.rows_by_key(init, 64, torch.tensor([[-3, 2**62], [7, 7]])).shape
    torch.Size([2, 2, 64])
    """
    if torch.compiler.is_compiling():
        check_traced("rows_by_key", progress)
        table = None if global_shape is None else tuple(global_shape)
        options = (("threads", threads), ("global_shape", table))
        return _in_graph(_rows_by_key, init, width, keys, dtype, options)
    check_init(init)
    part = init._by_key(width, _numbers(keys, "keys"), global_shape)
    return _made(init, part, keys, dtype, threads, progress)


_rows_by_key = operator_of_rows("rows_by_key", rows_by_key, axes=0)


def _in_graph(operator: Any, init: Any, shape: Any, ids: Any, dtype: Any, options: Any) -> Any:
    dtype = torch.get_default_dtype() if dtype is None else dtype
    sizes = [shape] if isinstance(shape, int) else list(shape)
    return operator(torch.as_tensor(ids), sizes, number_of(init, dtype, options))


def _made(
    init: Any, part: Rows, ids: Any, dtype: Any, threads: int | None, progress: Progress | None
) -> Any:
    """A part as a new tensor, where `ids` are."""
    found = torch.get_default_dtype() if dtype is None else dtype
    if found not in DTYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(map(str, DTYPES))}; got dtype={dtype}")
    check_layout(init, part.global_shape)
    if threads is not None or progress is not None:
        threads, progress = check_threads(threads), check_progress(progress)
    made = torch.empty(part.shape, dtype=found, device=getattr(ids, "device", "cpu"))
    with opened(made) as view:
        init._write(Target(view, part.global_shape, part, threads, progress))
    return made


def _numbers(ids: Any, name: str = "ids") -> Any:
    """`ids` as an array over their memory where they are a tensor, but for a CUDA device's."""
    if not isinstance(ids, torch.Tensor):
        return ids
    if type(ids).__torch_dispatch__ != DISPATCH or is_dtensor(ids) or ids.is_meta:
        raise TypeError(
            f"`{name}` must be a plain torch.Tensor with values, or an array; got a "
            f"{type(ids).__name__} on device {str(ids.device)!r}"
        )
    return ids.detach() if ids.is_cuda else ids.detach().cpu().numpy()
