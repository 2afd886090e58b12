# SPDX-License-Identifier: Apache-2.0
"""Devices, streams and memory of the stand-in for CuPy: host memory, and work that waits.

Work that a GPU would do later waits in the queue of its stream until somebody synchronizes it, and
memory that nobody has filled yet is full of `POISON`. tests/support/cupy_stand_in.py says more.
"""

from __future__ import annotations

import ctypes
import functools
import types
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from philinit.filling import dlpack

POISON = 0xEE
MULTIPROCESSORS = 3

Call = tuple[Any, ...]
calls: list[Call] = []
queues: dict[tuple[int, int], list[Callable[[], None]]] = {}
device_stack: list[int] = [0]
stream_stack: list[Any] = []
memories: weakref.WeakSet[Any] = weakref.WeakSet()
options = {"devices": 2, "error": "", "capability": "90"}


def names(kind: str) -> list[Call]:
    """The calls of one kind, in order."""
    return [call for call in calls if call[0] == kind]


class CUDARuntimeError(RuntimeError):
    pass


def device_count() -> int:
    if options["error"]:
        raise CUDARuntimeError(options["error"])
    return int(options["devices"])


# --- devices and streams -------------------------------------------------------------------------


class Device:
    def __init__(self, device: Any = None) -> None:
        self.id = device_stack[-1] if device is None else int(device)
        if not 0 <= self.id < device_count():
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.compute_capability = options["capability"]
        self.attributes = {"MultiProcessorCount": MULTIPROCESSORS}

    def __enter__(self) -> Device:
        device_stack.append(self.id)
        return self

    def __exit__(self, *_: Any) -> None:
        device_stack.pop()

    @property
    def mem_info(self) -> tuple[int, int]:
        return 1 << 34, 1 << 35

    def synchronize(self) -> None:
        calls.append(("device", self.id))
        for (device, _), queue in list(queues.items()):
            while device == self.id and queue:
                queue.pop(0)()


class Stream:
    null: Stream
    ptds: Stream

    def __init__(self, null: bool = False, non_blocking: bool = False, ptds: bool = False) -> None:
        self.ptr, self._capturing = 0 if null else 2 if ptds else id(self), False

    @classmethod
    def from_external(cls, obj: Any) -> Stream:
        version, pointer = obj.__cuda_stream__()
        assert version == 0
        assert isinstance(pointer, int)
        new = cls()
        new.ptr = pointer
        return new

    def begin_capture(self, mode: Any = None) -> None:
        self._capturing = True

    def end_capture(self) -> Graph:
        self._capturing = False
        graph, self.queue()[:] = Graph(list(self.queue())), []
        return graph

    def is_capturing(self) -> bool:
        assert self.ptr not in (0, 1), "CUDA may answer with an error"
        return self._capturing

    def __enter__(self) -> Stream:
        stream_stack.append(self)
        return self

    def __exit__(self, *_: Any) -> None:
        stream_stack.pop()

    def queue(self) -> list[Callable[[], None]]:
        return queues.setdefault((device_stack[-1], self.ptr), [])

    def record(self) -> Event:
        assert not self._capturing, "the event would be the graph's"
        with self:
            event = Event()
            event.record()
        return event

    def wait_event(self, event: Event) -> None:
        assert not self._capturing, "CUDA would break the capture"
        self.queue().append(event._reach)

    def synchronize(self) -> None:
        assert not self._capturing, "CUDA would break the capture"
        calls.append(("synchronize", device_stack[-1], self.ptr))
        queue = self.queue()
        while queue:
            queue.pop(0)()


Stream.null, Stream.ptds = Stream(null=True), Stream(ptds=True)


class Graph:
    def __init__(self, work: list[Callable[[], None]]) -> None:
        self._work = work

    def launch(self, stream: Any = None) -> None:
        (stream or get_current_stream()).queue().extend(self._work)


def get_current_stream() -> Stream:
    return stream_stack[-1] if stream_stack else Stream.null


class Event:
    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        self._before: list[Callable[[], None]] = []

    def record(self) -> None:
        self._stream = get_current_stream()
        self._device = device_stack[-1]
        self._before = list(self._stream.queue())

    def synchronize(self) -> None:
        calls.append(("event", self._device, self._stream.ptr))
        self._reach()

    def _reach(self) -> None:
        queue = queues[self._device, self._stream.ptr]
        while queue and queue[0] in self._before:
            queue.pop(0)()


# --- memory --------------------------------------------------------------------------------------


class Memory:
    """`size` bytes at `ptr` of a device; `owner` keeps them."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int) -> None:
        self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, device_id
        memories.add(self)


def holders_of(ptr: int, size: int) -> list[Any]:
    """All that hold these bytes: the allocation, and views of it that others gave out."""
    found = [m for m in memories if m.ptr <= ptr and ptr + size <= m.ptr + m.size]
    assert found, "a GPU would write to memory that nobody holds"
    return found


def device_at(ptr: int) -> int:
    """The device of whoever has allocated there; 0 where that was TensorFlow."""
    within = [m for m in memories if m.ptr <= ptr < m.ptr + m.size]
    return within[0].device_id if within else 0


class Raw(np.ndarray):  # type: ignore[type-arg]
    """The bytes of an allocation."""


class UnownedMemory(Memory):
    """As CuPy's: the device is looked up, which here means asking who allocated."""

    def __init__(self, ptr: int, size: int, owner: Any, device_id: int = -1) -> None:
        if device_id < 0:
            assert ptr, "CuPy cannot look up the device of a null pointer"
            device_id = device_at(ptr)
        super().__init__(ptr, size, owner, device_id)


