# SPDX-License-Identifier: Apache-2.0
"""philinit.torch.layout: the fans of torch.nn.init, and what would read a weight the wrong way."""

import math

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.torch_tensors import same  # noqa: E402

LAYERS = {
    "Linear": lambda: torch.nn.Linear(24, 7),
    "Conv1d": lambda: torch.nn.Conv1d(6, 4, 5),
    "Conv2d": lambda: torch.nn.Conv2d(3, 8, (3, 5)),
    "Conv2d, grouped": lambda: torch.nn.Conv2d(8, 12, 3, groups=4),
    "Conv2d, depthwise": lambda: torch.nn.Conv2d(8, 8, 3, groups=8),
    "Conv3d": lambda: torch.nn.Conv3d(2, 4, 3),
    "ConvTranspose2d": lambda: torch.nn.ConvTranspose2d(4, 6, 3),
    "Embedding": lambda: torch.nn.Embedding(10, 4),
}

# What torch.nn.init draws, and what draws the same here.
SAME_IN_TORCH = {
    "kaiming_uniform_": (lambda: pi.HeUniform(seed=1), {}),
    "kaiming_uniform_, leaky": (
        lambda: pi.HeUniform(seed=1, activation="leaky_relu", param=0.2),
        {"a": 0.2},
    ),
    "kaiming_uniform_, fan_out, tanh": (
        lambda: pi.VarianceScaling((5 / 3) ** 2, "fan_out", "uniform", seed=1),
        {"mode": "fan_out", "nonlinearity": "tanh"},
    ),
    "kaiming_normal_": (lambda: pi.VarianceScaling(2.0, "fan_in", "normal", seed=1), {}),
    "kaiming_normal_, fan_out": (
        lambda: pi.VarianceScaling(2.0, "fan_out", "normal", seed=1),
        {"mode": "fan_out"},
    ),
    "xavier_uniform_": (lambda: pi.GlorotUniform(seed=1), {}),
    "xavier_uniform_, gain": (lambda: pi.GlorotUniform(seed=1, gain=1.5), {"gain": 1.5}),
    "xavier_normal_": (lambda: pi.VarianceScaling(1.0, "fan_avg", "normal", seed=1), {}),
    "kaiming_uniform_, the default of Linear": (
        lambda: pi.VarianceScaling(1 / 3, "fan_in", "uniform", seed=1),
        {"a": math.sqrt(5)},
    ),
}


@pytest.fixture
def asked(monkeypatch):
    """What torch.nn.init asks the tensor for: the arguments of uniform_ and normal_."""
    found = []

    def note(tensor, first, second, **_):
        found.append((first, second))
        return tensor

    monkeypatch.setattr(torch.Tensor, "uniform_", note)
    monkeypatch.setattr(torch.Tensor, "normal_", note)
    return found


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("function", SAME_IN_TORCH)
def test_fans_are_those_of_torch_nn_init(layer, function, asked):
    make, keywords = SAME_IN_TORCH[function]
    weight = LAYERS[layer]().weight
    asked.clear()  # of the layer's own default
    getattr(torch.nn.init, function.partition(",")[0])(weight, **keywords)
    ours = pt.layout(make()).distribution_for(tuple(weight.shape))
    parameters = (
        (ours.low, ours.high) if hasattr(ours, "low") else (ours.mean, ours.stddev)
    )  # U[low, high) or N(mean, stddev)
    assert parameters == pytest.approx(asked[-1], rel=1e-12)


@pytest.mark.parametrize("layer", ["Linear", "Conv1d", "Conv2d", "Conv3d"])
def test_the_default_of_torchs_layers_is_the_initializer_that_layout_names(layer, asked):
    weight = LAYERS[layer]().weight
    init = pt.layout(pi.VarianceScaling(1 / 3, "fan_in", "uniform", seed=1))
    ours = init.distribution_for(tuple(weight.shape))
    assert any((ours.low, ours.high) == pytest.approx(one, rel=1e-12) for one in asked)


def test_weights_fill_torchs_interval_and_do_not_leave_it():
    weight = torch.empty(256, 64, 3, 3)
    pt.fill_(weight, pt.layout(pi.HeUniform(seed=1)))
    limit = math.sqrt(6 / (64 * 9))
    assert 0.9999 * limit < float(weight.abs().max()) <= limit
    assert float(weight.std()) == pytest.approx(math.sqrt(2 / (64 * 9)), rel=0.01)


