# SPDX-License-Identifier: Apache-2.0
"""G3: sampler="tensorflow" against TensorFlow and Keras themselves, bit for bit.

Parameters go to TensorFlow as Python floats, unless a zero is among them: TensorFlow keeps one
tensor for 0.0 and -0.0, whichever it has seen first, so zeros go as NumPy arrays.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling.fill import fill
from philinit.keys import Key
from tests.support import cases
from tests.support import reference as r
from tests.support import reference_words as rw

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

F32, F64, F16, BF16 = "float32", "float64", "float16", "bfloat16"
by_dtype = pytest.mark.parametrize("dtype", r.OF_TENSORFLOW)

SEEDS = [0, 1, -1, 42, 2**31 - 1, -(2**31), 2**40 + 7, 2**63 - 1, -(2**63), 12345678901234]


@pytest.fixture(scope="module", autouse=True)
def _libm_of_this_machine() -> Iterator[None]:
    with cases.libm_of(None):
        yield


def number(value: float, dtype: str) -> Any:
    """A parameter as TensorFlow gets it."""
    return value if value else tf.constant(np.zeros((), r.DTYPES[dtype]))


def theirs(d: Distribution, dtype: str, shape: Any, seed: Any) -> r.Array:
    pair = tf.constant([seed, 0] if isinstance(seed, int) else seed, tf.int64)
    kind = tf.as_dtype(dtype)
    if isinstance(d, Uniform):
        draw, parameters = tf.random.stateless_uniform, (d.low, d.high)
    else:
        draw, parameters = tf.random.stateless_normal, (d.mean, d.stddev)
    if isinstance(d, TruncatedNormal):
        draw = tf.random.stateless_truncated_normal
    first, second = (number(v, dtype) for v in parameters)
    return np.asarray(draw(shape, pair, first, second, kind, alg="philox").numpy())


def ours(d: Distribution, dtype: str, shape: Any, key: Key, offset: int = 0) -> r.Array:
    return fill(np.empty(shape, r.DTYPES[dtype]), d, key, offset, sampler="tensorflow")


# --- seeds, shapes, parameters -------------------------------------------------------------------

ALL: list[Distribution] = [Uniform(-0.05, 0.05), Normal(0, 0.02), TruncatedNormal(0.1, 0.3)]
by_distribution = pytest.mark.parametrize("distribution", ALL, ids=lambda d: type(d).__name__)


@by_dtype
@by_distribution
def test_g3_all_seeds(distribution: Distribution, dtype: str) -> None:
    for seed in SEEDS:
        want = theirs(distribution, dtype, (5003,), seed)
        r.assert_same_bits(ours(distribution, dtype, 5003, Key.from_seed(seed)), want, seed)


@by_dtype
@by_distribution
def test_g3_pairs_of_seeds(distribution: Distribution, dtype: str) -> None:
    """The pair [s0, s1] is the seed s0 + 2**64 s1, each half a two's complement."""
    for s0, s1 in ((0, 1), (1, 1), (42, 2**31 - 1), (-1, 5), (7, -1), (2**63 - 1, -(2**63))):
        seed = s0 % 2**64 + (s1 % 2**64 << 64)
        want = theirs(distribution, dtype, (1003,), (s0, s1))
        r.assert_same_bits(ours(distribution, dtype, 1003, Key.from_seed(seed)), want, (s0, s1))


@by_dtype
@by_distribution
@pytest.mark.parametrize(
    "shape", [(), (0,), (1,), (2,), (3,), (4,), (5,), (63,), (31, 7), (3, 3, 64, 65), (257, 1024)]
)
def test_g3_shapes(shape: tuple[int, ...], distribution: Distribution, dtype: str) -> None:
    r.assert_same_bits(
        ours(distribution, dtype, shape, Key.from_seed(3)), theirs(distribution, dtype, shape, 3)
    )


