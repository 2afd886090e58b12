# SPDX-License-Identifier: Apache-2.0
"""dlpack: capsules in and out, each managed tensor deleted once and only once.

The capsules that these tests make and read are laid out with `struct`, from dlpack.h and not from
the module under test.
"""

import ctypes
import gc
import struct
import sys
import threading
import weakref
from typing import ClassVar

import ml_dtypes
import numpy as np
import pytest

from philinit.dtypes import FLOAT8
from philinit.filling import dlpack

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
CODES = dict(zip(FLOAT8, ((10, 8), (12, 8), (11, 8), (13, 8)), strict=True))
CODES |= {"float32": (2, 32), "float64": (2, 64), "float16": (2, 16), "bfloat16": (4, 16)}
DTYPES = [np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.float16), BFLOAT16]
DTYPES += [np.dtype(getattr(ml_dtypes, name)) for name in FLOAT8]
SHAPES = [(), (0,), (5,), (2, 0, 3), (2, 3, 4)]
by_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.name)
by_shape = pytest.mark.parametrize("shape", SHAPES)

# DLTensor: data, device type and id, ndim, dtype (code, bits, lanes), shape, strides, byte_offset.
TENSOR = "PiiiBBHPPQ"
LEGACY = TENSOR + "PP"  # then manager_ctx, deleter
VERSIONED = "IIPPQ" + TENSOR  # major, minor, manager_ctx, deleter, flags, then the tensor

Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
new_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))
capsule_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi)
)
capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Producer:
    """Makes one capsule over `memory` and counts how often its deleter is called."""

    everyone: ClassVar[list] = []  # capsules are bare pointers: nothing made here may die

    def __init__(self, shape=(2, 3), strides=(3, 1), **changes):
        self.everyone.append(self)
        self.memory = np.arange(24, dtype=np.float32)
        self.deleted = []
        self.callback = Deleter(self.deleted.append)
        self.shape = (ctypes.c_int64 * 8)(*shape)
        self.strides = (ctypes.c_int64 * 8)(*(strides or ()))
        part = {
            "data": self.memory.ctypes.data,
            "device": 1,
            "code": 2,
            "bits": 32,
            "lanes": 1,
            "offset": 0,
            "version": None,
            "flags": 0,
            "deleter": ctypes.cast(self.callback, ctypes.c_void_p).value,
        } | changes
        tensor = (
            part["data"],
            part["device"],
            0,
            len(shape),
            part["code"],
            part["bits"],
            part["lanes"],
            ctypes.addressof(self.shape),
            ctypes.addressof(self.strides) if strides else 0,
            part["offset"],
        )
        if part["version"] is None:
            self.name = b"dltensor"
            packed = struct.pack(LEGACY, *tensor, 0, part["deleter"])
        else:
            self.name = b"dltensor_versioned"
            head = (*part["version"], 0, part["deleter"], part["flags"])
            packed = struct.pack(VERSIONED, *head, *tensor)
        self.managed = ctypes.create_string_buffer(packed, len(packed))
        self.pointer = ctypes.addressof(self.managed)
        self.capsule = new_capsule(self.pointer, self.name, None)


class Exporter:
    def __init__(self, *capsules):
        self.capsules = list(capsules)
        self.asked = []

    def __dlpack__(self, **keywords):
        self.asked.append(keywords)
        found = self.capsules.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


# --- in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [None, (1, 0), (1, 9)])
def test_the_array_shares_the_memory_and_its_death_deletes_once(version):
    made = Producer(version=version)
    a = dlpack.from_capsule(made.capsule)
    assert capsule_name(made.capsule) == b"used_" + made.name
    assert a.flags.writeable
    assert a.tolist() == [[0, 1, 2], [3, 4, 5]]
    a[1, 2] = 50
    assert made.memory[5] == 50
    part = a[1:]
    del a
    gc.collect()
    assert made.deleted == []
    del part
    assert made.deleted == [made.pointer]
    del made.capsule
    gc.collect()
    assert made.deleted == [made.pointer]


