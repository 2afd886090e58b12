# SPDX-License-Identifier: Apache-2.0
"""philinit.torch: tensors, DTensors and modules of the meta device, filled in their own memory.

Values come from `init(shape)`, fans from `torch.nn.init`. What needs several processes, or one
that plays several, is in tests/support/engines and runs in processes of its own.
"""

import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)

ENGINES = Path(__file__).parents[1] / "support" / "engines"
DTYPES = ["float32", "float64", "float16", "bfloat16"]
by_dtype = pytest.mark.parametrize("dtype", DTYPES)


def same(tensor, values):
    """Whether a torch tensor has the shape and the bytes of an ndarray."""
    flat = tensor.detach().contiguous().reshape(-1)
    return tuple(tensor.shape) == values.shape and (
        flat.view(torch.uint8).numpy().tobytes() == values.tobytes()
    )


def zeros(shape, dtype="float32"):
    return torch.zeros(shape, dtype=getattr(torch, dtype))


# --- fill_ ----------------------------------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (33, 17), (2, 3, 4, 5)])
def test_a_tensor_gets_the_weights_of_its_shape_in_its_own_memory(dtype, shape):
    init, tensor = pi.TruncatedNormal(seed=1), zeros(shape, dtype)
    where = tensor.data_ptr()
    assert pt.fill_(tensor, init) is tensor
    assert tensor.data_ptr() == where
    assert same(tensor, init(shape, dtype))


def test_rows_of_a_larger_tensor_are_filled_where_they_are():
    whole = torch.zeros(6, 5)
    pt.fill_(whole[2:4], pi.Uniform(seed=1))
    assert same(whole[2:4], pi.Uniform(seed=1)((2, 5)))
    assert not whole[:2].any() and not whole[4:].any()


def test_slices_of_any_axis_are_filled_where_they_are():
    whole = torch.zeros(4, 6, 5, 2)
    part = whole[1:3, 2:, 0, :]
    pt.fill_(part, pi.Uniform(seed=1))
    assert same(part, pi.Uniform(seed=1)((2, 4, 2)))
    assert int(whole.count_nonzero()) == 2 * 4 * 2
    column = torch.zeros(7, 3)[::2, 1:2]
    assert same(pt.fill_(column, pi.Uniform(seed=1)), pi.Uniform(seed=1)((4, 1)))


