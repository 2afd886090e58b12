# SPDX-License-Identifier: Apache-2.0
"""The contract on real CUDA devices: `pytest -m gpu`; skipped, visibly, where there is none.

Whatever tests/filling/cuda shows through a stand-in is asked of the hardware here,
and what no stand-in can show: that machine code, memory and streams do what they should.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import TruncatedNormal
from philinit.dtypes import as_dtype
from philinit.filling.cuda import compiler as cuda_compiler
from philinit.kernels.cuda import KERNELS, LOOPS
from philinit.tools.selftest import cases as _selftest
from philinit.tools.selftest.golden import SHA256
from tests.support import reference as r
from tests.support.cuda_backend import KEY, UNIFORM, by_dtype, on_cpu
from tests.support.gpus import GPUS, by_gpu, needs_gpu

pytestmark = needs_gpu


def free_bytes(cupy: Any) -> int:
    return int(cupy.cuda.Device().mem_info[0])


# --- bits ----------------------------------------------------------------------------------------


@by_gpu
def test_g2_golden_hashes_and_known_answers(device: str) -> None:
    report = _selftest.check(device, lambda *_: None)
    assert report.failure == ""
    assert [o.case for o in report.outcomes if o.verdict == _selftest.DIFFERENT] == []
    assert report.count(_selftest.EQUAL) >= 47


@pytest.mark.parametrize("name", [name for name in SHA256 if name != "words"])
def test_g1_any_length_offset_and_alignment(cupy: Any, name: str) -> None:
    what, dtype, sampler = _selftest.described(name)
    longest = 4 * 256 * 16 * cupy.cuda.Device().attributes["MultiProcessorCount"] + 1003
    for count in (1, 2, 3, 5, 4096, 4099, longest):
        for start, offset in ((0, 0), (1, 1), (2, 2**34 - 7), (3, 2**40 + 3), (5, 2**33 - 1)):
            base = cupy.full((count + 16) * dtype.itemsize, 0xEE, np.uint8).view(dtype)
            out = base[start : start + count]
            pi.fill(out, what, KEY, offset, sampler=sampler)
            want = np.full((count + 16) * dtype.itemsize, 0xEE, np.uint8).view(dtype)
            place = want[start : start + count]
            pi.fill(place, what, KEY, offset, sampler=sampler)
            r.assert_same_bits(cupy.asnumpy(base), want, (name, count, start, offset))


@by_dtype
def test_tensors_beyond_2_to_the_32_weights(cupy: Any, dtype: str) -> None:
    """One launch; looked at where 32-bit indices would go wrong."""
    count = 2**32 + 1003
    size = as_dtype(dtype).itemsize
    if free_bytes(cupy) < count * size + (1 << 30):
        pytest.skip(f"needs {count * size >> 30} GiB of the device's memory")
    w = pi.fill(cupy.empty(count, as_dtype(dtype)), UNIFORM, KEY, 5)
    for start in (0, 2**31 - 99, 2**32 - 99, 2**30 + 1, count - 1003, 3 * 2**30 - 7):
        got = cupy.asnumpy(w[start : start + 198])
        assert got.tobytes() == on_cpu(got.size, 5 + start, dtype).tobytes()


@pytest.mark.parametrize("name", [name for name in SHA256 if name != "words"])
def test_g1_boxes_and_rows_of_any_width_offset_and_alignment(cupy: Any, name: str) -> None:
    what, dtype, sampler = _selftest.described(name)
    rng = np.random.default_rng(3)
    for width, rows in ((1, 70_000), (3, 5000), (16, 9001), (37, 4000), (128, 3000), (1024, 700)):
        ids = rng.integers(0, 1 << 30, rows)
        for part in (
            pi.Shard((rows, 4096), (slice(None), slice(8, 8 + width))),
            pi.Shard((3, rows // 3, 1001 + width), (slice(0, 2), slice(1, None), slice(5, -996))),
            pi.Rows((1 << 30, width), ids),
        ):
            count = part.size
            for start, offset in ((0, 0), (3, 2**34 - 1001), (1, 2**62 + 3)):
                base = cupy.full((count + 8) * dtype.itemsize, 0xEE, np.uint8).view(dtype)
                out = base[start : start + count].reshape(part.shape)
                pi.fill(out, what, KEY, offset, shard=part, sampler=sampler)
                want = np.full((count + 8) * dtype.itemsize, 0xEE, np.uint8).view(dtype)
                place = want[start : start + count].reshape(part.shape)
                pi.fill(place, what, KEY, offset, shard=part, sampler=sampler)
                r.assert_same_bits(cupy.asnumpy(base), want, (name, width, part.shape, start))


@by_dtype
def test_counters_carry_in_the_middle_of_a_row(cupy: Any, dtype: str) -> None:
    """Of 32, 64 and 128 bits: g++ does not see how a GPU carries."""
    for key in (KEY, pi.Key((5, 6), 2**128 - 256 * 7), pi.Key((5, 6), 2**64 - 777)):
        for what, sampler in ((UNIFORM, "native"), (TruncatedNormal(), "tensorflow")):
            if (sampler, dtype) == ("tensorflow", "float64"):
                continue
            key = pi.Key(key.words, key.base // 256 * 256)
            for offset in (0, 2**34 - 1001, 2**26 - 1001, 2**58 - 1001, 2**66 - 1001):
                part = pi.Shard((1 << 20, 1 << 20), (slice(0, 40), slice(3, 1000)))
                out = cupy.empty(part.shape, as_dtype(dtype))
                pi.fill(out, what, key, offset, shard=part, sampler=sampler)
                want = np.empty(part.shape, as_dtype(dtype))
                pi.fill(want, what, key, offset, shard=part, sampler=sampler)
                r.assert_same_bits(cupy.asnumpy(out), want, (sampler, offset))


@by_dtype
def test_a_box_beyond_2_to_the_32_weights(cupy: Any, dtype: str) -> None:
    shape, width = (1 << 23, 1 << 20), 513
    nbytes = (width << 23) * as_dtype(dtype).itemsize
    if free_bytes(cupy) < nbytes + (1 << 30):
        pytest.skip(f"needs {nbytes >> 30} GiB of the device's memory")
    out = cupy.empty((1 << 23, width), as_dtype(dtype))
    pi.fill(out, UNIFORM, KEY, 5, shard=pi.Shard(shape, (slice(None), slice(7, 7 + width))))
    for row in (0, 1, 1 << 22, (1 << 23) - 1, (1 << 32) // width, (1 << 31) // width):
        want = on_cpu(width, 12 + (row << 20), dtype)
        assert cupy.asnumpy(out[row]).tobytes() == want.tobytes()


def test_ids_live_as_long_as_they_are_read(cupy: Any) -> None:
    """Their memory goes back to CuPy's pool at once, and to other work on the stream."""
    rng, stream = np.random.default_rng(4), cupy.cuda.Stream(non_blocking=True)
    filled = []
    with stream:
        for _ in range(50):
            ids = rng.integers(0, 1 << 20, 20_000)
            out = cupy.empty((ids.size, 64), np.float32)
            pi.fill(out, UNIFORM, KEY, shard=pi.Rows((1 << 20, 64), ids))
            cupy.zeros(ids.size, np.int64)  # the pool gives out the memory of the ids again
            filled.append((out, ids.copy()))
            ids[:] = 0
    stream.synchronize()
    for out, ids in filled:
        want = pi.fill(
            np.empty((ids.size, 64), np.float32), UNIFORM, KEY, shard=pi.Rows((1 << 20, 64), ids)
        )
        assert cupy.asnumpy(out).tobytes() == want.tobytes()


