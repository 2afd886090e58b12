# SPDX-License-Identifier: Apache-2.0
"""Who waits for whom on a real GPU: CuPy's streams, torch's, and those of other libraries."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import philinit as pi
from philinit.distributions import Normal
from philinit.dtypes import as_dtype
from tests.support.cuda_backend import KEY, UNIFORM, by_dtype, on_cpu
from tests.support.gpus import alone, busy, needs_gpu

pytestmark = needs_gpu

LAST = (1 << 24) - 999  # of an array of 2**24 weights, the last 999 are looked at


# --- CuPy's --------------------------------------------------------------------------------------


def test_the_current_stream_orders_reads_after_the_fill(cupy: Any) -> None:
    out = cupy.empty(1 << 24, np.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    for offset in range(20):
        with stream:
            pi.fill(out, UNIFORM, KEY, offset)
            read = out[-1000:].copy()
        stream.synchronize()
        assert cupy.asnumpy(read).tobytes() == on_cpu(1000, offset + out.size - 1000).tobytes()


def test_a_fill_does_not_wait(cupy: Any) -> None:
    out = cupy.empty(1 << 26, np.float32)
    pi.fill(out, UNIFORM, KEY)
    cupy.cuda.Device().synchronize()
    event = cupy.cuda.Event()
    for _ in range(50):
        pi.fill(out, Normal(), KEY)
    event.record()
    assert not event.done  # 50 launches of a quarter of a GB are not over yet
    event.synchronize()
    part = pi.Shard((1 << 16, 1 << 20), (slice(None), slice(1 << 10)))
    for _ in range(50):
        pi.fill(out.reshape(part.shape), Normal(), KEY, shard=part)
    event.record()
    assert not event.done
    event.synchronize()


def test_progress(cupy: Any) -> None:
    seen: list[tuple[int, int]] = []
    count = 3 * 2**28 + 5
    pi.fill(
        cupy.empty(count, as_dtype("float16")), UNIFORM, KEY, progress=lambda *a: seen.append(a)
    )
    assert [done for done, _ in seen] == [2**28, 2**29, 3 * 2**28, count]


def test_a_busy_side_stream_is_queued_behind(cupy: Any) -> None:
    out, stream = cupy.empty(1 << 24, np.float32), cupy.cuda.Stream(non_blocking=True)
    for offset in range(10):
        with stream:
            keep = busy(cupy, 3)
            pi.fill(out, UNIFORM, KEY, offset)
            read = out[LAST:].copy()
        stream.synchronize()
        assert read.get().tobytes() == on_cpu(999, offset + LAST).tobytes()
        del keep


def test_the_default_stream_waits_for_blocking_ones(cupy: Any) -> None:
    out, stream = cupy.empty(1 << 20, np.float32), cupy.cuda.Stream()
    with stream:
        keep = busy(cupy, 20)
        cupy.cuda.runtime.memsetAsync(out.data.ptr, 0, out.nbytes, stream.ptr)
    pi.fill(out, UNIFORM, KEY)
    assert out.get().tobytes() == on_cpu(1 << 20).tobytes()
    del keep


def test_per_thread_default_streams() -> None:
    alone(
        """
import threading
bad = []
def work(thread):
    for number in range(20):
        found = pi.fill(cupy.empty(50_001, np.float32), D, K, 99 * thread + number)
        if found.get().tobytes() != cpu(50_001, 99 * thread + number).tobytes():
            bad.append((thread, number))
threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not bad, bad
try:
    import torch
except ImportError:
    raise SystemExit
if torch.cuda.is_available():  # whose default stream is the legacy one all the same
    tensor = torch.zeros(99, device="cuda")
    pi.fill(tensor, D, K)
    assert tensor.cpu().numpy().tobytes() == cpu(99).tobytes()