def test_a_slice_can_be_a_shard():
    init, whole = pi.Uniform(seed=1), torch.zeros(4, 6)
    seen = []
    pt.fill_(
        whole[1:, 2:5],
        init,
        shard=pi.Shard((9, 8, 7), (slice(6, 9), 5, slice(0, 3))),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert same(whole[1:, 2:5], init((9, 8, 7))[6:9, 5, 0:3])
    assert int(whole.count_nonzero()) == 9
    assert seen[-1] == (9, 9) and seen == sorted(seen)


def test_a_plain_tensor_can_be_a_shard_whose_fans_are_those_of_the_whole():
    init = pt.layout(pi.HeNormal(seed=3))
    box = pi.Shard((40, 30), (slice(4, 9), slice(10, 30)))
    tensor = zeros(box.shape)
    assert pt.fill_(tensor, init, shard=box) is tensor
    assert same(tensor, init((40, 30))[box.index])


def test_a_leaf_that_requires_grad_is_changed_in_place_and_in_no_graph():
    layer = torch.nn.Linear(4, 3)
    weight, version = layer.weight, layer.weight._version
    assert pt.fill_(weight, pi.Normal(seed=1)) is layer.weight
    assert weight.is_leaf and weight.requires_grad and weight.grad_fn is None
    assert weight._version > version
    layer(torch.ones(2, 4)).sum().backward()
    assert weight.grad is not None


def test_backward_notices_that_a_saved_tensor_was_filled():
    x = torch.ones(3, requires_grad=True)
    factor = torch.ones(3)
    product = (x * factor).sum()
    pt.fill_(factor, pi.Normal(seed=1))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_an_exception_of_progress_leaves_a_changed_tensor_that_says_so():
    def stop(done, total):
        raise KeyboardInterrupt

    tensor = torch.zeros(1000)
    with pytest.raises(KeyboardInterrupt):
        pt.fill_(tensor, pi.Normal(seed=1), progress=stop)
    assert tensor._version > 0


def test_tensors_of_inference_mode_are_filled():
    with torch.inference_mode():
        tensor = torch.zeros(3)
        pt.fill_(tensor, pi.Normal(seed=1))
    assert same(tensor, pi.Normal(seed=1)((3,)))


def test_threads_and_progress_are_passed_on():
    seen, init = [], pi.Normal(seed=1)
    tensor = torch.zeros(100, 1000)
    pt.fill_(tensor, init, threads=1, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (100_000, 100_000) and seen == sorted(seen)
    assert same(tensor, init((100, 1000)))


def freed():
    tensor = torch.zeros(4)
    tensor.untyped_storage().resize_(0)
    return tensor


NORMAL = pi.Normal(seed=1)
BAD = {
    "an ndarray": (
        lambda: (np.zeros(3, "f4"), NORMAL),
        TypeError,
        "`tensor` must be a torch.Tensor or a DTensor; got ndarray",
    ),
    "integers": (
        lambda: (torch.zeros(3, dtype=torch.int64), NORMAL),
        ValueError,
        "`tensor` must hold float32, float64, float16, bfloat16; got dtype=int64",
    ),
    "8 bits": (
        lambda: (torch.zeros(3, dtype=torch.float8_e4m3fn), NORMAL),
        ValueError,
        "got dtype=float8_e4m3fn",
    ),
    "a transposed tensor": (
        lambda: (torch.zeros(3, 4).T, NORMAL),
        ValueError,
        "`tensor` must be contiguous, or a slice of a contiguous tensor; got shape (4, 3) with "
        "strides (1, 4)",
    ),
    "channels last": (
        lambda: (torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last), NORMAL),
        ValueError,
        "fill it before it is transposed, expanded or made channels_last",
    ),
    "one number many times": (
        lambda: (torch.zeros(1).expand(4), NORMAL),
        ValueError,
        "must be contiguous, or",
    ),
    "one row many times": (
        lambda: (torch.zeros(4).expand(3, 4), NORMAL),
        ValueError,
        "got shape (3, 4) with strides (0, 1)",
    ),
    "rows that overlap": (
        lambda: (torch.zeros(9).as_strided((3, 4), (2, 1)), NORMAL),
        ValueError,
        "got shape (3, 4) with strides (2, 1)",
    ),
    "a sparse tensor": (
        lambda: (torch.eye(3).to_sparse(), NORMAL),
        ValueError,
        "`tensor` must be dense; got layout=torch.sparse_coo",
    ),
    "the meta device": (
        lambda: (torch.zeros(3, device="meta"), NORMAL),
        ValueError,
        "`tensor` must have memory; got one on the meta device: philinit.torch.materialize",
    ),
    "freed memory": (
        lambda: (freed(), NORMAL),
        ValueError,
        "got a torch tensor whose storage was freed",
    ),
    "a lazy parameter": (
        lambda: (torch.nn.LazyLinear(3).weight, NORMAL),
        ValueError,
        "`tensor` must have a shape; got a parameter of a lazy module",
    ),
    "a class": (
        lambda: (torch.zeros(3), pi.Normal),
        TypeError,
        "`init` must be a philinit initializer such as philinit.GlorotUniform(seed=42); got init",
    ),
    "a function": (lambda: (torch.zeros(3), torch.nn.init.ones_), TypeError, "`init` must be a"),
    "another shard": (
        lambda: (torch.zeros(3), NORMAL, {"shard": slice(0, 3)}),
        TypeError,
        "`shard` must be a philinit.Shard(global_shape, index); got shard=slice(0, 3, None)",
    ),
    "a shard of another shape": (
        lambda: (torch.zeros(3), NORMAL, {"shard": pi.Shard((9,), slice(0, 4))}),
        ValueError,
        "`tensor` must have the shape of `shard`; got shape (3,) for (4,)",
    ),
    "no threads": (
        lambda: (torch.zeros(3), NORMAL, {"threads": 0}),
        ValueError,
        "`threads` must be at least 1; got threads=0",
    ),
    "no progress": (
        lambda: (torch.zeros(3), NORMAL, {"progress": 1}),
        TypeError,
        "`progress` must be callable or None; got progress=1",
    ),
    "fans of a vector": (
        lambda: (torch.zeros(3), pt.layout(pi.HeNormal(seed=1))),
        ValueError,
        "`in_axis` must lie in [-1, 1) for a shape with 1 axis; got in_axis=1",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(case):
    make, error, message = BAD[case]
    tensor, init, *rest = make()
    with pytest.raises(error, match=re.escape(message)):
        pt.fill_(tensor, init, **(rest[0] if rest else {}))
    if getattr(tensor, "is_meta", True) or case in ("freed memory", "a lazy parameter"):
        return
    assert not tensor.to_dense().float().any() or case == "a sparse tensor"


def test_classes_with_elements_of_their_own_kind_are_refused():
    class Packed(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
            raise AssertionError(function)

    tensor = torch.Tensor._make_wrapper_subclass(Packed, (3,))
    with pytest.raises(TypeError, match=r"must be a plain torch\.Tensor.*; got Packed"):
        pt.fill_(tensor, NORMAL)


def test_without_torch_the_import_names_the_extra():
    code = "import sys; sys.modules['torch'] = None; import philinit.torch"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert 'philinit.torch needs torch: pip install "philinit[torch]"' in done.stderr


# --- layout ---------------------------------------------------------------------------------------

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
RULES = {
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
@pytest.mark.parametrize("rule", RULES)
def test_fans_are_those_of_torch_nn_init(layer, rule, asked):
    make, keywords = RULES[rule]
    weight = LAYERS[layer]().weight
    asked.clear()  # of the layer's own default
    getattr(torch.nn.init, rule.partition(",")[0])(weight, **keywords)
    ours = pt.layout(make()).distribution_for(tuple(weight.shape))
    parameters = (
        (ours.low, ours.high) if hasattr(ours, "low") else (ours.mean, ours.stddev)
    )  # U[low, high) or N(mean, stddev)
    assert parameters == pytest.approx(asked[-1], rel=1e-12)


@pytest.mark.parametrize("layer", ["Linear", "Conv1d", "Conv2d", "Conv3d"])
def test_the_default_of_torchs_layers_is_the_rule_that_layout_names(layer, asked):
    weight = LAYERS[layer]().weight
    rule = pt.layout(pi.VarianceScaling(1 / 3, "fan_in", "uniform", seed=1))
    ours = rule.distribution_for(tuple(weight.shape))
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


def test_layout_is_a_rule_like_any_other():
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


# --- materialize ----------------------------------------------------------------------------------


class Model(torch.nn.Module):
    """Tied, with buffers of both kinds, a part that needs no gradient, and one that recurs."""

    def __init__(self, dtype=None):
        super().__init__()
        self.embedding = torch.nn.Embedding(10, 6, dtype=dtype)
        self.norm = torch.nn.BatchNorm1d(6, dtype=dtype)
        self.recurrent = torch.nn.LSTM(6, 5, dtype=dtype)
        self.project = torch.nn.Linear(5, 6, dtype=dtype)
        self.head = torch.nn.Linear(6, 10, bias=False, dtype=dtype)
        self.head.weight = self.embedding.weight
        self.project.bias.requires_grad_(False)
        self.project.weight.is_residual = True
        self.register_buffer("positions", torch.arange(4), persistent=False)

    def forward(self, x):
        x = self.norm(self.embedding(x))
        return self.head(self.project(self.recurrent(x)[0]))


BUFFERS = {
    "*running_mean": pi.Zeros(),
    "*running_var": pi.Ones(),
    "*num_batches_tracked": torch.Tensor.zero_,
    "positions": lambda tensor: torch.arange(4, out=tensor),
}
FILLS = {
    "norm.weight": pi.Ones(),
    "norm.bias": pi.Zeros(),
    "*.bias": pi.Uniform(seed=4),
    "*": pi.Normal(seed=5),
}


def on_meta(make=Model, **arguments):
    with torch.device("meta"):
        return make(**arguments)


@by_dtype
def test_a_module_of_the_meta_device_gets_memory_and_weights(dtype):
    model = on_meta(dtype=getattr(torch, dtype))
    assert pt.materialize(model, BUFFERS | FILLS) is model
    for name, parameter in model.named_parameters():
        rule = {"norm.weight": pi.Ones(), "norm.bias": pi.Zeros()}.get(name)
        rule = rule or (pi.Uniform(seed=4) if name.endswith(".bias") else pi.Normal(seed=5))
        assert type(parameter) is torch.nn.Parameter
        assert same(parameter, rule.named(name)(tuple(parameter.shape), dtype)), name
    assert model.positions.tolist() == [0, 1, 2, 3] and int(model.norm.num_batches_tracked) == 0
    assert model.norm.running_var.tolist() == [1] * 6 and not model.norm.running_mean.any()
    assert "positions" not in model.state_dict()


def test_tied_parameters_stay_tied_and_flags_and_attributes_stay():
    model = pt.materialize(on_meta(), BUFFERS | FILLS)
    assert model.head.weight is model.embedding.weight
    assert len(list(model.parameters())) == len(list(Model().parameters()))
    assert not model.project.bias.requires_grad and model.project.weight.requires_grad
    assert model.project.weight.is_residual


def test_a_materialized_module_trains_and_round_trips():
    model = pt.materialize(on_meta(), BUFFERS | FILLS)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.arange(4)
    before = model.embedding.weight.detach().clone()
    model(x).square().mean().backward()
    optimizer.step()
    assert not torch.equal(before, model.embedding.weight)
    other = Model()
    other.load_state_dict(model.state_dict())
    model.eval(), other.eval()
    assert torch.equal(other(x), model(x))


def test_weights_depend_on_name_and_seed_alone():
    def make(extra):
        layers = {"a": torch.nn.Linear(3, 4), "b": torch.nn.Linear(3, 4)}
        return torch.nn.ModuleDict({"z": torch.nn.Linear(2, 2)} | layers if extra else layers)

    rules = {"*": pi.Normal(seed=1)}
    short, long = (pt.materialize(on_meta(make, extra=extra), rules) for extra in (0, 1))
    assert torch.equal(short["b"].weight, long["b"].weight)
    assert not torch.equal(short["a"].weight, short["b"].weight)


def test_the_first_pattern_that_matches_counts_and_a_callable_sees_the_tensor():
    def make():
        return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))

    model = pt.materialize(on_meta(make), {"[0].weight": pi.Ones(), "*": pi.Zeros()})
    assert model[0].weight.eq(1).all() and not model[1].weight.any() and not model[0].bias.any()
    seen = []

    def rules(name, tensor):
        seen.append((name, tuple(tensor.shape), tensor.is_meta))
        return pi.Ones() if tensor.ndim == 1 else torch.nn.init.eye_

    model = pt.materialize(on_meta(make), rules)
    assert seen[:2] == [("0.weight", (3, 2), True), ("0.bias", (3,), True)]
    assert torch.equal(model[0].weight, torch.eye(3, 2)) and model[1].bias.eq(1).all()


def test_what_has_memory_stays_as_it_is():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2, device="meta"))
    first, values = model[0].weight, model[0].weight.detach().clone()
    model = pt.materialize(model, {"1.*": pi.Zeros()})
    assert model[0].weight is first and torch.equal(first, values)
    assert not model[1].weight.any()


def test_an_interrupted_call_leaves_full_tensors_or_none_and_can_be_repeated():
    rules = {"*": pi.Normal(seed=1)}

    def make():
        return torch.nn.Sequential(*(torch.nn.Linear(30, 30) for _ in range(4)))

    def stop(done, total):
        if done > total // 2:
            raise KeyboardInterrupt

    model = on_meta(make)
    with pytest.raises(KeyboardInterrupt):
        pt.materialize(model, rules, progress=stop)
    kept = [p for p in model.parameters() if not p.is_meta]
    assert 0 < len(kept) < 8
    pt.materialize(model, rules)
    for name, parameter in model.named_parameters():
        assert same(parameter, rules["*"].named(name)(tuple(parameter.shape)))


def test_progress_goes_over_the_whole_module():
    seen = []
    model = on_meta()
    report = lambda done, total: seen.append((done, total))  # noqa: E731
    pt.materialize(model, BUFFERS | FILLS, progress=report)
    total = sum(t.numel() for t in [*model.parameters(), *model.buffers()])
    assert seen[-1] == (total, total) and seen == sorted(seen)


BAD_MODULES = {
    "no module": (lambda: (torch.zeros(3), {}), TypeError, "`module` must be a torch.nn.Module"),
    "nothing to do": (
        lambda: (torch.nn.Linear(2, 2), {"*": NORMAL}),
        ValueError,
        "`module` must have something on the meta device; got none",
    ),
    "no rules": (
        lambda: (on_meta(), {"*.weight": NORMAL, "norm.*": NORMAL}),
        ValueError,
        "got none for recurrent.weight_ih_l0, recurrent.weight_hh_l0, recurrent.bias_ih_l0, "
        "recurrent.bias_hh_l0, project.bias, positions",
    ),
    "rules of another kind": (
        lambda: (on_meta(), [NORMAL]),
        TypeError,
        "`rules` must be a mapping of patterns to initializers, or a callable(name, tensor);",
    ),
    "patterns of another kind": (
        lambda: (on_meta(), {re.compile(".*"): NORMAL}),
        TypeError,
        "`rules` must have patterns that are str",
    ),
    "a class": (
        lambda: (on_meta(), BUFFERS | {"*": pi.Zeros}),
        TypeError,
        "embedding.weight: `rules` must give a philinit initializer such as philinit.Zeros()",
    ),
    "a number": (
        lambda: (on_meta(), {"*": 1.0}),
        TypeError,
        "embedding.weight: `rules` must give a",
    ),
    "fans the wrong way round": (
        lambda: (on_meta(), BUFFERS | {"*.weight": pi.HeNormal(seed=1), "*": pi.Zeros()}),
        ValueError,
        "embedding.weight: `init` must have the fans of torch's weights",
    ),
    "fans of a vector": (
        lambda: (on_meta(), BUFFERS | {"*": pt.layout(pi.HeNormal(seed=1))}),
        ValueError,
        "norm.weight: `in_axis` must lie in",
    ),
    "an initializer for integers": (
        lambda: (on_meta(), {"*": NORMAL}),
        ValueError,
        "positions: `tensor` must hold float32, float64, float16, bfloat16; got dtype=int64",
    ),
    "a value that float16 lacks": (
        lambda: (on_meta(dtype=torch.float16), BUFFERS | {"*": pi.Constant(1e6)}),
        ValueError,
        "embedding.weight: `value` must fit into float16",
    ),
    "a lazy module": (
        lambda: (torch.nn.LazyLinear(3, device="meta"), {"*": NORMAL}),
        ValueError,
        "weight: `tensor` must have a shape; got a parameter of a lazy module",
    ),
    "channels last": (
        lambda: (
            torch.nn.Conv2d(3, 4, 5, device="meta").to(memory_format=torch.channels_last),
            {"*": NORMAL},
        ),
        ValueError,
        "weight: `tensor` must be contiguous, or a slice of a contiguous tensor",
    ),
    "no memory": (
        lambda: (on_meta(), BUFFERS | FILLS, {"device": "meta"}),
        ValueError,
        "`device` must have memory",
    ),
    "no device": (
        lambda: (on_meta(), BUFFERS | FILLS, {"device": "nowhere"}),
        ValueError,
        '`device` must be one of torch\'s, such as "cpu" or "cuda:0"; got device=\'nowhere\'',
    ),
    "no threads": (
        lambda: (on_meta(), BUFFERS | FILLS, {"threads": 0}),
        ValueError,
        "`threads` must be at least 1",
    ),
    "no progress": (
        lambda: (on_meta(), BUFFERS | FILLS, {"progress": 1}),
        TypeError,
        "`progress` must be callable or None; got progress=1",
    ),
}


@pytest.mark.parametrize("case", BAD_MODULES)
def test_bad_rules_are_one_sentence_and_nothing_is_allocated(case):
    make, error, message = BAD_MODULES[case]
    module, rules, *rest = make()
    with pytest.raises(error, match=re.escape(message)):
        pt.materialize(module, rules, **(rest[0] if rest else {}))
    if isinstance(module, torch.nn.Module) and case != "nothing to do":
        assert all(t.is_meta for t in [*module.parameters(), *module.buffers()])


# --- many processes -------------------------------------------------------------------------------


def started(command, out):
    """A process that writes what it prints to `out`, and its complaints to `out`.err."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with open(out, "wb") as stdout, open(f"{out}.err", "wb") as stderr:
        return subprocess.Popen(
            [sys.executable, *map(str, command)], env=environment, stdout=stdout, stderr=stderr
        )


def run(commands, folder, timeout=240):
    """What each of the commands prints; one's failure ends all, and all end with this function."""
    outs = [folder / f"out{number}" for number in range(len(commands))]
    running, stop = [], time.monotonic() + timeout
    try:
        for command, out in zip(commands, outs, strict=True):
            running.append(started(command, out))
        while any(p.poll() is None for p in running) and not any(p.poll() for p in running):
            if time.monotonic() > stop:
                break
            time.sleep(0.05)
    finally:
        for process in running:
            process.kill()
            process.wait()
    for process, out in zip(running, outs, strict=True):
        complaints = Path(f"{out}.err").read_text()
        print(f"{out.name}: exit code {process.returncode}\n{complaints[-4000:]}")
    return [out.read_text().split() for out in outs]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return run([[ENGINES / "torch_ranks.py"]], tmp_path_factory.mktemp("ranks"))


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    script = ENGINES / "torch_group.py"
    return run([[script, rank, folder / "meeting_point"] for rank in range(4)], folder)


@pytest.mark.parametrize(
    "section",
    [
        "shards_of_every_axis",
        "pairs_and_triples_of_placements",
        "scalars",
        "strided_shards",
        "an_order_of_cuts_that_only_the_spec_tells",
        "fsdp2_of_uneven_tensor_parallelism",
        "parts_of_a_fused_matrix",
        "constants_and_fans_are_those_of_the_global_tensor",
        "progress_counts_the_local_shard",
        "autograd_sees_a_change_in_place",
        "what_is_refused",
    ],
)
def test_every_rank_of_a_world_of_8_has_its_part_of_the_whole(ranks, section):
    assert section in ranks[0]


@pytest.mark.parametrize(
    "section",
    [
        "shards_of_every_axis",
        "placements_on_a_2x2_mesh",
        "fsdp2",
        "fsdp2_after_an_interruption",
        "fsdp2_in_bfloat16_with_mixed_precision",
        "fsdp2_on_axis_1",
        "fsdp2_with_replicas",
        "tensor_parallel",
        "fsdp2_with_tensor_parallelism",
        "memory_is_that_of_the_shards",
    ],
)
def test_4_processes_assemble_the_whole(group, section):
    assert all(section in passed for passed in group)
