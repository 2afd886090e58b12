# SPDX-License-Identifier: Apache-2.0
"""fill_ and rows under torch.compile: one graph, the initializer's numbers, guards on it."""

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from philinit.torch import traced  # noqa: E402
from tests.support.torch_tensors import same  # noqa: E402

backends = pytest.mark.parametrize("backend", ["eager", "aot_eager"])


@pytest.fixture(autouse=True)
def _nothing_stays_compiled():
    yield
    torch.compiler.reset()


def compiled(function, backend, **options):
    if not traced.COMPILES:
        pytest.skip("needs the compiler of torch 2.12")
    return torch.compile(function, fullgraph=True, backend=backend, **options)


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

    number = traced.number_of(pi.Normal(seed=1), None, None)
    assert number == traced.number_of(pi.Normal(seed=1), None, None)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(_operator, (torch.zeros(3, 4), number), test_utils=tests)


def test_progress_is_refused_while_a_program_is_traced(monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    with pytest.raises(NotImplementedError, match="`progress` must be left out; got torch"):
        pt.fill_(torch.empty(3), pi.Normal(seed=1), progress=print)
    with pytest.raises(NotImplementedError, match=r"`rows` needs torch 2\.12, and `progress`"):
        pt.rows(pi.Normal(seed=1), (3, 4), torch.tensor([0]), progress=print)


def test_older_compilers_are_refused(monkeypatch):
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(traced, "COMPILES", False)
    init, ids = pi.Normal(seed=1), torch.tensor([0])
    for call in (
        lambda: pt.fill_(torch.empty(3), init),
        lambda: pt.rows(init, (3, 4), ids),
        lambda: pt.rows_by_key(init, 4, ids),
    ):
        with pytest.raises(NotImplementedError, match=r"needs torch 2\.12, .*call it before"):
            call()


# --- rows ----------------------------------------------------------------------------------------


@backends
@pytest.mark.parametrize("dynamic", [None, True])
def test_a_program_with_rows_is_one_graph(backend, dynamic):
    shape, scale = (9, 4), torch.ones(4)

    def program(ids, init):
        return pt.rows(init, shape, ids, torch.bfloat16) * scale.bfloat16()

    run = compiled(program, backend, dynamic=dynamic)
    for init in (pi.Normal(seed=1), pi.Normal(seed=2), pi.Normal(seed=1)):
        for ids in (torch.tensor([3, 1]), torch.tensor([[8], [0], [8]])):
            assert same(run(ids, init), init.rows(shape, ids.numpy(), "bfloat16"))


def test_the_table_of_a_program_may_have_any_shape():
    init = pi.Normal(seed=1)
    run = compiled(lambda ids, like: pt.rows(init, like.shape, ids), "aot_eager")
    for shape in ((9, 4), (10, 4), (11, 5), 7):
        assert same(run(torch.tensor([2, 6]), torch.empty(shape)), init.rows(shape, [2, 6]))


def test_rows_of_a_program_follow_the_default_dtype():
    init = pi.Normal(seed=1)
    run = compiled(lambda ids: pt.rows(init, (9, 4), ids), "aot_eager")
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.float32, torch.float64):
            torch.set_default_dtype(dtype)
            assert run(torch.tensor([1])).dtype == dtype
    finally:
        torch.set_default_dtype(before)


def test_a_number_of_no_row_is_found_when_the_program_runs():
    init = pi.Normal(seed=1)
    run = compiled(lambda ids: pt.rows(init, (9, 4), ids), "aot_eager")
    with pytest.raises(ValueError, match=r"`ids` must lie in \[0, 9\), the rows that there are"):
        run(torch.tensor([9]))


def test_gradients_go_past_rows():
    scale, init = torch.ones(4, requires_grad=True), pi.Normal(seed=1)

    def program(scale, ids):
        return (pt.rows(init, (9, 4), ids) * scale).sum()

    compiled(program, "aot_eager")(scale, torch.tensor([2, 3])).backward()
    assert same(scale.grad, init.rows((9, 4), [2, 3]).sum(axis=0))


def test_the_operators_of_rows_are_what_they_say():
    from philinit.torch.tables import _rows, _rows_by_key

    number = traced.number_of(pi.Normal(seed=1), torch.float32, ())
    for ids in (torch.tensor([3, 1]), torch.empty((2, 0), dtype=torch.int32)):
        torch.library.opcheck(_rows, (ids, [9, 4], number))
        torch.library.opcheck(_rows_by_key, (ids, [2, 3], number))


@backends
def test_a_program_with_rows_by_key_is_one_graph(backend):
    table, one = (10, 4), pi.Ones()

    def program(keys, init):
        scaled = pt.rows_by_key(init, 4, keys, torch.float16, global_shape=table)
        return scaled, pt.rows_by_key(one, (2, 3), keys)

    run = compiled(program, backend)
    for init in (pi.Normal(seed=1), pt.layout(pi.HeNormal(seed=2))):
        for keys in (torch.tensor([-3, 2**62]), torch.tensor([[5], [0], [5]])):
            scaled, ones = run(keys, init)
            wanted = init.rows_by_key(4, keys.numpy(), "float16", global_shape=table)
            assert same(scaled, wanted) and ones.shape == (*keys.shape, 2, 3)