""",
        CUPY_CUDA_PER_THREAD_DEFAULT_STREAM=1,
    )


# --- torch's -------------------------------------------------------------------------------------


@by_dtype
def test_torch_tensors(torch: Any, dtype: str) -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        tensor = torch.zeros((3, 100_003), dtype=getattr(torch, dtype), device="cuda")
        address = tensor.data_ptr()
        for offset in range(10):
            assert pi.fill(tensor, UNIFORM, KEY, offset) is tensor
            copy = tensor.clone()  # queued by torch behind the fill
            stream.synchronize()
            bits = copy.view(torch.uint8).cpu().numpy().tobytes()
            assert bits == on_cpu(300_009, offset, dtype).tobytes()
    assert tensor.data_ptr() == address
    with pytest.raises(ValueError, match=r"refused: .*detach"):
        pi.fill(tensor.requires_grad_(), UNIFORM, KEY)


def test_torchs_default_and_side_streams(cupy: Any, torch: Any) -> None:
    cuda = torch.cuda
    for stream in (cuda.default_stream(), cuda.Stream(), cuda.Stream(priority=-1)):
        with cuda.stream(stream):
            for offset in range(10):
                tensor = torch.zeros(1 << 22, device="cuda")
                tensor.add_(1)
                pi.fill(tensor, UNIFORM, KEY, offset)
                copy = tensor[-999:].clone()
                stream.synchronize()
                want = on_cpu(999, offset + (1 << 22) - 999)
                assert copy.cpu().numpy().tobytes() == want.tobytes()


def test_a_torch_stream_lives_on_when_our_name_for_it_is_gone(torch: Any) -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        pi.fill(torch.empty(1 << 20, device="cuda"), UNIFORM, KEY)
    gc.collect()
    with torch.cuda.stream(stream):
        assert (torch.ones(1 << 20, device="cuda") * 2).sum().item() == 2 << 20
        event = torch.cuda.Event()
        event.record(stream)
        event.synchronize()


def test_torchs_allocator_gives_memory_out_again(torch: Any) -> None:
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for offset in range(200):
            tensor = torch.empty(1 << 20, device="cuda")
            pi.fill(tensor, UNIFORM, KEY, offset)
            copy = tensor.clone()
            del tensor  # the next one has the same memory
            if offset % 20 == 0:
                stream.synchronize()
                assert copy.cpu().numpy().tobytes() == on_cpu(1 << 20, offset).tobytes()


# --- those of others -----------------------------------------------------------------------------


class Interface:
    """An array of a library that knows the CUDA array interface alone."""

    def __init__(self, array: Any, stream: int | None) -> None:
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, "stream": stream}


def test_the_cuda_array_interface(cupy: Any) -> None:
    array, own = cupy.empty((9, 11), np.float32), cupy.cuda.Stream()
    for stream in (None, 1, 2, own.ptr):
        pi.fill(Interface(array, stream), UNIFORM, KEY)
        cupy.cuda.Device().synchronize()
        assert cupy.asnumpy(array).tobytes() == on_cpu(99).tobytes()
        array.fill(0)


def test_an_interface_without_a_stream_waits_before_and_after(cupy: Any) -> None:
    array = cupy.empty(1 << 24, np.float32)
    cupy.cuda.Device().synchronize()
    keep = busy(cupy, 40)
    cupy.cuda.runtime.memsetAsync(array.data.ptr, 0, array.nbytes, 0)  # its owner, still at it
    with cupy.cuda.Stream(non_blocking=True):
        pi.fill(Interface(array, None), UNIFORM, KEY)
    with cupy.cuda.Stream(non_blocking=True):
        assert array[LAST:].get().tobytes() == on_cpu(999, LAST).tobytes()
    del keep


def test_arrays_of_numba(cupy: Any) -> None:
    cuda = pytest.importorskip("numba.cuda")
    if not cuda.is_available():
        pytest.skip("Numba sees no GPU")
    for stream in (0, cuda.stream()):
        array = cuda.device_array(1003, np.float32, stream=stream)
        pi.fill(array, UNIFORM, KEY)
        cupy.cuda.Device().synchronize()
        assert array.copy_to_host().tobytes() == on_cpu(1003).tobytes()
