# SPDX-License-Identifier: Apache-2.0
"""XLA's foreign function interface as ctypes has it: the frame of a call, its buffers, its errors.

Names and layouts are those of xla/ffi/api/c_api.h, which jaxlib ships in ``jax.ffi.include_dir()``.
A frame is XLA's own, and so is all that it points to: it is good until the handler returns.
"""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import numpy as np

from philinit import dtypes

# The version that this file was written for. XLA promises to go on with one for 12 months; within a
# major version fields are only added behind those that there are.
MAJOR, MINOR = 0, 3

EXECUTE = 3  # XLA_FFI_ExecutionStage_EXECUTE
_METADATA = 1  # XLA_FFI_Extension_Metadata: XLA asks what it is to call

# XLA_FFI_Error_Code, which are those of absl::Status, for what Python would raise.
_CODES = (
    (KeyboardInterrupt, 1),
    (MemoryError, 8),
    (NotImplementedError, 12),
    ((TypeError, ValueError), 3),
)
_INTERNAL = 13

# XLA_FFI_DataType of operands, and of results.
_DTYPES: dict[int, np.dtype[Any]] = {4: np.dtype(np.int32), 8: np.dtype(np.uint32)}
_RESULTS = (11, 12, 10, 16, 20, 19, 25, 24)  # in the order of dtypes.NAMES
_DTYPES |= zip(_RESULTS, map(dtypes.as_dtype, dtypes.NAMES), strict=True)

_POINTER, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


class _Struct(ctypes.Structure):
    """What most of the interface's structures begin with."""

    _fields_: ClassVar[Any] = (("struct_size", _SIZE), ("extension_start", _POINTER))


class _Version(_Struct):
    _fields_ = (("major", _INT), ("minor", _INT))


class _Api(_Struct):
    _fields_ = (
        ("api_version", _Version),
        ("internal_api", _POINTER),
        ("error_create", _POINTER),
        ("error_get_message", _POINTER),
        ("error_destroy", _POINTER),
        ("handler_register", _POINTER),
        ("stream_get", _POINTER),
    )


class _Metadata(ctypes.Structure):
    _fields_ = (("struct_size", _SIZE), ("api_version", _Version))


class _MetadataExtension(ctypes.Structure):
    _fields_ = (
        ("struct_size", _SIZE),
        ("type", _INT),
        ("next", _POINTER),
        ("metadata", ctypes.POINTER(_Metadata)),
    )


class Buffer(_Struct):
    """XLA_FFI_Buffer: an operand or a result, in C order."""

    _fields_ = (
        ("dtype_code", _INT),
        ("data", _POINTER),
        ("rank", ctypes.c_int64),
        ("dims", ctypes.POINTER(ctypes.c_int64)),
    )

    @property
    def shape(self) -> tuple[int, ...]:
        """Its dimensions."""
        return tuple(self.dims[: self.rank])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        return _DTYPES[self.dtype_code]

    def view(self) -> np.ndarray[Any, Any]:
        """Its memory, where that is the CPU's."""
        shape, dtype = self.shape, self.dtype
        nbytes = dtype.itemsize
        for n in shape:
            nbytes *= n
        if not nbytes:  # which need not have an address
            return np.empty(shape, dtype)
        buffer: Any = (ctypes.c_char * nbytes).from_address(self.data)
        return np.ndarray(shape, dtype, buffer)


class _Span(ctypes.Structure):
    _fields_ = (("ptr", _POINTER), ("len", _SIZE))


class _Array(ctypes.Structure):
    _fields_ = (("dtype_code", _INT), ("size", _SIZE), ("data", _POINTER))


class _Buffers(_Struct):
    _fields_ = (
        ("size", ctypes.c_int64),
        ("types", _POINTER),
        ("values", ctypes.POINTER(ctypes.POINTER(Buffer))),
    )


class _Attributes(_Struct):
    _fields_ = (
        ("size", ctypes.c_int64),
        ("types", _POINTER),
        ("names", _POINTER),
        ("values", ctypes.POINTER(_POINTER)),
    )


class Frame(_Struct):
    """XLA_FFI_CallFrame."""

    _fields_ = (
        ("api", ctypes.POINTER(_Api)),
        ("context", _POINTER),
        ("stage", _INT),
        ("arguments", _Buffers),
        ("results", _Buffers),
        ("attributes", _Attributes),
    )

    def asks_for_version(self) -> bool:
        """Whether XLA asks for the interface's version rather than calls; then it is answered."""
        if not self.extension_start:
            return False
        extension = _MetadataExtension.from_address(self.extension_start)
        if extension.type != _METADATA:
            return False
        version = extension.metadata.contents.api_version
        theirs = self.api.contents.api_version
        if theirs.major == MAJOR:  # else 0.0 stands there, which XLA refuses
            version.major, version.minor = MAJOR, min(MINOR, theirs.minor)
        return True

    @property
    def operands(self) -> list[Buffer]:
        """The arrays that the call gets."""
        return [self.arguments.values[i].contents for i in range(self.arguments.size)]

    @property
    def result(self) -> Buffer:
        """The array that is to be written."""
        found: Buffer = self.results.values[0].contents
        return found

    def text(self, number: int) -> str:
        """The attribute of that number in the order of their names: a string."""
        span = _Span.from_address(self.attributes.values[number])
        return ctypes.string_at(span.ptr, span.len).decode()

    def integers(self, number: int) -> tuple[int, ...]:
        """The attribute of that number: an array of int64."""
        array = _Array.from_address(self.attributes.values[number])
        if not array.size:
            return ()
        return tuple((ctypes.c_int64 * array.size).from_address(array.data))

    def stream(self) -> int:
        """The CUDA stream on which the program runs."""
        arguments = _StreamArguments(ctypes.sizeof(_StreamArguments), None, self.context)
        if _CALL(self.api.contents.stream_get)(ctypes.addressof(arguments)):
            raise RuntimeError("XLA has no CUDA stream for a handler that is registered for CUDA")
        return arguments.stream or 0

    def error(self, error: BaseException) -> int:
        """An exception as an error of XLA's, which whoever waits for the program gets."""
        code = next((c for kind, c in _CODES if isinstance(error, kind)), _INTERNAL)
        text = f"{type(error).__name__}: {error}" if code == _INTERNAL else str(error)
        if isinstance(error, KeyboardInterrupt):
            text = "KeyboardInterrupt: Ctrl-C ended the program while philinit wrote weights"
        message, size = ctypes.c_char_p(text.encode()), ctypes.sizeof(_ErrorArguments)
        arguments = _ErrorArguments(size, None, message, code)
        return _CALL(self.api.contents.error_create)(ctypes.addressof(arguments)) or 0


class _StreamArguments(_Struct):
    _fields_ = (("context", _POINTER), ("stream", _POINTER))


class _ErrorArguments(_Struct):
    _fields_ = (("message", ctypes.c_char_p), ("code", _INT))


_CALL = ctypes.PYFUNCTYPE(_POINTER, _POINTER)
