# SPDX-License-Identifier: Apache-2.0
"""Decoders: GPT-2, Megatron, Llama, OLMo, and the small and Wang initializations of GPT-NeoX."""

from __future__ import annotations

import math

from philinit.checks import one_of, positive
from philinit.initializers.base import Initializer
from philinit.initializers.models.maps import ParameterMap
from philinit.initializers.models.scaled import Scaled
from philinit.initializers.plain import Normal, TruncatedNormal
from philinit.initializers.recipes.names import Names, divided, entries, transformer
from philinit.initializers.scaling import VarianceScaling

_OLMO = ("normal", "llama", "llama_depth", "normalized", "mitchell")


def gpt2(layers: int, *, stddev: float = 0.02, names: Names = None) -> ParameterMap:
    """N(0, stddev); N(0, stddev / sqrt(2 L)) for what writes into the residual stream.

    Those are both `c_proj` of a layer. Embeddings and head are N(0, stddev), biases 0, gains of
    norms 1.

    Source: Radford et al. 2019, section 2.3, in the reading of nanoGPT's and transformers' code:
    N = 2 L residual layers, and 0.02 for the table of positions too (OpenAI's code has 0.01).

    >>> recipe = pi.recipes.gpt2(layers=8)
    >>> init = recipe.initializer("h.0.mlp.c_proj.weight", (64, 256), seed=42)
    >>> init.distribution_for((64, 256))
    Normal(mean=0.0, stddev=0.005)
    """
    return megatron(layers, stddev=stddev, names=names)


def megatron(
    layers: int,
    *,
    stddev: float = 0.02,
    embedding_stddev: float | None = None,
    branches: int = 2,
    names: Names = None,
) -> ParameterMap:
    """N(0, stddev); N(0, stddev / sqrt(branches L)) for `linear_proj` and `linear_fc2`.

    `branches` is the number of residual branches in a layer: 2, or 1 for hybrid models, as in
    Megatron. Embeddings are N(0, embedding_stddev), by default `stddev`.

    Source: Megatron-LM, `init_method_normal` and `scaled_init_method_normal` of
    megatron/core/utils.py; Shoeybi et al. 2019, arXiv:1909.08053.

    >>> recipe = pi.recipes.megatron(layers=8)
    >>> init = recipe.initializer("decoder.layers.0.mlp.linear_fc2.weight", (64, 256), seed=42)
    >>> init.distribution_for((64, 256))
    Normal(mean=0.0, stddev=0.005)
    """
    normal = Normal(0.0, stddev)
    table = normal if embedding_stddev is None else Normal(0.0, embedding_stddev)
    plan = transformer(normal, divided(normal, branches, layers), embedding=table, position=table)
    return ParameterMap(entries(plan, names))


def llama(
    layers: int,
    width: int,
    *,
    stddev: float = 0.02,
    by_depth: bool = True,
    after_cut: bool = False,
    names: Names = None,
) -> ParameterMap:
    """N(0, stddev); N(0, stddev / sqrt(2 (i + 1))) for `wo`, `w2` and `w3` of layer i.

    Embeddings are N(0, 1). The head is a normal of stddev ``width ** -0.5`` cut at +-3 stddev;
    `after_cut` says whether that is the one after the cut. Without `by_depth` all layers have
    stddev / sqrt(2 L).

    Source: torchtitan, models/llama3. Its `trunc_normal_` cuts the other matrices at +-2, which
    is 100 stddev away: no number is ever cut, and these are normal here. Meta has not published
    what Llama itself had. In transformers' names `w1`, `w2`, `w3` are `gate_proj`, `down_proj`,
    `up_proj`.

    >>> recipe = pi.recipes.llama(layers=8, width=64)
    >>> init = recipe.initializer("layers.1.feed_forward.w2.weight", (64, 256), seed=42)
    >>> init.distribution_for((64, 256))
    Normal(mean=0.0, stddev=0.01)
    """
    normal = Normal(0.0, stddev)
    deep = Scaled(normal, "1/sqrt(2(i+1))" if by_depth else "1/sqrt(2L)", layers)
    head = _cut(positive("width", width) ** -0.5, after_cut)
    plan = transformer(normal, deep, up=deep, embedding=Normal(0.0, 1.0), head=head)
    return ParameterMap(entries(plan, names))


