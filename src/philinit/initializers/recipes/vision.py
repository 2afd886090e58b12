# SPDX-License-Identifier: Apache-2.0
"""Image models: ViT and ConvNeXt; convolutions by Dirac, or by delta-orthogonal kernels."""

from __future__ import annotations

import math

from philinit.checks import one_of, positive
from philinit.initializers.base import Initializer
from philinit.initializers.constants import Constant, Identity, Ones, Zeros
from philinit.initializers.models.maps import ParameterMap
from philinit.initializers.models.pieces import Parts
from philinit.initializers.orthogonal import Orthogonal
from philinit.initializers.plain import Normal, Uniform
from philinit.initializers.recipes.names import ROLES, Names, entries, transformer
from philinit.initializers.scaling import GlorotUniform, LecunNormal
from philinit.initializers.sparse import DeltaOrthogonal, Dirac

_PATCH = r"(?:patch_embed\.proj|patch_embedding\w*|conv_proj|projection)"
_VIT = {
    "class_token": r"(?:cls|class|dist|distillation|reg|register)_tokens?$",
    "position": (
        r"pos_embed(?:ding)?$|position_embeddings$|relative_position_bias_table$"
        rf"|{ROLES['position']}"
    ),
    "patch": rf"{_PATCH}\.(?:weight|kernel)$",
    "patch_bias": rf"{_PATCH}\.bias$",
    "mlp_bias": r"mlp\.(?:.*\.)?bias$",
    "layer_scale": r"ls\d\.gamma$|\w*layer_scale\w*(?:\.\w+)?$",
    "reduction": r"reduction\.(?:weight|kernel)$",  # between the stages of a Swin
    "head": r"(?:head|head_dist|heads\.head|predictions|\w*classifier|fc)\.(?:weight|kernel)$",
} | {role: ROLES[role] for role in ROLES if role not in ("position", "head", "embedding")}

_CONVNEXT = {
    "response_norm": r"grn\.(?:weight|gamma)$",
    # In torch the norms of a stem and of a downsampling are numbers in a Sequential, and so are
    # their convolutions; in torchvision all are.
    "norm": (
        r"(?:(?:downsample_layers\.0|stem|features\.0)\.1|downsampl\w*\.(?:[1-9]\.)?0"
        rf"|features\.[2-9]\.0|block\.2|classifier\.0)\.weight$|{ROLES['norm']}"
    ),
    "layer_scale": r"\d+\.gamma$|\w*layer_scale\w*(?:\.\w+)?$",
    "bias": ROLES["bias"],
    "head": (
        r"(?:head|head\.fc|\w*head_dense|predictions|classifier|classifier\.2)"
        r"\.(?:weight|kernel)$"
    ),
    "matrix": (
        r"\w+\.kernel$|(?:\w*conv\w*|fc\d|patch_embeddings|stem\.0|features\.(?:0\.0|[2-9]\.1)"
        r"|downsampl\w*\.(?:0\.0|(?:[1-9]\.)?1)|block\.[035])\.weight$"
    ),
}

_CONVOLUTIONS = {
    "bias": ROLES["bias"],
    "norm": rf"(?:bn\d*|\w+_bn)\.(?:weight|gamma)$|{ROLES['norm']}",
    "statistics": r"(?:running|moving)_mean$",
    "variances": r"(?:running|moving)_var(?:iance)?$",
    "torch_kernel": r"\w*conv\w*\.(?:\d+\.)*weight$",
    "kernel": r"\w*conv\w*\.kernel$",
    "matrix": r"\w+\.(?:weight|kernel)$",
}


def vit(
    *,
    method: str = "timm",
    patch: int = 16,
    channels: int = 3,
    layer_scale: float = 1e-5,
    names: Names = None,
) -> ParameterMap:
    """N(0, 0.02), method "timm"; or Xavier's uniform, method "flax".

    "timm": matrices, head and positions N(0, 0.02), biases 0, class token N(0, 1e-6), the
    convolution of the patches and its bias U(+-1 / sqrt(channels patch^2)), as torch has them.
    "flax": matrices U(+-sqrt(6 / (fan_in + fan_out))), query, key and value each by itself, biases
    of the MLP N(0, 1e-6) and others 0, positions N(0, 0.02), class token and head 0, convolution of
    the patches LeCun's normal. Both: gains of norms 1, LayerScale `layer_scale`.

    Source: timm, `init_weights_vit_timm`, whose `trunc_normal_` cuts at 100 stddev, hence never;
    google-research/vision_transformer, models_vit.py, for Dosovitskiy et al. 2021,
    arXiv:2010.11929. (timm's own "jax" gives the packed q, k, v the fans of the whole.)

    >>> recipe = pi.recipes.vit()
    >>> init = recipe.initializer("blocks.0.mlp.fc1.weight", (256, 64), seed=42)
    >>> init.distribution_for((256, 64))
    Normal(mean=0.0, stddev=0.02)
    """
    normal, xavier = Normal(0.0, 0.02), GlorotUniform()
    scale: dict[str, Initializer] = {"layer_scale": Constant(layer_scale)}
    if one_of("method", method, ("timm", "flax")) == "timm":
        limit = 1.0 / math.sqrt(positive("channels", channels) * positive("patch", patch) ** 2)
        plan = transformer(
            normal,
            normal,
            class_token=Normal(0.0, 1e-6),
            patch=Uniform(-limit, limit),
            patch_bias=Uniform(-limit, limit),
            reduction=normal,
            **scale,
        )
        return ParameterMap(entries(plan, names, roles=_VIT))
    into = GlorotUniform(in_axis=0, out_axis=(1, 2))
    plan = transformer(
        xavier,
        xavier,
        packed=Parts([xavier] * 3),
        packed_kernel=Parts([xavier] * 3, axis=-1),
        heads_query_key=into,
        heads_value=into,
        heads_output=GlorotUniform(in_axis=(0, 1), out_axis=2),
        position=normal,
        class_token=Zeros(),
        head=Zeros(),
        mlp_bias=Normal(0.0, 1e-6),
        patch=LecunNormal(),
        patch_bias=Zeros(),
        reduction=xavier,
        **scale,
    )
    return ParameterMap(entries({r: plan[r] for r in plan if r != "mixed"}, names, roles=_VIT))


