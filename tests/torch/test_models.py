# SPDX-License-Identifier: Apache-2.0
"""philinit.torch.initialize and dry_run: modules filled by a map of names, with memory or without.

DTensors are in test_processes.py.
"""

import re

import numpy as np
import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from philinit.initializers.models import Keep, ParameterMap, Parts, Scaled, Stacked  # noqa: E402
from tests.support.torch_tensors import DTYPES, same  # noqa: E402

nn = torch.nn


class Model(nn.Module):
    """What transformers and others are made of, tied and padded."""

    def __init__(self, dtype=None):
        super().__init__()
        self.emb = nn.Embedding(50, 16, padding_idx=3, dtype=dtype)
        self.bag = nn.EmbeddingBag(20, 16, padding_idx=0, dtype=dtype)
        layer = {"batch_first": True, "dtype": dtype}
        self.layers = nn.ModuleList(
            [nn.TransformerEncoderLayer(16, 4, 32, **layer) for _ in range(2)]
        )
        self.lstm = nn.LSTM(16, 8, dtype=dtype)
        self.norm = nn.BatchNorm1d(16, dtype=dtype)
        self.experts = nn.Parameter(torch.ones(3, 16, 8, dtype=dtype))
        self.head = nn.Linear(16, 50, bias=False, dtype=dtype)
        self.head.weight = self.emb.weight


QKV = ("in_proj_weight", ("q", "k", "v"))
PARAMETERS = ParameterMap(
    [
        ("*bias*", pi.Zeros()),
        ("*norm*.weight", pi.Ones()),
        ("*.in_proj_weight", Parts([pi.GlorotUniform()] * 3, rename=QKV)),
        ("lstm.*_hh_*", Parts([pi.Orthogonal()] * 4)),
        ("experts", Stacked(pi.HeNormal())),
        (re.compile(r"layers\.(\d+)\..*linear2"), Scaled(pi.HeNormal(), "1/sqrt(2(i+1))")),
        ("*", pi.Normal(0, 0.02)),
    ]
)
HE = pi.HeNormal(seed=7, in_axis=1, out_axis=0)


def check(model, dtype="float32"):
    parameters = dict(model.named_parameters())
    assert "head.weight" not in parameters and model.head.weight is model.emb.weight
    for name, tensor in parameters.items():
        shape, normal = tuple(tensor.shape), pi.Normal(0, 0.02, seed=7).named(name)
        if "bias" in name:
            assert not tensor.any(), name
        elif "norm" in name:
            assert (tensor == 1).all(), name
        elif name in ("emb.weight", "bag.weight"):
            row = 3 if name == "emb.weight" else 0
            expected = normal(shape, dtype)
            expected[row] = 0
            assert same(tensor, expected), name
        elif "in_proj" in name:
            for number, part in enumerate("qkv"):
                own = pi.GlorotUniform(seed=7).named(name.replace("in_proj_weight", part))
                assert same(tensor[16 * number :][:16], own((16, 16), dtype)), name
        elif "_hh_" in name:
            for number, part in enumerate(tensor.split(8)):
                own = pi.Orthogonal(seed=7).named(name).named(number)
                assert same(part, own((8, 8), dtype)), name
        elif name == "experts":
            for number, part in enumerate(tensor):
                assert same(part, HE.named("experts").named(number)((16, 8), dtype))
        elif "linear2" in name:
            gain = 1 / (2 * (int(name.split(".")[1]) + 1)) ** 0.5
            assert tensor.detach().float().std().item() == pytest.approx(
                gain * (2 / 32) ** 0.5, rel=0.2
            )
        else:
            assert same(tensor, normal(shape, dtype)), name


