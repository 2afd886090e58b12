# SPDX-License-Identifier: Apache-2.0
"""memory: aligned allocation that touches nothing, and writable views of what can be written."""

import array
import ctypes
import math
import mmap
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from philinit.filling import dlpack, memory

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
DTYPES = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16), BFLOAT16]
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)


def numpy_address(a):
    return a.__array_interface__["data"][0]


def resident_kib():
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc/self/status")
    return next(int(s.split()[1]) for s in status.read_text().splitlines() if s.startswith("VmRSS"))


class Exporter:
    """What a torch CPU tensor looks like: a __dlpack__, a device, and no buffer."""

    def __init__(self, a, device=(1, 0)):
        self.array, self.device = a, device

    def __dlpack__(self, *, stream=None, max_version=None):
        if self.device[0] != 1:
            raise AssertionError("nobody may ask for memory of another device")
        if isinstance(self.array, Exception):
            raise self.array
        return dlpack.to_capsule(self.array)

    def __dlpack_device__(self):
        return self.device


# --- empty ---------------------------------------------------------------------------------------


@given(
    shape=st.lists(st.integers(0, 9), max_size=4).map(tuple),
    dtype=st.sampled_from(DTYPES),
)
def test_empty_is_aligned_contiguous_and_writable(shape, dtype):
    a = memory.empty(shape, dtype)
    assert (type(a), a.shape, a.dtype) == (np.ndarray, shape, dtype)
    assert numpy_address(a) % 64 == 0
    assert a.flags.c_contiguous
    assert a.flags.writeable
    assert memory.writable_view(a) is a
    a[...] = 1
    assert (a == 1).all()


@pytest.mark.parametrize("megabytes", [1, 3, 4, 5, 64])
def test_empty_is_aligned_whatever_allocator_serves_the_size(megabytes):
    assert numpy_address(memory.empty((megabytes << 18,), np.dtype(np.float32))) % 64 == 0


def test_empty_arrays_do_not_overlap():
    arrays = [memory.empty((n,), np.dtype(np.float32)) for n in range(1, 200)]
    for n, a in enumerate(arrays):
        a[:] = n
    assert all((a == n).all() for n, a in enumerate(arrays))


def test_empty_touches_no_page():
    before = resident_kib()
    a = memory.empty((1 << 28,), np.dtype(np.float32))
    assert resident_kib() - before < 8 << 10
    a[: 16 << 20] = 1  # the twin: pages that are touched do count
    assert resident_kib() - before >= 64 << 10


@pytest.mark.parametrize("shape", [(1 << 60,), (1 << 62,), (1 << 70,), (1 << 31, 1 << 31, 1 << 9)])
def test_empty_says_how_much_memory_is_missing(shape):
    with pytest.raises(MemoryError, match=rf"needs {4 * math.prod(shape)} bytes"):
        memory.empty(shape, np.dtype(np.float32))


# --- address -------------------------------------------------------------------------------------


@by_dtype
def test_address_is_numpys(dtype):
    a = np.zeros((4, 6), dtype)
    read_only = a[:]
    read_only.flags.writeable = False
    for view in (a, a[1:], a[:, 2:], a[::-1], a.T, a[0, 0:0], np.zeros((), dtype), read_only):
        assert memory.address(view) == numpy_address(view)


# --- writable_view: what is taken ----------------------------------------------------------------


@by_dtype
@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 0, 3), (2, 3, 4)])
def test_a_ready_ndarray_comes_back_itself(dtype, shape):
    a = np.zeros(shape, dtype)
    assert memory.writable_view(a) is a


@by_dtype
@pytest.mark.parametrize("offset", range(1, 9))
def test_any_alignment(dtype, offset):
    raw = bytearray(8 * 16 + 8)
    a = np.frombuffer(raw, np.uint8)[offset : offset + 8 * dtype.itemsize].view(dtype)
    view = memory.writable_view(a)
    view[:] = 1
    assert numpy_address(view) == numpy_address(a)
    assert (a == 1).all()
    assert raw[:offset] == bytes(offset)
    assert not any(raw[offset + 8 * dtype.itemsize :])


