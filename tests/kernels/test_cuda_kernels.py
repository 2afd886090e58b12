# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels, compiled by g++, against the CPU kernels and the oracle, bit for bit.

`tests/support/cuda_host.py` says what that proves. Mistakes planted in the source must be caught.
"""

import ctypes
import dataclasses
import json
import mmap
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numba import njit

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.filling import cpu
from philinit.kernels import cuda
from philinit.kernels.cpu import box_muller as bm
from philinit.kernels.cpu.loops.fill import KERNELS
from philinit.kernels.cpu.philox import BLOCKS, u64xN
from philinit.kernels.cpu.simd.memory import store
from philinit.kernels.cpu.simd.operators import constant, sqrt
from philinit.kernels.plan import Plan, plan
from philinit.keys import Key
from tests.support import cases, cuda_host
from tests.support import reference as r

pytestmark = pytest.mark.skipif(
    cuda_host.compiler() is None,
    reason="g++ compiles the CUDA kernels for this test; it is missing",
)

KEY = Key.from_seed(99)
NEITHER = {"tensorflow_normal_float64", "tensorflow_truncated_float64"}  # call the C library
LIBMS = {"glibc": 0.0, "rounded": 1.0}


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A distribution in a dtype by a sampler, and which libm TensorFlow's normals follow."""

    distribution: Distribution
    dtype: str
    sampler: str = "native"
    libm: str = "glibc"

    @property
    def plan(self) -> Plan:
        found = plan(self.distribution, r.DTYPES[self.dtype], self.sampler)
        if found.kernel.name.startswith(("tensorflow_normal", "tensorflow_truncated")):
            kind = LIBMS[self.libm]
            kinds = {"log_kind": kind, "trigonometry_kind": kind}
            return make(found.kernel.name, **(found.values() | kinds))
        return found

    def __str__(self) -> str:
        return f"{self.plan.kernel.name}-{self.distribution}-{self.libm}"


CASES = [
    Drawn(case.distribution, case.dtype, case.sampler)
    for case in cases.CASES
    if not case.uses_libm  # these come below, for both kinds
]
for name in r.DTYPES:
    CASES += [Drawn(Uniform(*b), name, "tensorflow") for b in ((0, 1), (-0.05, 0.05), (-3, 1e-3))]
    if name != "float64":
        for libm in LIBMS:
            CASES += [Drawn(Normal(*p), name, "tensorflow", libm) for p in ((0, 1), (0.5, 0.02))]
            CASES.append(Drawn(TruncatedNormal(0, 0.02), name, "tensorflow", libm))
ONE_EACH = list({case.plan.kernel.name: case for case in CASES}.values())


def by_case(cases: list[Drawn]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=str)


def per_block(case: Drawn) -> int:
    return 4 // case.plan.kernel.words


def on_cpu(case: Drawn, count: int, offset: int = 0, key: Key = KEY) -> r.Array:
    out = np.empty(count, r.DTYPES[case.dtype])
    cpu.fill(out, case.plan, key, offset)
    return out


def launch(
    library: cuda_host.Library,
    case: Drawn,
    address: int,
    count: int,
    offset: int,
    key: Key,
    *grid: Any,
) -> None:
    block, skip = divmod(offset, per_block(case))
    p = case.plan
    counter = (key.base + block * p.kernel.reserved) % (1 << 128)
    library.launch(p.kernel.name, address, count, skip, counter, key.words, p.parameters, *grid)


def on_gpu(
    case: Drawn,
    count: int,
    offset: int = 0,
    key: Key = KEY,
    grid: int = 3,
    block: int = 256,
    shift: int = 0,
    library: cuda_host.Library | None = None,
) -> r.Array:
    """`shift` is the number of weights from an aligned address; nothing around may change."""
    dtype = r.DTYPES[case.dtype]
    memory = np.full(64 + (count + shift) * dtype.itemsize + 64, 0xA5, np.uint8)
    start = 64 - memory.ctypes.data % 64 % 64 + shift * dtype.itemsize
    library = library or cuda_host.build()
    launch(library, case, memory.ctypes.data + start, count, offset, key, grid, block)
    out = np.ndarray(count, dtype, memory, offset=start).copy()
    memory[start:][: out.nbytes] = 0xA5
    assert (memory == 0xA5).all(), "bytes before or behind were written"
    return out


