# SPDX-License-Identifier: Apache-2.0
"""What a GPU could reach at best: instructions of the compiled kernels against published rates.

    python benchmarks/gpu_roofline.py
    python benchmarks/gpu_roofline.py --runs    # boxes and rows: runs of 16, 128 and 1024 weights

Everything it prints is computed; no GPU is needed and none is asked. Waiting for results, clocks
below their limit and two instructions that want the same unit usually leave 70 to 90 % of a bound
that instructions set; writes reach 90 to 94 % of the memory's rate. A loop is counted whole, with
paths that few numbers take: the times of float64 maps (bounded_float64, bounded_far, TensorFlow's
normals) are too long.
Of runs the shortest way is counted, beside that of consecutive weights, and no warp waits for its
longest thread.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

import gpu_code
from philinit.kernels import cuda
from philinit.kernels.cuda.arguments import argument
from philinit.runs import Runs


class Gpu(NamedTuple):
    """Published figures: multiprocessors, boost clock in GHz, memory in bytes a second.

    `single` and `double`: cycles that a float32 and a float64 instruction of a warp keep their unit
    in one of the four parts of a multiprocessor.
    """

    name: str
    arch: int
    sms: int
    ghz: float
    memory: float
    single: int
    double: int


GPUS = (
    Gpu("A100 80 GB", 80, 108, 1.41, 2.04e12, 2, 4),
    Gpu("H100 SXM", 90, 132, 1.755, 3.35e12, 1, 2),
    Gpu("H200", 90, 132, 1.755, 4.8e12, 1, 2),
    Gpu("B200", 100, 148, 1.85, 8e12, 1, 2),
)

# Cycles of the other instructions. The 64-bit product counts 4, as measured on consumer chips; on
# these 2 is possible.
ALU = dict.fromkeys(
    ("LOP3", "IADD3", "VIADD", "SHF", "ISETP", "LEA", "I2FP", "IABS", "PRMT", "SEL", "FSEL",
     "FSETP", "FMNMX", "IMNMX", "VIMNMX", "F2FP"), 2
)  # fmt: skip
SINGLE, DOUBLE = ["FFMA", "FMUL", "FADD"], ["DFMA", "DMUL", "DADD", "DSETP"]
SLOW = dict.fromkeys(["MUFU", "F2F", "I2F", "F2I"], 8)
IMAD, WIDE = 2, 4
# A multiprocessor reads 128 bytes of shared memory a cycle: 32 lanes of 4 bytes.
SHARED = {"LDS.128": 16, "LDS.64": 8, "LDS": 4}


class Cost(NamedTuple):
    """Of one weight: instructions of a warp, and cycles of each unit of a part."""

    instructions: float
    cycles: dict[str, float]


def cost(loop: list[gpu_code.Instruction], weights: float, gpu: Gpu) -> Cost:
    """What one weight takes of each unit, `weights` of them a turn of the loop."""
    rates = {
        "ALU": ALU,
        "FMA": {**dict.fromkeys(SINGLE, gpu.single), "IMAD": IMAD},
        "FP64": dict.fromkeys(DOUBLE, gpu.double),
        "slow": SLOW,
    }
    cycles: Counter[str] = Counter(issue=len(loop))
    for i in loop:
        operation = i.text.split(maxsplit=1)[0].replace(".U", "")
        if operation.startswith(("IMAD.WIDE", "IMAD.HI")):
            cycles["FMA"] += WIDE
        elif i.name == "LDS":
            cycles["shared"] += SHARED.get(operation, 4)
        else:
            cycles.update({unit: table.get(i.name, 0) for unit, table in rates.items()})
    return Cost(len(loop) / weights, {unit: n / weights for unit, n in cycles.items()})


def bounds(gpu: Gpu, used: Cost, itemsize: int) -> dict[str, float]:
    """Milliseconds for 1e9 weights that each unit needs by itself."""
    warps = 1e9 / 32 / (gpu.sms * 4)
    times = {unit: n * warps / (gpu.ghz * 1e9) * 1e3 for unit, n in used.cycles.items() if n}
    return {**times, "memory": 1e9 * itemsize / gpu.memory * 1e3}


Code = dict[int, dict[str, list[gpu_code.Instruction]]]


def compiled(loop: str) -> Code:
    """All kernels of a loop by architecture."""
    sources = {
        arch: gpu_code.cubin(arch, cuda.source(None, loop)) for arch in {g.arch for g in GPUS}
    }
    return {arch: gpu_code.machine_code(code) for arch, code in sources.items()}


def cell(gpu: Gpu, used: Cost, itemsize: int) -> str:
    """The time, what sets it, and instructions a weight."""
    times = bounds(gpu, used, itemsize)
    unit = max(times, key=times.__getitem__)
    return f"{times[unit]:5.2f} {unit:6} {used.instructions:5.1f}"


def run_cost(
    name: str, turns: tuple[list[gpu_code.Instruction], ...], length: int, gpu: Gpu
) -> Cost:
    """What a weight takes in rows of `length`, of so many that threads take all steps they can."""
    step, first = turns
    extent = argument(Runs(0, length, ((1 << 20, length),)), cuda.KERNELS[name], 0, 0, 1)[0]
    way = first + step * (int(extent["steps_of_thread"]) - 1)
    return cost(way, length / int(extent["threads_of_run"]["value"]), gpu)


def table(gpus: tuple[Gpu, ...], cells: Callable[[str], list[str]], *columns: str) -> Table:
    """A row for each kernel."""
    made = Table("kernel", caption="milliseconds for 1e9 weights; instructions a weight")
    for column in columns or [f"{gpu.name}, sm_{gpu.arch}" for gpu in gpus]:
        made.add_column(column, no_wrap=True)
    for name in cuda.KERNELS:
        made.add_row(name, *cells(name))
    return made


def main() -> None:
    if absent := gpu_code.missing():
        sys.exit(f'the kernels cannot be compiled here: no {absent}; pip install "philinit[test]"')
    console = Console(width=130)
    console.print(
        "[bold]Computed[/], not measured: the best there can be, and the unit that sets it"
    )
    code = compiled("fill")
    if "--runs" in sys.argv[1:]:
        runs = compiled("runs")
        for gpu in GPUS:

            def cells(name: str, gpu: Gpu = gpu) -> list[str]:
                kernel, here = cuda.KERNELS[name], runs[gpu.arch][name]
                turns = gpu_code.shortest_turn(here), gpu_code.shortest_turn(here, new_run=True)
                plain = cost(gpu_code.shortest_turn(code[gpu.arch][name]), cuda.group(kernel), gpu)
                used = [plain, *(run_cost(name, turns, length, gpu) for length in (1024, 128, 16))]
                return [cell(gpu, each, kernel.itemsize) for each in used]

            console.print(f"[bold]{gpu.name}, sm_{gpu.arch}[/]")
            console.print(table((gpu,), cells, "consecutive", "rows of 1024", "128", "16"))
        return

    def whole_loops(name: str) -> list[str]:
        kernel = cuda.KERNELS[name]
        loops = [(gpu, gpu_code.main_loop(code[gpu.arch][name])) for gpu in GPUS]
        return [
            cell(gpu, cost(loop, cuda.group(kernel), gpu), kernel.itemsize) for gpu, loop in loops
        ]

    console.print(table(GPUS, whole_loops))
    console.print(
        "Memory sets the bound on an H100 up to 39 instructions a weight in float32, 20 in 16 bits "
        "and 79 in float64."
    )


if __name__ == "__main__":
    main()
