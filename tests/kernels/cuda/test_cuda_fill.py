# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels, compiled by g++, against the CPU kernels and the oracle, bit for bit.

`tests/support/cuda_host.py` says what that proves.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from numba import njit

from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.kernels import cuda, table
from philinit.kernels.cpu import box_muller as bm
from philinit.kernels.cpu import kernels
from philinit.kernels.cpu.simd.memory import store
from philinit.kernels.cpu.simd.operators import constant, sqrt
from philinit.keys import Key
from tests.support import cases, cuda_host
from tests.support import reference as r
from tests.support import reference_words as rw
from tests.support.cuda_cases import (
    CASES,
    KEY,
    LIBMS,
    ONE_EACH,
    Drawn,
    by_case,
    on_gpu,
    per_block,
    same,
)

ROOT = Path(__file__).parents[3]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        cuda_host.compiler() is None,
        reason="g++ compiles the CUDA kernels for this test; it is missing",
    ),
]

# --- the list ------------------------------------------------------------------------------------


def test_both_devices_make_the_kernels_of_the_table() -> None:
    assert set(kernels.TILES) == set(table.KERNELS)
    # They call the C library.
    neither = {"tensorflow_normal_float64", "tensorflow_truncated_float64"}
    assert set(cuda.KERNELS) == set(table.KERNELS) - neither
    named = re.findall(r"^KERNEL\((\w+),", cuda.source(), re.MULTILINE)
    assert sorted(named) == sorted(cuda.KERNELS)
    assert {case.plan.kernel.name for case in ONE_EACH} == set(cuda.KERNELS) - {"words"}


def test_the_table_is_what_the_source_is_held_to() -> None:
    for name, right, wrong in (
        ("words", "ROW_words = {4, 1, 1}", "ROW_words = {2, 1, 1}"),
        ("bounded_float64", "ROW_bounded_float64 = {8, 2, 1}", "ROW_bounded_float64 = {8, 1, 1}"),
    ):
        source = cuda.source(name)
        assert source.count(right) == 1
        with pytest.raises(RuntimeError, match="the table says otherwise"):
            cuda_host.build(source.replace(right, wrong))


def test_the_struct_has_room_for_all_parameters() -> None:
    for kernel in table.KERNELS.values():
        assert len(kernel.floats) <= table.FLOATS
        assert len(kernel.integers) <= table.INTEGERS
        assert len({*kernel.floats, *kernel.integers}) == len(kernel.floats + kernel.integers)


def test_the_folders_of_both_devices_have_the_same_files() -> None:
    """But for what one has alone: Numba's vectors and orthogonal matrices, arithmetic in PTX."""
    found = {}
    for device, endings in (("cpu", (".py",)), ("cuda", (".py", ".cu", ".cuh"))):
        folder = ROOT / "kernels" / device
        files = {path.relative_to(folder) for path in folder.rglob("*") if path.suffix in endings}
        found[device] = {str(path.with_suffix("")) for path in files if path.parts[0] != "simd"}
    orthogonal = {"householder", "loops/reflectors", "loops/reflect"}
    assert found["cpu"] - found["cuda"] == {"compiler", "loops/verify", *orthogonal}
    assert found["cuda"] - found["cpu"] == {"arithmetic"}


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
        library.launch(
            "words", out.ctypes.data, out.size, 2, key.base + 1, key.words, table.Parameters(), 2
        )
        r.assert_same_bits(out, rw.words(key, 6, 1003))


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
    wide = np.concatenate([wide.astype(np.uint64) & np.uint64(rw.M32), np.zeros(3, np.uint64)])
    for words in wide[: wide.size // 4 * 4].reshape(-1, 4).tolist():
        key = Key(r.FEED_KEY, rw.inverse_philox4x32(words, r.FEED_KEY))
        same(case, per_block(case), 0, key, grid=1, block=1)


PARAMETERS: list[Distribution] = [
    *(Uniform(*b) for b in ((-1, 0), (0, 3e-5), (1, 1 + 2**-20), (-1e-7, 1), (-60000, 60000))),
    *(Normal(*p) for p in ((0, 1e-6), (1000, 1), (-0.0, 1), (0.3, 0), (1e-41, 1e-25))),
    *(TruncatedNormal(*p) for p in ((0, 1e-6), (2, 1), (-0.2, 0.1), (100, 0.1), (0.25, 0))),
    *(TruncatedNormal(0, 1, *b) for b in ((0, np.inf), (4, 6), (8, 9), (-9, -8), (-50, 50))),
    *(TruncatedNormal(*p, 8, 9) for p in ((0, 1e-6), (-8e-7, 1e-7))),
]


@pytest.mark.parametrize(
    ("dtype", "sampler"),
    [*((name, "native") for name in r.DTYPES), *((name, "tensorflow") for name in r.OF_TENSORFLOW)],
)
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
        p = table.Parameters((float(span), float(minimum)))
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
    float *const three = (float *)out + 3 * n;
    three[0] = map.radius((u32)n);
    three[1] = x.x;
    three[2] = x.y;
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
    lanes = constant(bm.u64xN, [i | i << 32 for i in range(bm.N)])
    step = bm.N

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
    p = table.Parameters((), (LIBMS[libm], LIBMS[libm]))  # of log, and of sin and cos
    library = cuda_host.build(cuda.source("words") + RADII_AND_DIRECTIONS)
    library.launch("all_angles", found.ctypes.data, count, 0, 0, (0, 0), p, 1)
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
    # Where a store takes several counter blocks, the first ones lead to an aligned address.
    for blocks in range(1, group // per_block(case)):
        lead = per_block(case) * blocks
        assert stores(base + 16 - lead * item, lead + 50 * group, 0) == 50
