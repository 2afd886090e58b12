# SPDX-License-Identifier: Apache-2.0
"""philinit.torch.materialize: modules of the meta device get memory and weights."""

import re

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.pages import advised, mapped, needs_huge_pages, wanted_of, watched  # noqa: E402
from tests.support.torch_tensors import DTYPES, same  # noqa: E402

by_dtype = pytest.mark.parametrize("dtype", DTYPES)
NORMAL = pi.Normal(seed=1)


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
        init = {"norm.weight": pi.Ones(), "norm.bias": pi.Zeros()}.get(name)
        init = init or (pi.Uniform(seed=4) if name.endswith(".bias") else pi.Normal(seed=5))
        assert type(parameter) is torch.nn.Parameter
        assert same(parameter, init.named(name)(tuple(parameter.shape), dtype)), name
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

    parameters = {"*": pi.Normal(seed=1)}
    short, long = (pt.materialize(on_meta(make, extra=extra), parameters) for extra in (0, 1))
    assert torch.equal(short["b"].weight, long["b"].weight)
    assert not torch.equal(short["a"].weight, short["b"].weight)


def test_the_first_pattern_that_matches_counts_and_a_callable_sees_the_tensor():
    def make():
        return torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2))

    model = pt.materialize(on_meta(make), {"[0].weight": pi.Ones(), "*": pi.Zeros()})
    assert model[0].weight.eq(1).all() and not model[1].weight.any() and not model[0].bias.any()
    seen = []

    def parameters(name, tensor):
        seen.append((name, tuple(tensor.shape), tensor.is_meta))
        return pi.Ones() if tensor.ndim == 1 else torch.nn.init.eye_

    model = pt.materialize(on_meta(make), parameters)
    assert seen[:2] == [("0.weight", (3, 2), True), ("0.bias", (3,), True)]
    assert torch.equal(model[0].weight, torch.eye(3, 2)) and model[1].bias.eq(1).all()


def test_what_has_memory_stays_as_it_is():
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 2, device="meta"))
    first, values = model[0].weight, model[0].weight.detach().clone()
    model = pt.materialize(model, {"1.*": pi.Zeros()})
    assert model[0].weight is first and torch.equal(first, values)
    assert not model[1].weight.any()


def test_an_interrupted_call_leaves_full_tensors_or_none_and_can_be_repeated():
    parameters = {"*": pi.Normal(seed=1)}

    def make():
        return torch.nn.Sequential(*(torch.nn.Linear(30, 30) for _ in range(4)))

    def stop(done, total):
        if done > total // 2:
            raise KeyboardInterrupt

    model = on_meta(make)
    with pytest.raises(KeyboardInterrupt):
        pt.materialize(model, parameters, progress=stop)
    kept = [p for p in model.parameters() if not p.is_meta]
    assert 0 < len(kept) < 8
    pt.materialize(model, parameters)
    for name, parameter in model.named_parameters():
        assert same(parameter, parameters["*"].named(name)(tuple(parameter.shape)))


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
    "no parameters": (
        lambda: (on_meta(), {"*.weight": NORMAL, "norm.*": NORMAL}),
        ValueError,
        "got none for recurrent.weight_ih_l0, recurrent.weight_hh_l0, recurrent.bias_ih_l0, "
        "recurrent.bias_hh_l0, project.bias, positions",
    ),
    "parameters of another kind": (
        lambda: (on_meta(), [NORMAL]),
        TypeError,
        "`parameters` must be a mapping of patterns to initializers, or a callable(name, tensor);",
    ),
    "patterns of another kind": (
        lambda: (on_meta(), {re.compile(".*"): NORMAL}),
        TypeError,
        "`parameters` must have patterns that are str",
    ),
    "a class": (
        lambda: (on_meta(), BUFFERS | {"*": pi.Zeros}),
        TypeError,
        "embedding.weight: `parameters` must give a philinit initializer such as philinit.Zeros()",
    ),
    "a number": (
        lambda: (on_meta(), {"*": 1.0}),
        TypeError,
        "embedding.weight: `parameters` must give a",
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
        "positions: `tensor` must hold float32, float64, float16, bfloat16, float8_e4m3fn, "
        "float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz; got dtype=int64",
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
def test_bad_parameters_are_one_sentence_and_nothing_is_allocated(case):
    make, error, message = BAD_MODULES[case]
    module, parameters, *rest = make()
    with pytest.raises(error, match=re.escape(message)):
        pt.materialize(module, parameters, **(rest[0] if rest else {}))
    if isinstance(module, torch.nn.Module) and case != "nothing to do":
        assert all(t.is_meta for t in [*module.parameters(), *module.buffers()])


@needs_huge_pages
def test_new_memory_is_advised_before_it_is_written_and_a_users_is_not(monkeypatch):
    asked, before = watched(monkeypatch), []

    def seen(tensor):
        before.extend(asked)
        tensor.zero_()

    module = on_meta(lambda: torch.nn.Linear(1024, 4096))
    pt.materialize(module, {"bias": pi.Zeros(), "weight": seen})
    assert before == wanted_of(module.weight.data_ptr(), module.weight.nbytes)
    with mapped(16 << 20) as raw:
        tensor = torch.frombuffer(raw, dtype=torch.float32)
        pt.fill_(tensor, NORMAL)
        assert advised(tensor.data_ptr(), tensor.nbytes) == []
        del tensor
