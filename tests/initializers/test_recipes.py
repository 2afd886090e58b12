# SPDX-License-Identifier: Apache-2.0
"""Recipes of known models: each tensor against the formula of its paper or code, written here."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

import philinit as pi
from philinit import recipes
from tests.support import recipe_models as known
from tests.support.planted import assert_caught
from tests.support.recipe_checks import (
    COMMON,
    Check,
    by,
    check_cut,
    check_normal,
    check_uniform,
    constant,
    cut,
    normal,
    uniform,
    verify,
)
from tests.support.recipe_models import LAYERS, D, F, filled, filled_shapes

L = LAYERS


# --- decoders ------------------------------------------------------------------------------------


def scaled_normal(s: float, deep: float, table: float | None = None) -> dict[str, Check]:
    inner, table = normal(s), s if table is None else table
    return COMMON | {
        **dict.fromkeys(("in", "v", "gate", "up", "head"), inner),
        **dict.fromkeys(("emb", "pos"), normal(table)),
        **dict.fromkeys(("out", "down"), normal(deep)),
    }


def llama(s: float, deep: Callable[[int], float], after_cut: bool = False) -> dict[str, Check]:
    return COMMON | {
        **dict.fromkeys(("in", "v", "gate"), normal(s)),
        **dict.fromkeys(("out", "down", "up"), normal(deep)),
        "emb": normal(1.0),
        "head": cut(D**-0.5, after_cut=after_cut),
    }


def olmo(inner: Any, up: Any, out: Any, emb: Check, head: Any, a: bool = False) -> dict[str, Check]:
    return COMMON | {
        **dict.fromkeys(("in", "v", "gate"), cut(inner, after_cut=a)),
        **dict.fromkeys(("out", "down"), cut(out, after_cut=a)),
        "up": cut(up, after_cut=a),
        "emb": emb,
        "head": cut(head, after_cut=a),
    }


def mitchell(a: bool = False) -> dict[str, Check]:
    return {
        **olmo(
            ROOT, ROOT, lambda i: 1 / math.sqrt(2 * D * (i + 1)), cut(ROOT, after_cut=a), ROOT, a
        ),
        "down": cut(lambda i: 1 / math.sqrt(2 * F * (i + 1)), after_cut=a),
    }


ROOT, S = D**-0.5, 0.02
SMALL, WANG = math.sqrt(2 / (5 * D)), 2 / (L * math.sqrt(D))


def flat(i: int) -> float:
    return S / math.sqrt(2 * L)


def deep(i: int) -> float:
    return S / math.sqrt(2 * (i + 1))


def mup(m: float, head: Check, residual: float = 1.0) -> dict[str, Check]:
    return {**scaled_normal(S / math.sqrt(m), S / math.sqrt(m) * residual, S), "head": head}


LANGUAGE = [
    (recipes.gpt2(L), [known.NANOGPT, known.KERAS_HUB], scaled_normal(S, flat(0))),
    (recipes.gpt2(L, stddev=0.3), [known.NANOGPT], scaled_normal(0.3, 0.3 / math.sqrt(2 * L))),
    (recipes.megatron(L), [known.MEGATRON, known.NEOX], scaled_normal(S, flat(0))),
    (
        recipes.megatron(L, stddev=0.01, embedding_stddev=0.5, branches=1),
        [known.MEGATRON, known.KERAS_HUB],
        scaled_normal(0.01, 0.01 / math.sqrt(L), 0.5),
    ),
    (
        recipes.llama(L, D),
        [known.TORCHTITAN, known.TRANSFORMERS_LLAMA, known.KERAS_LLAMA],
        llama(S, deep),
    ),
    (
        recipes.llama(L, D, by_depth=False, after_cut=True),
        [known.TRANSFORMERS_LLAMA, known.KERAS_LLAMA],
        llama(S, flat, True),
    ),
    (
        recipes.olmo(L, D),
        [known.OLMO_CORE, known.KERAS_LLAMA],
        olmo(S, S, S, cut(S), S),
    ),
    (
        recipes.olmo(L, D, stddev=0.1, after_cut=True),
        [known.OLMO_CORE],
        olmo(0.1, 0.1, 0.1, cut(0.1, after_cut=True), 0.1, True),
    ),
    (
        recipes.olmo(L, D, method="llama"),
        [known.OLMO_CORE, known.TRANSFORMERS_LLAMA],
        olmo(S, flat, flat, normal(1.0), ROOT),
    ),
    (
        recipes.olmo(L, D, method="llama_depth", after_cut=True),
        [known.OLMO_CORE, known.KERAS_LLAMA],
        olmo(S, deep, deep, normal(1.0), ROOT, True),
    ),
    (
        recipes.olmo(L, D, method="normalized"),
        [known.OLMO_CORE],
        olmo(ROOT, ROOT, ROOT / math.sqrt(2 * L), normal(ROOT), ROOT),
    ),
    (recipes.olmo(L, D, method="mitchell"), [known.OLMO, known.KERAS_HUB], mitchell()),
    (recipes.olmo(L, D, method="mitchell", after_cut=True), [known.OLMO], mitchell(True)),
    (recipes.small_init(D), [known.NEOX, known.KERAS_HUB], scaled_normal(SMALL, SMALL)),
    (recipes.wang_init(L, D), [known.NEOX, known.KERAS_HUB], scaled_normal(SMALL, WANG)),
    (
        recipes.mup(4.0),
        [known.TRANSFORMERS_LLAMA, known.KERAS_LLAMA, known.NANOGPT],
        mup(4.0, normal(S / 4.0)),
    ),
    (
        recipes.mup(2.0, layers=L, readout="multiplier"),
        [known.NANOGPT, known.KERAS_HUB],
        mup(2.0, normal(S), 1 / math.sqrt(2 * L)),
    ),
    (recipes.mup(2.0, readout="zeros"), [known.KERAS_HUB], mup(2.0, constant(0.0))),
]
for *_, expected in LANGUAGE:
    expected.setdefault("pos", expected["emb"])


# --- deep transformers ---------------------------------------------------------------------------

SQUARE, WIDE = math.sqrt(2 / (D + D)), math.sqrt(2 / (D + F))  # Xavier's stddev


def thirds(check: Check, gain: float, stddev: float, axis: int) -> Check:
    """Query and key at gain 1, value at `gain`, each with the fans of a matrix of its own."""

    def run(x: Any, layer: int) -> None:
        for part, g in zip(np.split(x, 3, axis), (1.0, 1.0, gain), strict=True):
            check(part, g * stddev)

    return run


def xavier(check: Check, gain: float, unit: float, **more: Check) -> dict[str, Check]:
    """`unit`: 1 where `check` takes a stddev, sqrt(3) where it takes the limit."""
    square, wide = SQUARE * unit, WIDE * unit
    return COMMON | {
        "in": by(check, square),
        **dict.fromkeys(("v", "out", "cross"), by(check, gain * square)),
        **dict.fromkeys(("up", "down"), by(check, gain * wide)),
        "packed": thirds(check, gain, square, 0),
        "packed-1": thirds(check, gain, square, -1),
        **dict.fromkeys(("emb", "pos", "head"), normal(ROOT)),
        **more,
    }


def prefixed(text: str, prefix: str) -> str:
    return re.sub(r"^(?=.)", prefix, text, flags=re.M)


BETA, GAMMA = (8 * L) ** -0.25, math.sqrt(math.log(2 * L))
M = 5  # layers of the decoder, as the recipes of both are told
BETAS = 0.87 * (L**4 * M) ** (-1 / 16), (12 * M) ** -0.25
GAMMAS = math.sqrt(math.log(3 * M) * math.log(2 * L) / 3), math.sqrt(math.log(3 * M))
DECODER = known.FAIRSEQ_DECODER + known.FAIRSEQ_CROSS
ONE = [known.FAIRSEQ_DECODER, known.KERAS_HUB, known.TORCH_ENCODER, known.KERAS_PACKED]
KERAS_DECODER = known.KERAS_HUB.replace("transformer_layer", "transformer_decoder_layer")

DEEP = [
    (recipes.deepnorm(L), ONE, xavier(check_normal, BETA, 1.0)),
    (recipes.sub_ln(L), ONE, xavier(check_normal, GAMMA, 1.0)),
    (
        recipes.deepnorm(L, decoder_layers=M),
        [known.FAIRSEQ_ENCODER],
        xavier(check_normal, BETAS[0], 1.0),
    ),
    (
        recipes.deepnorm(L, decoder_layers=M),
        [DECODER, KERAS_DECODER, prefixed(known.TORCH_ENCODER, "transformer.decoder.")],
        xavier(check_normal, BETAS[1], 1.0),
    ),
    (
        recipes.sub_ln(L, decoder_layers=M),
        [known.FAIRSEQ_ENCODER],
        xavier(check_normal, GAMMAS[0], 1.0),
    ),
    (
        recipes.sub_ln(L, decoder_layers=M),
        [DECODER, KERAS_DECODER],
        xavier(check_normal, GAMMAS[1], 1.0, cross=normal(SQUARE)),
    ),
]


def t_fixup(gain: float, m: int) -> dict[str, Check]:
    table = normal(ROOT * (9 * m) ** -0.25)
    expected = xavier(check_uniform, gain, math.sqrt(3), emb=table, pos=table)
    limit = math.sqrt(6 / (known.V + D))
    return {role: expected[role] for role in expected if role != "norm"} | {"head": uniform(limit)}


def without_norms(text: str) -> str:
    return re.sub(r"^\S+ norm .*$", "", text, flags=re.M)


DEEP += [
    (
        recipes.t_fixup(L),
        [known.FAIRSEQ_ENCODER, without_norms(known.TORCH_ENCODER), without_norms(known.KERAS_HUB)],
        t_fixup(0.67 * L**-0.25, L),
    ),
    (recipes.t_fixup(L), [without_norms(DECODER)], t_fixup((9 * L) ** -0.25, L)),
    (
        recipes.t_fixup(L, decoder_layers=M),
        [without_norms(DECODER), without_norms(KERAS_DECODER)],
        t_fixup((9 * M) ** -0.25, M),
    ),
    (recipes.t_fixup(L, decoder_layers=M), [known.FAIRSEQ_ENCODER], t_fixup(0.67 * L**-0.25, M)),
]
CASES = [(recipe, text, want) for recipe, texts, want in LANGUAGE + DEEP for text in texts]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_every_tensor_of_a_transformer_has_the_formula(case: int) -> None:
    recipe, text, expected = CASES[case]
    if "/" not in text:
        pytest.importorskip("torch")
    verify(text, filled(recipe, text, seed=case), expected)
    assert pi.models.ParameterMap.from_json(recipe.to_json()) == recipe


@pytest.mark.parametrize("spoil", [0.98, 1.02])
def test_two_percent_would_be_seen(spoil: float) -> None:
    numbers = np.random.default_rng(1)
    x = numbers.standard_normal(1 << 17)
    check_normal(x, 1.0)
    assert_caught(check_normal, x * spoil, 1.0)
    assert_caught(check_normal, x.clip(-2.9, 2.9), x.clip(-2.9, 2.9).std())
    y = numbers.uniform(-1, 1, 1 << 17)
    check_uniform(y, 1.0)
    assert_caught(check_uniform, y * spoil, 1.0)
    z = stats.truncnorm(-3, 3).rvs(1 << 17, random_state=numbers)
    check_cut(z, 1.0)
    assert_caught(check_cut, z * spoil, 1.0)
    assert_caught(check_cut, z, 1.0, True)
    assert_caught(check_cut, x, 1.0)


def test_another_recipe_would_be_seen() -> None:
    pytest.importorskip("torch")
    weights = filled(recipes.gpt2(L), known.NANOGPT)
    assert_caught(
        verify, known.NANOGPT, weights, scaled_normal(S, S), match="down, layer 0|out, la"
    )
    weights = filled(recipes.llama(L, D), known.TORCHTITAN)
    assert_caught(verify, known.TORCHTITAN, weights, llama(S, flat), match="layer")
    weights = filled(recipes.deepnorm(L), known.TORCH_ENCODER)
    wrong = {**xavier(check_normal, BETA, 1.0), "packed": normal(SQUARE)}
    assert_caught(verify, known.TORCH_ENCODER, weights, wrong, match="packed")


# --- names ---------------------------------------------------------------------------------------


def test_parameters_that_a_recipe_does_not_know_are_an_error() -> None:
    shapes = {"transformer.h.0.mlp.c_fc.weight": (4, 4), "transformer.h.0.adapter.weight": (4, 3)}
    with pytest.raises(
        ValueError, match=r"no match for transformer\.h\.0\.adapter\.weight \(4, 3\)$"
    ):
        recipes.gpt2(2).initializers(shapes, seed=1)
    own = pi.models.ParameterMap({"*.adapter.*": pi.Zeros()}) + recipes.gpt2(2)
    assert len(own.initializers(shapes, seed=1)) == 2
    for each in (recipes.deepnorm(2), recipes.sub_ln(2), recipes.t_fixup(2)):  # thirds unknown
        with pytest.raises(ValueError, match=r"no match for h\.0\.attn\.c_attn\.weight"):
            each.initializers({"h.0.attn.c_attn.weight": (12, 4)}, seed=1)
    with pytest.raises(ValueError, match=r"no match for encoder\.layers\.0\.norm1\.weight"):
        recipes.t_fixup(2).initializers({"encoder.layers.0.norm1.weight": (4,)}, seed=1)


def test_names_of_ones_own_for_a_role() -> None:
    recipe = recipes.gpt2(L, names={"down": r"narrow\.weight$", "norm": r"scale_it$"})
    found = recipe.initializers({"a.7.narrow.weight": (4, 4), "h.0.scale_it": (4,)}, seed=1)
    assert found["a.7.narrow.weight"].distribution_for((4, 4)).stddev == pytest.approx(flat(0))
    assert found["h.0.scale_it"] == pi.Ones()
    assert pi.models.ParameterMap.from_json(recipe.to_json()) == recipe
    with pytest.raises(ValueError, match=r"`names` must be for roles of the recipe.*got 'middle'"):
        recipes.gpt2(L, names={"middle": "x"})
    for names in ({"down": 5}, "down"):
        with pytest.raises(TypeError, match="`names` must be a mapping of roles"):
            recipes.gpt2(L, names=names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: recipes.gpt2(0), ValueError, "`depth` must be at least 1"),
        (lambda: recipes.gpt2(2.5), TypeError, "`depth` must be an int"),
        (lambda: recipes.megatron(2, branches=3), ValueError, "`branches` must be 1 or 2"),
        (lambda: recipes.llama(2, 0), ValueError, "`width` must be positive"),
        (lambda: recipes.olmo(2, 8, method="x"), ValueError, "`method` must be one of normal,"),
        (lambda: recipes.wang_init(-1, 8), ValueError, "`layers` must be positive"),
        (lambda: recipes.mup(0.0), ValueError, "`width_multiplier` must be positive"),
        (lambda: recipes.mup(2.0, readout="x"), ValueError, "`readout` must be one of scaled,"),
        (lambda: recipes.deepnorm(2, decoder_layers=0), ValueError, "`decoder_layers` must be"),
    ],
)
def test_arguments_that_are_refused(make: Any, error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        make()


def test_a_layer_beyond_the_depth_is_an_error() -> None:
    recipe = recipes.llama(2, 8)
    with pytest.raises(ValueError, match="`layer` must be below `depth`; got layer=2 and depth=2"):
        pi.models.initialize({"layers.2.attention.wo.weight": np.empty((8, 8))}, recipe, seed=1)


def test_no_two_parameters_have_the_same_weights() -> None:
    weights = filled_shapes(
        recipes.gpt2(2), {f"h.{i}.mlp.c_fc.weight": (8, 8) for i in (0, 1)}, False
    )
    assert not np.array_equal(*weights.values())