def same(case: Drawn, count: int, offset: int = 0, key: Key = KEY, **how: Any) -> None:
    r.assert_same_bits(
        on_gpu(case, count, offset, key, **how), on_cpu(case, count, offset, key), (offset, how)
    )


# --- the list ------------------------------------------------------------------------------------


def test_cuda_has_the_kernels_of_the_cpu_but_for_those_that_call_the_c_library() -> None:
    assert set(cuda.KERNELS) == set(KERNELS) - NEITHER
    for name, kernel in cuda.KERNELS.items():
        theirs = KERNELS[name]
        assert (kernel.itemsize, kernel.words) == (theirs.itemsize, theirs.words)
        assert cuda.group(kernel) * kernel.itemsize == 16
    named = re.findall(r"^KERNEL\((\w+),", cuda.source(), re.MULTILINE)
    assert sorted(named) == sorted(cuda.KERNELS)
    assert {case.plan.kernel.name for case in ONE_EACH} == set(cuda.KERNELS) - {"words"}


def test_the_source_includes_nothing_and_can_be_one_kernel_only() -> None:
    assert "#include" not in cuda.source()
    assert cuda.source("words") != cuda.source()
    with pytest.raises(ValueError, match="`only` must be None or a name in KERNELS; got only='x'"):
        cuda.source("x")


# --- the bits ------------------------------------------------------------------------------------


def test_words_equal_the_oracle() -> None:
    library = cuda_host.build()
    for key in (KEY, Key((5, 6), (1 << 128) - 77), Key((7, 8), (1 << 64) - 9)):
        out = np.empty(1003, np.uint32)
        library.launch("words", out.ctypes.data, out.size, 2, key.base + 1, key.words, [0.0] * 8, 2)
        r.assert_same_bits(out, r.words(key, 6, 1003))


def test_the_golden_hashes() -> None:
    golden = json.loads((r.DATA / "golden.json").read_text())
    key = Key.from_seed(golden["seed"])
    frozen = {"": golden["sha256"], **golden["sha256 by libm"]}
    for case in cases.CASES:
        for kind, wanted in frozen.items():
            if case.name not in wanted:
                continue
            drawn = Drawn(case.distribution, case.dtype, case.sampler, *([kind] if kind else []))
            hashes = [
                r.digest(on_gpu(drawn, golden["count"], offset, key))
                for offset in golden["offsets"]
            ]
            assert hashes == wanted[case.name], (case.name, kind)


@by_case(CASES)
def test_equals_the_cpu_for_every_length_skip_and_base(case: Drawn) -> None:
    for extra in range(1, 4):
        for offset in (*range(4), 4093):
            same(case, 4 * 700 + extra, offset, shift=(offset + extra) % 8)
    for count in range(1, 34):
        same(case, count, count % 5, grid=1)
        same(case, count, 0, grid=1, shift=count % 8)


@by_case(ONE_EACH)
def test_equals_the_cpu_for_any_grid(case: Drawn) -> None:
    for grid, block in ((1, 256), (2, 256), (7, 32), (40, 256), (1, 1), (5, 3)):
        same(case, 4 * 256 + 3, 1, grid=grid, block=block)
        same(case, 4 * 256 + 3, 4, grid=grid, block=block)


@by_case(ONE_EACH)
@pytest.mark.parametrize("power", [32, 34, 64, 66, 126])
def test_equals_the_cpu_where_counter_words_carry(case: Drawn, power: int) -> None:
    reserved = case.plan.kernel.reserved
    for key in (KEY, Key((5, 6), (1 << 128) - 256 * 7)):
        for offset in (
            (1 << power) // reserved - 701,
            (1 << power) - (701 if power < 126 else 3001),
        ):
            same(case, 3001, offset, key, grid=2)
            same(case, 3001, offset, key, grid=2, shift=3)