def bytes_at(ptr: int, size: int) -> Any:
    """Bytes of memory of some allocation, which stay readable when it was given back."""
    held: Any = (ctypes.c_uint8 * size).from_address(ptr)
    held.kept = [m.owner for m in holders_of(ptr, size) if type(m.owner) is Raw]
    return np.frombuffer(held, np.uint8)


def start_of(memory: Memory) -> int:
    """The address of what owns the memory."""
    return int(memory.owner.ctypes.data)


class MemoryPointer:
    def __init__(self, mem: Any, offset: int) -> None:
        self.mem, self.ptr, self.device_id = mem, mem.ptr + offset, mem.device_id


def allocate(nbytes: int) -> MemoryPointer:
    raw = np.full(nbytes + 512, POISON, np.uint8).view(Raw)
    start = raw.ctypes.data + -raw.ctypes.data % 512
    memory = Memory(start, max(nbytes, 1), raw, device_stack[-1])
    weakref.finalize(memory, give_back, raw, get_current_stream().queue())
    return MemoryPointer(memory, 0)


def give_back(raw: Any, queue: list[Callable[[], None]]) -> None:
    queue.append(functools.partial(raw.fill, POISON))


class ndarray:  # noqa: N801 - CuPy's name
    def __init__(
        self, shape: Any, dtype: Any = float, memptr: Any = None, strides: Any = None
    ) -> None:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        dtype = np.dtype(dtype)
        if dtype.name == "bfloat16" and options.get("no bfloat16"):
            raise ValueError("Unsupported dtype bfloat16")
        nbytes = int(np.prod(shape, dtype=object)) * dtype.itemsize
        self.data = allocate(nbytes) if memptr is None else memptr
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
    ndim = property(lambda self: self._host.ndim)
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

    def astype(self, dtype: Any, order: str = "K", copy: bool = True) -> ndarray:
        assert device_stack[-1] == self.data.device_id, "the array's device must be current"
        if not copy and self.dtype == dtype and self.flags.c_contiguous:
            return self
        new, host = ndarray(self.shape, dtype), self._host
        get_current_stream().queue().append(lambda: np.copyto(new._host, host, casting="unsafe"))
        return new

    def min(self) -> Any:
        return asnumpy(self).min()

    def max(self) -> Any:
        return asnumpy(self).max()

    def __getitem__(self, index: Any) -> ndarray:
        return self._like(
            np.asarray(self._host)[(index,) if not isinstance(index, tuple) else index]
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        assert device_stack[-1] == self.data.device_id, "the array's device must be current"
        assert self.dtype.name != "bfloat16", "few versions of CuPy can store into bfloat16"
        host = self._host

        def store() -> None:
            host[index] = value._host if isinstance(value, ndarray) else value

        get_current_stream().queue().append(store)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        stream = get_current_stream().ptr or 1
        return {**self._host.__array_interface__, "stream": stream, "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self.data.device_id

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, copy: Any = None) -> Any:
        calls.append(("__dlpack__", stream, max_version, self.data.device_id))
        held = (ctypes.c_uint8 * max(self.nbytes, 1)).from_address(self.data.ptr)
        held.owner = self  # type: ignore[attr-defined]  # as the capsule's deleter has it
        flat = np.frombuffer(held, np.uint8)[: self.nbytes]
        return dlpack.to_capsule(flat.view(self.dtype).reshape(self.shape))


def empty(shape: Any, dtype: Any = float) -> ndarray:
    calls.append(("empty", device_stack[-1], shape, np.dtype(dtype).name))
    return ndarray(shape, dtype)


def asnumpy(a: Any) -> Any:
    """A copy in CPU memory, after the work queued on the current stream."""
    with a.device:
        get_current_stream().synchronize()
    return a._host.copy()


def asarray(a: Any) -> ndarray:
    """Copied when the current stream comes to it; CuPy keeps what it copies from until then."""
    calls.append(("asarray", device_stack[-1], get_current_stream().ptr, a.shape))
    new = ndarray(a.shape, a.dtype)
    target = np.frombuffer(new.data.mem.owner, np.uint8)[new.data.ptr - start_of(new.data.mem) :]
    staged = np.frombuffer(a.tobytes(), np.uint8)
    get_current_stream().queue().append(lambda: np.copyto(target[: staged.size], staged))
    return new


def from_dlpack(array: Any) -> ndarray:
    if hasattr(array, "__dlpack_device__"):
        kind, _ = array.__dlpack_device__()
        assert kind in (2, 13)
        array = array.__dlpack__(stream=get_current_stream().ptr or 1, max_version=(1, 0))
    host = dlpack.from_capsule(array)
    pointer = host.__array_interface__["data"][0]
    device = device_at(pointer)
    calls.append(("from_dlpack", device, host.shape, host.dtype.name))
    extent = host.nbytes if host.flags.c_contiguous else 1 << 20
    memory = Memory(pointer, extent, host, device)
    return ndarray(host.shape, host.dtype, MemoryPointer(memory, 0), host.strides)