@pytest.mark.parametrize("dtype", DTYPES[:4])  # torch cannot construct it in float8
def test_a_module_gets_the_weights_of_its_names_and_again(dtype):
    model = Model(getattr(torch, dtype))
    addresses = [p.data_ptr() for p in model.parameters()]
    versions = [p._version for p in model.parameters()]
    assert pt.initialize(model, PARAMETERS, seed=7) is model
    check(model, dtype)
    assert addresses == [p.data_ptr() for p in model.parameters()]
    assert all(p._version > v for p, v in zip(model.parameters(), versions, strict=True))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    pt.initialize(model, PARAMETERS, seed=7)
    check(model, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_module_of_the_meta_device_gets_the_same(dtype):
    with torch.device("meta"):
        model = Model(getattr(torch, dtype))
    model.norm = nn.BatchNorm1d(16, dtype=getattr(torch, dtype))  # no buffers on the meta device
    assert pt.materialize(model, PARAMETERS, seed=7) is model
    pt.initialize(model, PARAMETERS, seed=7, only=["norm.*"])
    check(model, dtype)


def test_wrappers_change_no_name():
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    parameters = {"0.weight": pi.Normal(), "*": pi.Uniform()}
    pt.initialize(model, parameters, seed=1)
    before = [p.clone() for p in model.parameters()]
    compiled = torch.compile(model, backend="eager")
    assert next(iter(dict(compiled.named_parameters()))).startswith("_orig_mod.")
    pt.initialize(compiled, parameters, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_only_some_parameters():
    model = Model()
    pt.initialize(model, PARAMETERS, seed=7)
    state = model.state_dict()
    missing = ["layers.1.linear1.weight", "experts"]
    other = Model()
    found = other.load_state_dict(
        {n: t for n, t in state.items() if n not in missing}, strict=False
    )
    assert sorted(found.missing_keys) == sorted(missing)
    pt.initialize(other, PARAMETERS, seed=7, only=found.missing_keys)
    check(other)
    pt.initialize(other, {"experts": pi.Zeros()}, seed=7, only=["exp*"])  # others need no match
    assert not other.experts.any()
    with pytest.raises(ValueError, match="`only` must name parameters of the model; got b, c"):
        pt.initialize(other, PARAMETERS, seed=7, only=["experts", "b", "c"])
    for bad in ("experts", 3):
        with pytest.raises(TypeError, match="`only` must be a sequence"):
            pt.initialize(other, PARAMETERS, seed=7, only=bad)
    with pytest.raises(TypeError, match="names of parameters must be non-empty str; got 3"):
        pt.initialize(other, PARAMETERS, seed=7, only=[3])


def test_what_is_kept_stays():
    model = nn.Sequential(nn.Embedding(4, 3, padding_idx=1), nn.Linear(3, 2))
    before = model[0].weight.clone()
    pt.initialize(model, {"0.*": Keep(), "*": pi.Ones()}, seed=1)
    assert torch.equal(model[0].weight, before) and (model[1].weight == 1).all()
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match="weight: `Keep` must be for a parameter that has memory"):
        pt.materialize(model, ParameterMap({"*": Parts([Keep(), pi.Ones()])}), seed=1)
    assert model.weight.is_meta


def test_fans_are_those_of_torch():
    model = nn.ModuleDict({"conv": nn.Conv2d(4, 8, 3), "norm": nn.LayerNorm(8)})
    parameters = {"*": pi.VarianceScaling(2.0, "fan_in", "normal")}
    rows = pt.dry_run(model, parameters, seed=1).rows()
    found = {row["name"]: (row["fans"], row["stddev"]) for row in rows}
    assert found["conv.weight"] == ([[36, 72]], pytest.approx((2 / 36) ** 0.5))
    assert found["norm.weight"] == ([[8, 8]], pytest.approx((2 / 8) ** 0.5))
    explicit = pi.HeNormal(in_axis=0, out_axis=1)  # said: stays
    row = pt.dry_run(nn.Linear(4, 8, bias=False), {"*": explicit}, seed=1).rows()[0]
    assert row["fans"] == [[8, 4]]


def test_a_dry_run_writes_nothing_and_observes_afterwards():
    with torch.device("meta"):
        model = Model(torch.bfloat16)
    table = pt.dry_run(model, PARAMETERS, seed=7)
    assert all(p.is_meta for p in model.parameters())
    assert "emb.weight" in str(table) and table.rows()[0]["dtype"] == "bfloat16"
    model = Model(torch.bfloat16)
    before = [p.clone() for p in model.parameters()]
    pt.dry_run(model, PARAMETERS, seed=7)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    pt.initialize(model, PARAMETERS, seed=7)
    for row in pt.dry_run(model, PARAMETERS, seed=7).observed().rows():
        tensor = model.get_parameter(row["name"]).detach().double()
        assert row["observed_mean"] == pytest.approx(tensor.mean().item(), abs=1e-12)
        spread = tensor.std(correction=0).item()
        assert row["observed_stddev"] == pytest.approx(spread, abs=1e-12)
    assert model.emb.weight.untyped_storage().resizable()


def test_nothing_is_written_when_anything_is_refused():
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 2))
    before = [p.clone() for p in model.parameters()]

    def refused(parameters, error, text, **keywords):
        with pytest.raises(error, match=text):
            pt.initialize(model, parameters, **{"seed": 1, **keywords})
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))

    text = r"no match for 1\.weight \(2, 6\), 1\.bias \(2,\)"
    refused({"0.*": pi.Ones()}, ValueError, text)
    refused({"1.bias": pi.Orthogonal(), "*": pi.Ones()}, ValueError, r"1\.bias: `shape` must have")
    refused({"*": pi.Ones()}, TypeError, "`seed` must be an int", seed=None)
    refused({"*": pi.Ones()}, ValueError, "`threads` must be at least 1", threads=0)
    conv = nn.Sequential(nn.Linear(4, 6), nn.Conv2d(2, 2, 2))
    with pytest.raises(NotImplementedError, match=r"1\.weight: an orthogonal weight of torch must"):
        pt.initialize(conv, {"*.bias": pi.Zeros(), "*": pi.Orthogonal()}, seed=1)
    model[1].weight.data = model[1].weight.data.t().contiguous().t()
    refused({"*": pi.Ones()}, ValueError, r"1\.weight: `tensor` must be contiguous")
    for bad in (5, torch.zeros(3)):
        with pytest.raises(TypeError, match=r"`module` must be a torch\.nn\.Module"):
            pt.initialize(bad, {"*": pi.Ones()}, seed=1)
    with pytest.raises(ValueError, match="`module` must have parameters"):
        pt.initialize(nn.ReLU(), {"*": pi.Ones()}, seed=1)
    with torch.device("meta"):
        model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"weight: `module` must have memory.*materialize"):
        pt.initialize(model, {"*": pi.Ones()}, seed=1)
    with pytest.raises(
        ValueError, match="`seed` must be left out unless `parameters` is a philinit"
    ):
        pt.materialize(model, {"*": pi.Ones()}, seed=1)
    with pytest.raises(TypeError, match="`seed` must be an int"):
        pt.materialize(model, ParameterMap({"*": pi.Ones()}))


def test_fill_reads_composites_as_torch_lays_weights_out():
    weight = torch.zeros(6, 4)
    with pytest.raises(ValueError, match="must have the fans of torch's weights"):
        pt.fill_(weight, Parts([pi.HeNormal(seed=1)] * 2))
    with pytest.raises(ValueError, match="must have the fans of torch's weights"):
        pt.fill_(weight, Scaled(pi.HeNormal(seed=1), 0.5))
    init = pt.layout(Parts([pi.HeNormal(seed=1)] * 2))
    assert init == Parts([pi.HeNormal(seed=1, in_axis=1, out_axis=0)] * 2)
    assert same(pt.fill_(weight, init), init((6, 4)))


def test_progress_counts_all_parameters():
    model, calls = Model(), []
    pt.initialize(model, PARAMETERS, seed=7, progress=lambda *c: calls.append(c))
    total = sum(p.numel() for p in model.parameters())
    assert calls[-1] == (total, total) and {c[1] for c in calls} == {total}
    done = np.array([c[0] for c in calls])
    assert (np.diff(done) >= 0).all()
