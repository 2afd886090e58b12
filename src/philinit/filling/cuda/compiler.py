# SPDX-License-Identifier: Apache-2.0
"""CUDA kernels as callable machine code: loaded from a cache, or compiled by NVRTC and put there.

Each kernel is compiled when it is first used, in 0.1 to 0.7 s.

CuPy's own `RawModule(code=...)` is not used, since it appends ``-ftz=true`` to the options of its
caller: every float32 operation would flush subnormal numbers, which THE STREAM forbids. Nor does
this road need CUDA's headers, which `RawModule` insists on. What NVRTC is told is `OPTIONS` and
the architecture, nothing else, so that the code that tests look at is the code that runs.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from philinit.cuda_views import check_not_captured
from philinit.kernels.cache import cached, keep

#: Each operation rounds once: no contraction; subnormal numbers stay, divisions and roots are
#: exact, which are NVRTC's defaults.
OPTIONS = ("-std=c++17", "-default-device", "-fmad=false")

#: The least compute capability, times 10, that tests compile the kernels for.
OLDEST = 70

_lock = threading.RLock()
_loaded: dict[tuple[int, str, str], Loaded] = {}


@dataclass(frozen=True)
class Loaded:
    """A kernel of one device, and what a launch needs to know of it."""

    function: Any
    resident: int  # thread blocks that a multiprocessor holds at once
    multiprocessors: int


def loaded(cupy: Any, index: int, name: str, loop: str = "fill") -> Loaded:
    """A kernel for CUDA device `index`, which must be current; compiled at most once."""
    key = index, name, loop
    try:
        return _loaded[key]
    except KeyError:
        pass
    with _lock:
        if key not in _loaded:
            _loaded[key] = _load(cupy, *key)
        return _loaded[key]


def _load(cupy: Any, index: int, name: str, loop: str) -> Loaded:
    from philinit.kernels.cuda import entry

    check_not_captured(
        "must find its kernel loaded; philinit.filling.cuda.prepare, or a fill of the same kind, "
        "loads it"
    )
    device = cupy.cuda.Device(index)
    module = cupy.cuda.Module()
    module.load(machine_code(cupy, int(device.compute_capability), name, loop))
    function = module.get_function(entry(name))
    count = cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor
    resident = count(function.ptr, THREADS, 0)
    return Loaded(function, resident, device.attributes["MultiProcessorCount"])


THREADS = 256  # of a block: the kernels are written for that many


def launch_geometry(threads: int, multiprocessors: int, resident: int = 8) -> tuple[int, int]:
    """Blocks and threads a block where `threads` have something to do.

    One thread for each while the blocks fit on the device together; beyond that as many blocks as
    do, each looping: so all of them end together.
    """
    blocks = -(-threads // THREADS)
    return max(1, min(blocks, multiprocessors * max(resident, 1))), THREADS


def target(capability: int, supported: Sequence[int]) -> tuple[str, str]:
    """NVRTC's architecture option for a device, and the kind of code: "cubin" or "ptx".

    A device newer than NVRTC gets PTX of the newest architecture that both know, which the driver
    translates.

    Raises
    ------
    RuntimeError
        The device is older than `OLDEST`, or than all that NVRTC compiles for.
    """
    if capability < OLDEST:
        raise RuntimeError(
            f"a cuda device must have compute capability {OLDEST / 10} or newer; it has "
            f'{capability / 10}: use device="cpu"'
        )
    if capability in supported:
        return f"-arch=sm_{capability}", "cubin"
    older = [known for known in supported if known < capability]
    if not older:
        raise RuntimeError(
            f"the device must have compute capability {min(supported) / 10} or newer for this "
            f"NVRTC; it has {capability / 10}: install an older CUDA"
        )
    return f"-arch=compute_{max(older)}", "ptx"


def machine_code(cupy: Any, capability: int, name: str, loop: str = "fill") -> bytes:
    """Machine code of a kernel for a compute capability such as 90; needs no device."""
    from philinit.kernels.cuda import source

    nvrtc, version = _nvrtc(cupy)
    option, kind = target(capability, nvrtc.getSupportedArchs())
    options = (*OPTIONS, option)
    text = source(name, loop)
    digest = hashlib.sha256(repr((version, options, text)).encode()).hexdigest()[:32]
    file = f"{digest}-{loop}-{name}.{kind}"
    code = cached(file)
    if code is None:
        code = _compile(nvrtc, text, options, kind)
        keep(file, code)
    return code


def _nvrtc(cupy: Any) -> tuple[Any, tuple[int, int]]:
    """NVRTC and its version; CuPy loads it now, and does not bring it along."""
    try:
        nvrtc = cupy.cuda.nvrtc
        return nvrtc, nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ImportError(
            "the cuda backend needs NVRTC, CUDA's compiler: pip install nvidia-cuda-nvrtc-cu12 "
            f"for CUDA 12, nvidia-cuda-nvrtc for CUDA 13; CuPy said: {said}"
        ) from error


def _compile(nvrtc: Any, source: str, options: tuple[str, ...], kind: str) -> bytes:
    program = nvrtc.createProgram(source, "philinit.cu", (), ())
    try:
        nvrtc.compileProgram(program, options)
        # CuPy drops the last byte of a cubin, a zero.
        code = nvrtc.getCUBIN(program) + b"\0" if kind == "cubin" else nvrtc.getPTX(program)
    except nvrtc.NVRTCError as error:
        log = nvrtc.getProgramLog(program)
        raise RuntimeError(f"NVRTC refused the kernels of philinit: {error}\n{log}") from error
    finally:
        nvrtc.destroyProgram(program)
    return code if isinstance(code, bytes) else str(code).encode()
