# SPDX-License-Identifier: Apache-2.0
"""What philinit.torch takes from torch's private parts is there, or one sentence says so."""

import functools
import importlib
import re
import sys
import tomllib
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")
from philinit.torch import private  # noqa: E402  (torch may be missing)
from tests.support.paths import ROOT  # noqa: E402


def lost(name, dot="."):
    return re.escape(f"{dot}{name} of torch {private.OLDEST} to {private.NEWEST}; torch ")


def test_a_missing_dispatch_ends_the_import_with_one_sentence(monkeypatch):
    without = SimpleNamespace(Tensor=type("Tensor", (), {}), __version__="9.9")
    monkeypatch.setitem(sys.modules, "torch", without)
    with pytest.raises(ImportError, match=r"philinit\.torch needs .*Tensor\.__torch_dispatch__"):
        importlib.reload(private)
    monkeypatch.undo()
    importlib.reload(private)


def test_exchange_replaces_all_tensors_and_asks_recurrent_layers():
    module = torch.nn.LSTM(2, 3)
    module.register_buffer("count", torch.zeros(2))
    private.exchange(module, lambda tensor: torch.ones_like(tensor))
    assert all(t.eq(1).all() for t in [*module.parameters(), module.count])
    assert len(module._flat_weights) == 4 and all(t.eq(1).all() for t in module._flat_weights)
    with pytest.raises(ImportError, match=lost("_apply")):
        private.exchange(SimpleNamespace(), len)


def test_the_base_of_a_view_is_the_tensor_whose_memory_it_has():
    weight = torch.nn.Linear(2, 3).weight
    assert private.base_of(weight) is private.base_of(weight[1:].view(-1)) is weight
    with pytest.raises(ImportError, match=lost("_base")):
        private.base_of(SimpleNamespace())


def test_a_parameter_keeps_its_class():
    class Scaled(torch.nn.Parameter):
        pass

    made = private.parameter_of(Scaled, torch.ones(2))
    assert type(made) is Scaled and isinstance(made, torch.nn.Parameter)


def test_functions_of_torchs_init_are_plain_ones_or_one_sentence_says_so(monkeypatch):
    assert private.init_function("normal_") is torch.nn.init.normal_
    with pytest.raises(ImportError, match=lost("torch.nn.init.gone_", dot="")):
        private.init_function("gone_")

    def skip(tensor):
        return tensor

    monkeypatch.setitem(private._INIT, "normal_", skip)
    with pytest.raises(
        ImportError, match=lost("torch.nn.init.normal_, a function of its own,", "")
    ):
        private.init_function("normal_")
    skip.__module__ = "torch.nn.init"
    around = functools.wraps(skip)(lambda tensor: skip(tensor))
    monkeypatch.setitem(private._INIT, "normal_", around)
    with pytest.raises(
        ImportError, match=lost("torch.nn.init.normal_, a function without a closure,", "")
    ):
        private.init_function("normal_")


# torch is about to give TorchScript up, and says so as a FutureWarning from 2.14 on.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.torch.jit:FutureWarning")
def test_modes_watch_but_for_torchs_own_of_devices(monkeypatch):
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    assert not private.is_watched()
    with torch.device("meta"):
        assert not private.is_watched()
        with TorchFunctionMode():
            assert private.is_watched()
    with TorchDispatchMode():
        assert private.is_watched()
    seen = []
    torch.func.vmap(lambda x: seen.append(private.is_watched()) or x)(torch.zeros(2))
    torch.jit.trace(lambda x: seen.append(private.is_watched()) or x + 1, torch.zeros(2))
    assert seen[:2] == [True, True] and not private.is_watched()
    monkeypatch.delattr(torch._C, "_len_torch_dispatch_stack")
    with pytest.raises(ImportError, match=lost("torch._C._len_torch_dispatch_stack", "")):
        private.is_watched()


def test_split_factors_are_told_by_the_private_placement_alone():
    tensor = pytest.importorskip("torch.distributed.tensor")
    placements = importlib.import_module("torch.distributed.tensor.placement_types")
    assert private.split_factor(tensor.Shard(0)) == 1
    assert private.split_factor(placements._StridedShard(0, split_factor=6)) == 6
    with pytest.raises(ImportError, match=lost("split_factor")):
        private.split_factor(SimpleNamespace())


def test_the_order_of_cuts_is_read_where_a_version_has_one():
    entry = SimpleNamespace(tensor_dim=1, mesh_dims=[2, 0])
    tensor = SimpleNamespace(_spec=SimpleNamespace(shard_order=(entry,)))
    assert private.shard_order(tensor) == {1: (2, 0)}
    assert private.shard_order(SimpleNamespace(_spec=SimpleNamespace())) == {}
    with pytest.raises(ImportError, match=lost("_spec")):
        private.shard_order(SimpleNamespace())


def test_the_versions_are_those_of_the_extra_and_of_the_tests():
    text = (ROOT / "pyproject.toml").read_text()
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    assert extras["torch"] == [f"torch>={private.OLDEST}"]
    assert extras["torch-test"] == [f"torch=={private.NEWEST}"]
