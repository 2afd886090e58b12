# SPDX-License-Identifier: Apache-2.0
"""Models of timm: unmodified code, the meta device, and recipes; nothing is fetched."""

import math
import re

import pytest

from philinit import recipes

torch = pytest.importorskip("torch")
try:
    import timm
except (ImportError, RuntimeError) as error:  # the latter: torchvision is for another torch
    pytest.skip(f"timm cannot be imported: {error}", allow_module_level=True)
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.torch_models import (  # noqa: E402
    check_that_weights_suffice,
    check_the_distributions,
)

VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4}
MODELS = {
    "vit": ("vit_tiny_patch16_224", VIT),
    "distilled": ("deit_tiny_distilled_patch16_224", VIT),
    "swin": (
        *("swin_tiny_patch4_window7_224",),
        {"img_size": 32, "patch_size": 2, "window_size": 4, "embed_dim": 12}
        | {"depths": (1, 1), "num_heads": (2, 2)},
    ),
    "convnext": ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}),
    "convnextv2": ("convnextv2_atto", {"depths": (1, 1, 1, 1), "dims": (8, 8, 16, 16)}),
    "resnet": ("resnet18", {"channels": (8, 8, 16, 16), "stem_width": 8, "num_classes": 10}),
}
RECIPES = {
    "vit": recipes.vit(patch=8),
    "distilled": recipes.vit(patch=8),
    "swin": recipes.vit(patch=2),
    "convnext": recipes.convnext(),
    "convnextv2": recipes.convnext(),
}


def build(kind):
    name, arguments = MODELS[kind]
    return timm.create_model(name, pretrained=False, **arguments)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_on_meta_needs_weights_alone(kind):
    check_that_weights_suffice(lambda: build(kind))


@pytest.mark.parametrize("kind", MODELS)
def test_unmodified_code_gets_the_same_distributions_and_repeats(kind):
    check_the_distributions(lambda: build(kind))


@pytest.mark.parametrize("kind", RECIPES)
def test_a_recipe_has_the_stddev_that_timm_has(kind):
    """All but heads and tokens, which timm makes smaller or larger."""
    torch.manual_seed(1)
    model = build(kind)
    for row in pt.dry_run(model, RECIPES[kind], seed=1).rows():
        name, mean, stddev = row["name"], row["mean"], row["stddev"]
        values = model.get_parameter(name).detach().double()
        if re.search("head|token", name):
            continue
        if values.dim() > 1 or stddev == 0:
            error = 5 * stddev / math.sqrt(values.numel())
            assert values.mean().item() == pytest.approx(mean, abs=error + 1e-6), name
            assert values.std(correction=0).item() == pytest.approx(stddev, abs=error + 1e-6), name


def test_dirac_for_a_resnet_whose_layers_have_numbers():
    model = build("resnet")
    names = {"torch_kernel": r"downsample\.0\.weight$", "norm": r"downsample\.1\.weight$"}
    modules = dict(model.named_modules())
    for row in pt.dry_run(model, recipes.dirac(names=names), seed=1).rows():
        kind = type(modules[row["name"].rpartition(".")[0]])
        if "Norm" in kind.__name__:
            assert (row["mean"], row["stddev"]) == (float(row["name"].endswith("weight")), 0)
        if kind is torch.nn.Conv2d:
            assert "Dirac" in row["initializer"], row["name"]