@by_dtype
@by_distribution
def test_g3_a_million_numbers(distribution: Distribution, dtype: str) -> None:
    n = 1_000_003
    r.assert_same_bits(
        ours(distribution, dtype, n, Key.from_seed(42)), theirs(distribution, dtype, (n,), 42)
    )


@pytest.mark.parametrize("distribution", [Normal(), TruncatedNormal()], ids=str)
def test_g3_sixteen_million_numbers(distribution: Distribution) -> None:
    n = 1 << 24
    r.assert_same_bits(
        ours(distribution, F32, n, Key.from_seed(42)), theirs(distribution, F32, (n,), 42)
    )


PARAMETERS: list[Distribution] = [
    *(Uniform(*b) for b in ((0, 1), (-1, 3), (0.1, 0.3), (100, 101), (-3, -2.9), (0, 1e-4))),
    *(Uniform(*b) for b in ((-60000, 1000), (-1e-4, 1e-5), (1, 1 + 1e-9), (-1, 1e-20), (-7, 0))),
    *(Uniform(*b) for b in ((1e-6, 2e-6), (65000, 65504), (-32752, 32752), (0, 1e-12))),
    *(Normal(*p) for p in ((0, 1), (1.5, 0.3), (-3, 1e-3), (1000, 1), (0, 1e-6), (0.3, 0))),
    *(Normal(*p) for p in ((0, 0), (0, 11000), (-1e-6, 1e-7), (1e4, 1e-3), (2.5, 7e-5))),
    *(Normal(*p) for p in ((-0.25, 3), (1e-12, 1e-11), (0, 1e-12), (-60000, 900))),
    *(TruncatedNormal(*p) for p in ((0, 1), (1, 0.02), (-0.2, 0.1), (100, 0.1), (0.25, 0))),
    *(TruncatedNormal(*p) for p in ((0, 11000), (0, 1e-7), (-1e-7, 1e-7), (3, 1e-5), (0, 1e-12))),
]


@by_dtype
@pytest.mark.parametrize("distribution", PARAMETERS, ids=str)
def test_g3_parameters(distribution: Distribution, dtype: str) -> None:
    for seed in (0, 99):
        want = theirs(distribution, dtype, (5001,), seed)
        r.assert_same_bits(ours(distribution, dtype, 5001, Key.from_seed(seed)), want)


def test_g3_a_python_float_reaches_16_bits_by_way_of_float32() -> None:
    """Past a tie of float16 by less than float32 shows: TensorFlow, run eagerly, rounds to even."""
    fans = (25_390, 50_769, 76_933)
    stddevs = [math.sqrt(2 / fan) / 0.87962566103423978 for fan in fans]
    for value in (*stddevs, 1 + 2**-11 + 2**-40, 3 + 2**-9 + 2**-10 - 2**-40):
        assert np.float16(value) != np.float16(np.float32(value))
        for distribution in (Normal(0, value), TruncatedNormal(value, 1), Uniform(-value, value)):
            want = theirs(distribution, F16, (999,), 5)
            r.assert_same_bits(ours(distribution, F16, 999, Key.from_seed(5)), want, distribution)
    for value in (1 + 2**-8 + 2**-40, 3 + 2**-6 + 2**-7 - 2**-40):
        for distribution in (Normal(0, value), TruncatedNormal(value, 1), Uniform(-value, value)):
            want = theirs(distribution, BF16, (999,), 5)
            r.assert_same_bits(ours(distribution, BF16, 999, Key.from_seed(5)), want, distribution)


@pytest.mark.parametrize("dtype", [F32, F64, F16])
def test_g3_means_that_round_to_minus_zero_keep_their_sign(dtype: str) -> None:
    """It shows where the product is a zero: with a stddev of 0, and below the least float16."""
    mean = -1e-9 if dtype == F16 else -1e-60
    for stddev in (0.0, 1e-8 if dtype == F16 else 0.0):
        for distribution in (Normal(mean, stddev), TruncatedNormal(mean, stddev)):
            try:
                found = ours(distribution, dtype, 999, Key.from_seed(5))
            except ValueError:
                continue  # no sign is better than another one
            r.assert_same_bits(found, theirs(distribution, dtype, (999,), 5), distribution)


