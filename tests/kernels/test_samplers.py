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
from tests.support import cases, exact
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

PARAMETERS_8: list[Distribution] = [
    *(Uniform(*b) for b in ((-1, 0), (0, 3e-5), (-1e-3, 1e-3), (1, 1.5), (-7, -5.5), (-1e-7, 1))),
    *(Uniform(*b) for b in ((-1, 1e-7), (-240, 240), (-(2.0**-10), 2.0**-9), (0.1, 0.3))),
    *(Normal(*p) for p in ((0, 1e-6), (100, 1), (0.3, 0), (-3, 1e-3), (0, 38))),
    *(TruncatedNormal(*p) for p in ((2, 1), (-0.2, 0.1), (0.25, 0), (0, 2.0**-9))),
    TruncatedNormal(1 + 2.0**-4 + 2.0**-40, 0.0),  # in float32 a tie of e4m3
    *(TruncatedNormal(0, 1, *b) for b in ((0, math.inf), (-math.inf, 0), (4, 6))),
    *(TruncatedNormal(*p) for p in ((-2, 0.5, -1, 4), (0.1, 0.2, -9, -8), (0, 0.01, -50, 50))),
]


@pytest.mark.parametrize(
    ("distribution", "dtype"),
    [(d, dtype) for d in PARAMETERS for dtype in r.OF_TENSORFLOW.values()]
    + [(d, r.DTYPES[name]) for d in PARAMETERS_8 for name in r.FLOAT8],
    ids=lambda value: getattr(value, "name", str(value)),
)
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
    largest = exact.magnitudes_of(dtype)[-1] if name in r.FLOAT8 else 60_000.0
    if max(map(abs, ends)) > largest:
        with pytest.raises(ValueError, match=f"must stay below {largest:g}"):
            fill(np.empty(64, dtype), distribution, KEY)
        return
    if exact.at_least(r.Fraction(ends[0]), dtype) > exact.below(ends[1], dtype):
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
