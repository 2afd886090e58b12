# SPDX-License-Identifier: Apache-2.0
"""Models of transformers, from their configurations: unmodified code, and the meta device."""

import os
import sys
from pathlib import Path

import numpy
import pytest

import philinit as pi

torch = pytest.importorskip("torch")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is fetched
transformers = pytest.importorskip("transformers")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.paths import ROOT  # noqa: E402
from tests.support.torch_models import (  # noqa: E402
    check_that_weights_suffice,
    check_the_distributions,
)
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
    check_the_distributions(lambda: build(kind))


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_on_meta_needs_weights_alone(kind):
    check_that_weights_suffice(lambda: build(kind))


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


@pytest.mark.parametrize("kind", MODELS)
def test_weights_by_names_do_not_depend_on_the_order_of_modules(kind):
    """transformers' own `_init_weights` of each module, unchanged, in two orders.

    Children come before parents in both: some parents write what their children have drawn again.
    """
    torch.manual_seed(1)
    model = build(kind)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    def upwards(module, order):
        for child in order([*module.children()]):
            yield from upwards(child, order)
        yield module

    found = []
    for order in (list, reversed):
        with torch.no_grad(), pt.accelerate(seed=3, named=model):
            for module in upwards(model, order):
                model._init_weights(module)
        found.append({name: p.detach().clone() for name, p in model.named_parameters()})
    forwards, backwards = found
    drawn = 0
    for name, values in forwards.items():
        assert torch.equal(values, backwards[name]), name
        if not same(values, before[name]):
            drawn += 1
            stream = pi.Normal(seed=3).named(name)(tuple(values.shape)).astype("float64")
            assert correlation(values, stream) > 0.9, name  # scaled, cut, one row of zeros
    assert drawn >= 10


def correlation(values, stream):
    """Of a parameter's weights with the numbers of the stream of its name."""
    return numpy.corrcoef(values.double().reshape(-1).numpy(), stream.reshape(-1))[0, 1]


def test_guarded_functions_are_answered_too():
    """transformers exchanges those of `TORCH_MODULES_TO_PATCH` for its own, which call torch's."""
    modules = transformers.initialization.TORCH_MODULES_TO_PATCH
    assert "torch.nn.modules.linear" in modules
    linear = torch.nn.Linear(48, 96)
    for _ in range(2):
        with pt.accelerate(seed=3, named=linear):
            with transformers.initialization.guard_torch_init_functions():
                torch.nn.init.normal_(linear.weight, std=0.02)
            assert same(linear.weight, pi.Normal(0, 0.02, seed=3).named("weight")((96, 48)))
        with transformers.initialization.guard_torch_init_functions():  # the other way around
            with pt.accelerate(seed=4, named=linear):
                torch.nn.init.normal_(linear.weight, std=0.02)
            assert same(linear.weight, pi.Normal(0, 0.02, seed=4).named("weight")((96, 48)))
            linear.weight._is_hf_initialized = True
            with pt.accelerate(seed=5, named=linear):
                torch.nn.init.normal_(linear.weight)
        assert same(linear.weight, pi.Normal(0, 0.02, seed=4).named("weight")((96, 48)))
        del linear.weight._is_hf_initialized
    torch.manual_seed(1)
    theirs = torch.nn.init.normal_(torch.empty(64))
    torch.manual_seed(1)
    assert torch.equal(theirs, torch.empty(64).normal_())  # torch's own again