@by_dtype
def test_a_mean_of_minus_zero_counts_as_zero(dtype: str) -> None:
    """TensorFlow takes either, by the order of calls in the process; a stream depends on none."""
    for stddev in (0.0, 1e-3):
        for kind in (Normal, TruncatedNormal):
            plus = ours(kind(0.0, stddev), dtype, 999, Key.from_seed(5))
            r.assert_same_bits(ours(kind(-0.0, stddev), dtype, 999, Key.from_seed(5)), plus)
            want = theirs(kind(0.0, stddev), dtype, (999,), 5)
            r.assert_same_bits(plus, want, stddev)


magnitudes = st.one_of(st.floats(-12, 4).map(lambda e: 10**e), st.integers(-38, 13).map(math.exp2))
signs = st.sampled_from([-1.0, 1.0])


@st.composite
def distributions(draw: Any) -> Distribution:
    center = draw(st.one_of(st.just(0.0), st.builds(lambda s, m: s * m, signs, magnitudes)))
    spread = draw(magnitudes)
    if draw(st.booleans()):
        return draw(st.sampled_from([Normal, TruncatedNormal]))(center, spread)
    return Uniform(center - spread, center + spread)


@settings(max_examples=200)
@given(
    distribution=distributions(),
    dtype=st.sampled_from(list(r.OF_TENSORFLOW)),
    seed=st.integers(-(2**63), 2**63 - 1),
)
def test_g3_any_parameters(distribution: Distribution, dtype: str, seed: int) -> None:
    """Equal, or refused."""
    try:
        found = ours(distribution, dtype, 333, Key.from_seed(seed))
    except ValueError:
        assert dtype == F16
        assert max(abs(v) for v in vars(distribution).values()) > 65504 / 7
        return
    r.assert_same_bits(found, theirs(distribution, dtype, (333,), seed))


# --- offsets -------------------------------------------------------------------------------------

N = 70_001
TENSORS: dict[Any, r.Array] = {}


@settings(max_examples=200)
@given(
    index=st.integers(0, len(ALL) - 1),
    dtype=st.sampled_from(list(r.OF_TENSORFLOW)),
    ends=st.tuples(st.integers(0, N), st.integers(0, N)).map(sorted),
)
def test_g3_any_slice_is_that_slice_of_their_tensor(
    index: int, dtype: str, ends: list[int]
) -> None:
    if (index, dtype) not in TENSORS:
        TENSORS[index, dtype] = theirs(ALL[index], dtype, (N,), 8)
    start, stop = ends
    found = ours(ALL[index], dtype, stop - start, Key.from_seed(8), start)
    r.assert_same_bits(found, TENSORS[index, dtype][start:stop], ends)


def raw_op(d: Distribution, dtype: str, count: int, key: Key, block: int = 0) -> r.Array:
    """TensorFlow's own op at a counter of our choice, scaled by TensorFlow."""
    name = {
        Uniform: "StatelessRandomUniformV2",
        Normal: "StatelessRandomNormalV2",
        TruncatedNormal: "StatelessTruncatedNormalV2",
    }[type(d)]
    counter = (key.base + block) % (1 << 128)
    x = getattr(tf.raw_ops, name)(
        shape=[count],
        key=tf.constant([key.words[0] | key.words[1] << 32], tf.uint64),
        counter=tf.constant([counter & rw.M64, counter >> 64], tf.uint64),
        alg=1,
        dtype=tf.as_dtype(dtype),
    )

    def constant(value: float) -> Any:
        return tf.constant(np.asarray(value + 0.0, np.float32 if dtype != F64 else np.float64))

    if isinstance(d, Uniform):
        low, high = (tf.cast(constant(v), x.dtype) for v in (d.low, d.high))
        return np.asarray((x * (high - low) + low).numpy())
    mean, stddev = (tf.cast(constant(v), x.dtype) for v in (d.mean, d.stddev))
    return np.asarray((x * stddev + mean).numpy())


