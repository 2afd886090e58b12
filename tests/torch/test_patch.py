# SPDX-License-Identifier: Apache-2.0
"""accelerate(), install(), uninstall(): whose calls are answered, from which streams, how long."""

import asyncio
import threading

import pytest

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from philinit.torch import init  # noqa: E402
from tests.support.torch_tensors import same  # noqa: E402

own = torch.nn.init
NAMES = own.__all__
FUNCTIONS = {name: getattr(own, name) for name in NAMES if name.endswith("_")}
CODE = {name: function.__code__ for name, function in FUNCTIONS.items()}
METHODS = {name: getattr(torch.Tensor, name) for name in ("normal_", "uniform_")}
STANDARD = pi.Normal(stddev=1.0, seed=42)

BY_VALUE = own.normal_  # as `from torch.nn.init import normal_` has it
TABLE = {"normal_": own.normal_}


def is_restored():
    return all(f.__code__ is CODE[name] for name, f in FUNCTIONS.items()) and not any(
        name in vars(torch.Tensor) for name in METHODS
    )


@pytest.fixture(autouse=True)
def _nothing_is_left_behind():
    assert is_restored()
    yield
    pt.uninstall()
    assert is_restored()
    assert all(getattr(own, name) is function for name, function in FUNCTIONS.items())


@pytest.fixture
def answered(monkeypatch):
    """The names of the calls that were answered by philinit."""
    calls, drawn = [], init.drawn

    def spy(name, *arguments):
        calls.append(name)
        return drawn(name, *arguments)

    monkeypatch.setattr(init, "drawn", spy)
    return calls


def nth(number, shape, start=STANDARD):
    """What call `number` of a block with the seed of `start` draws."""
    return start.named(number)(shape)


def accelerated(answered):
    """Whether a call here and now is ours."""
    before = len(answered)
    own.normal_(torch.empty(3))
    return len(answered) > before


def in_a_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


# --- how long ------------------------------------------------------------------------------------


def test_blocks_nest_and_restore(answered):
    with pt.accelerate():
        assert accelerated(answered)
        with pt.accelerate(seed=1):
            assert accelerated(answered)
        assert accelerated(answered) and not is_restored()
    assert is_restored() and not accelerated(answered)


def test_a_block_that_raises_restores(answered):
    with pytest.raises(KeyboardInterrupt), pt.accelerate(), pt.accelerate():
        raise KeyboardInterrupt
    assert is_restored() and not accelerated(answered)


def test_it_decorates_functions(answered):
    @pt.accelerate()
    def build():
        return accelerated(answered)

    assert build() and build()
    assert not accelerated(answered)


def test_a_block_acts_in_its_own_thread_only(answered):
    with pt.accelerate():
        assert not in_a_thread(lambda: accelerated(answered))
        assert accelerated(answered)
    inside, leave = threading.Event(), threading.Event()

    def other():
        with pt.accelerate():
            inside.set()
            leave.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait(60)
    try:
        assert not accelerated(answered) and not is_restored()
        torch.manual_seed(3)
        expected = own.normal_(torch.empty(100))
        torch.manual_seed(3)
        assert torch.equal(torch.empty(100).normal_(), expected)
    finally:
        leave.set()
        thread.join()


def test_a_block_acts_in_its_own_task_only(answered):
    async def main():
        outside, inside = asyncio.Event(), asyncio.Event()

        async def other():
            await inside.wait()
            found = accelerated(answered)
            outside.set()
            return found

        async def mine():
            with pt.accelerate():
                inside.set()
                await outside.wait()
                return accelerated(answered)

        return await asyncio.gather(other(), mine())

    assert asyncio.run(main()) == [False, True]


def test_install_is_for_all_threads_until_uninstall(answered):
    pt.uninstall()  # nothing happens
    pt.install(seed=1)
    pt.install(seed=42)
    assert accelerated(answered) and in_a_thread(lambda: accelerated(answered))
    with pt.accelerate(seed=42):  # the block counts, with numbers of its own
        assert same(own.normal_(torch.empty(5)), nth(0, (5,)))
    assert same(own.normal_(torch.empty(5)), nth(2, (5,)))
    with pt.accelerate():
        pt.uninstall()
        assert accelerated(answered) and not in_a_thread(lambda: accelerated(answered))
    assert is_restored() and not accelerated(answered)


