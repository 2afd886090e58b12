# SPDX-License-Identifier: Apache-2.0
"""The kernels for NVIDIA GPUs: CUDA C++ that NVRTC compiles, and a C++ compiler for tests.

`source` joins the files below, the constants and the table of kernels to one translation unit that
includes nothing.
"""

import functools
import importlib.resources
from collections.abc import Iterator, Sequence

import numpy as np

from philinit.kernels import constants as c
from philinit.kernels import table

FILES = (
    "arithmetic.cuh",
    "philox.cuh",
    "words.cuh",
    "rounding.cuh",
    "distributions.cuh",
    "box_muller.cuh",
    "tensorflow.cuh",
    "tensorflow_maps.cuh",
    "tiles.cuh",
    "positions.cuh",
    "loops/{loop}.cuh",
    "kernels.cu",
)
LOOPS = ("fill", "runs")  # over consecutive weights, and over runs of them


# TensorFlow's float64 normals call the C library for every number: there is none on a GPU.
_CPU_ONLY = ("tensorflow_normal_float64", "tensorflow_truncated_float64")
KERNELS = {name: row for name, row in table.KERNELS.items() if name not in _CPU_ONLY}


def group(kernel: table.Kernel) -> int:
    """Weights that a thread writes at once: 16 bytes."""
    return 16 // kernel.itemsize


def entry(name: str) -> str:
    """The C name of a kernel."""
    return f"philinit_{name}"


@functools.cache
def source(only: str | None = None, loop: str = "fill") -> str:
    """The translation unit of a loop; with the name of a kernel, all others are there but empty."""
    if only is not None and only not in KERNELS:
        raise ValueError(f"`only` must be None or a name in KERNELS; got only={only!r}")
    if loop not in LOOPS:
        raise ValueError(f"`loop` must be one of {LOOPS}; got loop={loop!r}")
    folder = importlib.resources.files(__name__)
    parts = [] if only is None else [f'#define PHILINIT_ONLY "{only}"\n']
    parts += ['#line 1 "philinit/kernels/constants.py, as C++"\n', *_constants(), *_rows()]
    for name in (file.format(loop=loop) for file in FILES):
        text = (folder / name).read_text(encoding="utf-8")
        parts.append(f'#line 1 "philinit/kernels/cuda/{name}"\n{text}\n')
    return "".join(parts)


def _constants() -> Iterator[str]:
    for name in ("PHILOX_M0", "PHILOX_M1", "PHILOX_W0", "PHILOX_W1"):
        yield f"constexpr unsigned {name} = {getattr(c, name):#x}u;\n"
    for name in ("PHILOX_ROUNDS", "NORMAL_SHIFT", "TRUNCATED_SHIFT", "ROUNDED"):
        yield f"constexpr int {name} = {getattr(c, name)};\n"
    for name in ("LOG_SPLIT", "LOG_SPLIT_32"):
        yield f"constexpr long long {name} = {getattr(c, name):#x}LL;\n"
    for name in ("NORMAL_CENTER", "TRUNCATED_C"):
        yield f"constexpr float {name} = {_hex(getattr(c, name), 4)};\n"
    logarithm, normal64 = ("LN2", "LN2_HIGH", "LN2_LOW"), ("NORMAL64_CENTER_W", "NORMAL64_TAIL_W")
    for name in (*logarithm, *normal64, "TURN", "TURN_LOW"):
        yield f"constexpr double {name} = {_hex(getattr(c, name), 8)};\n"
    for name in ("NORMAL_TABLE", "TRUNCATED_TABLE"):
        rows = getattr(c, name)
        body = ",\n".join(_numbers(row, 4) for row in rows)
        size = f"[{len(rows)}][{len(rows[0])}]"
        yield f"__device__ const float {name}{size} = {{\n{body}}};\n"
    for name, row in vars(c).items():
        if name.startswith(("LOG_", "NORMAL64_", "GLIBC_", "ROUNDED_")) and isinstance(row, tuple):
            yield f"__device__ constexpr double {name}[{len(row)}] = {_numbers(row, 8)};\n"


def _rows() -> Iterator[str]:
    yield f"constexpr int FLOATS = {table.FLOATS}, INTEGERS = {table.INTEGERS};\n"
    yield f"constexpr int RESERVED_BLOCKS = {table.RESERVED_BLOCKS};\n"
    yield "struct Row {\n  unsigned itemsize, words, reserved;\n};\n"
    for name, row in KERNELS.items():
        sizes = f"{row.itemsize}, {row.words}, {row.reserved}"
        yield f"constexpr Row ROW_{name} = {{{sizes}}};\n"


def _numbers(row: Sequence[float], size: int) -> str:
    return "{" + ", ".join(_hex(value, size) for value in row) + "}"


def _hex(value: float, size: int) -> str:
    """A hexadecimal floating-point literal; no bit is lost."""
    if size == 4 and float(np.float32(value)) != value:
        raise ValueError(f"`value` must be a float32; got value={value.hex()}")
    return value.hex() + ("f" if size == 4 else "")
