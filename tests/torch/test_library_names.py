# SPDX-License-Identifier: Apache-2.0
"""Recipes on models of transformers and timm: every parameter is known, and for what it is.

What a parameter is comes from the class of its module; which matrices write into the residual
stream stands here, by hand.
"""

import math
import os
import re
import sys
from pathlib import Path

import pytest

import philinit as pi
from philinit import models, recipes

torch = pytest.importorskip("torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
pytest.importorskip("transformers")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.paths import ROOT  # noqa: E402
from tests.support.transformers_models import build  # noqa: E402

# The names that a matrix ends with which writes into the residual stream, by kind of model.
OUTPUTS = {
    "Bert": r"layer\.\d\.(attention\.)?output\.dense\.weight",
    "Bert, masked": r"layer\.\d\.(attention\.)?output\.dense\.weight",
    "Bert, classes": r"layer\.\d\.(attention\.)?output\.dense\.weight",
    "Roberta": r"layer\.\d\.(attention\.)?output\.dense\.weight",
    "GPT-2": r"c_proj\.weight",
    "GPT-NeoX": r"(attention\.dense|dense_4h_to_h)\.weight",
    "Llama": r"(o_proj|down_proj)\.weight",
    "OLMo": r"(o_proj|down_proj)\.weight",
    "OPT": r"(out_proj|fc2)\.weight",
    "T5": r"(Attention\.o|DenseReluDense\.wo)\.weight",
    "T5, gated": r"(Attention\.o|DenseReluDense\.wo)\.weight",
    "BART": r"(out_proj|fc2)\.weight",
}
IMAGES = ("ViT", "ViT, classes", "DeiT", "Swin", "Swin, classes")


@pytest.fixture(scope="module", autouse=True)
def _no_folder_of_ours_is_taken_for_a_library():
    """`python -m pytest` looks into the root, and transformers for a library named `kernels`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [p for p in sys.path if Path(p).resolve() != ROOT])
        yield


def on_meta(kind):
    with pt.parameters_on_meta():
        return build(kind)


def planned(model, recipe):
    """By name: mean and stddev of each parameter, and the class of the module that has it."""
    rows = pt.dry_run(model, recipe, seed=1).rows()
    modules = dict(model.named_modules())
    for row in rows:
        owner = type(modules[row["name"].rpartition(".")[0]]).__name__
        yield row["name"], (row["mean"], row["stddev"]), owner


def is_vector(name, owner):
    """The mean of a parameter that is a constant by its class and name; else None."""
    if "Norm" in owner or owner.endswith("GRN"):
        return 1.0 if name.endswith("weight") and not owner.endswith("GRN") else 0.0
    return 0.0 if name.endswith("bias") else None


def has_padding(model, name):
    module = model.get_submodule(name.rpartition(".")[0])
    return getattr(module, "padding_idx", None) is not None


@pytest.mark.parametrize("kind", OUTPUTS)
def test_language_models_by_depth(kind):
    model, deep = on_meta(kind), 0
    for name, found, owner in planned(model, recipes.gpt2(layers=2)):
        constant = is_vector(name, owner)
        if constant is not None:
            assert found == (constant, 0), name
        elif re.search(OUTPUTS[kind] + "$", name):
            deep += 1
            assert found == pytest.approx((0, 0.02 / 2)), name
        else:
            rows, padding = len(model.get_parameter(name)), has_padding(model, name)
            stddev = 0.02 * math.sqrt(1 - padding / rows)  # one row is zero
            assert found == pytest.approx((0, stddev)), name
    blocks = {"T5": (2, 3), "T5, gated": (2, 3), "BART": (2, 3)}.get(kind, (2,))
    assert deep == 2 * sum(blocks)  # attention, to the encoder too, and MLP, of 2 layers


@pytest.mark.parametrize("kind", OUTPUTS)
def test_all_recipes_for_transformers_know_all_names(kind):
    model = on_meta(kind)
    known = [
        recipes.megatron(2),
        recipes.llama(2, 48),
        recipes.olmo(2, 48, method="mitchell"),
        recipes.small_init(48),
        recipes.wang_init(2, 48),
        recipes.mup(2.0),
    ]
    if kind not in ("GPT-2", "GPT-NeoX"):  # in whose packed matrix the thirds are unknown
        known += [recipes.deepnorm(2, decoder_layers=2), recipes.sub_ln(2, decoder_layers=2)]
    for recipe in known:
        for name, found, owner in planned(model, recipe):
            constant = is_vector(name, owner)
            assert found[1] > 0 if constant is None else found == (constant, 0), name


def test_the_attention_to_an_encoder_has_a_gain_of_its_own():
    for kind, cross, own in (("T5", "EncDecAttention", "v"), ("BART", "encoder_attn", "v_proj")):
        recipe = recipes.sub_ln(2, decoder_layers=2)
        found = {name: values[1] for name, values, _ in planned(on_meta(kind), recipe)}
        values = {name: stddev for name, stddev in found.items() if name.endswith(f"{own}.weight")}
        xavier = math.sqrt(2 / 96)
        encoder, decoder = math.sqrt(math.log(6) * math.log(4) / 3), math.sqrt(math.log(6))
        for name, stddev in values.items():
            inside = encoder if ".encoder." in f".{name}" else decoder
            gain = 1.0 if cross in name else inside
            assert stddev == pytest.approx(gain * xavier), name


@pytest.mark.parametrize("method", ["timm", "flax"])
@pytest.mark.parametrize("kind", IMAGES)
def test_image_models(kind, method):
    model = on_meta(kind)
    recipe = recipes.vit(method=method, patch=2 if "Swin" in kind else 4)
    for name, found, owner in planned(model, recipe):
        if "Norm" in owner:
            assert found == (float(name.endswith("weight")), 0), name
        elif method == "timm" and (owner == "Linear" or "position" in name):
            assert found == (0, 0.0 if name.endswith("bias") else 0.02), name
        elif owner == "Linear" and name.endswith("weight"):
            rows, columns = model.get_parameter(name).shape
            stddev = 0 if "classifier" in name else math.sqrt(2 / (rows + columns))
            assert found == pytest.approx((0, stddev)), name


@pytest.mark.parametrize("kind", ["ConvNeXt", "ConvNeXt, classes", "ConvNeXt V2"])
def test_convnext(kind):
    for name, found, owner in planned(on_meta(kind), recipes.convnext()):
        constant = is_vector(name, owner)
        if "layer_scale" in name:
            constant = 1e-6
        assert found == ((0, 0.02) if constant is None else (constant, 0)), name


@pytest.mark.parametrize(("kind", "recipe"), [("Mamba", "mamba"), ("Mamba2", "mamba2")])
def test_mamba(kind, recipe):
    model = on_meta(kind)
    for name, found, owner in planned(model, getattr(recipes, recipe)(layers=2)):
        if "Norm" in owner or name.endswith(".D"):
            assert found == (1, 0), name
        elif owner == "Embedding":
            assert found == pytest.approx((0, 0.02)), name
        elif owner == "Linear" and name.endswith("weight"):
            stddev = 1 / math.sqrt(3 * model.get_parameter(name).shape[1])
            divided = math.sqrt(2) if "out_proj" in name else 1
            assert found == pytest.approx((0, stddev / divided)), name


def test_gains_that_are_stored_less_one_are_zero_by_an_entry_before():
    model = build("Gemma")
    recipe = models.ParameterMap({"*norm.weight": pi.Zeros()}) + recipes.llama(2, 48)
    norms = [name for name, _, owner in planned(model, recipe) if "Norm" in owner]
    assert len(norms) == 5
    for name, found, _ in planned(model, recipe):
        if name in norms:
            assert found == (0, 0) and not model.get_parameter(name).any(), name


# Whose own code has what a recipe says.
SAME = {
    "GPT-2": recipes.gpt2(layers=2),
    "ConvNeXt": recipes.convnext(),
    "ConvNeXt V2": recipes.convnext(),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_stddev_that_transformers_has(kind):
    torch.manual_seed(1)
    model, compared = build(kind), 0
    for name, (mean, stddev), _ in planned(model, SAME[kind]):
        values = model.get_parameter(name).detach().double()
        error = 5 * stddev / math.sqrt(values.numel())
        assert values.mean().item() == pytest.approx(mean, abs=error + 1e-6), name
        spread = values.std(correction=0).item()
        assert spread == pytest.approx(stddev, abs=error + 1e-6), name
        compared += 1
    assert compared > 15
