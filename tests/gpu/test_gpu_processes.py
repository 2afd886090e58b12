# SPDX-License-Identifier: Apache-2.0
"""Processes, threads and allocators on a real GPU: forks, resets, pools, cold starts, ranks."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Normal, TruncatedNormal
from philinit.filling.cuda import compiler as cuda_compiler
from tests.support.cuda_backend import KEY, UNIFORM, on_cpu
from tests.support.gpus import alone, by_gpu, needs_gpu
from tests.support.processes import run_python

pytestmark = needs_gpu


# --- code ----------------------------------------------------------------------------------------


def test_ptx_for_a_gpu_that_nvrtc_does_not_know(tmp_path: Any) -> None:
    """The driver translates it, to the same bits."""
    alone(
        """
from philinit.filling.cuda import compiler
oldest = min(arch for arch in cupy.cuda.nvrtc.getSupportedArchs() if arch >= compiler.OLDEST)
compiler.target = lambda capability, supported: (f"-arch=compute_{oldest}", "ptx")
for what in (Normal(), TruncatedNormal(0, 1, 4, 6), D):
    for dtype in (np.float32, np.float16):
        same(pi.fill(cupy.empty(99_999, dtype), what, K), cpu(99_999, 0, what, dtype))
""",
        PHILINIT_CACHE_DIR=tmp_path,
    )


def test_sixteen_threads_cold(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_compiler, "_loaded", {})
    kinds, errors = (UNIFORM, Normal(), TruncatedNormal()), []

    def work(thread: int) -> None:
        try:
            with cupy.cuda.Device(0), cupy.cuda.Stream(non_blocking=True) as stream:
                for number in range(10):
                    what, offset = kinds[(number + thread) % 3], 1000 * thread + number
                    out = pi.fill(cupy.empty(10_007, np.float32), what, KEY, offset)
                    stream.synchronize()
                    want = on_cpu(10_007, offset, distribution=what)
                    assert out.get().tobytes() == want.tobytes()
        except BaseException as error:  # whatever it is, another thread has to report it
            errors.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# --- processes -----------------------------------------------------------------------------------


def test_a_fork_before_cuda_is_used_works_on_both_sides() -> None:
    alone(
        """
child = os.fork()
same(pi.fill(cupy.empty(99, np.float32), D, K), cpu(99))
if not child:
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    )


def test_a_fork_after_cuda_was_used_is_one_sentence_in_the_child() -> None:
    alone(
        """
pi.fill(cupy.empty(99, np.float32), D, K)
child = os.fork()
if not child:
    try:
        pi.uniform((9,), seed=1, device="cuda")
    except RuntimeError as error:
        os._exit(0 if "CUDA said" in str(error) else 3)
    os._exit(4)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
same(pi.fill(cupy.empty(99, np.float32), D, K), cpu(99))
"""
    )


def test_a_device_that_somebody_has_reset_is_an_error_and_no_crash() -> None:
    """Nothing of CuPy's survives it either."""
    code = """
import ctypes, os, numpy as np, cupy, philinit as pi
pi.uniform((9,), seed=1, device="cuda")
cupy.cuda.Device().synchronize()
assert ctypes.CDLL("libcuda.so.1").cuDevicePrimaryCtxReset_v2(0) == 0
try:
    cupy.asnumpy(pi.uniform((9,), seed=1, device="cuda"))
except Exception as error:
    print(type(error).__name__)
finally:
    os._exit(0)  # CuPy would free memory that is gone
"""
    assert run_python(code, check=False).returncode == 0


