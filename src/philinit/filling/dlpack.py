# SPDX-License-Identifier: Apache-2.0
"""DLPack capsules read into ndarrays and made from them, bfloat16 and float8 included.

NumPy refuses three kinds of capsules that are needed here: bfloat16 and float8 in, the same out,
and TensorFlow's read as writable memory. Names and layouts are those of dmlc/dlpack,
include/dlpack/dlpack.h, version 1.1; the protocol is that of the Python array API standard, "Data
interchange".
"""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np

from philinit import dtypes

# DLDeviceType: memory that the CPU can address.
HOST_DEVICES = (1, 3, 11)  # kDLCPU, kDLCUDAHost, kDLROCMHost

# DLDataTypeCode -> the letter of a NumPy typestr.
_KINDS = {0: "i", 1: "u", 2: "f", 5: "c", 6: "b"}  # kDLInt, UInt, Float, Complex, Bool
# And of those that NumPy has only with ml_dtypes.
_EXTENDED = {"bfloat16": 4}  # kDLBfloat
_EXTENDED |= zip(dtypes.FLOAT8, (10, 12, 11, 13), strict=True)  # kDLFloat8_e4m3fn, ...
_NAMES = {code: name for name, code in _EXTENDED.items()}

_MOST_AXES = 64  # of NumPy 2; of NumPy 1 it was 32

_READ_ONLY = 1  # DLPACK_FLAG_BITMASK_READ_ONLY
_IS_COPIED = 2  # DLPACK_FLAG_BITMASK_IS_COPIED


class _DLDevice(ctypes.Structure):
    _fields_ = (("device_type", ctypes.c_int32), ("device_id", ctypes.c_int32))


class _DLDataType(ctypes.Structure):
    # `lanes` > 1 would be a vector type.
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _DLTensor(ctypes.Structure):
    # `shape` and `strides` count elements; NULL `strides` means C order; the first element lies
    # `byte_offset` bytes behind `data`.
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _DLDevice),
        ("ndim", ctypes.c_int32),
        ("dtype", _DLDataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _DLManagedTensor(ctypes.Structure):
    # What a capsule named "dltensor" points to. The consumer calls deleter(self) once, if it is
    # not NULL.
    _fields_ = (
        ("dl_tensor", _DLTensor),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


class _DLManagedTensorVersioned(ctypes.Structure):
    # What a capsule named "dltensor_versioned" points to. Of another major version only
    # `version`, `manager_ctx` and `deleter` may be read.
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager_ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("dl_tensor", _DLTensor),
    )


# Own prototypes: setting argtypes on ctypes.pythonapi would change them for everybody.
_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_IsValid", ctypes.pythonapi)
)
_get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_set_name = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_SetName", ctypes.pythonapi)
)
_immortalize = ctypes.PYFUNCTYPE(None, ctypes.py_object)(("Py_IncRef", ctypes.pythonapi))
# A deleter is called with the GIL held, as NumPy and most capsule destructors do: some producers
# count on it, and those that take the GIL themselves may take it twice.
_Deleter = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)

_LEGACY = b"dltensor"
_VERSIONED = b"dltensor_versioned"
_USED = {_LEGACY: b"used_dltensor", _VERSIONED: b"used_dltensor_versioned"}
# A capsule keeps the pointer to its name, possibly beyond this module's life.
for _name in _USED.values():
    _immortalize(_name)


class _Owner:
    """Base of an ndarray over a managed tensor; its death calls the deleter, once."""

    __slots__ = ("__array_interface__", "__weakref__", "_deleter", "_managed")

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface
        self._deleter: Any = None
        self._managed = 0

    def take(self, managed: int, deleter: int | None) -> None:
        """From here on the managed tensor is ours to delete."""
        self._managed = managed
        self._deleter = _Deleter(deleter) if deleter else None

    def __del__(self) -> None:
        deleter, self._deleter = self._deleter, None
        if deleter is not None:
            deleter(self._managed)


