# SPDX-License-Identifier: Apache-2.0
"""Kernels as callable machine code: loaded from a cache, or compiled by Numba and put there.

A cached kernel is an object file that LLVM loads in milliseconds: neither Numba nor the kernel
sources are imported. Its name holds a digest of every file that can change the code, so an edit
anywhere in kernels/ compiles anew, and an unwritable cache folder only costs the time to compile.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from philinit.kernels.cache import cache_folder as cache_folder
from philinit.kernels.cache import cached, keep

#: The modules of kernels/cpu whose `entry` makes a kernel's loop, and the number of its arguments.
LOOPS = {"fill": 11, "runs": 8, "verify": 11}

_lock = threading.RLock()
_loaded: dict[tuple[str, str], Callable[..., int]] = {}
_engines: list[Any] = []  # keep the machine code alive


def kernel(name: str, loop: str = "fill") -> Callable[..., int]:
    """The kernel of this name: a function of 64-bit integers that returns 0, without the GIL."""
    try:
        return _loaded[name, loop]
    except KeyError:
        pass
    with _lock:
        if (name, loop) not in _loaded:
            code = cached(_path(name, loop)) or _compile_and_keep(name, loop)
            _loaded[name, loop] = _link(name, loop, code)
        return _loaded[name, loop]


@functools.cache
def _digest() -> str:
    """A digest of all that machine code depends on: sources, compilers, CPU."""
    import llvmlite

    from philinit.kernels.cpu.simd.target import cpu

    digest = hashlib.sha256()
    here = Path(__file__).parent
    shared = (here.parent / name for name in ("constants.py", "table.py"))
    for source in sorted([*here.rglob("*.py"), *shared]):
        digest.update(
            str(source.relative_to(here.parent)).encode() + b"\0" + source.read_bytes() + b"\0"
        )
    # Numba's version is fixed by llvmlite's; asking for it would import it.
    digest.update(repr((llvmlite.__version__, sys.version_info[:2], cpu())).encode())
    return digest.hexdigest()[:32]


def _path(name: str, loop: str) -> Path:
    return cache_folder() / f"{_digest()}-{loop}-{name}.o"


def _compile_and_keep(name: str, loop: str) -> bytes:
    code = _compile(name, loop)
    keep(_path(name, loop), code)
    return code


def _machine() -> Any:
    import llvmlite.binding as llvm

    from philinit.kernels.cpu.simd.target import cpu

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = cpu()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=3, codemodel="jitdefault")


def llvm_ir(name: str, loop: str = "fill") -> str:
    """The optimized LLVM IR of a kernel; its one entry is ``i32 philinit_<name>(i64, ...)``."""
    from numba import cfunc, types

    entry = importlib.import_module(f"philinit.kernels.cpu.loops.{loop}").entry
    signature = types.void(*[types.int64] * LOOPS[loop])
    # NumPy's error model: no division raises, so nothing in a kernel can.
    compiled = cfunc(signature, error_model="numpy")(entry(name))
    module = str(compiled.inspect_llvm())
    return _replace_wrapper(module, compiled.native_name, f"philinit_{name}", LOOPS[loop])


def _replace_wrapper(module: str, wrapper: str, entry_name: str, count: int) -> str:
    """Put a plain C entry in the place of Numba's.

    Numba's wrapper prints exceptions, for which it calls into Python and Numba's runtime; an
    object file that refers to those could be loaded only where Numba is imported. Ours returns
    the status, 0 for success.
    """
    start = module.index(f"define ptr @{wrapper}(")
    stop = module.index("\n}\n", start) + 3
    match = re.search(r"call (?:.*?)i32 @([\w.$]+)\(", module[start:stop])
    assert match is not None, "Numba's wrapper calls the compiled function"
    arguments = [f"i64 %a{i}" for i in range(count)]
    entry = f"""
define i32 @{entry_name}({", ".join(arguments)}) {{
  %result = alloca ptr
  %error = alloca ptr
  %status = call i32 @{match[1]}(ptr %result, ptr %error, {", ".join(arguments)})
  ret i32 %status
}}
"""
    return module[:start] + module[stop:] + entry


def _compile(name: str, loop: str) -> bytes:
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(llvm_ir(name, loop))
    return bytes(_machine().emit_object(module))


def assembly(name: str, loop: str = "fill") -> str:
    """The assembly of a kernel, to look at."""
    import llvmlite.binding as llvm

    return str(_machine().emit_assembly(llvm.parse_assembly(llvm_ir(name, loop))))


def _link(name: str, loop: str, code: bytes) -> Callable[..., int]:
    import llvmlite.binding as llvm

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = engine.get_function_address(f"philinit_{name}")
    _engines.append(engine)
    return ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_int64] * LOOPS[loop])(address)


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()  # the parent's may be held by a thread that is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
