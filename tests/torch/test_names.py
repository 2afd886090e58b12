# SPDX-License-Identifier: Apache-2.0
"""accelerate(seed, named): the streams of weights come from names, not from the order of calls."""

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from philinit.torch import init  # noqa: E402
from tests.support.torch_tensors import same  # noqa: E402

own = torch.nn.init
STANDARD = pi.Normal(stddev=1.0, seed=42)


def nth(number, shape):
    """What call `number` of a block with the seed of `STANDARD` draws."""
    return STANDARD.named(number)(shape)


class Tied(torch.nn.Module):
    def __init__(self, order=1):
        super().__init__()
        parts = [("first", torch.nn.Linear(6, 5)), ("second", torch.nn.Linear(5, 6))]
        for name, part in parts[::order]:
            self.add_module(name, part)
        self.embedding = torch.nn.Embedding(7, 6)
        self.head = torch.nn.Linear(6, 7)
        self.head.weight = self.embedding.weight

    def start(self):
        for part in (self.second, self.first, self.head):
            own.normal_(part.weight)
            part.bias.data.normal_()


@pytest.mark.parametrize("order", [1, -1])
def test_names_give_the_streams_whatever_the_order(order):
    model = Tied(order)
    with pt.accelerate(seed=42, named=model):
        own.normal_(torch.empty(3))  # no parameter: takes the first numbered stream
        model.start()
        assert same(own.normal_(torch.empty(3)), nth(1, (3,)))
        own.normal_(model.first.weight, generator=torch.Generator())
    for name in ("first.weight", "first.bias", "second.weight", "embedding.weight", "head.bias"):
        tensor = model.get_parameter(name).detach()
        assert same(tensor, STANDARD.named(name)(tuple(tensor.shape))), name


def test_parts_of_a_named_parameter_have_streams_of_their_own():
    layer = torch.nn.Linear(6, 9)
    with pt.accelerate(seed=42, named=layer):
        for start in (0, 3, 6):
            own.normal_(layer.weight.data[start : start + 3])
    weight = layer.weight.detach()
    assert same(weight[3:6], STANDARD.named("weight").named(18)((3, 6)))
    assert same(weight[:3], STANDARD.named("weight")((3, 6)))
    assert weight.unique().numel() == weight.numel()


def test_a_model_that_moves_keeps_its_names():
    model = Tied()
    with pt.accelerate(seed=42, named=model):
        model.start()
        model.to(torch.float64)
        model.start()
    tensor = model.first.weight.detach()
    assert same(tensor, STANDARD.named("first.weight")((5, 6), "float64"))


def test_names_without_a_seed_follow_manual_seed():
    def weights(order, seed):
        model = Tied(order)
        torch.manual_seed(seed)
        with pt.accelerate(named=model):
            model.start()
        return dict(model.named_parameters())

    first, turned, other = weights(1, 5), weights(-1, 5), weights(1, 6)
    assert all(torch.equal(first[name], turned[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_inside_materialize_names_give_the_streams():
    def draw(tensor):
        own.normal_(tensor)
        tensor.add_(torch.empty_like(tensor).normal_(), alpha=0.0)

    with torch.device("meta"):
        model = Tied()
    with pt.accelerate(seed=42):
        pt.materialize(model, {"first.*": pi.Zeros(), "*": draw})
    for name in ("second.weight", "embedding.weight", "head.bias"):
        tensor = model.get_parameter(name).detach()
        assert same(tensor, STANDARD.named(name)(tuple(tensor.shape))), name


def test_a_generator_that_the_code_passes_counts():
    with pt.accelerate(seed=42):
        a = own.normal_(torch.empty(5), generator=torch.Generator().manual_seed(1))
        b = torch.empty(5).normal_(generator=torch.Generator().manual_seed(1))
        assert same(own.normal_(torch.empty(5)), nth(0, (5,)))
    assert torch.equal(a, b) and torch.equal(
        a, init.normal_(a.clone(), generator=torch.Generator().manual_seed(1))
    )


def test_bad_arguments_are_refused():
    for wrong, error, words in (
        ({"seed": 1.5}, TypeError, "`seed` must be an int"),
        ({"seed": 1 << 130}, ValueError, "`seed` must lie in"),
        ({"named": [1]}, TypeError, r"`named` must be a torch\.nn\.Module; got named=list"),
    ):
        with pytest.raises(error, match=words), pt.accelerate(**wrong):
            pass
    with pytest.raises(TypeError, match="`seed` must be an int"):
        pt.install(seed="1")
