# SPDX-License-Identifier: Apache-2.0
"""fill_ under torch.compile: one graph, the initializer's numbers, guards on the initializer."""

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
if not hasattr(torch.library, "custom_op"):
    pytest.skip("torch has no operators of others", allow_module_level=True)
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from tests.support.torch_tensors import same  # noqa: E402

backends = pytest.mark.parametrize("backend", ["eager", "aot_eager"])


@pytest.fixture(autouse=True)
def _nothing_stays_compiled():
    yield
    torch.compiler.reset()


def compiled(function, backend):
    return torch.compile(function, fullgraph=True, backend=backend)


@backends
def test_a_program_with_fills_is_one_graph(backend):
    def program(x, init):
        w = torch.empty(4, 3)
        assert pt.fill_(w, init) is w
        return x @ (w + 0)

    run = compiled(program, backend)
    for init in (pi.Normal(seed=1), pi.Normal(seed=2), pi.Uniform(seed=1), pi.Normal(seed=1)):
        assert same(run(torch.eye(4), init), init((4, 3)))


@backends
def test_a_parameter_is_filled_in_place_and_trains_on(backend):
    layer = torch.nn.Linear(3, 4, bias=False)
    init, where = pt.layout(pi.HeNormal(seed=1)), layer.weight.data_ptr()

    def step(x):
        pt.fill_(layer.weight, init)
        return layer(x).sum()

    compiled(step, backend)(torch.ones(2, 3)).backward()
    assert layer.weight.data_ptr() == where and layer.weight.grad.eq(2).all()
    assert same(layer.weight, init((4, 3)))


def test_a_shard_and_threads_are_constants_of_the_program():
    init, shard = pi.Normal(seed=1), pi.Shard((9, 4), slice(2, 5))

    def program(w):
        return pt.fill_(w, init, shard=shard, threads=1) + 0

    assert same(compiled(program, "aot_eager")(torch.empty(3, 4)), init((9, 4))[2:5])


def test_the_operator_tells_what_it_mutates():
    from philinit.torch.memory import _operator
    from philinit.torch.traced import _number_of

    number = _number_of(pi.Normal(seed=1), None, None)
    assert number == _number_of(pi.Normal(seed=1), None, None)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(_operator, (torch.zeros(3, 4), number), test_utils=tests)


def test_progress_is_refused_while_a_program_is_traced(monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(NotImplementedError, match="`progress` must be left out; got torch"):
        pt.fill_(torch.empty(3), pi.Normal(seed=1), progress=print)
