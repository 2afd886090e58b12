# SPDX-License-Identifier: Apache-2.0
"""Recipes for images, tables, fields, state spaces, recurrent cells: each by its own formula."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

import philinit as pi
from philinit import recipes
from tests.support import recipe_models as known
from tests.support.recipe_checks import (
    COMMON,
    Check,
    check_normal,
    check_uniform,
    constant,
    normal,
    uniform,
    verify,
)
from tests.support.recipe_models import LAYERS, PATCH, D, F, V, filled, filled_shapes

# --- images --------------------------------------------------------------------------------------

PIXELS = 3 * PATCH * PATCH  # the inputs of a patch


def thirds(x: Any, layer: int) -> None:
    for part in np.split(x, 3, axis=0):
        check_uniform(part, math.sqrt(6 / (D + D)))


def xavier_uniform(x: Any, layer: int) -> None:
    both = D + D if x.ndim == 3 else sum(x.shape)  # of heads: (width, heads, head)
    check_uniform(x, math.sqrt(6 / both))


def lecun_normal(x: Any, layer: int) -> None:
    """Normal cut at 2 of its stddev, which is 1 / sqrt(fan_in) after the cut."""
    two = stats.truncnorm(-2, 2)
    before = 1 / math.sqrt(PIXELS) / two.std()
    assert 1.95 * before < abs(x).max() <= 2 * before * (1 + 1e-6)
    ratio = (x * x).mean() * PIXELS
    assert abs(ratio - 1) * math.sqrt(x.size) < 4.75 * math.sqrt(float(two.stats("k")) + 2)


def vit_timm() -> dict[str, Check]:
    limit = 1 / math.sqrt(PIXELS)
    return COMMON | {
        **dict.fromkeys(("pos", "packed", "matrix", "head"), normal(0.02)),
        **dict.fromkeys(("patch", "patch_bias"), uniform(limit)),
        "cls": normal(1e-6),
        "mlp_bias": constant(0.0),
        "scale": constant(1e-5),
    }


VIT_FLAX: dict[str, Check] = COMMON | {
    "matrix": xavier_uniform,
    "packed": thirds,
    "pos": normal(0.02),
    "cls": constant(0.0),
    "head": constant(0.0),
    "mlp_bias": normal(1e-6),
    "patch": lecun_normal,
    "patch_bias": constant(0.0),
    "scale": constant(0.1),
}


def convnext(scale: float, head: float) -> dict[str, Check]:
    return COMMON | {"matrix": normal(0.02), "head": normal(head), "scale": constant(scale)}


CONVNEXTS = [known.CONVNEXT, known.TIMM_CONVNEXT, known.KERAS_CONVNEXT]
IMAGES: list[Any] = [
    (recipes.vit(patch=PATCH), [known.TIMM_VIT, known.KERAS_VIT], vit_timm()),
    (recipes.vit(method="flax", layer_scale=0.1), [known.TIMM_VIT, known.KERAS_VIT], VIT_FLAX),
    (recipes.convnext(), CONVNEXTS, convnext(1e-6, 0.02)),
    (recipes.convnext(layer_scale=0.5, head_scale=0.1), CONVNEXTS, convnext(0.5, 0.002)),
]

# --- tables, fields, state spaces ----------------------------------------------------------------


def table(x: Any, layer: int) -> None:
    check_uniform(x, 1 / math.sqrt(len(x)))


def dense(x: Any, layer: int) -> None:
    check_normal(x, math.sqrt(2 / sum(x.shape)))


def siren(omega: float, inputs_last: bool) -> dict[str, Check]:
    def hidden(x: Any, layer: int) -> None:
        check_uniform(x, math.sqrt(6 / x.shape[-1 if inputs_last else 0]) / omega)

    return {
        "first": uniform(1 / 3),
        "first_bias": uniform(1 / math.sqrt(3)),
        "hidden": hidden,
        "bias": uniform(1 / math.sqrt(F)),
    }


def time_steps(low: float, high: float) -> Check:
    def check(x: Any, layer: int) -> None:
        step = np.logaddexp(0, x)  # softplus
        assert low * (1 - 1e-6) <= step.min() and step.max() <= high * (1 + 1e-6)
        share = np.log(step / low) / math.log(high / low)
        assert stats.kstest(share, "uniform").pvalue > 1e-6

    return check


def log_range(x: Any, layer: int) -> None:
    row = [np.float32(math.log(n + 1)) for n in range(x.shape[-1])]
    assert (x == np.array(row)).all()


def log_of_uniform(low: float, high: float) -> Check:
    def check(x: Any, layer: int) -> None:
        assert math.log(low) <= x.min() and x.max() <= math.log(high) * (1 + 1e-6)
        share = (np.exp(x) - low) / (high - low)
        assert stats.kstest(share.reshape(-1), "uniform").pvalue > 1e-6

    return check


def mamba(inputs_last: bool, branches: int = 1, **more: Check) -> dict[str, Check]:
    def limit(x: Any) -> float:
        return 1 / math.sqrt(x.shape[-1 if inputs_last else 0])

    return COMMON | {
        "linear": lambda x, layer: check_uniform(x, limit(x)),
        "out": lambda x, layer: check_uniform(x, limit(x) / math.sqrt(branches * LAYERS)),
        "conv": uniform(1 / math.sqrt(4)),
        "emb": normal(0.02),
        "dt": time_steps(0.001, 0.1),
        "a": log_range,
        "one": constant(1.0),
        **more,
    }


DLRM: dict[str, Check] = {
    "table": table,
    "matrix": dense,
    "bias": lambda x, layer: check_normal(x, math.sqrt(1 / len(x))),
}
TWO = {"a": log_of_uniform(2.0, 9.0), "dt": time_steps(0.01, 0.3)}
MAMBA2 = recipes.mamba2(LAYERS, branches=2, a=(2.0, 9.0), dt=(0.01, 0.3))
OTHERS: list[Any] = [
    (recipes.dlrm(), [known.DLRM, known.KERAS_DLRM], DLRM),
    (recipes.siren(3, F), [known.SIREN], siren(30.0, True)),
    (recipes.siren(3, F, omega=7.0), [known.KERAS_SIREN], siren(7.0, False)),
    (recipes.mamba(LAYERS), [known.MAMBA], mamba(True)),
    (recipes.mamba(LAYERS), [known.KERAS_MAMBA], mamba(False)),
    (MAMBA2, [known.MAMBA], mamba(True, 2, **TWO)),
    (MAMBA2, [known.KERAS_MAMBA], mamba(False, 2, **TWO)),
]
CASES = [(recipe, text, want) for recipe, texts, want in IMAGES + OTHERS for text in texts]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_tensor_has_the_formula(case: int) -> None:
    recipe, text, expected = CASES[case]
    if "/" not in text:
        pytest.importorskip("torch")
    verify(text, filled(recipe, text, seed=case), expected)
    assert pi.models.ParameterMap.from_json(recipe.to_json()) == recipe


def test_limits_of_tables_are_exact_to_the_last_bit_but_one() -> None:
    for rows in (1, 3, 10**6, 50_000_003):
        init = recipes.dlrm().initializer("emb_l.0.weight", (rows, 16), seed=1)
        limit = init.distribution_for((rows, 16)).high
        assert abs(limit - 1 / math.sqrt(rows)) <= 2 * math.ulp(limit)


# --- convolutions, recurrent cells, sparse matrices ----------------------------------------------

TORCH_CNN = {
    "features.0.conv1.weight": (32, 16, 3, 3),
    "features.0.conv1.bias": (32,),
    "features.0.bn1.weight": (32,),
    "conv_block.1.weight": (32, 32, 5),
    "fc.weight": (10, 32),
    "fc.bias": (10,),
}
KERAS_CNN = {
    "conv2d_1/kernel": (3, 3, 16, 32),
    "conv2d_1/bias": (32,),
    "batch_normalization/gamma": (32,),
    "batch_normalization/moving_mean": (32,),
    "batch_normalization/moving_variance": (32,),
    "conv1d/kernel": (5, 32, 32),
    "dense/kernel": (32, 10),
}


@pytest.mark.parametrize("shapes", [TORCH_CNN, KERAS_CNN], ids=["torch", "keras"])
def test_delta_orthogonal_kernels_keep_the_norm(shapes: dict[str, Any]) -> None:
    in_torch = shapes is TORCH_CNN
    if in_torch:
        pytest.importorskip("torch")
    recipe = recipes.delta_orthogonal(gain=1.5)
    assert pi.models.ParameterMap.from_json(recipe.to_json()) == recipe
    for name, x in filled_shapes(recipe, shapes, in_torch).items():
        if x.ndim == 1:
            one = name.endswith(("gamma", "variance", "bn1.weight"))
            assert (x == one).all()
            continue
        if x.ndim > 2:  # out of torch's layout: spatial, in, out
            x = np.moveaxis(x, (1, 0), (-2, -1)) if in_torch else x
            center = x[tuple(n // 2 for n in x.shape[:-2])]
            assert np.count_nonzero(x) == np.count_nonzero(center) > 0.99 * center.size
            x = center
        x = x if len(x) <= x.shape[1] else x.T
        assert abs(x @ x.T - 1.5**2 * np.eye(len(x))).max() < 1e-5
    biases = filled_shapes(recipes.delta_orthogonal(bias_stddev=0.1), {"conv.bias": (4000,)}, False)
    check_normal(biases["conv.bias"], 0.1)


def test_dirac_kernels_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    for groups in (1, 4):
        recipe = recipes.dirac(groups=groups)
        assert pi.models.ParameterMap.from_json(recipe.to_json()) == recipe
        shapes = {
            "a.conv.weight": (32, 16, 3, 4),
            "b.conv1.weight": (8, 16, 5),
            "fc.weight": (5, 8),
        }
        found = filled_shapes(recipe, shapes, True)
        for name in ("a.conv.weight", "b.conv1.weight"):
            expected = torch.nn.init.dirac_(torch.empty(shapes[name]), groups).numpy()
            assert np.array_equal(found[name], expected)
        assert np.array_equal(found["fc.weight"], np.eye(5, 8))
        keras = filled_shapes(recipe, {"conv2d/kernel": (3, 4, 16, 32)}, False)["conv2d/kernel"]
        assert np.array_equal(keras.transpose(3, 2, 0, 1), found["a.conv.weight"])


RECURRENT = {
    "rnn.weight_ih_l0": (D, F),
    "rnn.weight_hh_l0": (D, D),
    "rnn.bias_ih_l0": (D,),
    "rnn.bias_hh_l0_reverse": (D,),
    "rnn/simple_rnn_cell/recurrent_kernel": (D, D),
    "rnn/simple_rnn_cell/kernel": (F, D),
    "head.weight": (V, D),
    "head.bias": (V,),
}


def test_recurrent_matrices_are_identities() -> None:
    recipe = recipes.identity(gain=0.5)
    assert pi.models.ParameterMap.from_json(recipe.to_json()) == recipe
    for name, x in filled_shapes(recipe, RECURRENT, False).items():
        if x.ndim == 1:
            assert not x.any()
        elif "hh" in name or "recurrent" in name:
            assert np.array_equal(x, 0.5 * np.eye(D))
        else:
            check_normal(x, 0.001)


def test_sparse_matrices_have_so_many_zeros_in_each_column() -> None:
    recipe = recipes.sparse(0.9, stddev=0.2)
    assert pi.models.ParameterMap.from_json(recipe.to_json()) == recipe
    shapes = {"a.weight": (515, 256), "b.kernel": (515, 256), "a.bias": (9,)}
    weights = filled_shapes(recipe, shapes, False)
    assert not weights["a.bias"].any()
    for name in ("a.weight", "b.kernel"):
        zeros = (weights[name] == 0).sum(axis=0)
        assert (zeros == math.ceil(0.9 * 515)).all()
        check_normal(weights[name][weights[name] != 0].astype(np.float64), 0.2)


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (recipes.vit(), "blocks.0.attn.rope.weight"),
        (recipes.vit(method="flax"), "h.0.attn.c_attn.weight"),
        (recipes.convnext(), "stages.0.token"),
        (recipes.dlrm(), "interaction.scale"),
        (recipes.siren(3, 8), "net.1.omega"),
        (recipes.mamba(2), "layers.0.mixer.attn.weight"),
        (recipes.dirac(), "alpha"),
        (recipes.identity(), "scale"),
        (recipes.sparse(0.5), "scale"),
    ],
)
def test_parameters_that_a_recipe_does_not_know_are_an_error(recipe: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"no match for {name} \(4, 4\)$"):
        recipe.initializers({name: (4, 4)}, seed=1)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: recipes.vit(method="x"), ValueError, "`method` must be one of timm, flax"),
        (lambda: recipes.vit(patch=0), ValueError, "`patch` must be positive"),
        (lambda: recipes.convnext(head_scale=0.0), ValueError, "`head_scale` must be positive"),
        (lambda: recipes.siren(0, 8), ValueError, "`inputs` must be positive"),
        (lambda: recipes.mamba(2, branches=0), ValueError, "`branches` must be 1 or 2"),
        (lambda: recipes.mamba(2, dt=(0.1, 0.01)), ValueError, "`low` must be below `high`"),
        (lambda: recipes.sparse(1.5), ValueError, r"`sparsity` must be in \[0, 1\]"),
        (lambda: recipes.dirac(groups=0), ValueError, "`groups` must be at least 1"),
    ],
)
def test_arguments_that_are_refused(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        make()
