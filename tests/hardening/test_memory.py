# SPDX-License-Identifier: Apache-2.0
"""Memory that is none, or not what it seems, is refused in one sentence; canaries stay alive."""

import enum

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import philinit as pi
from philinit.dtypes import FLOAT8, NAMES, as_dtype

INIT = pi.GlorotUniform(seed=1)


def freed(torch, nbytes):
    flat = torch.zeros(1000)
    view = flat[100:900].view(20, 40)
    flat.untyped_storage().resize_(nbytes)
    return view


def fake(torch):
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return torch.empty(20, 20)[2:]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: freed(t, 0), "storage was freed or cut short to 0 bytes"),
        (lambda t: freed(t, 2000), "storage was freed or cut short to 2000 bytes"),
        (fake, "got FakeTensor of a kind that need not have any"),
        (lambda t: t._efficientzerotensor((4, 4)), "a plain torch tensor, in memory of its own"),
        (
            lambda t: t._efficientzerotensor((4, 4))[1:],
            "a plain torch tensor, in memory of its own",
        ),
        (lambda t: t._to_functional_tensor(t.zeros(4, 4))[1:], "a plain torch tensor, in memory"),
        (lambda t: t.zeros(4, 4, dtype=t.complex64).conj().imag, "stands for their negatives"),
        (lambda t: t.empty(4, 4, device="meta"), "refused to name its own"),
    ],
)
def test_torch_tensors_without_memory_of_their_own(make, message):
    tensor = make(pytest.importorskip("torch"))
    with pytest.raises(ValueError, match=message):
        INIT.fill(tensor)


def test_a_subclass_with_a_view_of_its_own_is_filled_where_it_is():
    class Elsewhere(np.ndarray):
        def view(self, *_):
            return np.zeros(self.shape, self.dtype)

    out = np.ndarray.view(np.zeros((8, 8), np.float32), Elsewhere)
    INIT.fill(out)
    assert np.array_equal(np.asarray(out), INIT((8, 8)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: INIT((1,) * 65), ValueError, "`shape` must be one that NumPy can hold"),
        (lambda: INIT((0, 2**63)), ValueError, "`shape` must be one that NumPy can hold"),
        (lambda: INIT({3, 4}), TypeError, "`shape` must be a sequence of ints; got"),
        (lambda: INIT({3: 4}), TypeError, "`shape` must be a sequence of ints; got"),
        (lambda: INIT((2.0, 10**5000)), TypeError, "`shape` must hold ints only; got 2.0"),
        (lambda: INIT(10**6000), ValueError, "dimensions of 2.*128 and more; got shape=<tuple>"),
        (lambda: INIT((10**6000,), shard=0), ValueError, "dimensions of 2.*128 and more"),
        (lambda: INIT((1 << 127,) * 6, shard=(0,) * 6), ValueError, "have fans below 2.*511; got"),
        (lambda: INIT((3, 3), "(2,"), ValueError, "`dtype` must be one of .* got dtype='\\(2,'"),
        (lambda: INIT((3, 3), ">f4"), ValueError, "`dtype` must be one of .* got dtype=>f4"),
        (lambda: pi.HeNormal(seed=10**6000), ValueError, "got seed=<int of 19932 bits>"),
        (lambda: pi.HeNormal(seed=np.True_), TypeError, "`seed` must be an int or None"),
        (lambda: pi.HeNormal(seed=1, names={"a", "b"}), TypeError, "`names` must be a sequence"),
        (lambda: pi.HeNormal(seed=1, names={"a": 1}), TypeError, "`names` must be a sequence"),
        (lambda: pi.Normal(0, 1 + 2j), TypeError, "`stddev` must be a real number"),
        (lambda: pi.Normal(0, np.complex64(1)), TypeError, "`stddev` must be a real number"),
        (lambda: pi.Normal(np.bool_(True)), TypeError, "`mean` must be a real number"),
        (lambda: pi.Normal(0, np.array([1.0])), TypeError, "`stddev` must be a real number"),
        (lambda: pi.Normal(0, 10**400), ValueError, "`stddev` must fit into float64"),
    ],
)
def test_types_and_sizes_that_cannot_be(call, error, message):
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_minus_zero_has_bits_of_its_own():
    assert pi.Constant(-0.0) != pi.Constant(0.0)
    assert eval(repr(pi.Constant(-0.0)), vars(pi)) == pi.Constant(-0.0)
    assert pi.Constant(-0.0)((2,)).view(np.uint32).tolist() == [1 << 31] * 2


