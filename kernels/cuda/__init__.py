# SPDX-License-Identifier: Apache-2.0
"""The kernels for NVIDIA GPUs: CUDA C++ that NVRTC compiles, and a C++ compiler for tests.

`source` joins the files below and the constants of the CPU kernels to one translation unit that
includes nothing.
"""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from philinit.kernels import constants, libm_constants

FILES = (
    "arithmetic.cuh",
    "philox.cuh",
    "rounding.cuh",
    "distributions.cuh",
    "box_muller.cuh",
    "tensorflow.cuh",
    "tensorflow_maps.cuh",
    "tiles.cuh",
    "loops/{loop}.cuh",
    "kernels.cu",
)
LOOPS = ("fill", "runs")  # over consecutive weights, and over runs of them


class Kernel(NamedTuple):
    """Bytes of a weight, 32-bit words of a weight, weights that a thread writes at once."""

    itemsize: int
    words: int
    group: int


def _kernels() -> Iterator[tuple[str, Kernel]]:
    yield "words", Kernel(4, 1, 4)
    sizes = {"float32": 4, "float64": 8, "float16": 2, "bfloat16": 2}
    for name, dtypes in {
        "uniform": sizes,
        "uniform_clamped": ("float16", "bfloat16"),
        "normal": ("float32", "float16", "bfloat16"),
        "truncated": ("float32", "float16", "bfloat16"),
        "truncated_clamped": ("float16", "bfloat16"),
        "bounded": sizes,
        "tensorflow_uniform": sizes,
        "tensorflow_normal": ("float32", "float16", "bfloat16"),
        "tensorflow_truncated": ("float32", "float16", "bfloat16"),
    }.items():
        for dtype in dtypes:
            size = sizes[dtype]
            yield f"{name}_{dtype}", Kernel(size, 2 if size == 8 else 1, 16 // size)


# By the names of the CPU kernels, which `philinit.kernels.plan` gives. TensorFlow's float64 normals
# call the C library for every number: there is none on a GPU.
KERNELS: dict[str, Kernel] = dict(_kernels())


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
    parts += ['#line 1 "philinit/kernels/constants.py, as C++"\n', *_constants()]
    for name in (file.format(loop=loop) for file in FILES):
        text = (folder / name).read_text(encoding="utf-8")
        parts.append(f'#line 1 "philinit/kernels/cuda/{name}"\n{text}\n')
    return "".join(parts)


def _constants() -> Iterator[str]:
    c, m = constants, libm_constants
    for name in ("PHILOX_M0", "PHILOX_M1", "PHILOX_W0", "PHILOX_W1"):
        yield f"constexpr unsigned {name} = {getattr(c, name):#x}u;\n"
    for name in ("PHILOX_ROUNDS", "NORMAL_SHIFT", "TRUNCATED_SHIFT", "RESERVED_BLOCKS"):
        yield f"constexpr int {name} = {getattr(c, name)};\n"
    yield f"constexpr long long LOG_SPLIT = {c.LOG_SPLIT:#x}LL;\n"
    yield f"constexpr long long LOG_SPLIT_32 = {m.LOG_SPLIT_32:#x}LL;\n"
    for name in ("NORMAL_CENTER", "TRUNCATED_C"):
        yield f"constexpr float {name} = {_hex(getattr(c, name), 4)};\n"
    for name in ("LN2_HIGH", "LN2_LOW", "NORMAL64_CENTER_W", "NORMAL64_TAIL_W"):
        yield f"constexpr double {name} = {_hex(getattr(c, name), 8)};\n"
    for name in ("LN2", "TURN", "TURN_LOW"):
        yield f"constexpr double {name} = {_hex(getattr(m, name), 8)};\n"
    for name in ("NORMAL_TABLE", "TRUNCATED_TABLE"):
        rows = getattr(c, name)
        body = ",\n".join(_row(row, 4) for row in rows)
        size = f"[{len(rows)}][{len(rows[0])}]"
        yield f"__device__ const float {name}{size} = {{\n{body}}};\n"
    for module, prefixes in ((c, ("LOG_POLY", "NORMAL64_")), (m, ("LOG_", "GLIBC_", "ROUNDED_"))):
        for name, row in vars(module).items():
            if name.startswith(prefixes) and isinstance(row, tuple):
                yield f"__device__ constexpr double {name}[{len(row)}] = {_row(row, 8)};\n"


def _row(row: Sequence[float], size: int) -> str:
    return "{" + ", ".join(_hex(value, size) for value in row) + "}"


def _hex(value: float, size: int) -> str:
    """A hexadecimal floating-point literal; no bit is lost."""
    if size == 4 and float(np.float32(value)) != value:
        raise ValueError(f"`value` must be a float32; got value={value.hex()}")
    return value.hex() + ("f" if size == 4 else "")
