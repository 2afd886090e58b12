# SPDX-License-Identifier: Apache-2.0
"""Kernels as callable machine code: loaded from a cache, or compiled by Numba and put there.

A cached kernel is an object file that LLVM loads in milliseconds: neither Numba nor the kernel
sources are imported. Its name holds a digest of every file that can change the code, so an edit
anywhere in kernels/ compiles anew, and an unwritable cache folder only costs the time to compile.
"""

import ctypes
import functools
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from philinit.forks import lock, wait_before_logging
from philinit.kernels.cache import cached, keep
from philinit.rounding import to_nearest

#: The modules of kernels/cpu whose `entry` makes a kernel's loop, and the number of its arguments.
LOOPS = {"fill": 11, "runs": 8, "verify": 11, "reflectors": 6, "reflect": 10}

#: Settings of Numba that change no code; each of the others gives kernels a name of their own.
_HARMLESS = frozenset(
    f"NUMBA_{name}"
    for name in (
        "CACHE_DIR",
        "NUM_THREADS",
        "THREADING_LAYER",
        "DISABLE_CUDA",
        "CPU_NAME",
        "CPU_FEATURES",
    )
)  # the CPU is in the digest as it is

_loaded: dict[tuple[str, str], Callable[..., int]] = {}
_engines: list[Any] = []  # keep the machine code alive


def kernel(name: str, loop: str = "fill") -> Callable[..., int]:
    """The kernel of this name: a function of 64-bit integers that returns 0, without the GIL."""
    try:
        return _loaded[name, loop]
    except KeyError:
        pass
    with lock:
        code = None if (name, loop) in _loaded else cached(_file(name, loop))
    if code is None:
        wait_before_logging()
    with lock:
        if (name, loop) not in _loaded:
            code = code or cached(_file(name, loop)) or _compile_and_keep(name, loop)
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
    settings = {
        n: v for n, v in os.environ.items() if n.startswith("NUMBA_") and n not in _HARMLESS
    }
    versions = llvmlite.__version__, _numba_version(), sys.version_info[:2]
    digest.update(repr((versions, sorted(settings.items()), cpu())).encode())
    return digest.hexdigest()[:32]


def _numba_version() -> bytes:
    """What tells Numba's version, without an import of it."""
    found = importlib.util.find_spec("numba")
    assert found is not None and found.origin is not None  # a dependency
    return Path(found.origin).with_name("_version.py").read_bytes()


def _file(name: str, loop: str) -> str:
    return f"{_digest()}-{loop}-{name}.o"


def _compile_and_keep(name: str, loop: str) -> bytes:
    code = _compile(name, loop)
    keep(_file(name, loop), code)
    return code


def _machine() -> Any:
    import llvmlite.binding as llvm

    from philinit.kernels.cpu.simd.target import cpu

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    name, features = cpu()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=3, codemodel="jitdefault")


@to_nearest()  # else the constants of a kernel would be rounded as this process happens to round
def llvm_ir(name: str, loop: str = "fill") -> str:
    """The optimized LLVM IR of a kernel; its one entry is ``i32 philinit_<name>(i64, ...)``."""
    from numba import cfunc, types

    _check_settings()
    entry = importlib.import_module(f"philinit.kernels.cpu.loops.{loop}").entry
    signature = types.void(*[types.int64] * LOOPS[loop])
    # NumPy's error model: no division raises, so nothing in a kernel can.
    compiled = cfunc(signature, error_model="numpy")(entry(name))
    module = str(compiled.inspect_llvm())
    return _replace_wrapper(module, compiled.native_name, f"philinit_{name}", LOOPS[loop])


def _check_settings() -> None:
    """Refuse settings of Numba under which it cannot compile the kernels, or ends the process."""
    from numba.core import config

    for wrong, setting in (
        (config.DISABLE_JIT, "DISABLE_JIT=1"),
        (not config.ENABLE_AVX, "ENABLE_AVX=0"),
    ):
        if wrong:
            raise RuntimeError(
                f"philinit compiles its kernels by Numba as it usually is; got NUMBA_{setting}: "
                "unset it, at least until the kernels are in the cache"
            )


def _replace_wrapper(module: str, wrapper: str, entry_name: str, count: int) -> str:
    """Put a plain C entry in the place of Numba's.

    Numba's wrapper prints exceptions, for which it calls into Python and Numba's runtime; an
    object file that refers to those could be loaded only where Numba is imported. Ours returns
    the status, 0 for success. It also sets the modes of floating point arithmetic, and puts them
    back: whatever the process has set, numbers round to nearest and none is flushed to zero.
    """
    start = module.index(f"define ptr @{wrapper}(")
    stop = module.index("\n}\n", start) + 3
    match = re.search(r"call (?:.*?)i32 @([\w.$]+)\(", module[start:stop])
    assert match is not None, "Numba's wrapper calls the compiled function"
    arguments = [f"i64 %a{i}" for i in range(count)]
    triple = re.search(r'target triple = "(\w+?)[-"]', module)
    before, after, declared = _MODES.get(triple[1] if triple else "", ("", "", ""))
    entry = f"""
define i32 @{entry_name}({", ".join(arguments)}) {{
  %result = alloca ptr
  %error = alloca ptr
{before}  %status = call i32 @{match[1]}(ptr %result, ptr %error, {", ".join(arguments)})
{after}  ret i32 %status
}}
{declared}"""
    return module[:start] + module[stop:] + entry


# By architecture: what sets the modes, what restores them, and declarations. All exceptions stay
# masked: 0x1F80 is what a process begins with on x86-64, and 0 on AArch64.
_MODES = {
    "x86_64": (
        """  %modes = alloca i32
  %usual = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %modes)
  store i32 8064, ptr %usual
  call void @llvm.x86.sse.ldmxcsr(ptr %usual)
""",
        "  call void @llvm.x86.sse.ldmxcsr(ptr %modes)\n",
        "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)\n",
    ),
    "aarch64": (
        """  %modes = call i64 @llvm.aarch64.get.fpcr()
  call void @llvm.aarch64.set.fpcr(i64 0)
""",
        "  call void @llvm.aarch64.set.fpcr(i64 %modes)\n",
        "declare i64 @llvm.aarch64.get.fpcr()\ndeclare void @llvm.aarch64.set.fpcr(i64)\n",
    ),
}
_MODES["arm64"] = _MODES["aarch64"]


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
