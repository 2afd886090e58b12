# SPDX-License-Identifier: Apache-2.0
"""The fans of torch's weights, which lie the other way round than philinit reads a shape."""

from __future__ import annotations

from typing import Any

from philinit.initializers.base import check_init
from philinit.initializers.fans import DEFAULT_ROLES
from philinit.initializers.models.composites import Composite
from philinit.initializers.orthogonal import Orthogonal
from philinit.initializers.scaling import VarianceScaling


def layout(init: Any) -> Any:
    """`init` with the fans of torch's weights, (out, in, ...), as `torch.nn.init` has them.

    fan_in = shape[1] * prod(shape[2:]) and fan_out = shape[0] * prod(shape[2:]), that is axis 1
    is the input and axis 0 the output: of Linear, Conv1d, Conv2d and Conv3d, grouped or not. (Of
    ConvTranspose torch takes the two the other way round, and so does this.)

    Parameters
    ----------
    init : philinit initializer
        Comes back as it is where it has no fans, or axes of its own, such as ``pi.HeNormal(
        in_axis=2, out_axis=1, batch_axis=0)`` for experts stacked as (experts, out, in).

    Raises
    ------
    TypeError
        `init` is no philinit initializer.
    ValueError
        It has a `batch_axis`, but not the other two.

    Notes
    -----
    torch's Kaiming and Xavier normals are not truncated, and philinit's are. docs/torch.md has a
    counterpart of every function of torch.nn.init; `philinit.torch.init` has the functions.

    ============================  ==========================================================
    torch                         philinit
    ============================  ==========================================================
    kaiming_uniform_              ``layout(pi.HeUniform(seed=1))``
    the same with mode="fan_out"  ``layout(pi.VarianceScaling(2.0, "fan_out", "uniform"))``
    kaiming_normal_               ``layout(pi.VarianceScaling(2.0, "fan_in", "normal"))``
    xavier_uniform_               ``layout(pi.GlorotUniform(seed=1))``
    xavier_normal_                ``layout(pi.VarianceScaling(1.0, "fan_avg", "normal"))``
    Linear's and Conv's default   ``layout(pi.VarianceScaling(1 / 3, "fan_in", "uniform"))``
    trunc_normal_(0, s, a, b)     ``pi.TruncatedNormal(0, s, a / s, b / s)``
    trunc_normal_(w, std=0.02)    ``pi.Normal(0, 0.02)``, since a and b are -2 and 2
    orthogonal_, 3 axes or more   ``pi.Orthogonal()`` of ``w.view(len(w), -1)``
    dirac_(w, groups)             ``layout(pi.models.Dirac(groups=groups))``
    sparse_(w, sparsity, std)     ``pi.models.Sparse(sparsity, std)``
    ============================  ==========================================================

    Examples
    --------
    >>> import philinit as pi, philinit.torch as pt
    >>> init = pt.layout(pi.HeUniform(seed=1))
    >>> init.in_axis, init.out_axis
    (1, 0)
    >>> init.distribution_for((256, 64)).high == (6 / 64) ** 0.5
    True
    """
    check_init(init)
    if isinstance(init, Composite):
        return init._map(layout)
    if not hasattr(init, "in_axis"):
        return init
    if (init.in_axis, init.out_axis) != (DEFAULT_ROLES["in_axis"], DEFAULT_ROLES["out_axis"]):
        return init
    if isinstance(init, VarianceScaling) and init.batch_axis != DEFAULT_ROLES["batch_axis"]:
        raise ValueError(
            "`init` must name in_axis and out_axis along with batch_axis, counted from the front, "
            f"since torch has no layout for batches; got init={init!r}"
        )
    return init._with(in_axis=1, out_axis=0)


def check_layout(init: Any, shape: tuple[int, ...]) -> None:
    """Refuse what is no initializer, and one that would read a weight of torch the wrong way."""
    if isinstance(init, Composite):
        for piece in init.pieces(shape):
            check_layout(piece.init, piece.shape)
        return
    as_torch = layout(init)
    if len(shape) < 2:
        return
    turned = as_torch is not init and (
        not isinstance(init, VarianceScaling)
        or as_torch.distribution_for(shape) != init.distribution_for(shape)
    )
    if turned:
        raise ValueError(
            "`init` must have the fans of torch's weights, (out, in, ...); got "
            f"init={init!r}, which reads shape {shape} as (..., in, out): pass "
            "philinit.torch.layout(init), or name in_axis and out_axis counted from the front"
        )
    if isinstance(init, Orthogonal) and len(shape) > 2:
        raise NotImplementedError(
            f"an orthogonal weight of torch must have 2 axes; got shape {shape}: fill the "
            "matrix that it is, weight.view(len(weight), -1)"
        )