@by_gpu
def test_ddp_with_a_device_of_its_own_for_each_rank(torch: Any, device: str) -> None:
    if not torch.distributed.is_nccl_available():
        pytest.skip("needs NCCL")
    alone(
        f"""
import torch, philinit.torch as pt
import torch.distributed as dist
torch.cuda.set_device({device!r})
dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
init = pt.layout(pi.HeUniform(seed=4))
model = torch.nn.Linear(65, 33, device="cuda")
pt.fill_(model.weight, init)
parallel = torch.nn.parallel.DistributedDataParallel(model, device_ids=[torch.device({device!r})])
want = pt.fill_(torch.empty(33, 65), init)
assert torch.equal(parallel.module.weight.detach().cpu(), want)
parallel(torch.zeros(3, 65, device="cuda")).sum().backward()
with torch.no_grad():
    pt.fill_(parallel.module.weight, init)
assert torch.equal(parallel.module.weight.detach().cpu(), want)
dist.destroy_process_group()
"""
    )


def test_torchs_expandable_segments(torch: Any) -> None:
    """Memory that is mapped, not allocated."""
    code = """
import torch
tensor = torch.empty(1 << 20, device="cuda")
pi.fill(tensor, D, K)
assert tensor.cpu().numpy().tobytes() == cpu(1 << 20).tobytes()
"""
    setting = "expandable_segments:True"
    alone(code, PYTORCH_CUDA_ALLOC_CONF=setting, PYTORCH_ALLOC_CONF=setting)


# --- allocators ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["async", "managed", "plain"])
def test_other_allocators_of_cupy(cupy: Any, kind: str) -> None:
    rng, before, shape = np.random.default_rng(1), cupy.cuda.get_allocator(), (1 << 20, 64)
    allocators = {"managed": cupy.cuda.malloc_managed, "plain": None}
    allocator = cupy.cuda.MemoryAsyncPool().malloc if kind == "async" else allocators[kind]
    cupy.cuda.set_allocator(allocator)
    try:
        for _ in range(10):
            rows = pi.Rows(shape, rng.integers(0, 1 << 20, 5000))
            with cupy.cuda.Stream(non_blocking=True) as stream:
                out = pi.fill(cupy.empty((5000, 64), np.float32), UNIFORM, KEY, shard=rows)
                cupy.zeros(5000, np.int64)  # in the memory of the ids, perhaps
                stream.synchronize()
            want = pi.fill(np.empty((5000, 64), np.float32), UNIFORM, KEY, shard=rows)
            assert out.get().tobytes() == want.tobytes()
            del out
    finally:
        cupy.cuda.set_allocator(before)


def test_rows_keep_no_memory(cupy: Any) -> None:
    pool, rng, used = cupy.get_default_memory_pool(), np.random.default_rng(2), []
    out = cupy.empty((4096, 128), np.float32)
    for _ in range(100):
        rows = pi.Rows((1 << 22, 128), rng.integers(0, 1 << 22, 4096))
        pi.fill(out, UNIFORM, KEY, shard=rows)
        used.append(pool.used_bytes())
    assert used[-1] == used[5]


def test_after_too_much_memory_all_is_well(cupy: Any) -> None:
    with pytest.raises(MemoryError):
        pi.uniform((cupy.cuda.Device().mem_info[1] // 4 + 10,), seed=1, device="cuda")
    out = pi.fill(cupy.empty(99, np.float32), UNIFORM, KEY)
    assert out.get().tobytes() == on_cpu(99).tobytes()


def test_ctrl_c_in_progress(cupy: Any) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pi.fill(cupy.empty(3 * 2**28 + 5, np.float16), UNIFORM, KEY, progress=stop)
    out = pi.fill(cupy.empty(99, np.float32), UNIFORM, KEY)
    assert out.get().tobytes() == on_cpu(99).tobytes()


def test_float64_at_a_multiple_of_four(cupy: Any) -> None:
    memory = cupy.zeros(8 * 1003 + 8, np.uint8)
    pi.fill(cupy.ndarray(1003, np.float64, memory.data + 4), UNIFORM, KEY, 3)
    assert memory[4 : 4 + 8 * 1003].get().tobytes() == on_cpu(1003, 3, "float64").tobytes()
    assert not memory[:4].any()
    assert not memory[-4:].any()
