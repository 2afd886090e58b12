# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels as C++ functions of this machine: the same source, compiled by g++.

    from tests.support import cuda_host
    cuda_host.launch("uniform_float32", address, count, skip, counter, key, parameters, grid, block)

writes what a launch of that grid on a GPU would write, one thread after the other. What this shows:
arithmetic, indexing, tails. What it does not show: what NVRTC and the GPU make of the source.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from philinit.kernels import cuda
from philinit.kernels.table import Parameters

FOLDER = Path(__file__).parent
FLAGS = (
    *("-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-fPIC", "-shared"),
    *("-fvisibility=hidden", "-fno-gnu-unique"),
)
# A pragma is CUDA's; a constant may be there for kernels that were left out.
WARNINGS = (
    *("-Wall", "-Wextra", "-Werror"),
    *("-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-unused-variable"),
)

U32, U64 = ctypes.c_uint32, ctypes.c_uint64


def compiler() -> str | None:
    """The path of g++ on Linux, or None: then tests have to be skipped."""
    return shutil.which("g++") if sys.platform == "linux" else None


class Library:
    """Kernels in a shared library."""

    def __init__(self, path: Path) -> None:
        self.library = ctypes.CDLL(str(path))
        self._launch = self.library.launch
        self._launch.argtypes = [
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, U32, U64, U64, U32, U32),
            *(ctypes.POINTER(Parameters), U32, U32, U32, U32, ctypes.POINTER(U64)),
        ]
        self._launch.restype = None

    def launch(
        self,
        name: str,
        out_address: int,
        extent: Any,
        skip: int,
        counter: int,
        key: Sequence[int],
        parameters: Parameters,
        grid: int,
        block: int = 256,
        thread_blocks: range | None = None,
    ) -> int:
        """Run a kernel of `philinit.kernels.cuda.KERNELS`, whose C name has the arguments' meaning.

        Parameters
        ----------
        out_address : int
            Where the first weight goes.
        extent : int, or ndarray of one element
            Weights to write; in a library of runs what `arguments.argument` gives.
        skip : int
            Weights of the first counter block that come before the first one.
        counter : int
            The 128-bit counter of the first counter block.
        key : two int
            The key words.
        parameters : Parameters
            Those of the plan.
        grid, block : int
            Thread blocks, and threads in each.
        thread_blocks : range, optional
            The only thread blocks to run, of step 1; by default all of the grid.

        Returns
        -------
        int
            How many 16-byte stores there were.

        Raises
        ------
        RuntimeError
            A vector store went to an address that is not a multiple of 16: a GPU would stop there.
        """
        function = getattr(self.library, cuda.entry(name))
        some = range(grid) if thread_blocks is None else thread_blocks
        stores = (U64 * 2)()
        extent = np.array([extent], np.uint64) if isinstance(extent, int) else extent
        self._launch(
            *(ctypes.cast(function, ctypes.c_void_p), out_address, extent.ctypes.data, skip),
            *(counter & (1 << 64) - 1, counter >> 64, *key, parameters),
            *(grid, block, some.start, some.stop, stores),
        )
        if stores[1]:
            raise RuntimeError(f"{stores[1]} vector stores of {name} were not 16-byte aligned")
        return int(stores[0])


@functools.cache
def build(source: str | None = None, loop: str = "fill") -> Library:
    """The library of a translation unit as `philinit.kernels.cuda.source` gives it for a loop.

    As it is shipped it must compile without a warning. The library is kept in a folder of this user
    below the system's temporary one, by the digest of all that goes into it.

    Raises
    ------
    RuntimeError
        This is not Linux, there is no g++, or it refuses the source; with what it says.
    """
    gxx = compiler()
    if gxx is None:
        raise RuntimeError("the CUDA kernels run on a CPU by g++ on Linux, which is not on PATH")
    shim, launcher = (
        (FOLDER / name).read_text(encoding="utf-8") for name in ("cuda_shim.h", "cuda_launch.h")
    )
    flags = (*FLAGS, *WARNINGS) if source is None else (*FLAGS, "-w")
    source = cuda.source(None, loop) if source is None else source
    text = "\n".join((shim, source, '\n#line 1 "tests/cuda_launch.h"', launcher))
    version = subprocess.run([gxx, "--version"], capture_output=True, text=True).stdout
    digest = hashlib.sha256("\0".join((text, version, *flags, _cpu())).encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"philinit-cuda-host-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} must belong to this user; remove it")
    path = folder / f"{digest[:32]}.so"
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / "made.so"
            done = subprocess.run(
                [gxx, *flags, "-x", "c++", "-", "-o", str(made)],
                input=text,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise RuntimeError(f"g++ refuses the CUDA source:\n{done.stderr[:4000]}")
            made.replace(path)
    return Library(path)


def _cpu() -> str:
    """What -march=native looks at: a home may be shared between machines."""
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def launch(*args: Any, **kwargs: Any) -> int:
    """`Library.launch` of all kernels over consecutive weights, as they are shipped."""
    return build().launch(*args, **kwargs)
