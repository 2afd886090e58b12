# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels compiled for any GPU, without one: PTX, machine code, and the loops in it.

Needs the wheels of the extra "test": CuPy, NVRTC, cuobjdump, nvdisasm. No driver.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from philinit.kernels import cuda

# As `philinit.filling.cuda.compiler` has them; -fmad and -ftz must not matter
# (tests/kernels/test_cuda_compile.py).
OPTIONS = ("-std=c++17", "-default-device", "-fmad=false")


def missing() -> str | None:
    """What is not installed, or None."""
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except Exception as reason:  # NVRTC is loaded late, with errors of many types
        return f"CuPy with NVRTC ({str(reason).splitlines()[0]})"
    absent = [name for name in ("cuobjdump", "nvdisasm") if not (_tools() / name).is_file()]
    return ", ".join(absent) or None


@functools.cache
def _tools() -> Path:
    """The folder of cuobjdump, which looks for nvdisasm on PATH."""
    found = importlib.util.find_spec("nvidia")
    for root in (found.submodule_search_locations if found else None) or ():
        for folder in Path(root).glob("cu*/bin"):
            return folder
    return Path("/usr/local/cuda/bin")


def _compiled(source: str, arch: str, options: tuple[str, ...]) -> Any:
    from cupy.cuda import nvrtc

    program = nvrtc.createProgram(source, "philinit.cu", (), ())
    try:
        nvrtc.compileProgram(program, (*options, f"-arch={arch}"))
    except nvrtc.NVRTCError as reason:
        raise RuntimeError(nvrtc.getProgramLog(program)) from reason
    return nvrtc, program


def ptx(arch: int, source: str | None = None, options: tuple[str, ...] = OPTIONS) -> str:
    """The whole source as PTX."""
    nvrtc, program = _compiled(source or cuda.source(), f"compute_{arch}", options)
    text = nvrtc.getPTX(program)
    return text.decode() if isinstance(text, bytes) else str(text)


def cubin(arch: int, source: str | None = None, options: tuple[str, ...] = OPTIONS) -> bytes:
    """The whole source as machine code."""
    nvrtc, program = _compiled(source or cuda.source(), f"sm_{arch}", options)
    return bytes(nvrtc.getCUBIN(program)) + b"\0"  # CuPy drops the last byte; cuobjdump needs it


def _cuobjdump(code: bytes, flag: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "philinit.cubin"
        path.write_bytes(code)
        environment = {**os.environ, "PATH": f"{_tools()}{os.pathsep}{os.environ.get('PATH', '')}"}
        command = [str(_tools() / "cuobjdump"), flag, str(path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def resources(code: bytes) -> dict[str, dict[str, int]]:
    """Registers, stack, shared and local memory of each kernel."""
    found = re.findall(r"Function (philinit_\w+):\s+(.*)", _cuobjdump(code, "-res-usage"))
    return {
        name.removeprefix("philinit_"): {
            key: int(value) for key, value in re.findall(r"(\w+):(\d+)", text)
        }
        for name, text in found
    }


class Instruction(NamedTuple):
    """Its address in the kernel, its text without the guard, and whether it has one."""

    address: int
    text: str
    guarded: bool = False

    @property
    def name(self) -> str:
        """The operation without its modifiers."""
        return self.text.split(maxsplit=1)[0].partition(".")[0]


def machine_code(code: bytes) -> dict[str, list[Instruction]]:
    """The instructions of each kernel."""
    kernels: dict[str, list[Instruction]] = {}
    for part in _cuobjdump(code, "-sass").split("Function : philinit_")[1:]:
        lines = re.findall(r"/\*([0-9a-f]{4,})\*/ +(@!?U?P\w+ +)?([A-Z][^;]*?) *;", part)
        kernels[part.split(maxsplit=1)[0]] = [
            Instruction(int(address, 16), text, bool(guard)) for address, guard, text in lines
        ]
    return kernels


def main_loop(kernel: list[Instruction]) -> list[Instruction]:
    """The shortest loop with a 16-byte store in it: what most weights are made by.

    All paths through it are in it, the rare ones as well.
    """
    stores = [i.address for i in kernel if i.text.startswith("STG.E.128")]
    loops = []
    for i in kernel:
        target = re.match(r"BRA.*?(0x[0-9a-f]+)$", i.text)
        if target and int(target[1], 16) < i.address:
            first = int(target[1], 16)
            if any(first <= store <= i.address for store in stores):
                loops.append((i.address - first, first, i.address))
    if not loops:
        raise ValueError("the kernel must have a loop with a 16-byte store")
    _, first, last = min(loops)
    return [i for i in kernel if first <= i.address <= last]


def shortest_turn(kernel: list[Instruction], new_run: bool = False) -> list[Instruction]:
    """The fewest instructions that lead from a 16-byte store back to it.

    What most threads do where nothing is ragged: rare paths are left out. With `new_run` the way
    leads through the head of the outermost loop around the store, where a thread finds its run.
    """
    places = {i.address: place for place, i in enumerate(kernel)}
    following: list[list[int]] = []
    for place, i in enumerate(kernel):
        # A call comes back, but some compilers leave a loop by one.
        jump = re.match(r"(?:BRA|CALL)\S*\s+(.*?)(0x[0-9a-f]+)$", i.text)
        plain = i.name in ("EXIT", "RET") or (i.name == "BRA" and jump is not None and not jump[1])
        ends = (plain and not i.guarded) or place + 1 == len(kernel)
        following.append([] if ends else [place + 1])
        if jump:
            following[-1].append(places[int(jump[2], 16)])
    stores = [place for place, i in enumerate(kernel) if i.text.startswith("STG.E.128")]
    turns = []
    for store in stores:
        heads = [to for place, ways in enumerate(following) for to in ways if to <= store < place]
        if heads:
            stops = (min(heads), store) if new_run else (store,)
            turns.append(_way(following, store, stops))
    if not turns:
        raise ValueError("the kernel must have a loop with a 16-byte store")
    return [kernel[place] for place in min(turns, key=len)]


def _way(following: list[list[int]], start: int, stops: tuple[int, ...]) -> list[int]:
    """The shortest way from `start` to the stops in turn, without `start`."""
    way: list[int] = []
    for stop in stops:
        before: dict[int, int] = {}
        waiting = [start]
        while stop not in before:
            reached = waiting.pop(0)
            for to in following[reached]:
                if to not in before:
                    before[to] = reached
                    waiting.append(to)
        part = [stop]
        while before[part[-1]] != start:
            part.append(before[part[-1]])
        way += part[::-1]
        start = stop
    return way
