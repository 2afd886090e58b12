# SPDX-License-Identifier: Apache-2.0
"""A stand-in for CuPy on a machine without a GPU: what philinit uses of it, over host memory.

Kernels are the host build of tests/support/cuda_host.py. Work that a GPU would do later is done
later here as well: a launch waits in the queue of its stream until somebody synchronizes it, so
that whoever reads too early reads `POISON`. Misuse that a GPU would answer with a crash, or with
nothing at all, is an AssertionError: a device that is not current, memory that nobody holds any
more, a pointer that is too little aligned. Memory of the pool goes to later work of the stream that
it was allocated on, and is then full of `POISON` again. `calls` is the record of what was done.

`with installed(devices=2) as cupy:` puts it into sys.modules.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np

from philinit.filling.cuda import compiler as cuda_compiler
from tests.support.cupy_memory import MULTIPROCESSORS as MULTIPROCESSORS
from tests.support.cupy_memory import (
    POISON,
    CUDARuntimeError,
    Device,
    Event,
    MemoryPointer,
    Stream,
    UnownedMemory,
    asarray,
    asnumpy,
    bytes_at,
    calls,
    device_count,
    device_stack,
    empty,
    from_dlpack,
    get_current_stream,
    holders_of,
    memories,
    ndarray,
    options,
    queues,
    stream_stack,
)
from tests.support.cupy_memory import Call as Call
from tests.support.cupy_memory import names as names

RESIDENT = 2  # thread blocks of any kernel

# --- compiler and kernels ------------------------------------------------------------------------


class NVRTCError(RuntimeError):
    pass


def _compile_program(prog: Any, options: Any) -> None:
    calls.append(("compile", options))
    assert prog["source"].count("extern") > 0


def _cubin(prog: Any) -> bytes:
    return b"cubin of runs" if "typedef Runs Extent" in prog["source"] else b"cubin"


class Module:
    def load(self, cubin: bytes) -> None:
        assert cubin.startswith(b"cubin")
        self.device = device_stack[-1]
        self.loop = "runs" if b"runs" in cubin else "fill"
        calls.append(("load", self.device))

    def get_function(self, name: str) -> Function:
        return Function(self, name)


class Function:
    def __init__(self, module: Module, name: str) -> None:
        from philinit.kernels.cuda import KERNELS, entry

        (self.name,) = [kernel for kernel in KERNELS if entry(kernel) == name]
        self.module, self.ptr = module, id(self)

    def __call__(self, grid: Any, block: Any, arguments: Any) -> None:
        from philinit.kernels.cuda import KERNELS
        from philinit.kernels.table import Parameters
        from tests.support import cuda_host

        out, extent, *rest, parameters = arguments
        types_wanted = [np.uint64, np.uint32, *[np.uint64] * 2, *[np.uint32] * 2]
        assert [type(a) for a in (out, *rest)] == types_wanted, "sizes of the C signature"
        by_value = np.dtype(Parameters)
        assert (parameters.size, parameters.dtype) == (1, by_value), "what CuPy passes by value"
        assert self.module.device == device_stack[-1], "a kernel of another device"
        out, skip, low, high, k0, k1 = map(int, (out, *rest))
        loop, read = self.module.loop, None
        if loop == "fill":
            assert type(extent) is np.uint64, "how many weights"
            extent = count = int(extent)
        else:
            count, read = self._runs(extent)
        size = KERNELS[self.name].itemsize
        holders = holders_of(out, count * size)
        assert device_stack[-1] in {m.device_id for m in holders}, "memory of another device"
        assert out % min(size, 4) == 0, "a GPU would stop with a misaligned address"
        stream = get_current_stream()
        calls.append(
            (
                "launch",
                self.name,
                device_stack[-1],
                stream.ptr,
                grid,
                block,
                out,
                count,
                skip,
                loop,
            )
        )
        held = weakref.WeakSet(holders)
        del holders
        values = Parameters.from_buffer_copy(parameters)

        def run() -> None:
            assert held, "the memory was given back before the kernel ran"
            assert read is None or (read != POISON).any(), "ids were not there, or no longer"
            calls.append(("run", self.name, count))
            counter = high << 64 | low
            cuda_host.build(None, loop).launch(
                self.name, out, extent, skip, counter, (k0, k1), values, grid[0], block[0]
            )

        stream.queue().append(run)

    @staticmethod
    def _runs(extent: Any) -> tuple[int, Any]:
        """How many weights there are in runs, and the bytes of their ids."""
        from philinit.kernels.cuda.arguments import RUNS

        assert (extent.size, extent.dtype) == (1, RUNS), "what CuPy passes by value"
        runs = int(extent["threads"][0]) // int(extent["threads_of_run"]["value"][0])
        ids = int(extent["ids"][0])
        if not ids:
            return runs * int(extent["length"][0]), None
        assert not extent["inner"][0], "rows have one axis"
        assert ids % 8 == 0, "a GPU would stop with a misaligned address"
        devices = {m.device_id for m in holders_of(ids, 8 * runs)}
        assert device_stack[-1] in devices, "ids on another device"
        return runs * int(extent["length"][0]), bytes_at(ids, 8 * runs)


# --- the module ----------------------------------------------------------------------------------


def _module() -> types.ModuleType:
    cupy: Any = types.ModuleType("cupy")
    cupy.__spec__ = importlib.machinery.ModuleSpec("cupy", None)
    cupy.__version__ = "stand-in"
    for thing in (ndarray, empty, asnumpy, asarray, from_dlpack):
        setattr(cupy, thing.__name__, thing)
    pool = types.SimpleNamespace(free_all_blocks=lambda: None)
    cupy.get_default_memory_pool = lambda: pool
    cupy.random = types.SimpleNamespace(
        Generator=lambda bits: cupy.random,
        Philox4x3210=lambda seed: None,
        **{
            name: lambda size, dtype, out=None: calls.append(("random", size))
            for name in ("random", "random_sample", "standard_normal")
        },
    )
    nvrtc = types.SimpleNamespace(
        NVRTCError=NVRTCError,
        getVersion=lambda: (13, 5),
        getSupportedArchs=lambda: (75, 80, 90),
        createProgram=lambda src, name, headers, include_names: {"source": src},
        compileProgram=_compile_program,
        getCUBIN=_cubin,
        getPTX=lambda prog: "ptx",
        getProgramLog=lambda prog: "log",
        destroyProgram=lambda prog: None,
    )
    curand = types.SimpleNamespace(
        createGenerator=lambda rng_type: rng_type,
        destroyGenerator=lambda generator: None,
        setStream=lambda generator, stream: None,
        setPseudoRandomGeneratorSeed=lambda generator, seed: None,
        generateUniform=lambda generator, outputPtr, num: None,
        generateUniformDouble=lambda generator, outputPtr, num: None,
        generateNormal=lambda generator, outputPtr, n, mean, stddev: None,
        generateNormalDouble=lambda generator, outputPtr, n, mean, stddev: None,
    )
    cupy.cuda = types.SimpleNamespace(
        curand=curand,
        set_allocator=lambda allocator: None,
        Device=Device,
        Stream=Stream,
        Event=Event,
        get_current_stream=get_current_stream,
        get_elapsed_time=lambda start_event, end_event: 10.0,
        UnownedMemory=UnownedMemory,
        MemoryPointer=MemoryPointer,
        Module=Module,
        nvrtc=nvrtc,
        driver=types.SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=lambda func, blockSize, dynamicSMemSize: (
                RESIDENT
            )
        ),
        runtime=types.SimpleNamespace(
            getDeviceCount=device_count,
            CUDARuntimeError=CUDARuntimeError,
            getDeviceProperties=lambda device: {
                "name": b"stand-in for a GPU",
                "l2CacheSize": 10_000,
            },
            driverGetVersion=lambda: 13000,
            runtimeGetVersion=lambda: 13000,
            memsetAsync=lambda *arguments: calls.append(("memset", *arguments)),
        ),
    )
    return cupy


@contextlib.contextmanager
def installed(cache: Any, devices: int = 2, **settings: Any) -> Iterator[Any]:
    """`cupy` is the stand-in, of that many devices; nothing is loaded or queued yet."""
    before = sys.modules.get("cupy")
    cache_before = os.environ.get("PHILINIT_CACHE_DIR")
    loaded_before = dict(cuda_compiler._loaded)
    saved = dict(options)
    options.update(devices=devices, **settings)
    calls.clear()
    queues.clear()
    memories.clear()
    device_stack[:] = [0]
    stream_stack.clear()
    cuda_compiler._loaded.clear()
    os.environ["PHILINIT_CACHE_DIR"] = str(cache)
    sys.modules["cupy"] = cupy = _module()
    try:
        yield cupy
    finally:
        options.clear()
        options.update(saved)
        del os.environ["PHILINIT_CACHE_DIR"]
        if cache_before is not None:
            os.environ["PHILINIT_CACHE_DIR"] = cache_before
        cuda_compiler._loaded.clear()
        cuda_compiler._loaded.update(loaded_before)
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
