# SPDX-License-Identifier: Apache-2.0
"""Models of transformers, from their configurations: unmodified code, and the meta device."""

import os
import sys
from pathlib import Path

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
transformers = pytest.importorskip("transformers")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.paths import ROOT  # noqa: E402
from tests.support.torch_tensors import same  # noqa: E402
from tests.support.transformers_models import MODELS, build  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def _no_folder_of_ours_is_taken_for_a_library():
    """`python -m pytest` looks into the root, and transformers for a library named `kernels`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [p for p in sys.path if Path(p).resolve() != ROOT])
        yield


@pytest.mark.parametrize("kind", MODELS)
def test_unmodified_code_gets_the_same_distributions_and_repeats(kind):
    torch.manual_seed(1)
    theirs = build(kind)
    with pt.accelerate(seed=3):
        ours = build(kind)
    with pt.accelerate(seed=3):
        again = build(kind)
    for (name, a), b, c in zip(
        ours.named_parameters(), theirs.parameters(), again.parameters(), strict=True
    ):
        assert torch.equal(a, c), name
        if b.numel() < 100 or not b.std():
            continue
        assert abs(a.std() / b.std() - 1) < 4.5 / a.numel() ** 0.5, name
        assert not torch.equal(a, b), name


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_on_meta_needs_weights_alone(kind):
    with pt.parameters_on_meta():
        model = build(kind)
    assert all(p.is_meta for p in model.parameters())
    init, reference = pi.Normal(stddev=0.02, seed=1), build(kind)
    pt.materialize(model, {"*": init})
    for name, parameter in model.named_parameters():
        assert same(parameter, init.named(name)(tuple(parameter.shape))), name
    found, wanted = (dict(m.named_buffers()) for m in (model, reference))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert len(list(model.parameters())) == len(list(reference.parameters()))  # tied are tied


def test_weights_marked_as_loaded_stay():
    model = build("Bert")
    kept = model.embeddings.word_embeddings.weight
    for module in model.modules():
        module._is_hf_initialized = False
    for name, parameter in model.named_parameters():
        parameter._is_hf_initialized = name.startswith("embeddings")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pt.accelerate(seed=1, named=model):
        model.init_weights()
    assert torch.equal(kept, before["embeddings.word_embeddings.weight"])
    name = "encoder.layer.0.attention.self.query.weight"
    weight = model.get_parameter(name)
    assert not torch.equal(weight, before[name])
    assert same(weight, pi.Normal(stddev=0.02, seed=1).named(name)(tuple(weight.shape)))


def test_the_padding_row_stays_zero():
    with pt.accelerate(seed=1):
        weight = build("Bert").embeddings.word_embeddings.weight
    assert not weight[0].any() and weight[1].any()
