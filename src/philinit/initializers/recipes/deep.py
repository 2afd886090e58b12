# SPDX-License-Identifier: Apache-2.0
"""Transformers of any depth or width: DeepNorm, Sub-LN, T-Fixup, muP."""

from __future__ import annotations

import math
from typing import Any

from philinit.checks import one_of, positive
from philinit.initializers.base import Initializer
from philinit.initializers.constants import Zeros
from philinit.initializers.models.maps import ParameterMap
from philinit.initializers.models.pieces import Parts
from philinit.initializers.models.scaled import Scaled
from philinit.initializers.plain import Normal
from philinit.initializers.recipes.names import Names, Plan, entries, transformer
from philinit.initializers.scaling import VarianceScaling

_DECODER = r"(?=(?:.*[._])?decoder)"  # somewhere in the name
_CROSS = r"(?=.*(?:encoder_attn|cross_?att|multihead_attn|EncDecAttention))"


def deepnorm(
    layers: int, *, decoder_layers: int | None = None, names: Names = None
) -> ParameterMap:
    """Xavier's normal, times beta for values, outputs of attention, and the MLP.

    ``beta = (8 N)^-1/4`` for an encoder or a decoder of N layers; with `decoder_layers` M both:
    ``0.87 (N^4 M)^-1/16`` in the encoder and ``(12 M)^-1/4`` in the decoder, which is what has
    "decoder" in its name. Embeddings and head are N(0, 1 / sqrt(d)), as in TorchScale; the paper
    says nothing of them. The gains alpha of the residual are the model's.

    Source: Wang et al. 2022, arXiv:2203.00555, Figure 2.

    >>> recipe = pi.recipes.deepnorm(layers=2)
    >>> init = recipe.initializer("layers.0.fc2.weight", (64, 64), seed=42)
    >>> init.distribution_for((64, 64))
    Normal(mean=0.0, stddev=0.0625)
    """
    n = positive("layers", layers)
    if decoder_layers is None:
        return _by_gain((8.0 * n) ** -0.25, None, names)
    m = positive("decoder_layers", decoder_layers)
    return _by_gain(0.87 * (n**4 * m) ** -0.0625, (12.0 * m) ** -0.25, names)


def sub_ln(layers: int, *, decoder_layers: int | None = None, names: Names = None) -> ParameterMap:
    """Xavier's normal, times gamma for values, outputs of attention, and the MLP.

    ``gamma = sqrt(log(2 N))`` for an encoder or a decoder of N layers; with `decoder_layers` M
    both: ``sqrt(log(3 M) log(2 N) / 3)`` in the encoder and ``sqrt(log(3 M))`` in the decoder, but
    1 in its attention to the encoder, as in TorchScale. Embeddings and head as in `deepnorm`.

    Source: Wang et al. 2022 (Magneto), arXiv:2210.06423, Figure 2.

    >>> recipe = pi.recipes.sub_ln(layers=2)
    >>> init = recipe.initializer("layers.0.fc2.weight", (64, 64), seed=42)
    >>> round(init.distribution_for((64, 64)).stddev, 4)
    0.1472
    """
    n = positive("layers", layers)
    if decoder_layers is None:
        return _by_gain(math.sqrt(math.log(2 * n)), None, names)
    m = positive("decoder_layers", decoder_layers)
    encoder = math.sqrt(math.log(3 * m) * math.log(2 * n) / 3.0)
    return _by_gain(encoder, math.sqrt(math.log(3 * m)), names, cross=1.0)


def t_fixup(layers: int, *, decoder_layers: int | None = None, names: Names = None) -> ParameterMap:
    """Xavier's uniform; times 0.67 N^-1/4 in the encoder, (9 N)^-1/4 in the decoder.

    The gains are for values, outputs of attention, and the MLP. Embeddings are N(0, d^-1/2) times
    (9 N)^-1/4, d^-1/2 being their stddev. N is `layers` in the encoder and `decoder_layers`, by
    default as many, in the decoder, which is what has "decoder" in its name. Norms are an error:
    the method is for models that have none.

    Source: Huang et al. 2020, ICML, section 3.2. Queries and keys have gain 1, as the paper says;
    its code keeps fairseq's 1 / sqrt(2) for them.

    >>> recipe = pi.recipes.t_fixup(layers=2)
    >>> init = recipe.initializer("layers.0.fc2.weight", (64, 64), seed=42)
    >>> round(init.distribution_for((64, 64)).high, 4)
    0.122
    """
    n = positive("layers", layers)
    m = n if decoder_layers is None else positive("decoder_layers", decoder_layers)
    found = []
    for gain, where in (((9.0 * m) ** -0.25, _DECODER), (0.67 * n**-0.25, "")):
        plan = {**_xavier(gain, "uniform", table=(9.0 * m) ** -0.25)}
        plan["head"] = plan["query_key"]
        del plan["norm"]
        found += entries(plan, names, where=where)
    return ParameterMap(found)


