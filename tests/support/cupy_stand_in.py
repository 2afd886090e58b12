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
import ctypes
import functools
import importlib.machinery
import os
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from philinit.filling import dlpack
from philinit.filling.cuda import compiler as cuda_compiler

POISON = 0xEE
MULTIPROCESSORS, RESIDENT = 3, 2

Call = tuple[Any, ...]
calls: list[Call] = []
_queues: dict[tuple[int, int], list[Callable[[], None]]] = {}
_device_stack: list[int] = [0]
_stream_stack: list[Any] = []
_memories: weakref.WeakSet[Any] = weakref.WeakSet()
_settings = {"devices": 2, "error": ""}


def names(kind: str) -> list[Call]:
    """The calls of one kind, in order."""
    return [call for call in calls if call[0] == kind]


class CUDARuntimeError(RuntimeError):
    pass


def _count() -> int:
    if _settings["error"]:
        raise CUDARuntimeError(_settings["error"])
    return int(_settings["devices"])


# --- devices and streams -------------------------------------------------------------------------


class Device:
    def __init__(self, device: Any = None) -> None:
        self.id = _device_stack[-1] if device is None else int(device)
        if not 0 <= self.id < _count():
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.compute_capability = "90"
        self.attributes = {"MultiProcessorCount": MULTIPROCESSORS}

    def __enter__(self) -> Device:
        _device_stack.append(self.id)
        return self

    def __exit__(self, *_: Any) -> None:
        _device_stack.pop()

    @property
    def mem_info(self) -> tuple[int, int]:
        return 1 << 34, 1 << 35


class Stream:
    null: Stream
    ptds: Stream

    def __init__(self, pointer: int | None = None) -> None:
        self.ptr = id(self) if pointer is None else pointer

    @classmethod
    def from_external(cls, other: Any) -> Stream:
        version, pointer = other.__cuda_stream__()
        assert version == 0
        assert isinstance(pointer, int)
        return cls(pointer)

    def __enter__(self) -> Stream:
        _stream_stack.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        _stream_stack.pop()

    def queue(self) -> list[Callable[[], None]]:
        return _queues.setdefault((_device_stack[-1], self.ptr), [])

    def synchronize(self) -> None:
        calls.append(("synchronize", _device_stack[-1], self.ptr))
        queue = self.queue()
        while queue:
            queue.pop(0)()


Stream.null, Stream.ptds = Stream(0), Stream(2)


def get_current_stream() -> Stream:
    return _stream_stack[-1] if _stream_stack else Stream.null


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self._before: list[Callable[[], None]] = []

    def record(self) -> None:
        self._stream = get_current_stream()
        self._device = _device_stack[-1]
        self._before = list(self._stream.queue())

    def synchronize(self) -> None:
        calls.append(("event", self._device, self._stream.ptr))
        queue = _queues[self._device, self._stream.ptr]
        while queue and queue[0] in self._before:
            queue.pop(0)()


# --- memory --------------------------------------------------------------------------------------


class _Memory:
    """`size` bytes at `ptr` of a device; `owner` keeps them."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int) -> None:
        self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, device_id
        _memories.add(self)


def _holders(ptr: int, size: int) -> list[Any]:
    """All that hold these bytes: the allocation, and views of it that others gave out."""
    found = [m for m in _memories if m.ptr <= ptr and ptr + size <= m.ptr + m.size]
    assert found, "a GPU would write to memory that nobody holds"
    return found


class UnownedMemory(_Memory):
    """As CuPy's: the device is looked up, which here means asking who allocated."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        if device_id < 0:
            assert ptr, "CuPy cannot look up the device of a null pointer"
            within = [m for m in _memories if m.ptr <= ptr < m.ptr + m.size]
            device_id = within[0].device_id if within else 0
        super().__init__(ptr, size, owner, device_id)


def _start(memory: _Memory) -> int:
    """The address of what owns the memory."""
    return int(memory.owner.ctypes.data)


