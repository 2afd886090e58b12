# SPDX-License-Identifier: Apache-2.0
"""The ratios that must be reached, each within one run: contenders in turns, A B C A B C.

    python benchmarks/ratios.py [--quick] [--size 2**28] [--rounds 15] [--threads N] [--json PATH]

The median time of each contender counts: memset is the least steady of them, at times twice as
fast for one round, which no share of it should hang on. Writes JSON with every single time,
prints the table. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import philinit as pi
from contenders import CONTENDERS, Call, check
from philinit._measuring import free_memory, machine_facts
from philinit.dtypes import as_dtype
from philinit.memory import empty
from processes import first_fill_seconds, import_ratio, memory_extras

MIB = 1 << 20
Times = dict[str, list[float]]


@dataclass(frozen=True)
class Row:
    """One line of the table: a measured figure and what it must be."""

    what: str
    measured: float | None
    bound: float
    at_most: bool = False
    unit: str = "x"
    aim: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the figure is within its bound; None where it could not be measured."""
        if self.measured is None:
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


def in_turns(calls: dict[str, Call], rounds: int, slow_rounds: int = 0) -> Times:
    """Seconds of each call in each round; slow peers take part in the first rounds only."""
    times: Times = {name: [] for name in calls}
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            for name, call in calls.items():
                if slow_rounds and number >= slow_rounds and CONTENDERS[name].slow:
                    continue
                start = time.perf_counter()
                made = call()
                times[name].append(time.perf_counter() - start)
                del made
    finally:
        gc.enable()
    return times


def race(names: list[str], size: int, rounds: int, threads: int | None) -> Times:
    """Prepare, warm up and check the contenders, then time them in turns."""
    calls = {name: CONTENDERS[name].prepare(size, threads) for name in names}
    for name, call in calls.items():
        check(CONTENDERS[name], call(), size)
    return in_turns(calls, rounds, slow_rounds=min(rounds, 3))


def small_calls(rounds: int) -> Times:
    """Seconds a call on small tensors, warm: the best of `rounds` batches."""
    import keras

    rule = keras.initializers.GlorotUniform(seed=42)
    init = pi.GlorotUniform(seed=42)
    times: Times = {}
    for side, batch in ((64, 200), (512, 20)):
        shape = (side, side)
        calls: dict[str, Callable[[], Any]] = {
            f"philinit ({side}, {side})": lambda shape=shape: init(shape),  # type: ignore[misc]
            f"keras ({side}, {side})": lambda shape=shape: rule(shape),  # type: ignore[misc]
        }
        for name, call in calls.items():
            call()
            times[name] = []
        for _ in range(rounds):
            for name, call in calls.items():
                start = time.perf_counter()
                for _ in range(batch):
                    call()
                times[name].append((time.perf_counter() - start) / batch)
    return times