def convnext(
    *, layer_scale: float = 1e-6, head_scale: float = 1.0, names: Names = None
) -> ParameterMap:
    """N(0, 0.02) for all convolutions and matrices, biases 0, LayerScale `layer_scale`.

    The head is N(0, 0.02 head_scale), gains of norms are 1; those of the response norms of
    ConvNeXt V2, which has no LayerScale, are 0.

    Source: Liu et al. 2022, arXiv:2201.03545, Woo et al. 2023, arXiv:2301.00808, and their code,
    whose `trunc_normal_` cuts at 100 stddev, hence never.

    >>> recipe = pi.recipes.convnext()
    >>> init = recipe.initializer("stages.0.blocks.0.mlp.fc1.weight", (256, 64), seed=42)
    >>> init.distribution_for((256, 64))
    Normal(mean=0.0, stddev=0.02)
    """
    plan: dict[str, Initializer] = {
        "response_norm": Zeros(),
        "norm": Ones(),
        "layer_scale": Constant(layer_scale),
        "bias": Zeros(),
        "head": Normal(0.0, 0.02 * positive("head_scale", head_scale)),
        "matrix": Normal(0.0, 0.02),
    }
    return ParameterMap(entries(plan, names, roles=_CONVNEXT))


def delta_orthogonal(
    *, gain: float = 1.0, bias_stddev: float = 0.0, names: Names = None
) -> ParameterMap:
    """Convolutions: an orthogonal matrix times `gain` at the center of the kernel, 0 elsewhere.

    Other matrices are orthogonal times `gain`; biases N(0, bias_stddev). Gains of norms are 1,
    moving averages 0 and moving variances 1. What has "conv" in the last component but one of
    its name is a convolution; it must not have fewer channels out than in.

    Source: Xiao et al. 2018, arXiv:1806.05393, algorithm 2. sigma_w and sigma_b of the paper are
    `gain` and `bias_stddev`; it has them by activation, on the critical line.

    >>> recipe = pi.recipes.delta_orthogonal()
    >>> init = recipe.initializer("conv1.kernel", (3, 3, 8, 8), seed=42)
    >>> int((init((3, 3, 8, 8)) != 0).sum())
    64
    """
    biases = Normal(0.0, bias_stddev) if bias_stddev else Zeros()
    torch = DeltaOrthogonal(gain, in_axis=1, out_axis=0)
    return _convolutions(torch, DeltaOrthogonal(gain), Orthogonal(gain), biases, names)


def dirac(*, groups: int = 1, names: Names = None) -> ParameterMap:
    """Convolutions that hand each channel on: 1 at the center of the kernel, 0 elsewhere.

    Other matrices are identities, biases 0; the rest as in `delta_orthogonal`. `groups` is for
    grouped convolutions, all alike.

    Source: `torch.nn.init.dirac_`; Zagoruyko & Komodakis 2017, arXiv:1706.00388.

    >>> recipe = pi.recipes.dirac()
    >>> init = recipe.initializer("conv1.kernel", (3, 3, 8, 8), seed=42)
    >>> float(init((3, 3, 8, 8)).sum())
    8.0
    """
    torch = Dirac(groups=groups, in_axis=1, out_axis=0)
    return _convolutions(torch, Dirac(groups=groups), Identity(), Zeros(), names)


def _convolutions(
    torch: Initializer, kernel: Initializer, matrix: Initializer, bias: Initializer, names: Names
) -> ParameterMap:
    plan: dict[str, Initializer] = {
        "bias": bias,
        "norm": Ones(),
        "statistics": Zeros(),
        "variances": Ones(),
        "torch_kernel": torch,
        "kernel": kernel,
        "matrix": matrix,
    }
    return ParameterMap(entries(plan, names, roles=_CONVOLUTIONS))
