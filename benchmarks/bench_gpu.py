# SPDX-License-Identifier: Apache-2.0
"""philinit on a GPU beside CuPy, cuRAND's Philox, torch and TensorFlow, and beside memset.

    python benchmarks/bench_gpu.py [--quick] [--device cuda:0] [--sizes 28,30,32] [--json PATH]

In one command, of less than eight minutes: each contender fills 2^28, 2^30 and 2^32 weights as far
as memory allows. Times are medians of batches between two device events; GB/s stand beside
cudaMemsetAsync of the byte 0x5A on the same buffer, in the same run. TensorFlow has streams of its
own, where events of others measure nothing: it is timed by the host's clock between two
synchronizations, and marked so. Writes JSON with every single time, and prints Markdown.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else it takes all memory at once

import numpy as np

import philinit as pi
from philinit.distributions import Distribution, Normal, TruncatedNormal, Uniform
from philinit.dtypes import as_dtype
from philinit.tools.measure.machine import machine_facts
from philinit.tools.selftest import cases as _selftest

BUDGET = 420.0  # seconds: what is not measured by then is left out, and said to be
BATCH_MS = 20.0  # of one batch between two events
KEY = pi.Key.from_seed(42)
DRAWN: dict[str, Distribution] = {
    "uniform": Uniform(-0.05, 0.05),
    "truncated normal": TruncatedNormal(0.0, 0.02),
    "normal": Normal(0.0, 0.02),
}
HEADROOM = 1 << 30  # bytes of the device's memory that nobody may plan with

Call = Callable[[], Any]


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

    @property
    def title(self) -> str:
        """What a line of progress calls it."""
        return f"{self.contender} 2^{self.weights.bit_length() - 1} {self.dtype} {self.what}"

    @property
    def rate(self) -> float:
        """Bytes a second."""
        return self.weights * as_dtype(self.dtype).itemsize / median(self.ms) * 1e3


# --- contenders: (name, clock, memory, call) for one buffer --------------------------------------


def ours(what: str, out: Any) -> Iterator[tuple[str, str, str, Call]]:
    """philinit: consecutive weights, boxes of a wide tensor, and rows by number."""
    yield "philinit", "device events", "in place", lambda: pi.fill(out, DRAWN[what], KEY)
    for name, part in parts_of(out.size):
        call = functools.partial(pi.fill, out.reshape(part.shape), DRAWN[what], KEY, shard=part)
        yield f"philinit, {name}", "device events", "in place", call


def parts_of(count: int) -> Iterator[tuple[str, Any]]:
    """Parts of `count` weights: columns of a table of 2^20, and rows of a table of 2^32 weights."""
    for width in (16, 128, 1024):
        box = pi.Shard((count // width, 1 << 20), (slice(None), slice(width, 2 * width)))
        yield f"boxes {width} wide", box
    ids = np.random.default_rng(1).integers(0, 1 << 25, count // 128)
    yield "rows of 128", pi.Rows((1 << 25, 128), ids)


def cupy_calls(cupy: Any, what: str, out: Any) -> Iterator[tuple[str, str, str, Call]]:
    """CuPy's old interface (cuRAND's default generator) and its Generator over cuRAND's Philox."""
    if out.dtype.name not in ("float32", "float64") or what == "truncated normal":
        return
    size, dtype = out.shape, out.dtype
    philox = cupy.random.Generator(cupy.random.Philox4x3210(42))
    if what == "uniform":
        old, new = cupy.random.random_sample, philox.random
    else:
        old, new = cupy.random.standard_normal, philox.standard_normal
    yield "cupy.random", "device events", "new", lambda: old(size, dtype=dtype)
    yield "cuRAND Philox", "device events", "in place", lambda: new(size, dtype=dtype, out=out)


def torch_calls(cupy: Any, what: str, out: Any) -> Iterator[tuple[str, str, str, Call]]:
    """torch's in-place methods, on the same memory and stream."""
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return
    tensor = torch.from_dlpack(out)
    call = {
        "uniform": lambda: tensor.uniform_(-0.05, 0.05),
        "normal": lambda: tensor.normal_(0.0, 0.02),
        "truncated normal": lambda: torch.nn.init.trunc_normal_(tensor, 0.0, 0.02, -0.04, 0.04),
    }[what]
    yield "torch", "device events", "in place", call


