# SPDX-License-Identifier: Apache-2.0
"""CUDA devices: memory there, compiled kernels, and their launch. CuPy is imported when used."""

from __future__ import annotations

from typing import Any

__all__ = ["prepare"]


def prepare(
    distribution: Any, dtype: Any = "float32", *, sampler: str = "native", device: int | None = None
) -> None:
    """Compile and load the kernels of a fill, so that a CUDA graph can be captured of one.

    Takes 0.1 to 1.5 s where they are not in the cache, and nothing where they are loaded. A fill
    of the same kind does the same; nothing is filled here.

    Parameters
    ----------
    distribution, sampler
        As for `philinit.fill`.
    dtype : dtype
        Of the memory: one of `philinit.dtypes.NAMES`.
    device : int, optional
        N of "cuda:N"; CuPy's current device by default.

    Raises
    ------
    ImportError, RuntimeError
        There is no CuPy, no NVRTC, or no device that works; the current stream is being captured.
    ValueError, NotImplementedError
        What `philinit.fill` refuses.

    Examples
    --------
    >>> from philinit.distributions import Normal
    >>> from philinit.filling.cuda import prepare
    >>> prepare(Normal(0.0, 0.02), "bfloat16")  # doctest: +SKIP
    """
    from philinit.checks import check_sampler
    from philinit.dtypes import as_dtype
    from philinit.filling.cuda import launch, memory
    from philinit.kernels.plan import plan

    planned = plan(distribution, as_dtype(dtype), check_sampler(sampler))
    launch.load(planned, memory.device_index(device))