def test_axes_of_length_one_may_have_any_stride():
    a = np.zeros((4, 1, 8), np.float32)[::4]
    assert memory.writable_view(a) is a


@by_dtype
def test_memmap_writes_reach_the_file(tmp_path, dtype):
    mapped = np.memmap(tmp_path / "w", dtype, "w+", shape=(3, 5))
    view = memory.writable_view(mapped)
    assert (type(view), view.shape, view.dtype) == (np.ndarray, (3, 5), dtype)
    view[...] = 1
    del view
    mapped.flush()
    assert (np.fromfile(tmp_path / "w", dtype) == 1).all()


def test_subclass_becomes_a_plain_view():
    a = np.zeros((2, 3), np.float32).view(np.recarray)
    view = memory.writable_view(a)
    assert type(view) is np.ndarray
    assert np.shares_memory(view, a)


def _buffers():
    yield "array.array", array.array("f", [0] * 6), (6,), "f"
    yield "array.array of double", array.array("d", [0] * 6), (6,), "d"
    yield "memoryview", memoryview(array.array("f", [0] * 6)), (6,), "f"
    yield "memoryview, 2-D", memoryview(bytearray(48)).cast("d", (2, 3)), (2, 3), "d"
    yield "memoryview of half", memoryview(np.zeros((2, 3), np.float16)), (2, 3), "e"
    yield "memoryview, rank 0", memoryview(np.zeros((), np.float32)), (), "f"
    yield "memoryview, size 0", memoryview(np.zeros((2, 0), np.float32)), (2, 0), "f"
    yield "memoryview of an mmap", memoryview(mmap.mmap(-1, 4096)).cast("f"), (1024,), "f"
    yield "ctypes array", (ctypes.c_float * 3 * 2)(), (2, 3), "f"


@pytest.mark.parametrize(
    ("out", "shape", "char"), [pytest.param(*row, id=name) for name, *row in _buffers()]
)
def test_writable_buffers(out, shape, char):
    view = memory.writable_view(out)
    assert (type(view), view.shape, view.dtype) == (np.ndarray, shape, np.dtype(char))
    view[...] = 3
    assert (np.asarray(out) == 3).all()


@by_dtype
@pytest.mark.parametrize("device", [(1, 0), (1, 7)])
def test_cpu_dlpack_producers(dtype, device):
    a = np.zeros((2, 3), dtype)
    view = memory.writable_view(Exporter(a, device))
    assert (view.shape, view.dtype, numpy_address(view)) == ((2, 3), dtype, numpy_address(a))
    view[...] = 2
    assert (a == 2).all()


def test_a_view_keeps_the_memory_of_its_dlpack_producer():
    view = memory.writable_view(Exporter(np.full((1 << 16,), 5, np.float32)))
    np.full((1 << 16,), 6, np.float32)
    assert (view == 5).all()


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_torch_cpu_tensors(name):
    torch = pytest.importorskip("torch")
    tensor = torch.zeros((2, 3), dtype=getattr(torch, name))
    view = memory.writable_view(tensor)
    assert (view.shape, view.dtype.name) == ((2, 3), name)
    view[...] = 2
    assert bool((tensor == 2).all())
    with pytest.raises(ValueError, match="C-contiguous"):
        memory.writable_view(torch.zeros((2, 3), dtype=getattr(torch, name)).T)
    with pytest.raises(ValueError, match=r"refused: .*detach"):
        memory.writable_view(tensor.requires_grad_())


# --- writable_view: what is refused --------------------------------------------------------------


def _read_only(a):
    a.flags.writeable = False
    return a


def _named(module, name):
    return type(name, (), {"__module__": module})()