def tensorflow_calls(cupy: Any, what: str, out: Any) -> Iterator[tuple[str, str, str, Call]]:
    """TensorFlow's ops, which make new tensors."""
    tf = importlib.import_module("tensorflow")
    if not tf.config.list_logical_devices("GPU"):
        return
    op = {
        "uniform": tf.random.uniform,
        "normal": tf.random.normal,
        "truncated normal": tf.random.truncated_normal,
    }[what]
    shape, dtype = tuple(out.shape), tf.as_dtype(out.dtype)

    def call() -> None:
        with tf.device("GPU:0"):
            op(shape, dtype=dtype)
        tf.test.experimental.sync_devices()

    yield "TensorFlow", "host clock", "new", call


PEERS = {"cupy": cupy_calls, "torch": torch_calls, "tensorflow": tensorflow_calls}


# --- measuring -----------------------------------------------------------------------------------


def time_of(cupy: Any, call: Call, clock: str, rounds: int) -> list[float]:
    """Milliseconds a call, once for each batch; the first two warm up and tell how long one is."""

    def batch(repeats: int) -> float:
        if clock == "host clock":
            cupy.cuda.Device().synchronize()
            begin = time.perf_counter()
            for _ in range(repeats):
                call()
            return (time.perf_counter() - begin) * 1e3 / repeats
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        for _ in range(repeats):
            call()
        end.record()
        end.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, end)) / repeats

    batch(1)
    repeats = max(1, min(50, int(BATCH_MS / max(batch(1), 1e-3))))
    return [batch(repeats) for _ in range(rounds)]


