# SPDX-License-Identifier: Apache-2.0
"""philinit.torch.parameters_on_meta: buffers are computed, parameters wait for materialize."""

import threading

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.torch_tensors import same  # noqa: E402


class Rotary(torch.nn.Module):
    """As Llama has it: frequencies that are not saved."""

    def __init__(self, width=8):
        super().__init__()
        frequencies = 1.0 / 10_000 ** (torch.arange(0, width, 2).float() / width)
        self.register_buffer("inv_freq", frequencies, persistent=False)
        self.original_inv_freq = self.inv_freq


class Window(torch.nn.Module):
    """As Swin has it: a table of parameters, and the numbers of its rows."""

    def __init__(self, size=3):
        super().__init__()
        self.table = torch.nn.Parameter(torch.zeros((2 * size - 1) ** 2, 2))
        grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij"))
        apart = grid.flatten(1)[:, :, None] - grid.flatten(1)[:, None] + size - 1
        self.register_buffer("index", apart[0] * (2 * size - 1) + apart[1])
        self.rates = [x.item() for x in torch.linspace(0, 0.1, 4)]
        torch.nn.init.trunc_normal_(self.table, std=0.02)


class Model(torch.nn.Module):
    """As GPT-2 and BERT have them: tied embeddings, a mask, position ids."""

    def __init__(self):
        super().__init__()
        self.rotary, self.window = Rotary(), Window()
        self.embedding = torch.nn.Embedding(11, 8, padding_idx=0)
        self.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8) for _ in range(2))
        self.lstm, self.norm = torch.nn.LSTM(8, 8), torch.nn.BatchNorm1d(8)
        self.head = torch.nn.Linear(8, 11, bias=False)
        self.head.weight = self.embedding.weight
        self.scale = self.again = torch.nn.Parameter(torch.ones(8), requires_grad=False)
        self.embedding.weight.is_embedding = True
        self.register_buffer("bias", torch.tril(torch.ones(4, 4)).bool(), persistent=False)
        self.register_buffer("position_ids", torch.arange(4).expand((1, -1)))
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, torch.nn.Linear):
            module.weight.data.normal_(mean=0.0, std=0.02)
        if isinstance(module, torch.nn.Embedding):
            module.weight.data.normal_(mean=0.0, std=0.02)
            module.weight.data[module.padding_idx].zero_()


def on_meta():
    with pt.parameters_on_meta():
        return Model()


def test_parameters_are_on_meta_and_buffers_are_what_they_are():
    model, reference = on_meta(), Model()
    assert all(p.is_meta for p in model.parameters())
    wanted = dict(reference.named_buffers())
    found = dict(model.named_buffers())
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    assert torch.equal(model.rotary.original_inv_freq, reference.rotary.original_inv_freq)
    assert model.window.rates == reference.window.rates


def test_kinds_shapes_and_ties_are_those_of_the_model():
    model, reference = on_meta(), Model()
    pairs = zip(model.named_parameters(), reference.named_parameters(), strict=True)
    for (name, a), (same_name, b) in pairs:
        assert (name, type(a), a.shape, a.dtype) == (same_name, type(b), b.shape, b.dtype)
        assert a.requires_grad == b.requires_grad and a.__dict__ == b.__dict__
    assert model.head.weight is model.embedding.weight and model.scale is model.again
    assert model.embedding.weight.is_embedding


def test_a_model_with_buffers_materializes_with_weights_alone():
    model, init = on_meta(), pi.Normal(stddev=0.02, seed=4)
    pt.materialize(model, {"*": init})
    for name, parameter in model.named_parameters():
        assert same(parameter, init.named(name)(tuple(parameter.shape)))
    assert model.head.weight is model.embedding.weight
    assert model.lstm(model.embedding(torch.arange(4)))[0].isfinite().all()
    assert torch.equal(model.window.index, Model().window.index)


def test_a_class_of_parameters_stays_that_class():
    class Scaled(torch.nn.Parameter):
        def __new__(cls, data, factor):
            made = super().__new__(cls, data)
            made.factor = factor
            return made

    module = torch.nn.Module()
    with pt.parameters_on_meta():
        module.weight = Scaled(torch.ones(3), 2.5)
    assert type(module.weight) is Scaled and module.weight.factor == 2.5
    assert module.weight.is_meta and module.weight.requires_grad


def test_lazy_parameters_and_none_stay_as_they_are():
    with pt.parameters_on_meta():
        lazy = torch.nn.LazyLinear(3)
        bare = torch.nn.Linear(3, 3, bias=False)
        with pt.parameters_on_meta():
            inner = torch.nn.Linear(2, 2)
        outer = torch.nn.Linear(2, 2)
    assert isinstance(lazy.weight, torch.nn.parameter.UninitializedParameter)
    assert bare.bias is None
    assert all(layer.weight.is_meta for layer in (bare, inner, outer))


def test_a_block_acts_in_its_own_thread_and_ends():
    found = []

    def other():
        found.append(torch.nn.Linear(2, 2).weight.is_meta)

    hooks = torch.nn.modules.module._global_parameter_registration_hooks
    with pt.parameters_on_meta():
        assert len(hooks) == 1
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [False] and not hooks
    assert not torch.nn.Linear(2, 2).weight.is_meta
    with pytest.raises(KeyboardInterrupt), pt.parameters_on_meta():
        raise KeyboardInterrupt
    assert not hooks