@by_dtype
@by_distribution
@pytest.mark.parametrize("power", [32, 64, 96, 128])
def test_g3_counters_that_carry(power: int, distribution: Distribution, dtype: str) -> None:
    """A slice in the middle of a huge tensor, by TensorFlow's op with its counter moved there.

    A truncated normal gets there with 2**24 groups: 256 MiB of float32.
    """
    size = 2 if dtype == F64 else 4
    reserved = 64 * size if isinstance(distribution, TruncatedNormal) else 1
    group = (1 << power) // reserved - 500
    base = 0
    if group * size > 2**126 - 5000:  # more than a stream has: begin there
        base, group = group * reserved, 0
    want = raw_op(distribution, dtype, 4004, Key((5, 6), base), group * reserved)
    found = ours(distribution, dtype, 4001, Key((5, 6), base), group * size + 3)
    r.assert_same_bits(found, want[3:])


@by_dtype
@pytest.mark.parametrize("distribution", [Normal(), Normal(1.5, 0.3)], ids=str)
def test_g3_words_at_the_ends_of_radius_and_angle(distribution: Normal, dtype: str) -> None:
    """The counters of chosen words: the largest numbers, the smallest, and the signs of zeros."""
    if dtype == F64:
        ends = [(0, 0), (0, 1), (0xFFFFF, rw.M32), (0x80000, 0), (0x40000, 0), (0xC0000, 0)]
        stream = np.array([a + b for a in ends for b in ends], np.uint32).ravel()
    else:
        stream = cases.normal_words()
    for words in stream.reshape(-1, 4).tolist():
        key = Key(r.FEED_KEY, rw.inverse_philox4x32(words, r.FEED_KEY))
        want = raw_op(distribution, dtype, 2 if dtype == F64 else 4, key)
        r.assert_same_bits(ours(distribution, dtype, want.shape, key), want, words)


# --- what TensorFlow and we would not do alike is refused ----------------------------------------

# The words of the smallest normals (2**-37.3) and of the largest (5.68).
SMALLEST = (0x7FFFFF, 0x600000, 0x7FFFFF, 0x200000)
LARGEST = (0, 0x200000, 0, 0x600000)


def refused(distribution: Distribution, dtype: str, message: str) -> None:
    out = np.full(100, 7, r.DTYPES[dtype])
    with pytest.raises(ValueError, match=message) as caught:
        fill(out, distribution, Key((1, 2)), sampler="tensorflow")
    assert str(caught.value).endswith(f"; got {distribution!r}")
    assert (out == 7).all()


SUBNORMAL: list[tuple[str, Distribution]] = [
    *(
        (F32, Uniform(*b))
        for b in ((0, 1e-38), (-1e-40, 1e-39), (0, 1e-36), (1e-40, 1), (-1e-40, 1))
    ),
    *((F32, Normal(*p)) for p in ((0, 2.0**-92), (0, 2.0**-89), (1e-39, 0), (1e-38, 1e-27))),
    *((F32, TruncatedNormal(*p)) for p in ((0, 1e-40), (1e-39, 0), (-1e-38, 1e-27))),
    *((F64, Uniform(*b)) for b in ((0, 1e-310), (0, 1e-300), (1e-310, 2e-310), (1e-310, 1))),
    *((F64, Normal(*p)) for p in ((0, 1e-300), (1e-310, 0), (1e-310, 1e-200))),
    *((BF16, Uniform(*b)) for b in ((0, 1e-38), (0, 1e-36), (1e-40, 1), (-1e-40, 1))),
    *((BF16, Normal(*p)) for p in ((0, 1e-13), (1e-39, 0), (1e-31, 1))),
]