def test_strides_offset_and_null_strides():
    assert dlpack.from_capsule(Producer((3, 2), (1, 3)).capsule).tolist() == [
        [0, 3],
        [1, 4],
        [2, 5],
    ]
    assert dlpack.from_capsule(Producer((2, 3), None).capsule).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert dlpack.from_capsule(Producer((2,), (1,), offset=8).capsule).tolist() == [2, 3]
    assert dlpack.from_capsule(Producer((), None).capsule).tolist() == 0


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_zero_size_may_have_no_address(shape):
    made = Producer(shape, None, data=0)
    a = dlpack.from_capsule(made.capsule)
    assert (a.shape, a.dtype) == (shape, np.float32)
    del a
    assert made.deleted == [made.pointer]


def test_a_deleter_may_be_null():
    made = Producer(deleter=0)
    dlpack.from_capsule(made.capsule)
    assert capsule_name(made.capsule) == b"used_dltensor"


def test_read_only_flag():
    assert not dlpack.from_capsule(Producer(version=(1, 0), flags=1).capsule).flags.writeable
    assert dlpack.from_capsule(Producer(version=(1, 0), flags=4).capsule).flags.writeable


def test_bfloat16():
    made = Producer((4,), (1,), code=4, bits=16)
    made.memory[:2] = [1.0, -2.5]  # the upper halves of float32 words are the bfloat16 numbers
    a = dlpack.from_capsule(made.capsule)
    assert a.dtype == BFLOAT16
    where = slice(1, None, 2) if sys.byteorder == "little" else slice(0, None, 2)
    assert a[where].tolist() == [1.0, -2.5]
    del a
    assert made.deleted == [made.pointer]


# The codes of dlpack.h, version 1.1, and what each format makes of the code of 1.5.
@pytest.mark.parametrize(
    ("name", "code", "bits"),
    [
        ("float8_e4m3fn", 10, 0x3C),
        ("float8_e4m3fnuz", 11, 0x44),
        ("float8_e5m2", 12, 0x3E),
        ("float8_e5m2fnuz", 13, 0x42),
    ],
)
def test_float8(name, code, bits):
    made = Producer((4,), (1,), code=code, bits=8)
    np.frombuffer(made.memory, np.uint8)[:4] = [bits, 0, bits | 0x80, bits]
    a = dlpack.from_capsule(made.capsule)
    assert a.dtype.name == name
    assert a.astype(float).tolist() == [1.5, 0.0, -1.5, 1.5]
    del a
    assert made.deleted == [made.pointer]
    again = dlpack.from_capsule(dlpack.to_capsule(np.ones(3, getattr(ml_dtypes, name))))
    assert again.dtype.name == name


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"device": 2}, "must lie in CPU memory; got DLPack device 2:0"),
        ({"code": 3}, "code=3, bits=32, lanes=1"),
        ({"code": 7, "bits": 8}, "code=7, bits=8"),  # float8_e3m4
        ({"code": 10, "bits": 16}, "code=10, bits=16"),
        ({"code": 4, "bits": 32}, "code=4, bits=32"),
        ({"bits": 4}, "code=2, bits=4"),
        ({"lanes": 4}, "lanes=4"),
        ({"data": 0}, "must have an address; got NULL"),
        ({"version": (2, 0)}, r"DLPack version 1; got 2\.0"),
        ({"version": (1, 1), "flags": 2}, "got a copy"),
    ],
)
def test_a_refused_capsule_is_not_consumed(changes, text):
    made = Producer(**changes)
    with pytest.raises(BufferError, match=text):
        dlpack.from_capsule(made.capsule)
    assert capsule_name(made.capsule) == made.name
    gc.collect()
    assert made.deleted == []


def test_an_array_that_cannot_be_made_leaves_the_capsule(monkeypatch):
    made = Producer(code=4, bits=16)

    def missing(name):
        raise ImportError("no ml_dtypes")

    monkeypatch.setattr(dlpack.dtypes, "extended", missing)
    with pytest.raises(ImportError, match="no ml_dtypes"):
        dlpack.from_capsule(made.capsule)
    gc.collect()
    assert (capsule_name(made.capsule), made.deleted) == (b"dltensor", [])


