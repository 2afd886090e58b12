# SPDX-License-Identifier: Apache-2.0
"""philinit on a GPU beside CuPy, cuRAND's Philox, torch, JAX and TensorFlow, and beside memset.

    python benchmarks/bench_gpu.py [--quick] [--device cuda:0] [--sizes 28,30] [--json PATH]

In one command, of less than eight minutes, after two seconds of warming up: each contender fills
2^28, 2^30, 2^12, 2^18 and 2^32 weights as far as memory and time allow, in turns with memset on the
same buffer. Times are medians of batches. Each result goes into the JSON, with every single time,
as it comes; Markdown is printed at the end, and quotes no rate of a buffer that the L2 cache holds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else it takes all memory at once
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # likewise

import numpy as np

import philinit as pi
from gpu_contenders import DRAWN, KEY, Call, Contender, contenders, memset, parts_of
from philinit.dtypes import as_dtype
from philinit.tools.measure.machine import machine_facts
from philinit.tools.selftest import cases as _selftest

WARM_UP = 2.0  # seconds of memset before anything is timed: clocks rise with work
BUDGET = 420.0  # seconds: what is not measured by then is left out, and said to be
BATCH_MS = 20.0  # of one batch between two events
HOST_LIMIT = 0.9  # of the time of a call: where the host takes as much to queue it, it is the limit
HEADROOM = 1 << 30  # bytes of the device's memory that nobody may plan with
SIZES = [28, 30, 12, 18, 32]

Say = Callable[[str], None]


@dataclass
class Result:
    """What was measured of one contender at one size."""

    contender: str
    what: str
    dtype: str
    weights: int
    clock: str = "device events"
    memory: str = "in place"
    ms: list[float] = field(default_factory=list)
    memset_ms: list[float] = field(default_factory=list)  # of the batches in between
    host_ms: list[float] = field(default_factory=list)  # that the host took to queue a call

    @property
    def title(self) -> str:
        """What a line of progress calls it."""
        return f"{self.contender} 2^{self.weights.bit_length() - 1} {self.dtype} {self.what}"

    @property
    def nbytes(self) -> int:
        """Of the buffer."""
        return self.weights * as_dtype(self.dtype).itemsize

    @property
    def by_the_host(self) -> bool:
        """Whether the time is that of the host."""
        events = self.clock == "device events"
        return events and median(self.host_ms) >= HOST_LIMIT * median(self.ms)


# --- measuring -----------------------------------------------------------------------------------


def batch(cupy: Any, call: Call, repeats: int, wait: Call | None) -> tuple[float, float]:
    """Milliseconds a call, and those of them that the host took to queue it."""
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    if wait is not None:
        cupy.cuda.Device().synchronize()
    begin = time.perf_counter()
    start.record()
    for _ in range(repeats):
        call()
    end.record()
    host = (time.perf_counter() - begin) * 1e3 / repeats
    if wait is not None:
        wait()
        return (time.perf_counter() - begin) * 1e3 / repeats, host
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / repeats, host


def measure(cupy: Any, contender: Contender, set_memory: Call, rounds: int, into: Result) -> None:
    """Fill in the times; the first two batches warm up, and tell how long one is."""
    turns = [(contender.call, contender.wait, into.ms), (set_memory, None, into.memset_ms)]
    repeats = []
    for call, wait, _ in turns:
        batch(cupy, call, 1, wait)
        took, _ = batch(cupy, call, 1, wait)
        repeats.append(max(1, min(200, int(BATCH_MS / max(took, 1e-3)))))
    for _ in range(rounds):
        for (call, wait, times), count in zip(turns, repeats, strict=True):
            took, host = batch(cupy, call, count, wait)
            times.append(took)
            if times is into.ms:
                into.host_ms.append(host)


def check(cupy: Any, out: Any, what: str) -> None:
    """The bits that were written, at three places of each part, are the CPU's."""
    dtype, count = out.dtype, out.size
    pi.fill(out, DRAWN[what], KEY)
    for start in (0, count // 2 + 1, count - 1000):
        want = pi.fill(np.empty(1000, dtype), DRAWN[what], KEY, start)
        if cupy.asnumpy(out[start : start + 1000]).tobytes() != want.tobytes():
            raise RuntimeError(f"{what} {dtype.name}: other bits than the CPU's from {start} on")
    for name, part in parts_of(cupy, count):
        here = out.reshape(part.shape)
        pi.fill(here, DRAWN[what], KEY, shard=part)
        for row in (0, len(here) // 2 + 1, len(here) - 1):
            runs = part.as_runs
            place = row if runs.ids is None else int(cupy.asnumpy(runs.ids)[row])
            start = runs.origin + place * runs.axes[0][1]
            want = pi.fill(np.empty(runs.length, dtype), DRAWN[what], KEY, start)
            if cupy.asnumpy(here[row]).tobytes() != want.tobytes():
                raise RuntimeError(f"{what} {dtype.name} {name}: other bits than the CPU's")


class Run:
    """All measurements of one command: the results so far, and the time that is left."""

    def __init__(self, cupy: Any, options: argparse.Namespace, say: Say) -> None:
        self.cupy, self.options, self.say = cupy, options, say
        self.results: list[Result] = []
        self.document: dict[str, Any] = {**facts_of(cupy), "clocks": [], "starts": []}
        self.deadline = time.perf_counter() + BUDGET

    def all(self) -> None:
        """Everything, as far as memory and time go."""
        cupy = self.cupy
        self.warm_up()
        self.document["starts"] = cold_starts(self.options.device, self.say)
        for bits in self.options.sizes:
            for dtype in ("float32", "bfloat16", "float16", "float64"):
                cupy.get_default_memory_pool().free_all_blocks()
                nbytes = as_dtype(dtype).itemsize << bits
                free = cupy.cuda.Device().mem_info[0] - HEADROOM
                if nbytes > free:
                    self.say(f"2^{bits} {dtype}: left out, {nbytes >> 30} GiB do not fit")
                else:
                    self.buffer(1 << bits, dtype, 2 * nbytes <= free)
                self.document["clocks"].append([f"2^{bits} {dtype}", clocks(self.options.device)])
        self.write()

    def warm_up(self) -> None:
        """Keep the device busy until its clocks are up."""
        out, device = self.cupy.empty(1 << 26, np.uint8), self.cupy.cuda.Device()
        until, call = time.perf_counter() + WARM_UP, memset(self.cupy, out)
        self.document["clocks"].append(["cold", clocks(self.options.device)])
        while time.perf_counter() < until:
            call()
            device.synchronize()
        self.document["clocks"].append(["warm", clocks(self.options.device)])

    def buffer(self, count: int, dtype: str, roomy: bool) -> None:
        """All contenders on one buffer; `roomy` is whether another one fits beside it."""
        out = self.cupy.empty(count, as_dtype(dtype))
        for what in DRAWN:
            check(self.cupy, out, what)
            for one in contenders(self.cupy, what, out, self.options.peers, self.say):
                clock = "device events" if one.wait is None else "host clock"
                result = Result(one.name, what, dtype, count, clock, one.memory)
                if one.memory == "new" and not roomy:
                    self.say(f"{result.title}: left out, two tensors do not fit")
                else:
                    self.one(result, one, memset(self.cupy, out))

    def one(self, result: Result, contender: Contender, set_memory: Call) -> None:
        """Time one contender, and write it down; a peer's failure is a line, not the end."""
        if time.perf_counter() > self.deadline:
            self.say(f"{result.title}: left out, time is up")
            return
        try:
            measure(self.cupy, contender, set_memory, self.options.rounds, result)
        except Exception as error:
            if result.contender.startswith("philinit"):
                raise
            said = str(error).partition("\n")[0]
            self.say(f"{result.title}: failed: {said}")
            return
        self.results.append(result)
        self.write()
        self.say(f"{result.title}: {median(result.ms):.4f} ms")

    def write(self) -> None:
        """All that is known by now."""
        self.document["measured"] = [asdict(result) for result in self.results]
        text = json.dumps(self.document, indent=1) + "\n"
        self.options.json.write_text(text, encoding="utf-8")


COLD = """
import time
begin = time.perf_counter()
import cupy
cupy.cuda.Device({index}).use()
cupy.zeros(1)
ready = time.perf_counter()
import philinit as pi
pi.glorot_uniform((512, 512), seed=1, device="cuda:{index}")
cupy.cuda.Device().synchronize()
print(ready - begin, time.perf_counter() - ready)
"""


def cold_starts(device: str, say: Say) -> list[list[Any]]:
    """Seconds of a fresh process: CuPy with its context, then philinit with its first fill."""
    found: list[list[Any]] = []
    code = COLD.format(index=device.partition(":")[2])
    with tempfile.TemporaryDirectory() as folder:
        for label in ("nothing compiled", "from the cache"):
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PHILINIT_CACHE_DIR": folder},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                say(f"a fresh process, {label}: failed: {done.stderr.strip().splitlines()[-1]}")
                continue
            found.append([label, *map(float, done.stdout.split())])
            say(f"a fresh process, {label}: {done.stdout.strip()} s")
    return found


def clocks(device: str) -> str:
    """Clocks, power and what holds them back, as nvidia-smi tells; "" without it."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    asked = "clocks.sm,clocks.mem,power.draw,temperature.gpu,clocks_event_reasons.active"
    command = [
        tool,
        f"--query-gpu={asked}",
        "--format=csv,noheader",
        "-i",
        device.partition(":")[2],
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


# --- what is printed and written -----------------------------------------------------------------


def markdown(results: list[Result], facts: dict[str, Any]) -> str:
    """Measured figures as tables; none of them is computed."""
    large = [r for r in results if r.nbytes > facts["L2 cache"]]
    small = [r for r in results if r.nbytes <= facts["L2 cache"]]
    lines = [
        f"Measured on {facts['device']}, {facts['date']}: driver {facts['driver']}, CUDA runtime "
        f"{facts['runtime']}, CuPy {facts['cupy']}, philinit {pi.__version__}. Medians.",
    ]
    if large:
        lines += [
            "",
            "| weights | dtype | what | contender | ms | GB/s | of memset beside it | "
            "host, us a call | philinit as fast, times |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
    own = {(r.weights, r.dtype, r.what): median(r.ms) for r in results if r.contender == "philinit"}
    for r in large:
        ms, mine = median(r.ms), own.get((r.weights, r.dtype, r.what))
        times = f"{ms / mine:.2f}" if mine and r.contender != "philinit" else ""
        lines.append(
            f"| 2^{r.weights.bit_length() - 1} | {r.dtype} | {r.what} | {_named(r)} | {ms:.3f} | "
            f"{r.nbytes / ms / 1e6:.0f} | {median(r.memset_ms) / ms:.2f} | "
            f"{median(r.host_ms) * 1e3:.0f} | {times} |"
        )
    if small:
        lines += [
            "",
            "Small tensors, which the L2 cache holds: times of calls back to back, no rates.",
            "",
            "| weights | dtype | what | contender | us | memset beside it, us |",
            "|---|---|---|---|---|---|",
        ]
    for r in small:
        lines.append(
            f"| 2^{r.weights.bit_length() - 1} | {r.dtype} | {r.what} | {_named(r)} | "
            f"{median(r.ms) * 1e3:.1f} | {median(r.memset_ms) * 1e3:.1f} |"
        )
    for label, context, first in facts["starts"]:
        lines += ["", f"A fresh process, {label}: CuPy {context:.2f} s, first fill {first:.2f} s."]
    return "\n".join(lines)


def _named(result: Result) -> str:
    notes = [text for text in (result.memory, result.clock) if text in ("new", "host clock")]
    notes += ["the host is the limit"] * result.by_the_host
    return result.contender + (f" ({', '.join(notes)})" if notes else "")


def facts_of(cupy: Any) -> dict[str, Any]:
    """Device, driver, versions and date."""
    runtime = cupy.cuda.runtime
    device = cupy.cuda.Device()
    properties = runtime.getDeviceProperties(device.id)
    name = properties["name"]
    return {
        "device": name.decode() if isinstance(name, bytes) else str(name),
        "compute capability": device.compute_capability,
        "multiprocessors": device.attributes["MultiProcessorCount"],
        "memory": device.mem_info[1],
        "L2 cache": properties["l2CacheSize"],
        "date": time.strftime("%Y-%m-%d"),
        "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "machine": machine_facts(None),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print; exit code 1 where there is no device or wrong bits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2^26 weights, three rounds")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(bits) for bits in text.split(",")],
        help=f"logarithms of the numbers of weights; {','.join(map(str, SIZES))} unless given",
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="philinit alone")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    options.sizes = options.sizes or ([26] if options.quick else SIZES)
    options.rounds = options.rounds or (3 if options.quick else 9)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    results = Path(__file__).parent / "results"
    options.json = options.json or results / f"gpu-{stamp}.json"

    devices, why = _selftest.devices()
    if options.device not in devices:
        print(why or f"`--device` must be one of {devices[1:]}; got {options.device}")
        return 1
    import cupy

    options.json.parent.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - started:6.1f} s  {text}", flush=True)

    with cupy.cuda.Device(int(options.device.partition(":")[2])):
        run = Run(cupy, options, say)
        try:
            run.all()
        except RuntimeError as error:
            print(error)
            return 1
    table = markdown(run.results, run.document)
    path = options.json.with_suffix(".md")
    path.write_text(table + "\n", encoding="utf-8")
    print(f"\n{table}\n\nwritten: {options.json}, {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