@by_gpu
@by_dtype
def test_initializers(cupy: Any, device: str, dtype: str) -> None:
    for init in (pi.GlorotUniform(seed=3), pi.HeNormal(seed=3), pi.Normal(0.0, 0.5, seed=3)):
        w = init((31, 17), dtype, device=device)
        assert type(w) is cupy.ndarray
        assert (w.dtype, w.device.id) == (as_dtype(dtype), int(device[5:] or 0))
        assert w.data.ptr % 64 == 0
        assert cupy.asnumpy(w).tobytes() == init((31, 17), dtype).tobytes()
        box = (slice(3, 9), slice(5, 8))
        part = cupy.asnumpy(init.shard((31, 17), box, dtype, device=device))
        assert part.tobytes() == np.ascontiguousarray(init((31, 17), dtype)[box]).tobytes()
        part = cupy.asnumpy(init.rows((31, 17), [[5, 30], [5, 0]], dtype, device=device))
        assert part.tobytes() == init((31, 17), dtype)[[[5, 30], [5, 0]]].tobytes()
        how = {"keys": [[5, 2**64 - 1], [-7, 0]], "dtype": dtype, "global_shape": (31, 17)}
        part = cupy.asnumpy(init.rows_by_key(17, device=device, **how))
        assert part.tobytes() == init.rows_by_key(17, **how).tobytes()
    for constant in (pi.Constant(-0.3), pi.Zeros(), pi.Identity(2.0)):
        w = constant((6, 9), dtype, device=device)
        assert cupy.asnumpy(w).tobytes() == constant((6, 9), dtype).tobytes()


# --- code ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loop", LOOPS)
def test_no_kernel_spills_registers(cupy: Any, loop: str) -> None:
    driver = cupy.cuda.driver
    for name in KERNELS:
        kernel = cuda_compiler.loaded(cupy, cupy.cuda.Device().id, name, loop)
        pointer = kernel.function.ptr
        local = driver.funcGetAttribute(driver.CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES, pointer)
        assert local == 0, name
        assert kernel.resident >= 1, name


def test_a_second_process_finds_the_compiled_code(tmp_path: Any) -> None:
    code = "import philinit as pi; pi.uniform((9,), seed=1, device='cuda')"
    where = {**os.environ, "PHILINIT_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=where, check=True)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    subprocess.run([sys.executable, "-c", code], env=where, check=True)
    assert [f.stat().st_mtime_ns for f in tmp_path.iterdir()] == [before]


# --- devices -------------------------------------------------------------------------------------


@pytest.mark.skipif(len(GPUS) < 2, reason="needs two GPUs")
def test_arrays_on_another_than_the_current_device(cupy: Any) -> None:
    with cupy.cuda.Device(1):
        out = cupy.empty(100_003, np.float32)
    pi.fill(out, TruncatedNormal(), KEY)
    want = on_cpu(100_003, distribution=TruncatedNormal())
    with cupy.cuda.Device(1):
        assert cupy.asnumpy(out).tobytes() == want.tobytes()
    assert cupy.cuda.Device().id == 0


def test_too_much_memory_is_a_memory_error(cupy: Any) -> None:
    with pytest.raises(MemoryError):
        pi.uniform((2**44,), seed=1, device="cuda")
