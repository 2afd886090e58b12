# SPDX-License-Identifier: Apache-2.0
"""Every kernel against the oracle, bit for bit: any length, offset, alignment, cut and thread."""

import itertools
import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling import cpu
from philinit.filling.fill import fill
from philinit.kernels.constants import CALLED
from philinit.kernels.libm import libm
from philinit.kernels.plan import plan
from philinit.kernels.table import KERNELS
from philinit.keys import Key
from tests.support import cases
from tests.support import reference as r
from tests.support.cases import CASES, ONE_EACH, Case

GOLDEN = json.loads((r.DATA / "golden.json").read_text())
VECTORS = json.loads((r.DATA / "vectors.json").read_text())
KEY = Key.from_seed(99)

LIBM = [case for case in CASES if case.uses_libm and case.frozen]


def by_case(cases: list[Case]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


by_libm = pytest.mark.parametrize("kind", ["glibc", "rounded"])


@pytest.fixture(scope="module", autouse=True)
def _libm_of_glibc() -> Iterator[None]:
    """The oracle's default, whatever this machine has; float64 takes the machine's all the same."""
    with cases.libm_of("glibc"):
        yield


def drawn(
    case: Case, count: int, offset: int = 0, key: Key = KEY, threads: int | None = None
) -> r.Array:
    out = np.empty(count, r.DTYPES[case.dtype])
    return fill(out, case.distribution, key, offset, sampler=case.sampler, threads=threads)


def expected(case: Case, count: int, offset: int = 0, key: Key = KEY) -> r.Array:
    return case.weights(key, offset, count)


# --- every kernel is tested ----------------------------------------------------------------------


def test_every_kernel_has_an_oracle_case() -> None:
    assert {case.kernel for case in CASES} | {"words"} == set(KERNELS)


@by_case(CASES)
def test_the_plan_takes_the_kernel_of_the_case(case: Case) -> None:
    assert plan(case.distribution, r.DTYPES[case.dtype], case.sampler).kernel.name == case.kernel


def test_g9_every_case_has_golden_hashes_and_vectors() -> None:
    made = GOLDEN["seed"], GOLDEN["count"], tuple(GOLDEN["offsets"])
    assert made == (cases.SEED, cases.COUNT, cases.OFFSETS)
    names = {case.name for case in CASES if not case.uses_libm}
    assert set(GOLDEN["sha256"]) == names | {"words"}
    assert set(VECTORS["maps"]) == names
    for kind in ("glibc", "rounded"):
        assert set(GOLDEN["sha256 by libm"][kind]) == {case.name for case in LIBM}
        normals = {case.name for case in LIBM if case.reserved == 1}
        assert set(VECTORS["normals"][kind]) == normals
    assert {case.name for case in CASES} - names - {case.name for case in LIBM} == {
        case.name for case in CASES if not case.frozen
    }


def test_g9_the_two_kinds_of_libm_differ_in_every_golden_hash() -> None:
    glibc, rounded = (GOLDEN["sha256 by libm"][kind] for kind in ("glibc", "rounded"))
    for case in LIBM:
        if case.dtype == "float32":  # few of the differences survive rounding to 16 bits
            assert not set(glibc[case.name]) & set(rounded[case.name])


# --- G9: frozen bits -----------------------------------------------------------------------------


@by_case([case for case in CASES if not case.uses_libm])
def test_g9_golden_hashes(case: Case) -> None:
    assert cases.hashes(case) == GOLDEN["sha256"][case.name]


@by_libm
@by_case(LIBM)
def test_g9_golden_hashes_of_both_kinds_of_libm(case: Case, kind: str) -> None:
    with cases.libm_of(kind):
        assert cases.hashes(case) == GOLDEN["sha256 by libm"][kind][case.name]


@by_case([case for case in CASES if not case.uses_libm])
def test_g9_vectors(case: Case) -> None:
    """Extreme and other words, fed to the kernel: the counter of their block is known."""
    dtype = r.DTYPES[case.dtype]
    raw = r.extreme_words(dtype)
    assert r.hex_words(raw) == VECTORS["words64" if case.dtype == "float64" else "words32"]
    numbers = r.feed(raw, case.distribution, dtype, case.sampler)
    assert r.hex_numbers(numbers) == VECTORS["maps"][case.name]


@by_libm
@by_case([case for case in LIBM if case.reserved == 1])
def test_g9_vectors_of_both_kinds_of_libm(case: Case, kind: str) -> None:
    """Pairs of words at the ends of radius and angle, and where the kinds differ."""
    raw = cases.normal_words()
    assert r.hex_words(raw) == VECTORS["words"]
    with cases.libm_of(kind):
        numbers = r.feed(raw, case.distribution, r.DTYPES[case.dtype], case.sampler)
    assert r.hex_numbers(numbers) == VECTORS["normals"][kind][case.name]


# --- the oracle ----------------------------------------------------------------------------------


def test_the_oracles_fma_is_exact() -> None:
    rng = np.random.default_rng(5)

    def numbers(n: int, spread: int) -> r.Array:
        return rng.standard_normal(n) * 2.0 ** rng.integers(-spread, spread, n)

    a, b = numbers(4000, 30), numbers(4000, 30)
    close = -(a * b) * (1 + rng.integers(-4, 5, 4000) * 2.0**-52)  # near-total cancellation
    for c in (numbers(4000, 60), close, np.zeros(4000), np.ldexp(numbers(4000, 3), -70)):
        exact = [r.fma_exact(*abc) for abc in zip(a.tolist(), b.tolist(), c.tolist(), strict=True)]
        assert r.fma64(a, b, c).tolist() == exact
    x, y = a.astype(np.float32), b.astype(np.float32)
    for z in (numbers(4000, 60), -(x * y), np.ldexp(x * y, -24), np.ldexp(a, -140)):
        z = z.astype(np.float32)
        triples = zip(x.tolist(), y.tolist(), z.tolist(), strict=True)
        exact = [r.fma_exact(*abc, bits=24, least=-149) for abc in triples]
        assert r.fma32(x, y, z).tolist() == exact
    tie = [1 + 2.0**-23, 1 - 2.0**-23, 2.0**-25 * (1 + 2.0**-20)]  # where rounding twice errs
    hard = [(p, q, s * 2.0**e) for p, q, s in itertools.product(tie, tie, (1, -1)) for e in (0, 24)]
    for p, q, s in hard:
        assert r.fma32(p, q, s).item() == r.fma_exact(p, q, s, 24, -149)


def test_the_check_of_fma_would_catch_double_rounding() -> None:
    a, b, c = 1 + 2.0**-12, 1 + 2.0**-12, 2.0**-60  # a b is a tie in float32, c breaks it
    assert np.float32(a * b + c) != r.fma_exact(a, b, c, 24, -149)
    assert r.fma32(a, b, c).item() == r.fma_exact(a, b, c, 24, -149)


def test_the_oracles_bfloat16_is_that_of_ml_dtypes() -> None:
    bits = np.random.default_rng(6).integers(0, 1 << 32, 100_000).astype(np.uint32)
    ties = np.arange(1 << 15, dtype=np.uint32) << 16 | np.uint32(0x8000)
    y = np.concatenate([bits, ties]).view(np.float32)
    y = y[np.abs(y) < 3.38e38]
    r.assert_same_bits(r.rounded(y, r.BFLOAT16), y.astype(r.BFLOAT16))


# --- G1: bit equality with the oracle ------------------------------------------------------------


@by_case(CASES)
def test_g1_equals_the_oracle(case: Case) -> None:
    whole = expected(case, 6200, 4096)
    r.assert_same_bits(drawn(case, 6200, 4096), whole)
    for offset in (4097, 4098, 4099, 4103, 6143, 6144, 6145):
        count = 6200 - (offset - 4096)
        r.assert_same_bits(drawn(case, count, offset), whole[-count:], offset)


@by_case(LIBM)
def test_g1_equals_the_oracle_of_rounded_functions(case: Case) -> None:
    whole = case.weights(KEY, 4099, 6200, "rounded")
    with cases.libm_of("rounded"):
        r.assert_same_bits(drawn(case, 6200, 4099), whole)
        r.assert_same_bits(drawn(case, 4000, 4099 + 77), whole[77:4077])


@by_case(LIBM)
def test_g1_equals_the_kind_of_libm_that_this_machine_has(case: Case) -> None:
    """Calls of this machine's functions, number by number, against the kind that was found."""
    with cases.libm_of(None):
        found = libm()
        if CALLED in (found.log, found.trigonometry):
            pytest.skip("the libm of this machine is of neither kind")
        own = drawn(case, 6200, 4099)
    with cases.libm_of("system"):
        r.assert_same_bits(drawn(case, 6200, 4099), own)


@by_case(ONE_EACH)
def test_g1_lengths(case: Case) -> None:
    """4k to 4k + 3 weights, around vectors of 8 to 64 words and around tiles of 2048 words."""
    whole = expected(case, 4200, 3)
    lengths = [*range(70), *range(125, 132), *range(252, 260), *range(1020, 1029)]
    for count in (*lengths, *range(2044, 2053), *range(4092, 4101)):
        r.assert_same_bits(drawn(case, count, 3), whole[:count], count)


@by_case(ONE_EACH)
@pytest.mark.parametrize("power", [32, 34, 64, 66, 126])
def test_g1_large_offsets(case: Case, power: int) -> None:
    """Offsets where word 0 and word 1 of the counter wrap, and the last weights of a stream."""
    offset = (1 << power) - (2000 if power < 126 else 3001)
    for key in (KEY, Key((5, 6), (1 << 128) - 77 * case.reserved)):
        r.assert_same_bits(
            drawn(case, 3001, offset, key), expected(case, 3001, offset, key), offset
        )


@by_case([case for case in ONE_EACH if case.reserved > 1])
def test_g1_truncated_groups_wrap_with_the_counter(case: Case) -> None:
    """2**128 counters hold 2**120 groups (2**121 in float64): group g + 2**120 is group g."""
    period = (1 << 128) // case.reserved * (2 if case.dtype == "float64" else 4)
    r.assert_same_bits(drawn(case, 999, period + 5), drawn(case, 999, 5))
    r.assert_same_bits(drawn(case, 9999, period - 5000), expected(case, 9999, period - 5000))


@by_case([case for case in ONE_EACH if case.reserved > 1])
def test_g8_truncated_groups_refuse_a_base_between_the_reserved_blocks(case: Case) -> None:
    out = np.full(100, 7, r.DTYPES[case.dtype])
    for base in (1, case.reserved // 2, case.reserved - 1, (1 << 128) - 1, (1 << 64) + 8):
        message = (
            f"`key.base` must be a multiple of {case.reserved}, the counter blocks that TensorFlow "
            f"reserves for a group of truncated normals; got base={base:#x}"
        )
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            fill(out, case.distribution, Key((5, 6), base), sampler=case.sampler)
        assert (out == 7).all()
    for base in (0, case.reserved, (1 << 128) - case.reserved):
        key = Key((5, 6), base)
        r.assert_same_bits(drawn(case, 77, 3, key), expected(case, 77, 3, key))


@by_case(ONE_EACH)
def test_g1_any_address(case: Case) -> None:
    """Bases misaligned by 0 to 8 bytes, and nothing written before or behind."""
    dtype = r.DTYPES[case.dtype]
    for count in (1, 67, 5000):
        right = drawn(case, count, 5)
        for shift in range(9):
            memory = np.full(64 + count * dtype.itemsize + 64, 0xA5, np.uint8)
            view = np.ndarray(count, dtype, memory, offset=32 + shift)
            fill(view, case.distribution, KEY, 5, sampler=case.sampler)
            r.assert_same_bits(np.array(view), right, shift)
            memory[32 + shift :][: view.nbytes] = 0xA5
            assert (memory == 0xA5).all()


@by_case(ONE_EACH)
def test_g1_chunk_borders_and_threads(case: Case) -> None:
    """More blocks than one thread takes: all chunk sizes that 1 to 4 threads lead to."""
    per_block = 2 if case.dtype == "float64" else 4
    count = (cpu.SINGLE + 2 * cpu.SMALLEST_CHUNK) * per_block + 77
    chunk = cpu.SMALLEST_CHUNK * per_block
    offset = chunk - 1001  # a ragged first chunk
    one = drawn(case, count, offset, threads=1)
    for threads in (2, 3, 4):
        r.assert_same_bits(drawn(case, count, offset, threads=threads), one, threads)
    for border in (*range(1001, count, chunk), count - 40):
        r.assert_same_bits(
            one[border - 40 : border + 37], expected(case, 77, offset + border - 40), border
        )


@by_case(ONE_EACH)
def test_g1_streaming_stores_change_nothing(case: Case) -> None:
    """From STREAMING_BYTES on lines bypass the caches; at an unaligned address they cannot."""
    dtype = r.DTYPES[case.dtype]
    count = cpu.STREAMING_BYTES // dtype.itemsize + 5001
    whole = drawn(case, count, 7, threads=2)
    part = count // 3
    for start in range(0, count, part):
        size = min(part, count - start)
        r.assert_same_bits(drawn(case, size, 7 + start), whole[start : start + size], start)
    memory = np.empty(count * dtype.itemsize + 8, np.uint8)
    crooked = np.ndarray(count, dtype, memory, offset=dtype.itemsize // 2)
    fill(crooked, case.distribution, KEY, 7, sampler=case.sampler)
    r.assert_same_bits(crooked, whole)


@hypothesis_settings(max_examples=150)
@given(
    case=st.sampled_from(CASES),
    seed=st.integers(-(2**127), 2**128 - 1),
    offset=st.one_of(
        st.integers(0, 2**126 - 10_000),
        st.builds(lambda p, d: max(0, 2**p + d), st.integers(2, 125), st.integers(-5000, 5)),
    ),
    count=st.integers(0, 6000),
    cuts=st.lists(st.integers(0, 6000), max_size=4),
    threads=st.integers(1, 4),
)
def test_g1_any_cut_gives_the_same_weights(
    case: Case, seed: int, offset: int, count: int, cuts: list[int], threads: int
) -> None:
    key = Key.from_seed(seed)
    whole = drawn(case, count, offset, key)
    edges = sorted({0, count, *(cut for cut in cuts if cut < count)})
    for a, b in itertools.pairwise(edges):
        r.assert_same_bits(drawn(case, b - a, offset + a, key, threads), whole[a:b], (a, b))


def test_g1_shape_and_order_of_calls_do_not_matter() -> None:
    flat = fill(np.empty(24, np.float32), Uniform(), KEY)
    other = fill(np.empty(24, np.float32), Normal(), KEY)
    cube = fill(np.empty((2, 3, 4), np.float32), Uniform(), KEY)
    r.assert_same_bits(cube.ravel(), flat)
    r.assert_same_bits(fill(np.empty(24, np.float32), Normal(), KEY), other)


def test_the_contract_tests_would_catch_a_shifted_stream() -> None:
    case = ONE_EACH[0]
    with pytest.raises(AssertionError, match="differ"):
        r.assert_same_bits(drawn(case, 100, 1), drawn(case, 100, 0))


# --- parameters ----------------------------------------------------------------------------------

PARAMETERS: list[Distribution] = [
    *(Uniform(*b) for b in ((-1, 0), (0, 3e-5), (-1e-3, 1e-3), (1, 1 + 2**-20), (-7, -5.5))),
    *(Uniform(*b) for b in ((-1, 1e-7), (-1e-7, 1), (1e-4, 2e-4), (-60000, 60000), (0.1, 0.3))),
    *(Normal(*p) for p in ((0, 1e-6), (1000, 1), (-0.0, 1), (0.3, 0), (-3, 1e-3))),
    *(TruncatedNormal(*p) for p in ((0, 1e-6), (2, 1), (-0.2, 0.1), (100, 0.1), (0.25, 0))),
    *(TruncatedNormal(0, 1, *b) for b in ((0, math.inf), (-math.inf, 0), (4, 6), (5, 5.01))),
    *(TruncatedNormal(0.1, 0.2, *b) for b in ((8, 9), (30, 31), (-9, -8), (-0.1, 0.1), (-10, 10))),
    *(TruncatedNormal(0, 3, *b) for b in ((-math.inf, math.inf), (-50, 50), (-1e-9, 2e-9))),
    TruncatedNormal(-2, 0.5, -1, 4),
]


@pytest.mark.parametrize("dtype", r.DTYPES.values(), ids=r.DTYPES)
@pytest.mark.parametrize("distribution", PARAMETERS, ids=str)
def test_g2_equals_the_oracle_for_many_parameters(
    distribution: Distribution, dtype: np.dtype[Any]
) -> None:
    out = fill(np.empty(1001, dtype), distribution, KEY, 2)
    r.assert_same_bits(out, r.weights(distribution, dtype, KEY, 2, 1001))
    raw = r.extreme_words(dtype)
    r.assert_same_bits(
        r.feed(raw, distribution, dtype), r.weights_of(raw, distribution, dtype), "extreme words"
    )


bounds = st.floats(-1000, 1000, width=32)


@hypothesis_settings(max_examples=100)
@given(
    st.tuples(bounds, bounds).filter(lambda b: b[1] - b[0] > 1e-3), st.sampled_from(list(r.DTYPES))
)
def test_g2_equals_the_oracle_for_any_uniform(ends: tuple[float, float], name: str) -> None:
    distribution, dtype = Uniform(*ends), r.DTYPES[name]
    if r.at_least(r.Fraction(ends[0]), dtype) > r.below(ends[1], dtype):
        with pytest.raises(ValueError, match="must hold at least one number"):
            fill(np.empty(64, dtype), distribution, KEY)
        return
    if 0 < abs(sum(ends)) < 2.0**-99:
        return  # a middle that is refused: tests/kernels/test_plan.py
    out = fill(np.empty(64, dtype), distribution, KEY)
    r.assert_same_bits(out, r.weights(distribution, dtype, KEY, 0, 64))
    raw = r.extreme_words(dtype)[:12]
    r.assert_same_bits(r.feed(raw, distribution, dtype), r.weights_of(raw, distribution, dtype))


@pytest.mark.parametrize("dtype", r.DTYPES.values(), ids=r.DTYPES)
def test_no_word_gives_a_negative_zero_for_positive_bounds(dtype: np.dtype[Any]) -> None:
    edges = [Uniform(0.0, 1.0), Uniform(-0.0, 1.0), Uniform(0.0, 3e-5), TruncatedNormal(2.0, 1.0)]
    for distribution in (*edges, TruncatedNormal(-0.0, 0.0), TruncatedNormal(0, 1, 0, math.inf)):
        numbers = r.feed(r.extreme_words(dtype), distribution, dtype).astype(np.float64)
        assert not np.signbit(numbers).any(), distribution


# --- G6: intervals -------------------------------------------------------------------------------

INTERVALS = [
    *((0.0, 1.0), (100.0, 101.0), (1.0, 1.0 + 2**-20), (-1e-3, 1e-3), (-0.05, 0.05), (-1.0, 0.0)),
    *((0.1, 0.3), (-3.0, -2.9), (1.0, 1.1), (-1e-3, 5.0), (-5.0, 1e-3), (0.0, 2.0**-14)),
    *((-(2.0**-20), 2.0**-20), (4095.0, 4099.0)),
]


@pytest.mark.parametrize("dtype", r.DTYPES.values(), ids=r.DTYPES)
@pytest.mark.parametrize("interval", INTERVALS, ids=str)
def test_g6_uniform_includes_low_and_excludes_high(
    interval: tuple[float, float], dtype: np.dtype[Any]
) -> None:
    low, high = interval
    random = fill(np.empty(100_000, dtype), Uniform(low, high), KEY).astype(np.float64)
    extreme = r.feed(r.extreme_words(dtype), Uniform(low, high), dtype).astype(np.float64)
    for numbers in (random, extreme):
        assert numbers.min() >= low
        assert numbers.max() < high


def test_g6_the_check_would_catch_plain_rounding() -> None:
    """Rounding a float32 of [0, 1) to bfloat16 reaches 1: the interval needs care."""
    numbers = fill(np.empty(100_000, np.float32), Uniform(), KEY).astype(r.BFLOAT16)
    assert numbers.astype(np.float64).max() == 1.0


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "distribution",
    [Uniform(-0.05, 0.05), Uniform(0, 1), Uniform(100, 101), Normal(0.1, 0.02), TruncatedNormal()]
    + [
        TruncatedNormal(1, 0.02),
        TruncatedNormal(0, 0.1, -3, 3),
        TruncatedNormal(0, 1, 1, math.inf),
    ],
    ids=str,
)
def test_g6_16_bits_are_the_float32_weights_rounded_once(
    distribution: Distribution, name: str
) -> None:
    dtype = r.DTYPES[name]
    single = fill(np.empty(50_000, np.float32), distribution, KEY)
    kept = r.rounded(single, dtype)
    low, high = distribution.support()
    ends = r.at_least(r.Fraction(low), dtype) if math.isfinite(low) else low, math.inf
    if isinstance(distribution, Uniform):
        ends = ends[0], r.below(high, dtype)
    elif math.isfinite(high):
        ends = ends[0], r.at_most(r.Fraction(high), dtype)
    right = r.clamp(kept.astype(np.float32), *ends).astype(dtype)
    r.assert_same_bits(fill(np.empty(50_000, dtype), distribution, KEY), right)


TRUNCATED = [
    *(
        TruncatedNormal(*p)
        for p in ((0, 1), (0, 0.1), (0, 0.02), (0.02, 0.1), (1, 0.02), (-3, 0.7))
    ),
    *(TruncatedNormal(0, 0.1, *b) for b in ((-3, 3), (-1, 4), (0, math.inf), (1, 1.5), (5, 5.5))),
]


@pytest.mark.parametrize("dtype", r.DTYPES.values(), ids=r.DTYPES)
@pytest.mark.parametrize("distribution", TRUNCATED, ids=str)
def test_g6_truncated_normals_keep_their_bounds_and_do_not_pile_up_there(
    distribution: TruncatedNormal, dtype: np.dtype[Any]
) -> None:
    d, n = distribution, 200_000
    low, high = d.support()
    numbers = fill(np.empty(n, dtype), d, KEY).astype(np.float64)
    for sample in (numbers, r.feed(r.extreme_words(dtype), d, dtype).astype(np.float64)):
        assert sample.min() >= low
        assert sample.max() <= high
    if dtype == r.FLOAT64:
        return
    # What rounds to the outermost number: all between the bound and half a step inside it. One
    # step of float32 more for the parameters, which are rounded; z = 4.5 above the expectation.
    for end, bound, inner in ((high, r.at_most, r.below), (-low, r.at_most, r.below)):
        if math.isinf(end):
            continue
        last = bound(r.Fraction(end), dtype)
        edge = (last + inner(last, dtype)) / 2 - 2.0**-23 * abs(last)
        mirrored = d.mean if end == high else -d.mean
        x = (edge - mirrored) / d.stddev
        top = d.upper if end == high else -d.lower
        p = (math.erfc(x / 2**0.5) - math.erfc(top / 2**0.5)) / 2 / d.mass()
        found = np.count_nonzero(numbers == (last if end == high else -last))
        assert found <= n * p + 4.5 * math.sqrt(n * p) + 1


def test_g6_the_check_of_piles_would_catch_clipping() -> None:
    """Clipping a normal at 2 stddev puts 2.3 % on each bound, some 40 times what is allowed."""
    clipped = np.clip(fill(np.empty(200_000, np.float32), Normal(), KEY), -2, 2)
    assert np.count_nonzero(clipped == 2.0) > 4000


def test_g6_normals_are_symmetric() -> None:
    """A word and its complement-but-one-bit give x and -x: no bias of any order."""
    for dtype in r.DTYPES.values():
        raw = r.extreme_words(dtype) | (1 if dtype == r.FLOAT64 else np.uint32(1))
        mirror = (~raw + raw.dtype.type(1)) | raw.dtype.type(1)  # -k
        for d in (Normal(), TruncatedNormal(), TruncatedNormal(0, 1, -3, 3)):
            a, b = r.feed(raw, d, dtype), r.feed(mirror, d, dtype)
            assert (a.astype(np.float64) == -b.astype(np.float64)).all()