def from_capsule(capsule: Any) -> np.ndarray[Any, Any]:
    """ndarray over the memory of a DLPack capsule; it keeps the memory alive and frees it.

    >>> from_capsule(to_capsule(np.arange(3.0))).tolist()
    [0.0, 1.0, 2.0]

    Parameters
    ----------
    capsule : PyCapsule
        Named "dltensor" or "dltensor_versioned", in CPU memory. It is consumed, that is renamed
        to "used_...", unless an error is raised: then it is left as it was, to be used again or
        to free its memory when it dies.

    Returns
    -------
    np.ndarray
        With the capsule's shape, strides and dtype. Read-only only where the capsule says so;
        a legacy capsule cannot say it.

    Raises
    ------
    TypeError
        `capsule` is no unconsumed DLPack capsule.
    BufferError
        Memory of another device, a copy, a dtype that NumPy lacks, an unknown DLPack version.
    """
    if _is_valid(capsule, _LEGACY):
        name = _LEGACY
        pointer = _get_pointer(capsule, name)
        managed: Any = _DLManagedTensor.from_address(pointer)
        flags = 0
    elif _is_valid(capsule, _VERSIONED):
        name = _VERSIONED
        pointer = _get_pointer(capsule, name)
        managed = _DLManagedTensorVersioned.from_address(pointer)
        if managed.major != 1:
            raise BufferError(
                f"a capsule must be of DLPack version 1; got {managed.major}.{managed.minor}"
            )
        flags = managed.flags
    else:
        raise TypeError(f"`capsule` must be an unconsumed DLPack capsule; got {capsule!r}")
    if flags & _IS_COPIED:
        raise BufferError("a capsule must share the producer's memory; got a copy of it")
    tensor = managed.dl_tensor
    if tensor.device.device_type not in HOST_DEVICES:
        raise BufferError(
            "a capsule must lie in CPU memory; "
            f"got DLPack device {tensor.device.device_type}:{tensor.device.device_id}"
        )
    dtype, extended = _numpy_dtype(tensor.dtype)
    shape, strides = _shape_and_strides(tensor, dtype.itemsize)
    # Zero-size tensors may have no address; NumPy wants one, and reads nothing there.
    data = pointer if 0 in shape else tensor.data or 0
    if not data:  # before anything is added to it
        raise BufferError(f"a capsule of shape {shape} must have an address; got NULL")
    if 0 not in shape:
        data += tensor.byte_offset
    owner = _Owner(
        {
            "version": 3,
            "shape": shape,
            "strides": strides,
            "typestr": dtype.str,
            "data": (data, bool(flags & _READ_ONLY)),
        }
    )
    try:
        array = np.asarray(owner)
    except (ValueError, OverflowError) as error:  # such as (0, 2**63 - 1)
        raise BufferError(
            f"a capsule must be one that NumPy can hold; got shape {shape}: {error}"
        ) from None
    if extended:
        array = array.view(dtypes.extended(extended))
    # The last step that can fail, and the one that makes the memory ours.
    _set_name(capsule, _USED[name])
    owner.take(pointer, managed.deleter)
    return array


def _shape_and_strides(
    tensor: Any, itemsize: int
) -> tuple[tuple[int, ...], tuple[int, ...] | None]:
    """Both in the units of NumPy, for a tensor that an address space can hold.

    Raises
    ------
    BufferError
        It has a number of axes that NumPy lacks, a negative length, or reaches further than 2**62
        bytes from its first element.
    """
    rank = tensor.ndim
    if not 0 <= rank <= _MOST_AXES or (rank and not tensor.shape):
        raise BufferError(f"a capsule must have 0 to {_MOST_AXES} axes; got ndim={rank}")
    shape = tuple(tensor.shape[:rank]) if rank else ()
    if min(shape, default=0) < 0:
        raise BufferError(f"a capsule must not have negative lengths; got shape {shape}")
    given = tensor.strides[:rank] if tensor.strides else None
    reach, strides = 1 if given else math.prod(shape), []
    for length, stride in zip(shape, given or (), strict=False):
        # Where there is nothing to step over, some producers leave whatever was there.
        strides.append(stride * itemsize if length > 1 else itemsize)
        reach += abs(stride) * max(length - 1, 0)
    if (reach * itemsize + tensor.byte_offset) >> 62:
        raise BufferError(
            f"a capsule must fit into memory; got shape {shape}, strides {given} and "
            f"byte_offset={tensor.byte_offset}"
        )
    return shape, tuple(strides) if given and 0 not in shape else None


def _numpy_dtype(dtype: Any) -> tuple[np.dtype[Any], str]:
    """NumPy's dtype for a DLDataType; for those of ml_dtypes unsigned integers, and the name."""
    name = _NAMES.get(dtype.code, "")
    if name and dtype.lanes == 1 and dtype.bits == (16 if name == "bfloat16" else 8):
        return np.dtype(f"u{dtype.bits // 8}"), name
    try:
        if dtype.lanes == 1 and dtype.bits % 8 == 0:
            return np.dtype(f"{_KINDS[dtype.code]}{dtype.bits // 8}"), ""
    except (KeyError, TypeError):
        pass
    raise BufferError(
        "a capsule must hold a dtype that NumPy knows, bfloat16 or float8; "
        f"got DLPack code={dtype.code}, bits={dtype.bits}, lanes={dtype.lanes}"
    )


def from_object(producer: Any) -> np.ndarray[Any, Any]:
    """ndarray over the memory of an object with a ``__dlpack__`` method; see `from_capsule`.

    The versioned protocol is asked for first, since it alone tells read-only memory.

    >>> from_object(np.arange(3.0)).tolist()
    [0.0, 1.0, 2.0]
    """
    try:
        capsule = producer.__dlpack__(max_version=(1, 1))
    except TypeError:  # a producer older than DLPack 1.0
        capsule = producer.__dlpack__()
    return from_capsule(capsule)


def to_capsule(array: np.ndarray[Any, Any]) -> Any:
    """Legacy "dltensor" capsule over a writable ndarray of any dtype here; `byte_offset` is 0.

    The capsule keeps `array` alive until its consumer is done with it, or until it dies
    unconsumed. NumPy makes it, so that the deleter is C code, which takes the GIL by itself and
    stays harmless when the interpreter is gone; what NumPy refuses goes out as unsigned integers
    with the type code put right before anybody sees it.

    >>> type(to_capsule(np.zeros(3))).__name__
    'PyCapsule'

    Raises
    ------
    BufferError
        `array` is read-only, or of a dtype that DLPack lacks.
    """
    code = _EXTENDED.get(array.dtype.name)
    if code is None:
        return array.__dlpack__()
    capsule = array.view(f"u{array.itemsize}").__dlpack__()
    managed = _DLManagedTensor.from_address(_get_pointer(capsule, _LEGACY))
    managed.dl_tensor.dtype.code = code
    return capsule