def test_what_others_have_put_in_meanwhile_stays():
    def theirs(self, *arguments):
        return self

    code, other = own.normal_.__code__, (lambda tensor, mean, std, generator: tensor).__code__
    try:
        with pt.accelerate():
            own.normal_.__code__ = other
            torch.Tensor.uniform_ = theirs
        assert own.normal_.__code__ is other and torch.Tensor.uniform_ is theirs
        with pt.accelerate():
            assert torch.Tensor.uniform_ is not theirs
        assert torch.Tensor.uniform_ is theirs
    finally:
        own.normal_.__code__ = code
        del torch.Tensor.uniform_


def test_others_may_stand_in_torchs_place_when_a_block_begins_and_ends(monkeypatch):
    """As those of transformers do while it loads a model, in whatever thread."""
    theirs = {name: lambda tensor, *a, **k: tensor for name in FUNCTIONS}
    with monkeypatch.context() as patch:
        for name, function in theirs.items():
            patch.setattr(own, name, function)
        with pt.accelerate(seed=42):
            assert same(BY_VALUE(torch.empty(5)), nth(0, (5,)))
        assert is_restored()
        block = pt.accelerate(seed=42)
    with block, monkeypatch.context() as patch:
        assert same(own.normal_(torch.empty(5)), nth(0, (5,)))
        for name, function in theirs.items():
            patch.setattr(own, name, function)
        with pt.accelerate():
            pass
    with monkeypatch.context() as patch:
        pt.install(seed=42)
        for name, function in theirs.items():
            patch.setattr(own, name, function)
        pt.uninstall()
        assert is_restored()


def test_many_threads_enter_and_leave_at_once():
    def work():
        for _ in range(50):
            with pt.accelerate(seed=42):
                found.append(same(own.normal_(torch.empty(4)), nth(0, (4,))))

    found: list[bool] = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 200 and all(found)


# --- whose calls ---------------------------------------------------------------------------------


def test_functions_held_by_value_are_answered():
    with pt.accelerate(seed=42):
        for number, function in enumerate((own.normal_, BY_VALUE, TABLE["normal_"])):
            assert same(function(torch.empty(6)), nth(number, (6,)))
        with pytest.warns(FutureWarning, match="deprecated"):
            assert same(own.normal(torch.empty(6)), nth(3, (6,)))


def test_a_function_taken_inside_is_torchs_own_outside(answered):
    with pt.accelerate():
        from torch.nn.init import xavier_uniform_ as taken
    taken(torch.empty(3, 3))
    assert taken is FUNCTIONS["xavier_uniform_"] and answered == []


def test_arguments_arrive_by_place_and_by_name():
    with pt.accelerate(seed=42):
        found = own.trunc_normal_(torch.empty(50), 1.0, std=0.5, b=1.5, a=0.0)
        assert same(found, nth(0, (50,), pi.TruncatedNormal(1.0, 0.5, -2.0, 1.0, seed=42)))
        with pytest.raises(TypeError, match=r"normal_\(\) got an unexpected keyword argument"):
            own.normal_(torch.empty(3), stddev=1.0)
        with pytest.raises(TypeError, match=r"normal_\(\) missing 1 required positional"):
            own.normal_()


def test_tensors_own_methods_are_answered():
    with pt.accelerate(seed=42):
        t = torch.empty(9)
        assert t.normal_() is t and same(t, nth(0, (9,)))
        assert same(t.normal_(2.0, std=0.5), nth(1, (9,), pi.Normal(2.0, 0.5, seed=42)))
        assert same(t.normal_(std=0.5, mean=2.0), nth(2, (9,), pi.Normal(2.0, 0.5, seed=42)))
        assert same(t.uniform_(-1, 1), nth(3, (9,), pi.Uniform(-1.0, 1.0, seed=42)))
        assert same(t.uniform_(to=3.0), nth(4, (9,), pi.Uniform(0.0, 3.0, seed=42)))
        for wrong in ({"low": 1.0}, {"mean": 1.0}):
            with pytest.raises(TypeError):
                t.uniform_(**wrong)
        with pytest.raises(TypeError):
            t.uniform_(0.0, **{"from": 0.0})
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            torch.nn.Parameter(t).normal_()
        with torch.no_grad():
            assert same(torch.nn.Parameter(t).normal_().detach(), nth(5, (9,)))