def scaling(top: int, rounds: int, threads: int | None) -> dict[int, float]:
    """Best seconds a weight, bfloat16 uniform, for 2**20 .. top weights of resident memory."""
    out = empty((top,), as_dtype("bfloat16"))
    key, wanted = pi.Key.from_seed(42), pi.distributions.Uniform(-0.05, 0.05)
    pi.fill(out, wanted, key, threads=threads)
    sizes = [1 << n for n in range(20, top.bit_length())]
    best = dict.fromkeys(sizes, math.inf)
    for _ in range(rounds):
        for size in sizes:
            # Small sizes repeat, so that each measurement spans at least 2**26 weights.
            repeats = max(1, (1 << 26) // size)
            start = time.perf_counter()
            for _ in range(repeats):
                pi.fill(out[:size], wanted, key, threads=threads)
            best[size] = min(best[size], (time.perf_counter() - start) / repeats / size)
    return best


def rows_of(times: Times, size: int) -> list[Row]:
    """The rows of the table that compare rates."""
    typical = {name: median(taken) for name, taken in times.items() if taken}
    width = {name: as_dtype(CONTENDERS[name].dtype).itemsize for name in typical}

    def rate(name: str) -> float:
        return size * width[name] / typical[name]

    def share(kind: str) -> float:
        return rate(f"philinit {kind} float32") / rate("memset")

    def faster(name: str, peer: str) -> float:
        return typical[peer] / typical[name]

    rows = [
        Row("uniform float32, share of memset", share("uniform"), 0.80, aim=0.90),
        Row(
            "uniform tf.Variable / tf.random.uniform, fresh",
            faster("philinit uniform tf.Variable", "tf.random.uniform"),
            15,
        ),
        Row("truncated float32, share of memset", share("truncated"), 0.55, aim=0.65),
        Row(
            "truncated float32 / keras HeNormal",
            faster("philinit truncated float32", "keras HeNormal"),
            45,
        ),
        Row("normal float32, share of memset", share("normal"), 0.37, aim=0.50),
        Row(
            "normal float32 / tf.random.normal",
            faster("philinit normal float32", "tf.random.normal"),
            20,
        ),
    ]
    for kind in ("uniform", "truncated", "normal"):
        names = f"philinit {kind} bfloat16", f"philinit {kind} float32"
        rows.append(Row(f"{kind} bfloat16, weights/s of float32's", faster(*names), 1.0))
    double = rate("philinit uniform float64") / rate("philinit uniform float32")
    rows.append(Row("uniform float64, GB/s of float32's", double, 0.6))
    return rows


def all_rows(options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Row], Any]:
    """Measure everything; the rows of the table and the raw figures."""
    size, rounds, threads = options.size, options.rounds, options.threads
    raw: dict[str, Any] = {"size": size, "rounds": rounds}
    say("import and first fill")  # while this process is small and idle
    start_rows: list[Row] = []
    philinit, numpy = raw["import_seconds"] = import_ratio(max(3, min(rounds, 7)))
    start_rows.append(Row("import philinit / import numpy", philinit / numpy, 1.3, True))
    warm, cold = raw["first_fill_seconds"] = first_fill_seconds(3)
    start_rows.append(Row("first fill, cached code", warm, 0.6, True, unit="s"))
    start_rows.append(Row("first fill, nothing cached", cold, 3.0, True, unit="s"))

    say(f"resident memory, {size:,} weights")
    names = [c.name for c in CONTENDERS.values() if c.memory == "resident"]
    if options.quick:
        names = [name for name in names if not CONTENDERS[name].slow]
    times = race(names, size, rounds, threads)
    say("fresh tensors")
    fresh = [c.name for c in CONTENDERS.values() if c.memory == "fresh"]
    times |= race(fresh, size, min(rounds, 7), threads)
    raw["seconds"] = times
    rows = rows_of(times, size)

    say("small tensors")
    small = raw["small_seconds"] = small_calls(min(rounds, 7))
    best = {name: min(taken) for name, taken in small.items()}
    rows.append(
        Row("(64, 64) Glorot uniform", best["philinit (64, 64)"] * 1e6, 20, True, unit="us")
    )
    ratio = best["keras (512, 512)"] / best["philinit (512, 512)"]
    rows.append(Row("(512, 512) / keras GlorotUniform", ratio, 12))

    rows += start_rows

    say("peak memory")
    extras = raw["memory_extra_bytes"] = memory_extras(size)
    for name, extra in extras.items():
        title = f"{name.replace('_', ' ')}, peak beyond the tensor"
        rows.append(Row(title, None if extra is None else extra / MIB, 40, True, unit="MiB"))

    top = options.scaling
    while top > 1 << 20 and 2 * top + (1 << 30) > free_memory():
        top //= 2
    say(f"scaling to {top:,} weights, bfloat16")
    costs = scaling(top, min(rounds, 5), threads)
    raw["scaling_seconds_per_weight"] = costs
    flat = [cost for weights, cost in costs.items() if weights >= 1 << 24] or [math.nan]
    spread = max(flat) / min(flat)
    rows.append(Row(f"cost a weight, 2^24 .. 2^{top.bit_length() - 1}: spread", spread, 1.15, True))
    return rows, raw


def show(console: Console, rows: list[Row], times: Times, size: int) -> None:
    """The rates of all contenders, then what was reached."""
    rates = Table("contender", "memory", "ms", "GB/s", "of memset", box=box.SIMPLE_HEAD)
    memset = size * 4 / median(times["memset"])
    for name, taken in times.items():
        contender = CONTENDERS[name]
        rate = size * as_dtype(contender.dtype).itemsize / median(taken)
        share = f"{rate / memset:.2f}" if contender.memory == "resident" else ""
        figures = f"{median(taken) * 1e3:.1f}", f"{rate / 1e9:.2f}", share
        rates.add_row(name, contender.memory, *figures)
    console.print(rates)
    table = Table("ratio within this run", "must be", "aim", "measured", "", box=box.SIMPLE_HEAD)
    for row in rows:
        sign = "<=" if row.at_most else ">="
        measured = "not measured" if row.measured is None else f"{row.measured:.3g} {row.unit}"
        verdict = {None: "", True: "reached", False: "[red]missed[/red]"}[row.reached]
        aim = "" if row.aim is None else f"{row.aim:g}"
        table.add_row(row.what, f"{sign} {row.bound:g} {row.unit}", aim, measured, verdict)
    console.print(table)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2**24 weights, three rounds")
    parser.add_argument("--size", type=lambda text: int(float(text)), help="weights")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--scaling", type=lambda text: int(float(text)), help="top of the scaling")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    options.size = options.size or (1 << 24 if options.quick else 1 << 28)
    options.rounds = options.rounds or (3 if options.quick else 15)
    options.scaling = options.scaling or (1 << 26 if options.quick else 1 << 32)
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    path = options.json or Path(__file__).parent / "results" / f"ratios-{stamp}.json"
    path.parent.mkdir(parents=True, exist_ok=True)

    console = Console() if sys.stdout.isatty() else Console(width=100, color_system=None)
    started = time.perf_counter()

    def say(text: str) -> None:
        console.print(f"{time.perf_counter() - started:6.1f} s  {text}", highlight=False)

    rows, raw = all_rows(options, say)
    show(console, rows, raw["seconds"], options.size)
    table = [
        {"what": r.what, "measured": r.measured, "bound": r.bound, "reached": r.reached}
        for r in rows
    ]
    document = {"date": stamp, "machine": machine_facts(options.threads), "table": table, **raw}
    path.write_text(json.dumps(document, indent=1, default=_plain) + "\n", encoding="utf-8")
    console.print(f"written: {path}", highlight=False)
    return 0


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else str(value)


if __name__ == "__main__":
    sys.exit(main())
