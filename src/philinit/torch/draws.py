# SPDX-License-Identifier: Apache-2.0
"""What each function of torch.nn.init draws, by torch's own formulas, and where we do so.

All is decided before anything is drawn, so that a call that torch should rather answer itself takes
nothing from its generator and writes no byte.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch.nn.init import calculate_gain

from philinit.checks import finite, real
from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.dtypes import in_c_order
from philinit.filling.devices import resolve_device
from philinit.filling.memory import check_torch_memory
from philinit.initializers.base import Initializer
from philinit.initializers.orthogonal import Orthogonal
from philinit.initializers.seeded import KeyedDistribution
from philinit.initializers.sparse import Sparse
from philinit.kernels.plan import plan
from philinit.keys import Key
from philinit.targets import Target
from philinit.torch.checks import DTYPES, check_dense, is_dtensor
from philinit.torch.private import is_watched

Draw = Callable[[Key], Initializer]  # what writes a tensor, once there is a key

#: What says that a call is torch's to answer; other errors are bugs of ours, and show.
REFUSED = (TypeError, ValueError, NotImplementedError, ImportError, RuntimeError)

# No normal of the native sampler is as many standard deviations from its mean: 6.24 is the most in
# 32 bits, 9.09 in 64 bits (kernels/README.md, section 3).
_REACH = 10.0


# --- where we draw -------------------------------------------------------------------------------


def check_target(tensor: Any, generator: Any, agree: bool) -> None:
    """Refuse what torch should write itself: other kinds, dtypes and devices, and what has no
    memory; `agree` says whether all processes that hold a DTensor draw from the same stream.
    """
    local = check_dense(tensor)
    if local.is_meta or tensor.is_inference() or is_watched():
        raise ValueError("`tensor` must have memory, and be nobody else's to write")
    check_torch_memory(local, "tensor")
    if not local.is_contiguous():
        outermost = local.permute(sorted(range(local.dim()), key=local.stride, reverse=True))
        if not in_c_order(outermost.shape, outermost.stride()):
            raise ValueError(f"`tensor` must hold each element once; got strides {local.stride()}")
    if local is not tensor and (generator is not None or not agree):
        raise ValueError("a DTensor needs a seed, so that all processes draw from one stream")
    if generator is not None and generator.device != tensor.device:
        raise ValueError(f"`generator` must be one of {tensor.device}; got {generator.device}")
    if tensor.is_cuda:
        resolve_device(str(tensor.device))
    elif not tensor.is_cpu:
        raise NotImplementedError(f"`tensor` must be on a CPU or cuda device; got {tensor.device}")


def _independent(tensor: Any, kind: Any, *parameters: Any) -> Draw:
    """Every element of `tensor` from the distribution of a class with these parameters."""
    numbers = (real("parameter", value) for value in parameters)
    distribution = _checked(kind, *numbers, DTYPES[tensor.dtype])
    return lambda key: KeyedDistribution(distribution, key)


@functools.lru_cache(maxsize=1024)
def _checked(kind: Any, *arguments: Any) -> Distribution:
    *parameters, dtype = arguments
    distribution: Distribution = kind(*parameters)
    plan(distribution, dtype, "native")  # raises where the dtype cannot hold it
    return distribution


# --- what is drawn -------------------------------------------------------------------------------


def uniform_(tensor: Any, a: Any = 0.0, b: Any = 1.0) -> Draw:
    """U[a, b)."""
    return _independent(tensor, Uniform, a, b)


def normal_(tensor: Any, mean: Any = 0.0, std: Any = 1.0) -> Draw:
    """N(mean, std**2)."""
    return _independent(tensor, Normal, mean, std)


def trunc_normal_(
    tensor: Any, mean: Any = 0.0, std: Any = 1.0, a: Any = -2.0, b: Any = 2.0
) -> Draw:
    """N(mean, std**2), cut at a and b, which are no multiples of `std`."""
    drawn = _independent(tensor, _between, mean, std, a, b)
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "mean is more than 2 std from [a, b] in nn.init.trunc_normal_. "
            "The distribution of values may be incorrect.",
            stacklevel=5,
        )
    return drawn


def _between(mean: float, std: float, a: float, b: float) -> Distribution:
    if not 0.0 < std < math.inf:
        raise ValueError(f"`std` must be positive and finite; got std={std}")
    lower, upper = (a - mean) / std, (b - mean) / std
    if lower < -_REACH and upper > _REACH:  # as of trunc_normal_(std=0.02): nothing to cut
        return Normal(mean, std)
    while mean + lower * std < a:  # rounded outwards, if only by the last bit of a float64
        lower = math.nextafter(lower, math.inf)
    while mean + upper * std > b:
        upper = math.nextafter(upper, -math.inf)
    return TruncatedNormal(mean, std, lower, upper)


def xavier_uniform_(tensor: Any, gain: Any = 1.0) -> Draw:
    """U[-limit, limit), limit = gain sqrt(6 / (fan_in + fan_out))."""
    return _symmetric(tensor, _xavier_stddev(tensor, gain))


def xavier_normal_(tensor: Any, gain: Any = 1.0) -> Draw:
    """N(0, std**2), std = gain sqrt(2 / (fan_in + fan_out))."""
    return normal_(tensor, 0.0, _xavier_stddev(tensor, gain))


def kaiming_uniform_(
    tensor: Any, a: Any = 0, mode: Any = "fan_in", nonlinearity: Any = "leaky_relu"
) -> Draw:
    """U[-limit, limit), limit = gain sqrt(3 / fan)."""
    return _symmetric(tensor, _kaiming_stddev(tensor, a, mode, nonlinearity))


def kaiming_normal_(
    tensor: Any, a: Any = 0, mode: Any = "fan_in", nonlinearity: Any = "leaky_relu"
) -> Draw:
    """N(0, std**2), std = gain / sqrt(fan)."""
    return normal_(tensor, 0.0, _kaiming_stddev(tensor, a, mode, nonlinearity))


def _symmetric(tensor: Any, stddev: float) -> Draw:
    limit = math.sqrt(3.0) * stddev
    return uniform_(tensor, -limit, limit)


def _fans(tensor: Any) -> tuple[int, int]:
    if tensor.dim() < 2 or tensor.numel() == 0:
        raise ValueError(f"`tensor` must have 2 axes, none empty; got {tuple(tensor.shape)}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _xavier_stddev(tensor: Any, gain: Any) -> float:
    return finite("gain", gain) * math.sqrt(2.0 / float(sum(_fans(tensor))))


def _kaiming_stddev(tensor: Any, a: Any, mode: Any, nonlinearity: Any) -> float:
    found = dict(zip(("fan_in", "fan_out"), _fans(tensor), strict=True))
    if not isinstance(mode, str) or mode.lower() not in found:
        raise ValueError(f"`mode` must be one of {', '.join(found)}; got mode={mode!r}")
    return float(calculate_gain(nonlinearity, a)) / math.sqrt(found[mode.lower()])


# --- what starts from normals --------------------------------------------------------------------


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class _KeyedOrthogonal(Orthogonal):
    stream: Key

    @property
    def key(self) -> Key:
        return self.stream


@dataclass(frozen=True, repr=False, eq=False)
class _Flattened(Initializer):
    """A matrix of ``shape[0]`` rows, in a tensor of any number of axes."""

    matrix: Initializer

    def _write(self, target: Target) -> None:
        flat = target.view.reshape(target.shape[0], -1)
        self.matrix._write(target._replace(view=flat, shape=flat.shape))


@dataclass(frozen=True, repr=False, eq=False, kw_only=True)
class _KeyedSparse(Sparse):
    stream: Key

    @property
    def key(self) -> Key:
        return self.stream


def orthogonal_(tensor: Any, gain: Any = 1) -> Draw:
    """(Semi-)orthogonal, all axes but the first flattened, times `gain`."""
    if tensor.dim() < 2 or tensor.numel() == 0 or is_dtensor(tensor) or not tensor.is_cpu:
        raise NotImplementedError("`tensor` must be a plain one of a CPU, of 2 axes, none empty")
    gain = finite("gain", gain)
    return lambda key: _Flattened(_KeyedOrthogonal(gain, seed=0, stream=key))


def sparse_(tensor: Any, sparsity: Any, std: Any = 0.01) -> Draw:
    """N(0, std**2), but ``ceil(sparsity * rows)`` zeros in each column, anywhere."""
    if tensor.dim() != 2 or is_dtensor(tensor) or not tensor.is_cpu:
        raise NotImplementedError("`tensor` must be a plain one of a CPU, of 2 axes")
    normal_(tensor, 0.0, std)
    sparse = Sparse(sparsity, std, seed=0)
    return lambda key: _KeyedSparse(sparse.sparsity, sparse.stddev, seed=0, stream=key)


#: By name, from the arguments of the function but for `generator`.
BY_NAME: dict[str, Callable[..., Draw]] = {
    draw.__name__: draw
    for draw in (
        *(uniform_, normal_, trunc_normal_, xavier_uniform_, xavier_normal_),
        *(kaiming_uniform_, kaiming_normal_, orthogonal_, sparse_),
    )
}