def test_a_capsule_is_consumed_once():
    made = Producer()
    a = dlpack.from_capsule(made.capsule)
    with pytest.raises(TypeError, match="unconsumed DLPack capsule"):
        dlpack.from_capsule(made.capsule)
    del a
    assert made.deleted == [made.pointer]


@pytest.mark.parametrize("capsule", [None, 1, np.zeros(3), new_capsule(1, b"other", None)])
def test_what_is_no_capsule_is_refused(capsule):
    with pytest.raises(TypeError, match="`capsule` must be an unconsumed DLPack capsule; got"):
        dlpack.from_capsule(capsule)


def test_an_array_may_die_in_another_thread():
    made = Producer()
    held = [dlpack.from_capsule(made.capsule)]
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert made.deleted == [made.pointer]


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_numpys_capsules(version):
    a = np.arange(6, dtype=np.float64).reshape(2, 3)
    if version is None:
        b = dlpack.from_capsule(a.T.__dlpack__())
    else:
        try:
            b = dlpack.from_capsule(a.T.__dlpack__(max_version=version))
        except TypeError:
            pytest.skip("this NumPy has no versioned capsules")
    assert (b.shape, b.strides) == (a.T.shape, a.T.strides)
    b[2, 1] = 9
    assert a[1, 2] == 9


def test_the_versioned_protocol_is_asked_for_first():
    new = Exporter(Producer(version=(1, 1), flags=1).capsule)
    assert not dlpack.from_object(new).flags.writeable
    assert new.asked == [{"max_version": (1, 1)}]
    old = Exporter(TypeError("unexpected keyword"), Producer().capsule)
    assert dlpack.from_object(old).flags.writeable
    assert old.asked == [{"max_version": (1, 1)}, {}]


# --- out -----------------------------------------------------------------------------------------


@by_dtype
@by_shape
def test_the_capsule_describes_the_array(dtype, shape):
    a = np.zeros(shape, dtype)
    capsule = dlpack.to_capsule(a)
    assert capsule_name(capsule) == b"dltensor"
    raw = ctypes.string_at(capsule_pointer(capsule, b"dltensor"), struct.calcsize(LEGACY))
    data, device, _, ndim, code, bits, lanes, shape_at, strides_at, offset, _, deleter = (
        struct.unpack(LEGACY, raw)
    )
    assert (data, device, ndim, lanes, offset) == (a.ctypes.data, 1, a.ndim, 1, 0)
    assert (code, bits) == CODES[dtype.name]
    assert tuple((ctypes.c_int64 * ndim).from_address(shape_at)) == shape
    assert deleter != 0
    if strides_at and a.size:
        strides = tuple((ctypes.c_int64 * ndim).from_address(strides_at))
        assert strides == tuple(s // a.itemsize for s in a.strides)


@by_dtype
@by_shape
def test_out_and_in_again(dtype, shape):
    a = np.zeros(shape, dtype)
    b = dlpack.from_capsule(dlpack.to_capsule(a))
    assert (b.shape, b.dtype, b.flags.writeable) == (shape, dtype, True)
    b[...] = 3
    assert (a == 3).all()


@by_dtype
@pytest.mark.parametrize("consumed", [False, True])
def test_the_capsule_keeps_the_array_alive_and_lets_it_go(dtype, consumed):
    a = np.ones(1000, dtype)
    alive = weakref.ref(a)
    capsule = dlpack.to_capsule(a)
    del a
    gc.collect()
    assert alive() is not None
    if consumed:
        b = dlpack.from_capsule(capsule)
        del capsule
        assert alive() is not None
        assert (b == 1).all()
        del b
    else:
        del capsule
    assert alive() is None


def test_many_capsules_of_one_array():
    a = np.ones(10, BFLOAT16)
    count = sys.getrefcount(a)
    held = [dlpack.to_capsule(a) for _ in range(5)]
    held += [dlpack.from_capsule(held.pop()) for _ in range(3)]
    assert sys.getrefcount(a) == count + 5
    held.clear()
    assert sys.getrefcount(a) == count


@by_dtype
def test_read_only_arrays_cannot_go_out(dtype):
    a = np.zeros(3, dtype)
    a.flags.writeable = False
    with pytest.raises(BufferError, match="readonly"):
        dlpack.to_capsule(a)
