# SPDX-License-Identifier: Apache-2.0
"""philinit.torch.init is torch.nn.init: names, arguments, errors and warnings; and our numbers."""

import inspect
import math
import warnings

import numpy as np
import pytest
from scipy import stats

import philinit as pi

torch = pytest.importorskip("torch")
import philinit.torch as pt  # noqa: E402  (torch may be missing)
from philinit.torch import init  # noqa: E402
from tests.support.torch_tensors import DTYPES, same, zeros  # noqa: E402

own = torch.nn.init
NAMES = own.__all__
SEEDED = [n for n in NAMES if "generator" in inspect.signature(getattr(own, n)).parameters]
ALPHA = 1e-6  # of a false alarm, in each statistical test; the seeds are fixed


# --- the same functions --------------------------------------------------------------------------


def test_the_names_are_torchs_no_more_no_fewer():
    assert sorted(init.__all__) == sorted(NAMES)
    for name in init.__all__:
        assert getattr(init, name).__name__ == name and getattr(init, name).__doc__


@pytest.mark.parametrize("name", init.__all__)
def test_the_arguments_are_torchs_and_a_seed(name):
    ours, theirs = (inspect.signature(getattr(module, name)).parameters for module in (init, own))
    found = {n: (p.kind, p.default) for n, p in ours.items()}
    seed = found.pop("seed", None)
    assert list(found.items()) == [(n, (p.kind, p.default)) for n, p in theirs.items()]
    assert seed == ((inspect.Parameter.KEYWORD_ONLY, None) if name in SEEDED else None)


def test_what_draws_nothing_is_torchs_own():
    for name in ("calculate_gain", "constant_", "ones_", "zeros_", "eye_", "dirac_"):
        assert getattr(init, name) is getattr(own, name)


# --- the values are those of philinit's initializers ---------------------------------------------

PAIRS = {
    "uniform_": [((-1.0, 3.0), pi.Uniform(-1.0, 3.0, seed=7))],
    "normal_": [((2.0, 0.5), pi.Normal(2.0, 0.5, seed=7)), ((), pi.Normal(0.0, 1.0, seed=7))],
    "trunc_normal_": [
        ((0.0, 0.02, -0.04, 0.04), pi.TruncatedNormal(0.0, 0.02, seed=7)),
        ((1.0, 0.5, 0.5, 3.0), pi.TruncatedNormal(1.0, 0.5, -1.0, 4.0, seed=7)),
        ((0.0, 0.02), pi.Normal(0.0, 0.02, seed=7)),  # 100 stddevs away, nothing is cut
        ((0.0, 1.0, -math.inf, 2.0), pi.TruncatedNormal(0.0, 1.0, -math.inf, 2.0, seed=7)),
    ],
    "xavier_uniform_": [((2.0,), pt.layout(pi.GlorotUniform(gain=2.0, seed=7)))],
    "xavier_normal_": [
        ((), pt.layout(pi.VarianceScaling(1.0, "fan_avg", "normal", seed=7))),
        ((0.5,), pt.layout(pi.VarianceScaling(0.25, "fan_avg", "normal", seed=7))),
    ],
    "kaiming_uniform_": [
        ((), pt.layout(pi.HeUniform(seed=7))),
        ((math.sqrt(5),), pt.layout(pi.VarianceScaling(1 / 3, "fan_in", "uniform", seed=7))),
        ((0, "FAN_OUT", "relu"), pt.layout(pi.VarianceScaling(2.0, "fan_out", "uniform", seed=7))),
    ],
    "kaiming_normal_": [
        ((0.2,), pt.layout(pi.VarianceScaling(2 / 1.04, "fan_in", "normal", seed=7))),
        ((0, "fan_out"), pt.layout(pi.VarianceScaling(2.0, "fan_out", "normal", seed=7))),
        ((0, "fan_in", "tanh"), pt.layout(pi.VarianceScaling(25 / 9, "fan_in", "normal", seed=7))),
    ],
}
CASES = [(name, *pair) for name, pairs in PAIRS.items() for pair in pairs]