@pytest.mark.parametrize(("dtype", "distribution"), SUBNORMAL, ids=str)
def test_g8_subnormal_numbers_are_refused(dtype: str, distribution: Distribution) -> None:
    """TensorFlow's threads take them for zeros, others do not."""
    refused(distribution, dtype, "must be 0 or at least")


@pytest.mark.parametrize(
    ("dtype", "stddev"), [(F32, 2.0**-88), (F64, 2.0**-900), (BF16, 2.0**-40), (F16, 2.0**-24)]
)
def test_g3_the_smallest_numbers_that_are_not_refused(dtype: str, stddev: float) -> None:
    for mean in (0.0, 2.0**-24 if dtype == F16 else 2.0**-100):
        for words in (SMALLEST, LARGEST):
            key = Key(r.FEED_KEY, rw.inverse_philox4x32(words, r.FEED_KEY))
            want = raw_op(Normal(mean, stddev), dtype, 2 if dtype == F64 else 4, key)
            found = ours(Normal(mean, stddev), dtype, want.shape, key)
            r.assert_same_bits(found, want, (mean, stddev))


@by_dtype
def test_g8_what_is_not_refused_does_not_overflow(dtype: str) -> None:
    top = {F64: np.finfo(np.float64).max, F32: np.finfo(np.float32).max, F16: 65504.0}
    largest = float(top.get(dtype, float.fromhex("0x1.fep+127")))
    key = Key(r.FEED_KEY, rw.inverse_philox4x32(LARGEST, r.FEED_KEY))
    tried = 0
    for share in (*np.linspace(0.0, 0.99, 199).tolist(), 0.999, 1.0):
        for slack in (1.0, 1 - 2.0**-10, 1 - 2.0**-7, 1 - 2.0**-5):
            for sign in (-1.0, 1.0):
                mean, stddev = sign * largest * share, largest * (1 - share) * slack / 5.68
                try:
                    found = ours(Normal(mean, stddev), dtype, 4, key)
                except ValueError as error:
                    assert "must stay below" in str(error)  # noqa: PT017
                    continue
                tried += 1
                assert np.isfinite(found.astype(np.float64)).all(), (mean, stddev)
    assert tried > 300


def test_g8_overflow_is_refused() -> None:
    for distribution, dtype in (
        (Uniform(0, 1e39), F32),
        (Uniform(-3e38, 3e38), F32),
        (Uniform(-40_000, 40_000), F16),
        (Uniform(0, 3.4e38), BF16),
        (Uniform(0, 65_520), F16),
        (Normal(0, 1e38), F32),
        (Normal(0, 12_000), F16),
        (Normal(-1e5, 0), F16),
        (Normal(0, 1e308), F64),
        (TruncatedNormal(65_000, 1e3), F16),
        (TruncatedNormal(0, 2e38), BF16),
    ):
        refused(distribution, dtype, "^the numbers drawn must stay below")


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_g8_numbers_that_are_not_finite_are_refused(bad: float) -> None:
    """A truncated normal would look for a number below them for ever."""
    for kind, name in ((Normal, "stddev"), (TruncatedNormal, "stddev"), (TruncatedNormal, "mean")):
        with pytest.raises(ValueError, match=f"^`{name}` must be finite; got {name}={bad}$"):
            kind(**{name: bad})


def test_g8_other_bounds_than_2_are_refused() -> None:
    for bounds in ((-3.0, 3.0), (-2.0, 2.5), (-math.inf, 2.0)):
        distribution = TruncatedNormal(0.0, 1.0, *bounds)
        message = (
            'sampler="tensorflow" truncates at lower=-2, upper=2 only, as TensorFlow does; '
            f'got {distribution!r}: use sampler="native"'
        )
        for dtype in r.OF_TENSORFLOW.values():
            out = np.full(100, 7, dtype)
            with pytest.raises(NotImplementedError, match=f"^{re.escape(message)}$"):
                fill(out, distribution, Key((1, 2)), sampler="tensorflow")
            assert (out == 7).all()
