# SPDX-License-Identifier: Apache-2.0
"""NVRTC of CUDA 12, which still compiles for Volta, beside that of CUDA 13, which CuPy loads."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path


@functools.cache
def library() -> ctypes.CDLL | None:
    """Of the wheel nvidia-cuda-nvrtc-cu12; None where there is none."""
    found = importlib.util.find_spec("nvidia")
    for root in (found.submodule_search_locations if found else None) or ():
        for path in Path(root).glob("cuda_nvrtc/lib/libnvrtc.so.12"):
            return ctypes.CDLL(str(path))
    return None


def compiled(source: str, options: tuple[str, ...]) -> tuple[bytes, str]:
    """The machine code of a source, and what the compiler said; a failure shows that."""
    nvrtc = library()
    assert nvrtc is not None
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    code = source.encode()
    assert not nvrtc.nvrtcCreateProgram(ctypes.byref(program), code, b"", 0, None, None)
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
    assert not nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    assert not nvrtc.nvrtcGetProgramLog(program, log)
    assert not failed, log.value.decode()
    assert not nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    assert not nvrtc.nvrtcGetCUBIN(program, cubin)
    assert not nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw, log.value.decode()