@pytest.mark.parametrize("shape", [(33, 20), (6, 5, 3, 3)], ids=str)
@pytest.mark.parametrize(("name", "arguments", "same_as"), CASES)
def test_a_seed_gives_the_numbers_of_the_initializer(name, arguments, same_as, shape):
    tensor = torch.nn.Parameter(torch.empty(shape))
    assert getattr(init, name)(tensor, *arguments, seed=7) is tensor
    # Formulas are torch's, in its order of operations: their last bit may be another.
    np.testing.assert_allclose(tensor.detach().numpy(), same_as(shape), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (4, 3, 2, 2), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_orthogonal_weight_is_flattened_behind_its_first_axis(shape, dtype):
    tensor = init.orthogonal_(zeros(shape, dtype), 1.5, seed=3)
    rows, columns = shape[0], math.prod(shape[1:])
    matrix = tensor.double().view(rows, columns).numpy()
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    assert np.abs(gram - 2.25 * np.eye(len(gram))).max() < (2e-6 if dtype == "float32" else 1e-14)
    assert same(tensor.view(rows, columns), pi.Orthogonal(1.5, seed=3)((rows, columns), dtype))
    turned = init.orthogonal_(zeros(shape[::-1], dtype).permute(*range(len(shape))[::-1]), seed=3)
    assert same(turned, init.orthogonal_(zeros(shape, dtype), seed=3))


@pytest.mark.parametrize("shape", [(50, 30), (1, 4), (7, 0), (0, 7)], ids=str)
@pytest.mark.parametrize("sparsity", [0.0, 0.33, 1.0])
def test_a_sparse_column_has_its_share_of_zeros_anywhere(shape, sparsity):
    tensor = init.sparse_(torch.full(shape, 7.0), sparsity, 0.5, seed=1)
    empty = (tensor == 0).sum(0)
    assert (empty == math.ceil(sparsity * shape[0])).all()
    normals = torch.from_numpy(pi.Normal(stddev=0.5, seed=1)(shape))
    assert torch.equal(tensor, torch.where(tensor == 0, 0, normals))


def test_each_row_of_a_sparse_column_is_as_likely():
    counts = (init.sparse_(torch.empty(20, 40_000), 0.25, seed=1) == 0).sum(1).numpy()
    assert stats.chisquare(counts).pvalue > ALPHA
    assert counts.sum() == 40_000 * 5


@pytest.mark.parametrize("bounds", [(-0.04, 0.04), (0.01, 0.03), (-2.0, 0.1), (0.15, 0.2)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_bounds_of_a_truncated_normal_are_absolute(bounds, dtype):
    low, high = bounds
    wide = init.trunc_normal_(zeros(50_000, dtype), 0.0, 0.1, low, high, seed=2).double().numpy()
    assert wide.min() >= low and wide.max() <= high
    if dtype in ("float32", "float64"):
        wanted = stats.truncnorm(low / 0.1, high / 0.1, 0.0, 0.1)
        assert stats.kstest(wide, wanted.cdf).pvalue > ALPHA


@pytest.mark.parametrize("mean", [0.1, -3.7, 1e3])
def test_no_bound_of_float64_is_left_by_rounding(mean):
    rng = np.random.default_rng(1)
    for a, std in zip(mean - rng.uniform(0, 0.1, 50), rng.uniform(0.1, 1, 50), strict=True):
        drawn = init.trunc_normal_(zeros(2000, "float64"), mean, std, a, a + 1e-3 * std, seed=1)
        assert a <= drawn.min() and drawn.max() <= a + 1e-3 * std


# --- torch's errors and warnings -----------------------------------------------------------------

MATRIX, VECTOR = (3, 4), (5,)
BAD = [
    ("xavier_uniform_", VECTOR, ()),
    ("xavier_normal_", VECTOR, ()),
    ("xavier_uniform_", MATRIX, (-1.0,)),
    ("xavier_normal_", MATRIX, (-1.0,)),
    ("kaiming_uniform_", VECTOR, ()),
    ("kaiming_normal_", (), ()),
    ("kaiming_normal_", MATRIX, (0, "fan_avg")),
    ("kaiming_normal_", MATRIX, (0, 3)),
    ("kaiming_uniform_", MATRIX, (True,)),
    ("kaiming_uniform_", MATRIX, (0, "fan_in", "swish")),
    ("kaiming_uniform_", (0, 3), ()),
    ("kaiming_normal_", (2, 0, 3), ()),
    ("orthogonal_", VECTOR, ()),
    ("orthogonal_", (0, 3), ()),
    ("sparse_", (2, 3, 4), (0.5,)),
    ("sparse_", MATRIX, ("half",)),
    ("normal_", MATRIX, (0.0, -1.0)),
    ("normal_", MATRIX, ("0", 1.0)),
    ("uniform_", MATRIX, (1.0, 0.0)),
    ("uniform_", MATRIX, (1.0, 1.0)),
    ("trunc_normal_", MATRIX, (0.0, 0.0)),
    ("trunc_normal_", MATRIX, (0.0, 1.0, 3.0, 4.0)),
    ("trunc_normal_", MATRIX, (9.0, 1.0, 3.0, 4.0)),
    ("trunc_normal_", MATRIX, (0.0, 1.0, 2.0, -2.0)),
]


def outcome(function, tensor, arguments):
    """Everything that a caller sees but for the numbers: error or shape, and warnings."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = tuple(function(tensor, *arguments).shape)
        except Exception as error:
            result = type(error), str(error)
    return result, [(w.category, str(w.message)) for w in seen]


@pytest.mark.parametrize(("name", "shape", "arguments"), BAD)
def test_errors_and_warnings_are_torchs(name, shape, arguments):
    found, wanted = (
        outcome(getattr(module, name), torch.zeros(shape), arguments) for module in (init, own)
    )
    assert found == wanted


@pytest.mark.parametrize("name", [name for name in NAMES if hasattr(own, f"{name}_")])
def test_names_of_before_warn_as_torchs(name):
    arguments = {"constant": (1.0,), "sparse": (0.5,)}.get(name, ())
    shape = (3, 3, 3) if name == "dirac" else (3, 3)
    found, wanted = (
        outcome(getattr(module, name), torch.zeros(shape), arguments) for module in (init, own)
    )
    assert found == wanted and found[1][0][0] is FutureWarning


def test_what_is_no_tensor_is_an_error():
    for name in SEEDED:
        arguments = (0.5,) if name == "sparse_" else ()
        with pytest.raises((TypeError, AttributeError)):
            getattr(init, name)([1.0], *arguments)


# --- what is left to torch -----------------------------------------------------------------------


def left_to_torch(make, name="normal_", arguments=()):
    """Whether torch writes, and draws, what it does without us; the tensor and the generator."""
    states = []
    for module in (init, own):
        torch.manual_seed(5)
        tensor = make()
        assert getattr(module, name)(tensor, *arguments) is tensor
        states.append((tensor, torch.get_rng_state()))
    (ours, after), (theirs, wanted) = states
    assert torch.equal(after, wanted)
    return ours.is_meta or torch.equal(ours, theirs)


OTHERS = {
    "complex": lambda: torch.empty(3, 4, dtype=torch.complex64),
    "meta": lambda: torch.empty(3, 4, device="meta"),
    "computed": lambda: torch.ones(3, 4, requires_grad=True) * 2,
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_left_to_torch(kind):
    assert left_to_torch(OTHERS[kind])


def quantized():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to give quantized tensors up
        return torch.quantize_per_tensor(torch.zeros(3, 4), 0.1, 0, torch.qint8)


def test_what_torch_refuses_gets_torchs_errors():
    for make in (
        lambda: torch.zeros(3, 4, dtype=torch.int32),
        lambda: torch.zeros(3, 4).to_sparse(),
        lambda: torch.zeros(3, 1).expand(3, 4),
        quantized,
        lambda: torch.nn.parameter.UninitializedParameter(),
    ):
        wanted = outcome(own.normal_, make(), ())
        assert isinstance(wanted[0][0], type)
        assert outcome(init.normal_, make(), ()) == wanted


def test_a_mode_that_watches_sees_torchs_own_operations():
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.overrides import TorchFunctionMode

    with FakeTensorMode():
        fake = torch.empty(3, 4)
        assert init.xavier_normal_(fake) is fake
    seen = []

    class Log(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            seen.append(function)
            return function(*args, **(kwargs or {}))

    with Log():
        init.xavier_normal_(torch.empty(3, 4))
    assert torch.Tensor.normal_ in seen
    with torch.inference_mode():
        assert left_to_torch(lambda: torch.empty(3, 4))


def test_with_a_seed_what_cannot_be_drawn_is_an_error():
    with pytest.raises(ValueError, match="`tensor` must hold float32"):
        init.normal_(torch.zeros(3, dtype=torch.complex64), seed=1)
    with pytest.raises(ValueError, match="must have memory"):
        init.normal_(torch.zeros(3, device="meta"), seed=1)
    with pytest.raises(ValueError, match="`seed` and `generator` must be left out; got both"):
        init.normal_(torch.zeros(3), generator=torch.Generator(), seed=1)
    with pytest.raises(TypeError, match="`seed` must be an int"):
        init.normal_(torch.zeros(3), seed=1.5)


# --- generators ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEEDED)
def test_manual_seed_repeats_and_each_call_is_another(name):
    def draw(**keywords):
        arguments = (0.5,) if name == "sparse_" else ()
        return getattr(init, name)(torch.empty(6, 5), *arguments, **keywords)

    torch.manual_seed(1)
    first, second = draw(), draw()
    torch.manual_seed(1)
    assert torch.equal(draw(), first) and torch.equal(draw(), second)
    assert not torch.equal(first, second)
    state = torch.get_rng_state()
    generator = torch.Generator().manual_seed(1)
    assert torch.equal(draw(generator=generator), first)
    assert torch.equal(draw(generator=generator), second)
    assert torch.equal(torch.get_rng_state(), state)


# --- memory and autograd -------------------------------------------------------------------------


def test_strided_tensors_get_the_numbers_of_their_shape():
    for tensor in (
        torch.zeros(8, 6).T,
        torch.zeros(8, 6)[::2, 1:4],
        torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),
    ):
        init.normal_(tensor, seed=4)
        assert same(tensor, pi.Normal(stddev=1.0, seed=4)(tuple(tensor.shape)))
    whole = torch.zeros(8, 6)
    init.uniform_(whole[::2, 1:4], 1.0, 2.0, seed=4)
    assert int(whole.count_nonzero()) == 4 * 3


def test_autograd_sees_a_change_in_place_of_a_leaf():
    for tensor in (torch.nn.Parameter(torch.zeros(4, 3)), torch.nn.Parameter(torch.zeros(3, 4).T)):
        version = tensor._version
        init.xavier_uniform_(tensor)
        assert tensor.is_leaf and tensor.requires_grad and tensor._version > version
