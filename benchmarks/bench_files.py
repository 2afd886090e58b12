# SPDX-License-Identifier: Apache-2.0
"""Files of weights beside dd on the same disk, and `verify` beside a fill in memory.

    python benchmarks/bench_files.py [--folder DIR] [--mib 2048] [--rounds 5] [--json PATH]

Disk: `philinit fill` writes a .npy of a given size; dd writes zeros, which cost nothing to make,
of the same size, in blocks of the same size, and both wait until the disk has everything (dd by
conv=fdatasync). dd runs twice, through the page cache and past it (oflag=direct); what counts is
the faster one. Beside them: fill through the page cache, and a memmap, which is what fill would be
without buffers of its own. Contenders take turns, each on a disk with nothing left to write, and
every file is removed.

Memory: `verify` of a file in the page cache, beside a fill of as many resident bytes; three times
the rounds, since they are short.

Interpreters and compiled kernels are warm: dd's start takes a millisecond, Python's some hundred.
Times are medians; all of them are in the JSON.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np

import philinit as pi
import scripts
from philinit.files.tensors import Tensor
from philinit.files.unfinished import Unfinished, amount
from philinit.files.verify import verify_file
from philinit.files.write import PIECE, write_file
from philinit.initializers.base import Initializer
from philinit.tools.measure.clock import Times, in_turns, timed
from philinit.tools.measure.machine import machine_facts

HEADER = 128  # bytes of a .npy file before its elements
FLOAT32 = np.dtype(np.float32)
INITS: dict[str, Initializer] = {
    "uniform": pi.Uniform(seed=42),
    "truncated normal": pi.TruncatedNormal(seed=42),
    "normal": pi.Normal(seed=42),
}
# O_DIRECT has to be worth its code: 15 % at least.
TARGETS = {"fill / dd": 0.8, "fill / fill by the page cache": 1.15}
VERIFY_TARGET = 0.5


def tensor_of(size: int, init: Initializer) -> Tensor:
    """A vector that makes a .npy file of `size` bytes."""
    return Tensor("", init, ((size - HEADER) // 4,), FLOAT32)


def fill(path: Path, size: int) -> None:
    write_file(path, [tensor_of(size, INITS["uniform"])])


def fill_by_page_cache(path: Path, size: int) -> None:
    """The same without O_DIRECT: how much that gains."""
    with mock.patch.object(Unfinished, "_switch_direct", return_value=False):
        fill(path, size)


def memmap(path: Path, size: int) -> None:
    tensor = tensor_of(size, INITS["uniform"])
    weights = np.asarray(np.lib.format.open_memmap(path, "w+", FLOAT32, tensor.shape))
    for start in range(0, tensor.size, PIECE // 4):
        tensor.write(weights[start : start + PIECE // 4], start)
    fd = os.open(path, os.O_RDWR)
    os.fdatasync(fd)
    os.close(fd)


def dd(path: Path, size: int, *flags: str) -> None:
    command = ["dd", "if=/dev/zero", f"of={path}", f"bs={PIECE}", f"count={size // PIECE}"]
    subprocess.run([*command, "conv=fdatasync", *flags], check=True, stderr=subprocess.DEVNULL)


CONTENDERS: dict[str, Callable[[Path, int], None]] = {
    "philinit fill": fill,
    "philinit fill, page cache": fill_by_page_cache,
    "dd": dd,
    "dd oflag=direct": lambda path, size: dd(path, size, "oflag=direct"),
    "memmap": memmap,
}


def disk_times(folder: Path, size: int, rounds: int) -> Times:
    """Seconds of each contender, in turns."""
    path = folder / "bench.npy"
    times: Times = {name: [] for name in CONTENDERS}
    for number in range(rounds + 1):  # the first round warms up
        for name, write in CONTENDERS.items():
            os.sync()
            try:
                seconds = timed(functools.partial(write, path, size))[0]
                assert path.stat().st_size == size, name
            except subprocess.CalledProcessError:  # a file system without direct writes
                seconds = float("inf")
            finally:
                path.unlink(missing_ok=True)
            if number:
                times[name].append(seconds)
    return times


def verify_times(path: Path, size: int, rounds: int, init: Initializer) -> Times:
    """Seconds of a fill in memory and of a verification of as many bytes, in turns."""
    tensor = tensor_of(size, init)
    weights = init(tensor.shape)
    np.save(path, weights)
    assert verify_file(path, [tensor])[0].equal
    calls = {"fill": lambda: init.fill(weights), "verify": lambda: verify_file(path, [tensor])}
    return in_turns(calls, rounds)


def table(size: int, disk: Times, verify: dict[str, Times]) -> tuple[str, dict[str, float]]:
    """The medians in Markdown, and the ratios that must be reached."""
    rate = {name: size / median(seconds) / 1e9 for name, seconds in disk.items()}
    best = max(rate["dd"], rate["dd oflag=direct"])
    lines = ["| on disk | GB/s | of the faster dd |", "|---|---|---|"]
    lines += [f"| {name} | {gb:.2f} | {gb / best:.2f} |" for name, gb in rate.items()]
    ratios = {
        "fill / dd": rate["philinit fill"] / best,
        "fill / fill by the page cache": rate["philinit fill"] / rate["philinit fill, page cache"],
    }
    lines += ["", "| in memory, float32 | fill, GB/s | verify, GB/s | ratio |", "|---|---|---|---|"]
    for what, times in verify.items():
        filled, verified = (size / median(times[name]) / 1e9 for name in ("fill", "verify"))
        ratios[f"verify / fill, {what}"] = verified / filled
        lines.append(f"| {what} | {filled:.1f} | {verified:.1f} | {verified / filled:.2f} |")
    return "\n".join(lines), ratios


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 1 where there is no room."""
    parser = scripts.options(__doc__)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on the disk to measure")
    parser.add_argument("--mib", type=int, default=2048, help="size of the file on disk")
    parser.add_argument("--memory-mib", type=int, default=1024, help="size of the file in memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    size, in_memory = (max(mib, 8) << 20 for mib in (options.mib, options.memory_mib))
    size -= size % PIECE
    if (free := shutil.disk_usage(options.folder).free) < 2 * max(size, in_memory):
        print(f"`--folder` must have {amount(2 * max(size, in_memory))} free; {amount(free)} are")
        return 1
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="philinit-bench-") as name:
        disk = disk_times(Path(name), size, options.rounds)
        path = Path(name) / "verify.npy"
        verify = {
            what: verify_times(path, in_memory, 3 * options.rounds, init)
            for what, init in INITS.items()
        }
    text, ratios = table(size, disk, verify)
    facts = machine_facts()
    print(f"{facts['processor']}, {facts['threads']} threads; {amount(size)} on disk\n\n{text}\n")
    for what, ratio in ratios.items():
        target = TARGETS.get(what, VERIFY_TARGET)
        print(
            f"{what}: {ratio:.2f} (target {target}: {'reached' if ratio >= target else 'MISSED'})"
        )
    if options.json is not None:
        figures = {"bytes": size, "memory_bytes": in_memory, "ratios": ratios}
        figures |= {"disk_seconds": disk, "memory_seconds": verify}
        scripts.write(options.json, "files", **figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