def _wrong():
    f4 = np.zeros((4, 4), np.float32)
    yield "transposed", f4.T, ValueError, r"`out` must be C-contiguous; got shape \(4, 4\)"
    yield "strided", f4[:, ::2], ValueError, r"C-contiguous; .* strides \(16, 8\) bytes: pass a"
    yield "strided memoryview", memoryview(array.array("f", [0] * 6))[::2], ValueError, "contiguous"
    yield "strided dlpack", Exporter(f4.T), ValueError, "must be C-contiguous"
    yield "read-only", _read_only(f4.copy()), ValueError, "writable; got a read-only ndarray: pass"
    yield "bytes as float", memoryview(bytes(8)).cast("f"), ValueError, "read-only memoryview"
    yield "broadcast", np.broadcast_to(f4[0, 0], (2, 2)), ValueError, "must be C-contiguous"
    yield "number", np.float32(1), ValueError, "read-only float32"
    yield "int32", np.zeros(3, np.int32), ValueError, "hold float32, .*e5m2fnuz; got dtype=int32"
    yield "complex", np.zeros(3, np.complex64), ValueError, "got dtype=complex64"
    yield "long double", np.zeros(3, np.longdouble), ValueError, "got dtype="
    yield "int8", np.zeros(3, np.int8), ValueError, "got dtype=int8"
    yield "object", np.zeros(3, object), ValueError, "got dtype=object"
    yield "struct", np.zeros(3, [("a", "f4")]), ValueError, "got dtype=void"
    yield "bytearray", bytearray(8), ValueError, r"got dtype=uint8: pass np\.frombuffer"
    yield "mmap", mmap.mmap(-1, 4096), ValueError, r"got dtype=uint8: pass np\.frombuffer"
    yield "int array", array.array("i", [1]), ValueError, "got dtype=int32"
    yield "dlpack of int", Exporter(np.zeros(3, np.int64)), ValueError, "got dtype=int64"
    swapped = np.dtype(np.float32).newbyteorder()
    yield "byte order", np.zeros(3, swapped), ValueError, r"native byte order; got dtype=[<>]f4"
    yield "masked", np.ma.zeros(3, np.float32), TypeError, r"MaskedArray: pass its `\.data`"
    yield "list", [1.0], TypeError, "must be a NumPy array, .*; got list"
    yield "float", 1.0, TypeError, "got float"
    yield "None", None, TypeError, "got NoneType"
    yield "str", "out", TypeError, "got str"
    tensor = _named("tensorflow.python.framework.ops", "EagerTensor")
    yield "tf.Tensor", tensor, TypeError, "EagerTensor: use philinit.tensorflow.fill"
    keras = _named("keras.src.backend.tensorflow.core", "Variable")
    yield "keras.Variable", keras, TypeError, "keras object Variable: use philinit.tensorflow.fill"
    jax = _named("jaxlib._jax", "ArrayImpl")
    yield "jax.Array", jax, TypeError, "ArrayImpl: jax arrays are immutable"
    cuda = Exporter(f4, (2, 1))
    yield "cuda", cuda, NotImplementedError, "must lie in CPU memory; got Exporter on cuda:1: fill"
    yield "metal", Exporter(f4, (8, 0)), NotImplementedError, "on DLPack device 8:0"
    numba = type("DeviceNDArray", (), {"__cuda_array_interface__": {}})()
    yield "numba.cuda", numba, NotImplementedError, "got DeviceNDArray on a cuda device"
    grad = Exporter(BufferError("tensors that require gradient, use tensor.detach()"))
    yield "requires grad", grad, ValueError, r"Exporter refused: .* use tensor\.detach\(\)"


@pytest.mark.parametrize(
    ("out", "error", "text"), [pytest.param(*row, id=name) for name, *row in _wrong()]
)
def test_what_cannot_be_written_is_refused_in_one_sentence(out, error, text):
    with pytest.raises(error, match=text) as caught:
        memory.writable_view(out)
    assert "\n" not in str(caught.value)


def test_read_only_memmap_is_refused(tmp_path):
    np.zeros(4, np.float32).tofile(tmp_path / "w")
    with pytest.raises(ValueError, match="read-only memmap"):
        memory.writable_view(np.memmap(tmp_path / "w", np.float32, "r"))


def test_messages_use_the_callers_name():
    with pytest.raises(TypeError, match="`array` must be"):
        memory.writable_view([1.0], name="array")