def olmo(
    layers: int,
    width: int,
    *,
    method: str = "normal",
    stddev: float = 0.02,
    after_cut: bool = False,
    names: Names = None,
) -> ParameterMap:
    """A normal cut at +-3 stddev for all matrices, with the stddev of one of OLMo's methods.

    ============= ==================== ============= ======================== ==================
    method        q, k, v, `w1`        `w3`          `w_out`, `w2`            embeddings; head
    ============= ==================== ============= ======================== ==================
    "normal"      s                    s             s                        s; s
    "llama"       s                    s / sqrt(2 L) s / sqrt(2 L)            N(0, 1); d^-1/2
    "llama_depth" s                    as `w2`       s / sqrt(2 (i + 1))      N(0, 1); d^-1/2
    "normalized"  d^-1/2               d^-1/2        d^-1/2 / sqrt(2 L)       N(0, 1 / d); d^-1/2
    "mitchell"    d^-1/2               d^-1/2        (2 n (i + 1))^-1/2       d^-1/2; d^-1/2
    ============= ==================== ============= ======================== ==================

    s is `stddev`, d is `width`, n the number of inputs of the matrix itself. N(0, ...) is not cut.
    OLMo's stddev are those before the cut, so that its weights have 0.98658 of them;
    ``after_cut=True`` corrects that.

    Source: OLMo-core, nn/transformer/init.py, the first four; OLMo (Groeneveld et al. 2024,
    arXiv:2402.00838), olmo/model.py, "mitchell".

    >>> recipe = pi.recipes.olmo(layers=8, width=64)
    >>> init = recipe.initializer("blocks.0.attention.w_q.weight", (64, 64), seed=42)
    >>> init.distribution_for((64, 64))
    TruncatedNormal(mean=0.0, stddev=0.02, lower=-3.0, upper=3.0)
    """
    one_of("method", method, _OLMO)
    root = positive("width", width) ** -0.5
    inner = _cut(stddev if method in ("normal", "llama", "llama_depth") else root, after_cut)
    by_layer = method in ("llama_depth", "mitchell")
    gain = "1/sqrt(2(i+1))" if by_layer else "1/sqrt(2L)"
    output: Initializer = inner if method == "normal" else Scaled(inner, gain, layers)
    table: Initializer = inner
    if method in ("llama", "llama_depth", "normalized"):
        table = Normal(0.0, root if method == "normalized" else 1.0)
    head = inner if method == "normal" else _cut(root, after_cut)
    others = {"embedding": table, "position": table, "head": head}
    if method in ("llama", "llama_depth"):
        others["up"] = output
    if method == "mitchell":
        by_fan = VarianceScaling(1.0, lower=-3.0, upper=3.0, after_cut=after_cut)
        others["down"] = Scaled(by_fan, gain, layers)
    return ParameterMap(entries(transformer(inner, output, **others), names))


def small_init(width: int, *, names: Names = None) -> ParameterMap:
    """N(0, sqrt(2 / (5 d))) for all matrices and tables, d the width.

    That is Xavier's normal for a matrix of d inputs and 4 d outputs.

    Source: Nguyen & Salazar 2019, arXiv:1910.05895, section 3.1; GPT-NeoX,
    `small_init_init_method`.

    >>> recipe = pi.recipes.small_init(width=1000)
    >>> init = recipe.initializer("layers.0.attention.dense.weight", (1000, 1000), seed=42)
    >>> init.distribution_for((1000, 1000))
    Normal(mean=0.0, stddev=0.02)
    """
    small = _small(width)
    return ParameterMap(entries(transformer(small, small), names))


def wang_init(layers: int, width: int, *, names: Names = None) -> ParameterMap:
    """N(0, 2 / (L sqrt(d))) for what writes into the residual stream; else `small_init`.

    As GPT-NeoX-20B has both: Black et al. 2022, arXiv:2204.06745, section 2.3.1; `wang_init_method`
    of its code. (Wang: the author of GPT-J, where it is from.)

    >>> recipe = pi.recipes.wang_init(layers=8, width=100)
    >>> init = recipe.initializer("layers.0.attention.dense.weight", (100, 100), seed=42)
    >>> init.distribution_for((100, 100))
    Normal(mean=0.0, stddev=0.025)
    """
    wang = Normal(0.0, 2.0 / (positive("layers", layers) * math.sqrt(positive("width", width))))
    return ParameterMap(entries(transformer(_small(width), wang), names))


def _small(width: int) -> Normal:
    return Normal(0.0, math.sqrt(2.0 / (5.0 * positive("width", width))))


def _cut(stddev: float, after_cut: bool) -> TruncatedNormal:
    return TruncatedNormal(0.0, stddev, -3.0, 3.0, after_cut=after_cut)