def check(cupy: Any, out: Any, what: str) -> None:
    """The bits that were written, at three places of each part, are the CPU's."""
    dtype, count = out.dtype, out.size
    pi.fill(out, DRAWN[what], KEY)
    for start in (0, count // 2 + 1, count - 1000):
        want = pi.fill(np.empty(1000, dtype), DRAWN[what], KEY, start)
        if cupy.asnumpy(out[start : start + 1000]).tobytes() != want.tobytes():
            raise RuntimeError(f"{what} {dtype.name}: other bits than the CPU's from {start} on")
    for name, part in parts_of(count):
        here = out.reshape(part.shape)
        pi.fill(here, DRAWN[what], KEY, shard=part)
        for row in (0, len(here) // 2 + 1, len(here) - 1):
            runs = part.as_runs
            place = row if runs.ids is None else int(runs.ids[row])
            start = runs.origin + place * runs.axes[0][1]
            want = pi.fill(np.empty(runs.length, dtype), DRAWN[what], KEY, start)
            if cupy.asnumpy(here[row]).tobytes() != want.tobytes():
                raise RuntimeError(f"{what} {dtype.name} {name}: other bits than the CPU's")


class Run:
    """All measurements of one command: the results so far, and the time that is left."""

    def __init__(self, cupy: Any, options: argparse.Namespace, say: Callable[[str], None]) -> None:
        self.cupy, self.options, self.say = cupy, options, say
        self.results: list[Result] = []
        self.deadline = time.perf_counter() + BUDGET

    def all(self) -> list[Result]:
        """Everything, as far as memory and time go."""
        for bits in self.options.sizes:
            for dtype in ("float32", "bfloat16", "float16", "float64"):
                self.cupy.get_default_memory_pool().free_all_blocks()
                nbytes = as_dtype(dtype).itemsize << bits
                free = self.cupy.cuda.Device().mem_info[0] - HEADROOM
                if nbytes > free:
                    self.say(f"2^{bits} {dtype}: left out, {nbytes >> 30} GiB do not fit")
                else:
                    self.buffer(1 << bits, dtype, 2 * nbytes <= free)
        return self.results

    def buffer(self, count: int, dtype: str, roomy: bool) -> None:
        """All contenders on one buffer; `roomy` is whether another one fits beside it."""
        out = self.cupy.empty(count, as_dtype(dtype))
        self.one(Result("memset", "", dtype, count), _memset(self.cupy, out))
        for what in DRAWN:
            check(self.cupy, out, what)
            for name, clock, memory, call in _contenders(self.cupy, what, out, self.options.peers):
                result = Result(name, what, dtype, count, clock, memory)
                if memory == "new" and not roomy:
                    self.say(f"{result.title}: left out, two tensors do not fit")
                else:
                    self.one(result, call)

    def one(self, result: Result, call: Call) -> None:
        """Time one contender; a peer's failure is a line, not the end."""
        if time.perf_counter() > self.deadline:
            self.say(f"{result.title}: left out, time is up")
            return
        try:
            result.ms = time_of(self.cupy, call, result.clock, self.options.rounds)
        except Exception as error:
            if result.contender in ("philinit", "memset"):
                raise
            said = str(error).partition("\n")[0]
            self.say(f"{result.title}: failed: {said}")
            return
        self.results.append(result)
        self.say(f"{result.title}: {median(result.ms):.3f} ms")


def _memset(cupy: Any, out: Any) -> Call:
    # Not of 0, which some devices write compressed.
    stream, runtime = cupy.cuda.get_current_stream().ptr, cupy.cuda.runtime
    return lambda: runtime.memsetAsync(out.data.ptr, 0x5A, out.nbytes, stream)


def _contenders(
    cupy: Any, what: str, out: Any, peers: bool
) -> Iterator[tuple[str, str, str, Call]]:
    yield from ours(what, out)
    for module, calls in PEERS.items() if peers else ():
        try:
            yield from calls(cupy, what, out)
        except ImportError:
            if module == "cupy":
                raise


# --- what is printed and written -----------------------------------------------------------------


def markdown(results: list[Result], facts: dict[str, Any]) -> str:
    """Measured figures as a table; none of them is computed."""
    lines = [
        f"Measured on {facts['device']}, {facts['date']}: driver {facts['driver']}, CUDA runtime "
        f"{facts['runtime']}, CuPy {facts['cupy']}, philinit {pi.__version__}.",
        "",
        "| weights | dtype | what | contender | ms | GB/s | of memset | philinit as fast, times |",
        "|---|---|---|---|---|---|---|---|",
    ]
    memset = {(r.weights, r.dtype): r.rate for r in results if r.contender == "memset"}
    own = {(r.weights, r.dtype, r.what): r.rate for r in results if r.contender == "philinit"}
    for r in results:
        wide = memset.get((r.weights, r.dtype))
        share = f"{r.rate / wide:.2f}" if wide else ""
        mine = own.get((r.weights, r.dtype, r.what))
        times = f"{mine / r.rate:.2f}" if mine and r.contender != "philinit" else ""
        note = "".join(
            f" ({text})" for text in (r.memory, r.clock) if text in ("new", "host clock")
        )
        lines.append(
            f"| 2^{r.weights.bit_length() - 1} | {r.dtype} | {r.what} | {r.contender}{note} | "
            f"{median(r.ms):.3f} | {r.rate / 1e9:.0f} | {share} | {times} |"
        )
    return "\n".join(lines)


def facts_of(cupy: Any) -> dict[str, Any]:
    """Device, driver, versions and date."""
    runtime = cupy.cuda.runtime
    device = cupy.cuda.Device()
    name = runtime.getDeviceProperties(device.id)["name"]
    return {
        "device": name.decode() if isinstance(name, bytes) else str(name),
        "compute capability": device.compute_capability,
        "multiprocessors": device.attributes["MultiProcessorCount"],
        "memory": device.mem_info[1],
        "date": time.strftime("%Y-%m-%d"),
        "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "machine": machine_facts(None),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print; exit code 1 where there is no device or wrong bits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2^24 weights, three rounds")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument(
        "--sizes",
        type=lambda text: [int(bits) for bits in text.split(",")],
        help="logarithms of the numbers of weights; 28,30,32 unless given",
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--no-peers", dest="peers", action="store_false", help="philinit alone")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    options.sizes = options.sizes or ([24] if options.quick else [28, 30, 32])
    options.rounds = options.rounds or (3 if options.quick else 9)

    devices, why = _selftest.devices()
    if options.device not in devices:
        print(why or f"`--device` must be one of {devices[1:]}; got {options.device}")
        return 1
    import cupy

    started = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - started:6.1f} s  {text}", flush=True)

    with cupy.cuda.Device(int(options.device.partition(":")[2])):
        try:
            results = Run(cupy, options, say).all()
        except RuntimeError as error:
            print(error)
            return 1
        facts = facts_of(cupy)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    path = options.json or Path(__file__).parent / "results" / f"gpu-{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {**facts, "measured": [asdict(result) for result in results]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    table = markdown(results, facts)
    path.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    print(f"\n{table}\n\nwritten: {path}, {path.with_suffix('.md')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