def test_names_are_plain_strings_and_ints():
    three = enum.IntEnum("Layer", {"THIRD": 3}).THIRD
    named = pi.HeNormal(seed=1, names=(np.str_("a"), three))
    assert repr(named) == "HeNormal(seed=1, names=('a', 3))"
    assert named == pi.HeNormal(seed=1, names=("a", 3))


ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(max_size=9),
    st.binary(max_size=9), st.lists(st.integers(-3, 9), max_size=4), st.sets(st.integers(0, 9)),
    st.dictionaries(st.integers(0, 9), st.integers(0, 9), max_size=2), st.just(np.float32(1)),
    st.just(np.array([1.0, 2.0])), st.just(object()), st.just(int), st.just(lambda: 1),
    st.tuples(st.integers(0, 9), st.floats()), st.just(10**6000), st.just(slice(None)),
)  # fmt: skip
KINDS = [pi.GlorotUniform, pi.VarianceScaling, pi.Normal, pi.Constant, pi.Identity, pi.Orthogonal]


@pytest.mark.slow
@settings(max_examples=6000)
@given(
    kind=st.sampled_from(KINDS),
    parameters=st.dictionaries(
        st.sampled_from(["seed", "names", "gain", "scale", "mode", "mean", "value", "in_axis"]),
        ODD,
        max_size=2,
    ),
    shape=st.one_of(ODD, st.tuples(st.integers(0, 9), st.integers(0, 9))),
    call=st.dictionaries(
        st.sampled_from(["dtype", "threads", "out", "shard", "device", "progress"]), ODD, max_size=2
    ),
)
def test_any_argument_gives_weights_or_one_sentence(kind, parameters, shape, call):
    try:
        made = kind(**parameters)(shape, **call)
        assert made.dtype.name in NAMES
    except (
        TypeError,
        ValueError,
        NotImplementedError,
        MemoryError,
        ImportError,
        RuntimeError,
    ) as e:
        sentence = str(e)
        assert sentence and "\n" not in sentence and len(sentence) < 2000


@pytest.mark.slow
@settings(max_examples=6000)
@given(
    name=st.sampled_from(NAMES),
    count=st.integers(0, 300),
    shift=st.integers(0, 70),
    offset=st.one_of(st.integers(0, 20), st.integers(2**32 - 300, 2**32 + 9)),
    threads=st.sampled_from([None, 1, 3]),
    sampler=st.sampled_from(["native", "tensorflow"]),
    distribution=st.sampled_from(
        [
            pi.distributions.Uniform(-0.5, 0.5),
            pi.distributions.Normal(),
            pi.distributions.TruncatedNormal(),
        ]
    ),
)
def test_no_byte_outside_is_written(name, count, shift, offset, threads, sampler, distribution):
    assume(sampler == "native" or name not in FLOAT8)  # TensorFlow draws no float8
    dtype = as_dtype(name)
    memory = np.full(count * dtype.itemsize + 300, 0xA5, np.uint8)
    out = memory[100 + shift : 100 + shift + count * dtype.itemsize].view(dtype)
    key = pi.Key.from_seed(3)
    pi.fill(out, distribution, key, offset, sampler=sampler, threads=threads)
    canaries = np.concatenate([memory[: 100 + shift], memory[100 + shift + out.nbytes :]])
    assert (canaries == 0xA5).all()


@pytest.mark.slow
@settings(max_examples=6000)
@given(
    name=st.sampled_from(NAMES),
    part=st.tuples(*[st.tuples(st.integers(0, 40), st.integers(1, 25))] * 2),
    ids=st.one_of(st.none(), st.lists(st.integers(0, 99), min_size=1, max_size=9)),
    shift=st.integers(0, 70),
    threads=st.sampled_from([None, 1, 3]),
    sampler=st.sampled_from(["native", "tensorflow"]),
    kind=st.sampled_from([pi.GlorotUniform, pi.HeNormal, pi.Normal]),
)
def test_no_byte_outside_of_a_part_is_written(name, part, ids, shift, threads, sampler, kind):
    assume(sampler == "native" or name not in FLOAT8)
    dtype, shape = as_dtype(name), (100, 70)
    index = tuple(slice(start, start + length) for start, length in part)
    shard = pi.Shard(shape, index) if ids is None else pi.Rows(shape, ids)
    count = shard.shape[0] * shard.shape[1]
    memory = np.full(count * dtype.itemsize + 300, 0xA5, np.uint8)
    out = memory[100 + shift : 100 + shift + count * dtype.itemsize].view(dtype)
    init = kind(seed=1, sampler=sampler)
    init.fill(out.reshape(shard.shape), shard=shard, threads=threads)
    canaries = np.concatenate([memory[: 100 + shift], memory[100 + shift + out.nbytes :]])
    assert (canaries == 0xA5).all()
    whole = init(shape, dtype)[index if ids is None else ids]
    assert out.tobytes() == whole.tobytes()