def test_other_tensors_are_torchs(answered):
    def draw():
        torch.manual_seed(1)
        return torch.empty(5, dtype=torch.complex64).normal_(), torch.get_rng_state()

    expected = draw()
    with pt.accelerate(seed=1):
        found = draw()
        with pytest.raises(NotImplementedError, match="not implemented for 'Int'"):
            torch.empty(5, dtype=torch.int32).uniform_()
        with torch.device("meta"):
            assert torch.nn.Linear(3, 3).weight.is_meta
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_what_is_left_to_torch_is_the_same_before_within_and_after_the_first_block(monkeypatch):
    def draw(module):
        torch.manual_seed(1)
        return module.normal_(torch.empty(5, dtype=torch.complex64))

    monkeypatch.setattr(init, "OWN", {})  # as in a new process
    expected = draw(own)
    found = [draw(init)]
    with pt.accelerate(seed=1):
        found += draw(own), draw(init)
    found += draw(own), draw(init)
    assert all(torch.equal(one, expected) for one in found)


def test_a_default_device_does_not_keep_us_out():
    with pt.accelerate(seed=42), torch.device("cpu"):
        assert same(own.normal_(torch.empty(6)), nth(0, (6,)))
        assert same(torch.empty(6).normal_(), nth(1, (6,)))


def test_bugs_of_ours_show(monkeypatch):
    monkeypatch.setitem(init.draws.BY_NAME, "normal_", lambda tensor, *_: tensor.nonsense)
    with pt.accelerate(), pytest.raises(AttributeError, match="nonsense"):
        own.normal_(torch.empty(3))


@pytest.mark.parametrize("function", [torch.Tensor.normal_, own.normal_], ids=["method", "init"])
def test_compiled_code_is_torchs(function, answered):
    def noisy(x):
        return (x.normal_() if function is METHODS["normal_"] else own.normal_(x)) * 2

    with pt.accelerate(seed=42):
        compiled = torch.compile(noisy, backend="eager", fullgraph=True)
        assert compiled(torch.ones(1000)).std() > 1.5
    torch.compiler.reset()


# torch is about to give TorchScript up, and says so as a FutureWarning from 2.14 on.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.torch.jit:FutureWarning")
def test_programs_and_transforms_keep_torchs_operations(answered):
    with pt.accelerate(seed=42):
        scripted = torch.jit.script(on_script)
        graph = torch.jit.trace(
            lambda x: x.clone().normal_() + x, torch.zeros(2), check_trace=False
        )
        with pytest.raises(RuntimeError, match="vmap: "):  # which would draw the same for all
            torch.func.vmap(lambda x: torch.empty(9).normal_() + x)(torch.zeros(3))
        before = len(answered)
        assert scripted(torch.zeros(1000)).std() > 0.5 and len(answered) == before
    assert "normal_" in str(graph.graph)


def on_script(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.init.normal_(x)


# --- modules -------------------------------------------------------------------------------------

MODULES = {
    "encoder": lambda: torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2
    ),
    "attention": lambda: torch.nn.MultiheadAttention(16, 2, bias=True, add_bias_kv=True),
    "lstm": lambda: torch.nn.LSTM(8, 16, 2, bidirectional=True),
    "bag": lambda: torch.nn.EmbeddingBag(50, 16),
    "convolution": lambda: torch.nn.ConvTranspose2d(4, 6, 3),
    "bilinear": lambda: torch.nn.Bilinear(4, 5, 6),
    "norm": lambda: torch.nn.BatchNorm2d(4),
}


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_has_weights_like_torchs_and_the_same_ones_each_time(kind):
    theirs = MODULES[kind]()
    with pt.accelerate(seed=3):
        ours = MODULES[kind]()
    with pt.accelerate(seed=3):
        again = MODULES[kind]()
    for (name, a), b, c in zip(
        ours.named_parameters(), theirs.parameters(), again.parameters(), strict=True
    ):
        assert torch.equal(a, c), name
        if a.numel() > 100 and b.std() > 0:  # a uniform's spread, and a normal's, to 4.5 sigma
            assert abs(a.std() / b.std() - 1) < 4.5 * (2 * 0.5 / a.numel()) ** 0.5, name
            assert not torch.equal(a, b), name
        elif b.std() == 0:
            assert torch.equal(a, b), name


def test_a_model_without_a_seed_follows_manual_seed():
    def build():
        torch.manual_seed(8)
        with pt.accelerate():
            return torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 3))

    first, second = build(), build()
    assert all(
        torch.equal(*pair) for pair in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_the_padding_row_stays_zero():
    with pt.accelerate(seed=1):
        for kind in (torch.nn.Embedding, torch.nn.EmbeddingBag):
            weight = kind(20, 8, padding_idx=3).weight
            assert not weight[3].any() and weight[2].any() and weight[4].any()