def mup(
    width_multiplier: float,
    *,
    stddev: float = 0.02,
    layers: int | None = None,
    readout: str = "scaled",
    names: Names = None,
) -> ParameterMap:
    """N(0, stddev) for input weights, stddev / sqrt(m) for hidden, stddev / m for output ones.

    m is the model's width over that of the base model, which was tuned with `stddev`. Input
    weights are the embeddings; biases are 0 and gains of norms 1 whatever the width. `readout` is
    what the head gets: "scaled" stddev / m (variance 1 / fan_in^2, Table 3); "multiplier" stddev,
    for models that divide the logits by m (Table 8, and MuReadout of the package mup); "zeros"
    (appendix D.2). With `layers` L, what writes into the residual stream is divided by sqrt(2 L)
    besides, as in `gpt2`. Learning rates are the optimizer's.

    Source: Yang et al. 2022, arXiv:2203.03466.

    >>> recipe = pi.recipes.mup(4.0)
    >>> init = recipe.initializer("h.0.attn.c_attn.weight", (192, 64), seed=42)
    >>> init.distribution_for((192, 64))
    Normal(mean=0.0, stddev=0.01)
    """
    m = positive("width_multiplier", width_multiplier)
    hidden, table = Normal(0.0, stddev / math.sqrt(m)), Normal(0.0, stddev)
    heads: dict[str, Initializer] = {
        "scaled": Normal(0.0, stddev / m),
        "multiplier": table,
        "zeros": Zeros(),
    }
    residual = hidden if layers is None else Scaled(hidden, "1/sqrt(2L)", layers)
    head = heads[one_of("readout", readout, tuple(heads))]
    plan = transformer(hidden, residual, embedding=table, position=table, head=head)
    return ParameterMap(entries(plan, names))


def _by_gain(
    gain: float, decoder: float | None, names: Names, cross: float | None = None
) -> ParameterMap:
    """One gain for everything, or one in the encoder and one in the decoder, or two."""
    found = entries(_xavier(gain, "normal"), names)
    if decoder is not None:
        found = entries(_xavier(decoder, "normal"), names, where=_DECODER) + found
    if cross is not None:
        found = entries(_xavier(cross, "normal"), names, where=_CROSS) + found
    return ParameterMap(found)


def _xavier(gain: float, distribution: str, table: float = 1.0) -> Plan:
    """Xavier's, times `gain` for values, outputs of attention and the MLP.

    `table` is the gain of embeddings. Query, key and value in one matrix have the fans of one.
    """

    def scaled(gain: float, **axes: Any) -> VarianceScaling:
        return VarianceScaling(gain * gain, "fan_avg", distribution, **axes)

    one, other = scaled(1.0), scaled(gain)
    into, out_of = {"in_axis": 0, "out_axis": (1, 2)}, {"in_axis": (0, 1), "out_axis": 2}
    by_width = VarianceScaling(table * table, "fan_out", "normal", in_axis=0, out_axis=1)
    plan = transformer(
        one,
        other,
        value=other,
        gate=other,
        up=other,
        packed=Parts([one, one, other]),
        packed_kernel=Parts([one, one, other], axis=-1),
        heads_query_key=scaled(1.0, **into),
        heads_value=scaled(gain, **into),
        heads_output=scaled(gain, **out_of),
        embedding=by_width,
        position=by_width,
        head=VarianceScaling(1.0, "fan_in", "normal"),
    )
    return {role: init for role, init in plan.items() if role != "mixed"}  # its thirds unknown
