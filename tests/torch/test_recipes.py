# SPDX-License-Identifier: Apache-2.0
"""Recipes on torch's own modules: all of their names are known, with the right stddev."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

import philinit.torch as pt
from philinit import recipes

D, F = 64, 128


def stddevs(module: Any, recipe: Any) -> dict[str, Any]:
    return {row["name"]: row["stddev"] for row in pt.dry_run(module, recipe, seed=1).rows()}


def transformer() -> Any:
    return torch.nn.Transformer(D, 4, 2, 2, F, batch_first=True)


def test_encoder_and_decoder_of_torch_nn_transformer() -> None:
    found = stddevs(transformer(), recipes.sub_ln(2, decoder_layers=2))
    encoder, decoder = math.sqrt(math.log(6) * math.log(4) / 3), math.sqrt(math.log(6))
    for part, gain in (("encoder", encoder), ("decoder", decoder)):
        at = f"{part}.layers.1"
        assert found[f"{at}.linear1.weight"] == pytest.approx(gain * math.sqrt(2 / (D + F)))
        assert found[f"{at}.self_attn.out_proj.weight"] == pytest.approx(gain / math.sqrt(D))
        mixed = math.sqrt((2 + gain**2) / 3 / D)  # query, key, value
        assert found[f"{at}.self_attn.in_proj_weight"] == pytest.approx(mixed)
        assert found[f"{at}.norm1.weight"] == found[f"{at}.linear1.bias"] == 0
    cross = "decoder.layers.0.multihead_attn"
    assert found[f"{cross}.in_proj_weight"] == pytest.approx(1 / math.sqrt(D))
    assert found[f"{cross}.out_proj.weight"] == pytest.approx(1 / math.sqrt(D))
    with pytest.raises(ValueError, match=r"no match for encoder\.layers\.0\.norm1\.weight"):
        pt.dry_run(transformer(), recipes.t_fixup(2), seed=1)


def test_query_key_and_value_have_the_gains_of_their_own() -> None:
    module = pt.initialize(transformer(), recipes.deepnorm(2), seed=1)
    packed = module.encoder.layers[0].self_attn.in_proj_weight.detach().numpy()
    query, key, value = np.split(packed, 3)
    stddev = [1 / 8, 1 / 8, 16**-0.25 / 8]
    assert [query.std(), key.std(), value.std()] == pytest.approx(stddev, rel=0.05)


def test_a_recurrent_cell_and_a_network_of_convolutions() -> None:
    rnn = pt.initialize(torch.nn.RNN(3, 8, 2, bidirectional=True), recipes.identity(), seed=1)
    assert torch.equal(rnn.weight_hh_l1_reverse, torch.eye(8))
    assert not rnn.bias_ih_l0.any()
    net = torch.nn.Sequential()
    net.add_module("conv1", torch.nn.Conv2d(4, 8, 3, padding=1, bias=False))
    net.add_module("conv2", torch.nn.Conv2d(8, 8, 3, padding=1))
    x = torch.randn(2, 4, 6, 6)
    pt.initialize(net, recipes.dirac(), seed=1)
    assert torch.equal(net(x)[:, :4], x)
    pt.initialize(net, recipes.delta_orthogonal(gain=2.0), seed=1)
    assert net(x).norm().item() == pytest.approx(4 * x.norm().item(), rel=1e-5)
