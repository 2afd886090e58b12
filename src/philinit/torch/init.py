# SPDX-License-Identifier: Apache-2.0
"""`torch.nn.init` with philinit's numbers: the same names, arguments, errors and warnings.

Write ``from philinit.torch import init`` instead of ``from torch.nn import init``. Each function
writes the tensor in place, outside autograd, and returns it. The numbers come from

- ``seed=``, which torch does not have: those of philinit's initializer with that seed;
- or, inside a `philinit.torch.accelerate` block, the streams of that block;
- or a key drawn from `generator`, by default torch's CPU generator, which advances. So
  ``torch.manual_seed`` makes runs repeatable. (The numbers are not those that torch would draw.)

torch itself draws what philinit cannot: dtypes other than those of `philinit.torch.fill_`, devices
other than CPUs and CUDA, the meta device, fake, sparse and quantized tensors, and DTensors without
a seed. With ``seed=`` these are an error. The functions for constants are torch's own. A
tensor that is not contiguous is filled through a copy.

Examples
--------
>>> import torch
>>> from philinit.torch import init
>>> w = init.trunc_normal_(torch.empty(3, 5), std=0.02, a=-0.04, b=0.04, seed=1)
>>> bool(w.abs().max() <= 0.04)
True
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.init import calculate_gain, constant_, dirac_, eye_, ones_, zeros_

from philinit.initializers.base import Initializer
from philinit.keys import Key
from philinit.torch import draws, streams
from philinit.torch.checks import is_dtensor
from philinit.torch.memory import fill_, write

#: torch's functions once those in torch.nn.init have other code: copies, which `patch` makes first.
OWN: dict[str, Callable[..., Any]] = {}


def drawn(
    name: str, own: Callable[..., Any], tensor: Any, arguments: tuple[Any, ...], generator: Any
) -> Any:
    """What `draws` gives for `name`, written; where it refuses, what `own` of torch does."""
    found = streams.current()
    try:
        draws.check_target(tensor, generator, found is not None and found.agree)
        draw = draws.BY_NAME[name](tensor, *arguments)
    except draws.REFUSED:  # nothing was drawn: torch does as without us, errors and warnings too
        keyword = {} if generator is None else {"generator": generator}
        return own(tensor, *arguments, **keyword)
    key = streams.from_generator(generator) if found is None else found.key(tensor, generator)
    return _written(tensor, draw(key))


def _written(tensor: Any, init: Initializer) -> Any:
    """`tensor`, filled whatever its strides: torch, too, copies where it is not contiguous."""
    if is_dtensor(tensor):
        return fill_(tensor, init)
    if tensor.is_contiguous():
        return write(tensor, init)
    made = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    with torch.no_grad():
        return tensor.copy_(write(made, init))


def _drawn(name: str, tensor: Any, arguments: tuple[Any, ...], generator: Any, seed: Any) -> Any:
    if seed is None:
        own = OWN.get(name) or getattr(torch.nn.init, name)
        return drawn(name, own, tensor, arguments, generator)
    if generator is not None:
        raise ValueError(
            "one of `seed` and `generator` must be left out; got both: pass the seed alone for "
            "philinit's numbers of that seed"
        )
    key = Key.from_seed(seed)
    draws.check_target(tensor, None, True)
    return _written(tensor, draws.BY_NAME[name](tensor, *arguments)(key))


def uniform_(
    tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None, *, seed: int | None = None
) -> Any:
    """Fill `tensor` from U[a, b): ``philinit.Uniform(a, b)``.

    >>> w = init.uniform_(torch.empty(64, 8), -0.1, 0.1, seed=42)
    """
    return _drawn("uniform_", tensor, (a, b), generator, seed)


def normal_(
    tensor: Any,
    mean: float = 0.0,
    std: float = 1.0,
    generator: Any = None,
    *,
    seed: int | None = None,
) -> Any:
    """Fill `tensor` from N(mean, std**2): ``philinit.Normal(mean, std)``.

    >>> w = init.normal_(torch.empty(64, 8), std=0.02, seed=42)
    """
    return _drawn("normal_", tensor, (mean, std), generator, seed)


def trunc_normal_(
    tensor: Any,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
    *,
    seed: int | None = None,
) -> Any:
    """Fill `tensor` from N(mean, std**2) cut at the numbers a and b, both ends closed.

    They are no multiples of `std`: ``philinit.TruncatedNormal(mean, std, (a - mean) / std,
    (b - mean) / std)``. With torch's defaults and std=0.02 the cut lies at 100 standard deviations.

    >>> w = init.trunc_normal_(torch.empty(64, 8), std=0.02, a=-0.04, b=0.04, seed=42)
    """
    return _drawn("trunc_normal_", tensor, (mean, std, a, b), generator, seed)


def xavier_uniform_(
    tensor: Any, gain: float = 1.0, generator: Any = None, *, seed: int | None = None
) -> Any:
    """Fill `tensor` from U[-limit, limit), limit = gain sqrt(6 / (fan_in + fan_out)).

    >>> bool((init.xavier_uniform_(torch.empty(16, 8), seed=42).abs() <= 0.5).all())
    True
    """
    return _drawn("xavier_uniform_", tensor, (gain,), generator, seed)


def xavier_normal_(
    tensor: Any, gain: float = 1.0, generator: Any = None, *, seed: int | None = None
) -> Any:
    """Fill `tensor` from N(0, std**2), not truncated, std = gain sqrt(2 / (fan_in + fan_out)).

    >>> w = init.xavier_normal_(torch.empty(64, 8), gain=2.0, seed=42)
    """
    return _drawn("xavier_normal_", tensor, (gain,), generator, seed)


def kaiming_uniform_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
    *,
    seed: int | None = None,
) -> Any:
    """Fill `tensor` from U[-limit, limit), limit = gain sqrt(3 / fan), the gain torch's.

    >>> w = init.kaiming_uniform_(torch.empty(64, 8), nonlinearity="relu", seed=42)
    """
    return _drawn("kaiming_uniform_", tensor, (a, mode, nonlinearity), generator, seed)


def kaiming_normal_(
    tensor: Any,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
    *,
    seed: int | None = None,
) -> Any:
    """Fill `tensor` from N(0, std**2), std = gain / sqrt(fan), the gain torch's.

    >>> w = init.kaiming_normal_(torch.empty(64, 8), mode="fan_out", seed=42)
    """
    return _drawn("kaiming_normal_", tensor, (a, mode, nonlinearity), generator, seed)


def orthogonal_(
    tensor: Any, gain: float = 1, generator: Any = None, *, seed: int | None = None
) -> Any:
    """Fill `tensor` with `gain` times a (semi-)orthogonal matrix, all axes but the first flattened.

    ``philinit.Orthogonal(gain)`` of shape (len(tensor), -1).

    >>> w = init.orthogonal_(torch.empty(16, 8), seed=42)
    >>> torch.allclose(w.T @ w, torch.eye(8), atol=1e-5)
    True
    """
    return _drawn("orthogonal_", tensor, (gain,), generator, seed)


def sparse_(
    tensor: Any,
    sparsity: float,
    std: float = 0.01,
    generator: Any = None,
    *,
    seed: int | None = None,
) -> Any:
    """Fill `tensor`, of 2 axes, from N(0, std**2), but a share `sparsity` of each column with 0.

    The zeros depend on `seed` or `generator` too; torch takes them from its default generator.

    >>> int((init.sparse_(torch.empty(64, 8), 0.5, seed=42) == 0).sum())
    256
    """
    return _drawn("sparse_", tensor, (sparsity, std), generator, seed)


# --- torch's names of before, which warn ----------------------------------------------------------


def _deprecated(function: Callable[..., Any]) -> Callable[..., Any]:
    def deprecated_init(*args: Any, **kwargs: Any) -> Any:
        warnings.warn(
            f"`nn.init.{function.__name__[:-1]}` is now deprecated in favor of "
            f"`nn.init.{function.__name__}`.",
            FutureWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    deprecated_init.__name__ = deprecated_init.__qualname__ = function.__name__[:-1]
    deprecated_init.__doc__ = f"`{function.__name__}`, as torch has it: deprecated."
    return deprecated_init


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)

__all__ = [
    "calculate_gain",
    "uniform_",
    "normal_",
    "trunc_normal_",
    "constant_",
    "ones_",
    "zeros_",
    "eye_",
    "dirac_",
    "xavier_uniform_",
    "xavier_normal_",
    "kaiming_uniform_",
    "kaiming_normal_",
    "orthogonal_",
    "sparse_",
    "uniform",
    "normal",
    "constant",
    "eye",
    "dirac",
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "orthogonal",
    "sparse",
]