# A truncated normal's counters are multiples of 256: its words cannot be chosen.
@by_case([case for case in ONE_EACH if case.plan.kernel.reserved == 1])
def test_extreme_words(case: Drawn) -> None:
    """Chosen words, by the counters of their blocks; the CPU's numbers are held to the oracle."""
    raw = r.extreme_words(r.DTYPES[case.dtype])
    wide = np.stack([raw, raw >> np.uint64(32)], 1).ravel() if raw.dtype == np.uint64 else raw
    wide = np.concatenate([wide.astype(np.uint64) & np.uint64(r.M32), np.zeros(3, np.uint64)])
    for words in wide[: wide.size // 4 * 4].reshape(-1, 4).tolist():
        key = Key(r.FEED_KEY, r.inverse_philox4x32(words, r.FEED_KEY))
        same(case, per_block(case), 0, key, grid=1, block=1)


PARAMETERS: list[Distribution] = [
    *(Uniform(*b) for b in ((-1, 0), (0, 3e-5), (1, 1 + 2**-20), (-1e-7, 1), (-60000, 60000))),
    *(Normal(*p) for p in ((0, 1e-6), (1000, 1), (-0.0, 1), (0.3, 0), (1e-41, 1e-25))),
    *(TruncatedNormal(*p) for p in ((0, 1e-6), (2, 1), (-0.2, 0.1), (100, 0.1), (0.25, 0))),
    *(TruncatedNormal(0, 1, *b) for b in ((0, np.inf), (4, 6), (8, 9), (-9, -8), (-50, 50))),
    *(TruncatedNormal(*p, 8, 9) for p in ((0, 1e-6), (-8e-7, 1e-7))),
]


@pytest.mark.parametrize("sampler", ["native", "tensorflow"])
@pytest.mark.parametrize("dtype", r.DTYPES)
def test_equals_the_cpu_for_many_parameters(dtype: str, sampler: str) -> None:
    tried = 0
    for distribution in PARAMETERS:
        case = Drawn(distribution, dtype, sampler)
        try:
            found = case.plan.kernel.name
        except (ValueError, NotImplementedError):
            continue  # tests/kernels/test_plan.py
        if found in cuda.KERNELS:
            same(case, 1001, 2)
            tried += 1
    assert tried >= (5 if (dtype, sampler) == ("float64", "tensorflow") else 7)


def test_subnormal_numbers_are_kept() -> None:
    # A plan refuses what would be subnormal, since some threads of a CPU flush it; a GPU must not.
    span, minimum = np.float32(3e-39), np.float32(-1e-39)
    words, out = np.empty(1000, np.uint32), np.empty(1000, np.float32)
    for name, target in (("words", words), ("tensorflow_uniform_float32", out)):
        p = [float(span), float(minimum), *[0.0] * 6]
        cuda_host.build().launch(name, target.ctypes.data, 1000, 0, KEY.base, KEY.words, p, 2)
    u = (words & np.uint32(0x7FFFFF) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)
    assert np.count_nonzero(out) > 900
    r.assert_same_bits(out, u * span + minimum)
    half = Drawn(Uniform(-1e-6, 1e-6), "float16")
    same(half, 1000)
    assert len(set(on_gpu(half, 1000).tolist())) > 30


def test_a_truncated_normal_carries_on_its_way_to_the_next_attempt() -> None:
    """Attempts are TensorFlow's normals of the counters that follow, from any counter."""
    library = cuda_host.build()
    p = Drawn(Normal(0, 1), "float32", "tensorflow").plan.parameters
    again = 0
    for key in range(300):
        for counter in ((1 << 64) - 1, (1 << 32) - 1, (1 << 128) - 1):
            attempts, kept = np.empty(16, np.float32), np.empty(4, np.float32)
            for name, out in (("normal", attempts), ("truncated", kept)):
                library.launch(
                    *(f"tensorflow_{name}_float32", out.ctypes.data, out.size, 0, counter),
                    *((key, 1), p, 1, 4),
                )
            inside = attempts[np.abs(attempts) < 2][:4]
            again += (np.abs(attempts[:4]) >= 2).any()
            r.assert_same_bits(kept, inside, key)
    assert again > 50


RADII_AND_DIRECTIONS = """
extern "C" __global__ void philinit_all_angles(void *out, u64 count, u32, u64, u64, u32, u32,
                                               Parameters p) {
  const box_muller map(p);
  for (u64 n = threadIdx.x; n < count; n += blockDim.x) {
    const float2 x = map.direction((u32)n);
    float *const place = (float *)out + 3 * n;
    place[0] = map.radius((u32)n);
    place[1] = x.x;
    place[2] = x.y;
  }
}
"""


@pytest.mark.parametrize("libm", LIBMS)
def test_all_radii_and_directions_of_tensorflow_normals(libm: str) -> None:
    """All 2**23 of each, against the CPU's."""
    squared_radius, direction = {
        "glibc": (bm.glibc_squared_radius, bm.glibc_direction),
        "rounded": (bm.rounded_squared_radius, bm.rounded_direction),
    }[libm]
    lanes = constant(u64xN, [i | i << 32 for i in range(BLOCKS)])
    step = BLOCKS

    @njit
    def scan(count, radii, directions):
        for n in range(0, count, step):
            pairs = lanes() + (n | n << 32)
            store(radii + 4 * n, sqrt(squared_radius(pairs, 0)))
            store(directions + 8 * n, direction(pairs, 0, 0))

    count = 1 << 23
    radii, directions = np.empty(count, np.float32), np.empty((count, 2), np.float32)
    scan(count, radii.ctypes.data, directions.ctypes.data)
    found = np.empty((count, 3), np.float32)
    kind = LIBMS[libm]
    cuda_host.build(cuda.source("words") + RADII_AND_DIRECTIONS).launch(
        "all_angles", found.ctypes.data, count, 0, 0, (0, 0), [0, 0, kind, kind, 0, 0, 0, 0], 1
    )
    r.assert_same_bits(found[:, 0].copy(), radii, "radii")
    r.assert_same_bits(found[:, 1:].copy(), directions, "sin and cos")


@by_case(ONE_EACH)
def test_128_bit_stores_wherever_the_address_allows(case: Drawn) -> None:
    group = cuda.group(case.plan.kernel)
    memory = np.empty(16 * 100 + 64, np.uint8)
    base = memory.ctypes.data + -memory.ctypes.data % 16

    def stores(address: int, count: int, skip: int) -> int:
        p = case.plan
        rest = skip, 0, (1, 2), p.parameters, 1
        return cuda_host.launch(p.kernel.name, address, count, *rest)

    item = r.DTYPES[case.dtype].itemsize
    assert stores(base, 100 * group, 0) == 100
    assert stores(base, 100 * group - 1, 0) == 99
    for skip in range(per_block(case)):
        assert stores(base + skip * item, 100 * group - skip, skip) == (99 if skip else 100)
        assert skip == 1 or stores(base + item, 8, skip) == 0
    if group == 8:  # two counter blocks a store: the first one alone leads to an aligned address
        assert stores(base + 8, 4 + 50 * group, 0) == 50


# --- sizes that no test can write ----------------------------------------------------------------


def sparse(size: int) -> mmap.mmap:
    """Memory whose pages exist once they are written."""
    try:
        noreserve = 0x4000 if sys.platform == "linux" else 0  # mmap.MAP_NORESERVE, which 3.11 lacks
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | noreserve
        return mmap.mmap(-1, size, flags=flags)
    except (AttributeError, OSError, ValueError) as reason:
        pytest.skip(f"no {size >> 30} GiB of sparse memory here: {reason}")


def check_huge(case: Drawn, library: cuda_host.Library | None = None) -> None:
    """2**32 + 1003 weights and more in one launch, of which a few thread blocks are run."""
    library = library or cuda_host.build()
    dtype = r.DTYPES[case.dtype]
    count = (1 << 32 if dtype.itemsize > 2 else 1 << 33) + 1003
    grid = 1 << 20  # threads of a grid: 2**28 steps of 16 bytes
    weights = 256 * 16 // dtype.itemsize  # of a thread block's step
    starts, ran = range(0, count, grid * weights), (0, 77, grid - 1)
    offset = 4
    if case.plan.kernel.reserved > 1:  # the grid starts anew where c0 wraps: every 2**24 counter blocks
        starts, ran, offset = range(0, count, 1 << 26), (0, 77), 0
    with sparse(count * dtype.itemsize + 64) as memory:
        view = np.ndarray(count, dtype, memory)
        for block in ran:
            launch(
                library,
                case,
                view.ctypes.data,
                count,
                offset,
                KEY,
                grid,
                256,
                range(block, block + 1),
            )
        for start in starts:
            for first in (start + block * weights for block in ran):
                last = min(first + weights, count)
                if first < last:
                    r.assert_same_bits(
                        view[first:last].copy(), on_cpu(case, last - first, offset + first), first
                    )
        assert not view[weights : weights + 1000].astype(np.float64).any()
        del view


@by_case([case for case in ONE_EACH if case.plan.kernel.name.startswith(("uniform", "tensorflow_tr"))])
def test_indices_beyond_2_to_the_32(case: Drawn) -> None:
    check_huge(case)


def check_idle(case: Drawn, library: cuda_host.Library | None = None) -> None:
    """Threads number 2**32 and more have nothing to do in a small tensor."""
    for offset in (0, 1):
        out = np.zeros(2000, r.DTYPES[case.dtype])
        for block in (1 << 24, (1 << 24) + 1):
            grid = (1 << 24) + 2, 256, range(block, block + 1)
            launch(library or cuda_host.build(), case, out.ctypes.data, 2000, offset, KEY, *grid)
        assert not out.any(), "a thread beyond the work wrote"


def test_thread_numbers_beyond_2_to_the_32() -> None:
    for case in ONE_EACH:
        check_idle(case)


def check_written_once(case: Drawn, library: cuda_host.Library | None = None) -> None:
    """Each weight is written by one thread, once in a launch: what a test of values cannot see."""
    library = library or cuda_host.build()
    count, grid = 203, 9
    for offset, shift in ((0, 0), (1, 0), (0, 1)):
        written = np.zeros(count, int)
        for thread in range(grid):
            memory = np.zeros(count + 16, r.DTYPES[case.dtype])
            base = memory[-memory.ctypes.data % 16 // memory.itemsize + shift :][:count]
            launch(
                *(library, case, base.ctypes.data, count, offset, KEY),
                *(grid, 1, range(thread, thread + 1)),
            )
            written += base.view(f"u{base.itemsize}") != 0
        assert (written == 1).all(), written


def test_every_weight_is_written_once() -> None:
    for case in ONE_EACH:
        check_written_once(case)


# --- planted mistakes ----------------------------------------------------------------------------

FLOAT = Drawn(Uniform(0.25, 0.75), "float32")
HALF = Drawn(Uniform(-0.05, 0.05), "float16")
NORMAL = Drawn(Normal(0.5, 0.02), "float32")
TRUNCATED = Drawn(TruncatedNormal(0, 0.1), "bfloat16")
TENSORFLOW = Drawn(TruncatedNormal(0, 1), "float32", "tensorflow")

Check = Callable[[Drawn, cuda_host.Library], None]


def check_ragged(case: Drawn, library: cuda_host.Library) -> None:
    for count, offset in ((1, 0), (701, 1), (702, 2), (703, 3), (4099, 0)):
        same(case, count, offset, library=library, grid=1)
        same(case, count, offset, library=library, grid=1, shift=1)


def check_many(case: Drawn, library: cuda_host.Library) -> None:
    same(case, 100_000, library=library)


def check_carries(case: Drawn, library: cuda_host.Library) -> None:
    for power in (34, 66, 128):
        offset = 0 if power == 128 else (1 << power) // case.plan.kernel.reserved - 701
        same(case, 1501, offset, Key((5, 6), 0 if power < 128 else r.M64 << 64), library=library)


GUARD = "weight >= first && weight < count"
NEXT_STEP = "b += stride * K::BLOCKS"
TABLE_READY = "__syncthreads();\n    rows = opaque_shared(&table[0][0]"
PLACE = "mine + (u64)b * BYTES, kernel.block(even, b));"

# What is drawn, what must notice, and what stands in the source in place of what.
MISTAKES: dict[str, tuple[Drawn, Check, str, str]] = {
    "tail guard dropped": (FLOAT, check_ragged, GUARD, "weight >= first"),
    "head guard dropped": (FLOAT, check_ragged, GUARD, "weight < count"),
    "counter's high word lost": (FLOAT, check_carries, "high += next < low;", ""),
    "counter word 1 lost": (FLOAT, check_carries, "~(u32)low / K::RESERVED + 1;", "1u << 31;"),
    "nine rounds": (FLOAT, check_ragged, "PHILOX_ROUNDS = 10", "PHILOX_ROUNDS = 9"),
    "grid-stride forgotten": (FLOAT, check_ragged, NEXT_STEP, "b = stepped"),
    "stride off by one": (
        *(FLOAT, check_written_once, NEXT_STEP),
        "b += (stride - 1) * K::BLOCKS",
    ),
    "stride of the rest off by one": (
        *(FLOAT, check_written_once, "i < rest; i += stride"),
        "i < rest; i += stride - 1",
    ),
    "tail order swapped": (FLOAT, check_ragged, "(out) = a.x[i];", "(out) = a.x[N - 1 - i];"),
    "halves swapped": (HALF, check_ragged, "16 * (i % 2)", "16 * (1 - i % 2)"),
    "second block of a step is the first": (
        *(HALF, check_ragged, "kernel.block(odd, b)"),
        "kernel.block(even, b)",
    ),
    "bounds not kept in 16 bits": (
        *(TRUNCATED, check_many, "__vmins2(packed, high)"),
        "packed",
    ),
    "fma split": (
        *(NORMAL, check_ragged, "fma32(standard(w), stddev, mean)"),
        "add32(mul32(standard(w), stddev), mean)",
    ),
    "no barrier behind the table": (
        *(NORMAL, check_ragged, TABLE_READY),
        TABLE_READY.partition("\n")[2],
    ),
    "vector stores at any base": (FLOAT, check_ragged, "(u64)base % 16 == 0 && ", ""),
    "32-bit address": (FLOAT, check_huge, PLACE, PLACE.replace("(u64)", "")),
    "32-bit count": (FLOAT, check_huge, "while (count) {", "while (count = (u32)count) {"),
    "32-bit index in the rest": (
        *(FLOAT, check_huge, "(u64)b * K::WEIGHTS + j"),
        "b * K::WEIGHTS + j",
    ),
    "32-bit thread number": (
        *(FLOAT, check_idle, "(u64)blockIdx.x * blockDim.x"),
        "blockIdx.x * blockDim.x",
    ),
    "attempts start anew": (TENSORFLOW, check_ragged, "(u64)n + attempt", "(u64)n"),
    "reserved blocks forgotten": (
        *(TENSORFLOW, check_ragged, "RESERVED = RESERVED_BLOCKS"),
        "RESERVED = 1",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_planted_mistake_is_caught(mistake: str) -> None:
    case, check, right, wrong = MISTAKES[mistake]
    source = cuda.source(case.plan.kernel.name)
    assert source.count(right) == 1, f"{right!r} must stand once in the source"
    spoiled = cuda_host.build(source.replace(right, wrong))
    with pytest.raises((AssertionError, RuntimeError), match=r"differ|written|wrote|aligned|array"):
        check(case, spoiled)


def test_the_checks_of_planted_mistakes_pass_without_them() -> None:
    for case, check in {(case, check) for case, check, _, _ in MISTAKES.values()}:
        check(case, cuda_host.build(cuda.source(case.plan.kernel.name)))