class MemoryPointer:
    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id


def _allocate(nbytes: int) -> MemoryPointer:
    raw = np.full(nbytes + 512, POISON, np.uint8)
    start = raw.ctypes.data + -raw.ctypes.data % 512
    memory = _Memory(start, max(nbytes, 1), raw, _device_stack[-1])
    weakref.finalize(memory, _give_back, raw, get_current_stream().queue())
    return MemoryPointer(memory, 0)


def _give_back(raw: Any, queue: list[Callable[[], None]]) -> None:
    queue.append(functools.partial(raw.fill, POISON))


class ndarray:  # noqa: N801 - CuPy's name
    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None
    ) -> None:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = np.dtype(dtype)
        if dtype.name == "bfloat16" and _settings.get("no bfloat16"):
            raise ValueError("Unsupported dtype bfloat16")
        nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        self.data = _allocate(nbytes) if memptr is None else memptr
        held = (ctypes.c_uint8 * self.data.mem.size).from_address(self.data.mem.ptr)
        flat = np.frombuffer(held, np.uint8)[self.data.ptr - self.data.mem.ptr :]
        self._host = np.ndarray(shape, dtype, flat, 0, strides)

    def _like(self, host: Any) -> ndarray:
        new = object.__new__(ndarray)
        new._host = host
        pointer = host.__array_interface__["data"][0] if host.size else self.data.mem.ptr
        new.data = MemoryPointer(self.data.mem, pointer - self.data.mem.ptr)
        return new

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    strides = property(lambda self: self._host.strides)
    device = property(lambda self: Device(self.data.device_id))

    @property
    def flags(self) -> Any:  # CuPy knows no read-only arrays
        return types.SimpleNamespace(c_contiguous=self._host.flags.c_contiguous)

    @property
    def T(self) -> ndarray:
        return self._like(self._host.T)

    def __len__(self) -> int:
        return len(self._host)

    def reshape(self, *shape: Any) -> ndarray:
        host = self._host.reshape(*shape)
        assert not host.size or np.shares_memory(host, self._host), "CuPy would copy"
        return self._like(host)

    def view(self, dtype: Any) -> ndarray:
        return self._like(self._host.view(dtype))

    def __getitem__(self, index: Any) -> ndarray:
        return self._like(
            np.asarray(self._host)[(index,) if not isinstance(index, tuple) else index]
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        assert _device_stack[-1] == self.data.device_id, "the array's device must be current"
        assert self.dtype.name != "bfloat16", "few versions of CuPy can store into bfloat16"
        host = self._host

        def store() -> None:
            host[index] = value

        get_current_stream().queue().append(store)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        stream = get_current_stream().ptr or 1
        return {**self._host.__array_interface__, "stream": stream, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.data.device_id

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, copy: Any = None) -> Any:
        calls.append(("__dlpack__", stream, max_version))
        return dlpack.to_capsule(self._host)


def empty(shape: Any, dtype: Any = float) -> ndarray:
    calls.append(("empty", _device_stack[-1], shape, np.dtype(dtype).name))
    return ndarray(shape, dtype)


def asnumpy(array: Any) -> Any:
    """A copy in CPU memory, after the work queued on the current stream."""
    with array.device:
        get_current_stream().synchronize()
    return array._host.copy()


def asarray(host: Any) -> ndarray:
    """Copied when the current stream comes to it; CuPy keeps what it copies from until then."""
    calls.append(("asarray", _device_stack[-1], get_current_stream().ptr, host.shape))
    new = ndarray(host.shape, host.dtype)
    target = np.frombuffer(new.data.mem.owner, np.uint8)[new.data.ptr - _start(new.data.mem) :]
    staged = np.frombuffer(host.tobytes(), np.uint8)
    get_current_stream().queue().append(lambda: np.copyto(target[: staged.size], staged))
    return new


def from_dlpack(producer: Any) -> ndarray:
    device = 0
    if hasattr(producer, "__dlpack_device__"):
        kind, device = producer.__dlpack_device__()
        assert kind in (2, 13)
        producer = producer.__dlpack__(stream=get_current_stream().ptr or 1, max_version=(1, 0))
    host = dlpack.from_capsule(producer)
    calls.append(("from_dlpack", device, host.shape, host.dtype.name))
    extent = host.nbytes if host.flags.c_contiguous else 1 << 20
    memory = _Memory(host.__array_interface__["data"][0], extent, host, device)
    return ndarray(host.shape, host.dtype, MemoryPointer(memory, 0), host.strides)


# --- compiler and kernels ------------------------------------------------------------------------


class NVRTCError(RuntimeError):
    pass


def _compile_program(program: Any, options: Any) -> None:
    calls.append(("compile", options))
    assert program["source"].count("extern") > 0


def _cubin(program: Any) -> bytes:
    return b"cubin of runs" if "typedef Runs Extent" in program["source"] else b"cubin"


class Module:
    def load(self, code: bytes) -> None:
        assert code.startswith(b"cubin")
        self.device = _device_stack[-1]
        self.loop = "runs" if b"runs" in code else "fill"
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
        assert self.module.device == _device_stack[-1], "a kernel of another device"
        out, skip, low, high, k0, k1 = map(int, (out, *rest))
        loop, read = self.module.loop, None
        if loop == "fill":
            assert type(extent) is np.uint64, "how many weights"
            extent = count = int(extent)
        else:
            count, read = self._runs(extent)
        size = KERNELS[self.name].itemsize
        holders = _holders(out, count * size)
        assert _device_stack[-1] in {m.device_id for m in holders}, "memory of another device"
        assert out % min(size, 4) == 0, "a GPU would stop with a misaligned address"
        stream = get_current_stream()
        calls.append(
            (
                "launch",
                self.name,
                _device_stack[-1],
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
        (holder,) = _holders(ids, 8 * runs)
        assert holder.device_id == _device_stack[-1], "ids on another device"
        start = ids - _start(holder)
        return runs * int(extent["length"][0]), holder.owner[start : start + 8 * runs]


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
        createProgram=lambda source, name, headers, includes: {"source": source},
        compileProgram=_compile_program,
        getCUBIN=_cubin,
        getPTX=lambda program: "ptx",
        getProgramLog=lambda program: "log",
        destroyProgram=lambda program: None,
    )
    cupy.cuda = types.SimpleNamespace(
        Device=Device,
        Stream=Stream,
        Event=Event,
        get_current_stream=get_current_stream,
        get_elapsed_time=lambda start, end: 10.0,
        UnownedMemory=UnownedMemory,
        MemoryPointer=MemoryPointer,
        Module=Module,
        nvrtc=nvrtc,
        driver=types.SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=lambda function, threads, shared: RESIDENT
        ),
        runtime=types.SimpleNamespace(
            getDeviceCount=_count,
            CUDARuntimeError=CUDARuntimeError,
            getDeviceProperties=lambda index: {"name": b"stand-in for a GPU"},
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
    saved = dict(_settings)
    _settings.update(devices=devices, **settings)
    calls.clear()
    _queues.clear()
    _device_stack[:] = [0]
    _stream_stack.clear()
    cuda_compiler._loaded.clear()
    os.environ["PHILINIT_CACHE_DIR"] = str(cache)
    sys.modules["cupy"] = cupy = _module()
    try:
        yield cupy
    finally:
        _settings.clear()
        _settings.update(saved)
        del os.environ["PHILINIT_CACHE_DIR"]
        if cache_before is not None:
            os.environ["PHILINIT_CACHE_DIR"] = cache_before
        cuda_compiler._loaded.clear()
        cuda_compiler._loaded.update(loaded_before)
        if before is None:
            del sys.modules["cupy"]
        else:
            sys.modules["cupy"] = before