WRONG_WAY_ROUND = [
    (pi.HeNormal(seed=1), (4, 8)),
    (pi.LecunUniform(seed=1), (4, 8)),
    (pi.VarianceScaling(1.0, "fan_out", seed=1), (4, 8)),
    (pi.GlorotUniform(seed=1), (8, 4, 3, 3)),
    (pi.HeNormal(seed=1), (4, 4, 3, 3)),
    (pi.HeNormal(seed=1), (4, 8, 3)),
]


@pytest.mark.parametrize(("init", "shape"), WRONG_WAY_ROUND)
def test_fans_that_are_not_torchs_are_refused(init, shape):
    tensor = torch.zeros(shape)
    with pytest.raises(ValueError, match=r"pass philinit\.torch\.layout\(init\)"):
        pt.fill_(tensor, init)
    assert not tensor.any()
    assert same(pt.fill_(tensor, pt.layout(init)), pt.layout(init)(shape))


@pytest.mark.parametrize(
    ("init", "shape"),
    [
        (pi.GlorotUniform(seed=1), (4, 8)),  # the same read either way
        (pi.HeNormal(seed=1), (8, 8)),
        (pi.HeNormal(seed=1), (8,)),
        (pi.HeNormal(seed=1, in_axis=0, out_axis=1), (4, 8)),  # said, so it is meant
        (pi.HeNormal(seed=1, in_axis=2, out_axis=1, batch_axis=0), (3, 4, 8)),
        (pi.Orthogonal(seed=1), (4, 8)),
    ],
)
def test_what_is_said_or_makes_no_difference_is_taken_as_it_is(init, shape):
    assert same(pt.fill_(torch.zeros(shape), init), init(shape))


@pytest.mark.parametrize(
    "init", [pi.Normal(seed=1), pi.Zeros(), pi.Orthogonal(seed=1), pi.HeNormal(in_axis=0, seed=1)]
)
def test_layout_leaves_alone_what_has_no_fans_or_axes_of_its_own(init):
    assert pt.layout(init) is init


def test_layout_gives_an_initializer_like_any_other():
    init = pt.layout(pi.HeNormal(seed=1, gain=2.0).named("a"))
    assert init == pi.HeNormal(seed=1, gain=2.0, in_axis=1, out_axis=0).named("a")
    assert pt.layout(init) is init


def test_layout_does_not_guess_batches():
    with pytest.raises(ValueError, match="must name in_axis and out_axis along with batch_axis"):
        pt.layout(pi.HeNormal(seed=1, batch_axis=0))
    with pytest.raises(ValueError, match="must name in_axis and out_axis along with batch_axis"):
        pt.fill_(torch.zeros(2, 3, 4), pi.HeNormal(seed=1, batch_axis=0))


def test_orthogonal_weights_are_matrices():
    weight = torch.zeros(8, 2, 3, 3)
    with pytest.raises(NotImplementedError, match=r"weight\.view\(len\(weight\), -1\)"):
        pt.fill_(weight, pi.Orthogonal(seed=1))
    matrix = pt.fill_(weight.view(len(weight), -1), pi.Orthogonal(seed=1))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(8))
    assert weight.any()


def test_centered_kernels_have_torchs_axes_or_are_refused():
    weight = torch.nn.Conv2d(6, 8, 3).weight
    for init in (pi.models.Dirac(groups=2), pi.models.DeltaOrthogonal(seed=1)):
        with pytest.raises(
            ValueError, match=r"as \(\.\.\., in, out\): pass philinit\.torch\.layout"
        ):
            pt.fill_(weight, init)
        turned = pt.layout(init)
        assert (turned.in_axis, turned.out_axis) == (1, 0) and pt.layout(turned) is turned
        pt.fill_(weight, turned)
    model = pt.initialize(torch.nn.Conv2d(6, 8, 3, bias=False), {"*": pi.models.Dirac()}, seed=1)
    assert torch.equal(model.weight, torch.nn.init.dirac_(torch.empty(8, 6, 3, 3)))
