# SPDX-License-Identifier: Apache-2.0
"""Keras's initializers beside philinit's in Keras: single tensors, and whole models being built.

    python benchmarks/bench_keras.py [--quick] [--max-params 2**28] [--rounds N] [--json PATH]

Every ratio is one of medians within one run, contenders in turns: Keras, philinit with Keras's own
bits (sampler "tensorflow"), philinit at its fastest (sampler "native"). Each tensor is new, in
TensorFlow's memory. That the first two have equal bits is asserted before anything is timed.
Writes JSON with every single time, prints the tables. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import philinit.keras as pk
import scripts
from philinit.tools.bench.calls import weights_of
from philinit.tools.measure.clock import Call, Times, in_turns
from philinit.tools.measure.machine import free_memory

LARGEST = 1 << 28
SHAPES = [(64, 64), (512, 512), (4096, 4096), (16384, 16384)]
# The initializers and how many times as fast, at LARGEST and with equal bits, philinit must be.
INITIALIZERS = {"GlorotUniform": 13.0, "HeNormal": 16.0, "RandomNormal": 12.0}
CONTENDERS = ("Keras", "philinit, Keras's bits", "philinit, native")


@dataclass(frozen=True)
class Result:
    """Seconds of each round by contender, for one thing that all of them made."""

    what: str
    weights: int
    seconds: Times
    bound: float | None = None

    def ms(self, name: str) -> float:
        """Median milliseconds."""
        return median(self.seconds[name]) * 1e3

    def faster(self, name: str) -> float:
        """How many times as fast as Keras."""
        return self.ms(CONTENDERS[0]) / self.ms(name)

    @property
    def reached(self) -> bool | None:
        """Whether the ratio with equal bits is within its bound; None where there is no bound."""
        return None if self.bound is None else self.faster(CONTENDERS[1]) >= self.bound


def assert_same_bits(what: str, found: list[Any], wanted: list[Any]) -> None:
    """Tensor by tensor, read in place."""
    for one, other in zip(found, wanted, strict=True):
        a, b = weights_of(one), weights_of(other)
        if a.dtype != b.dtype or not np.array_equal(a.view(np.uint8), b.view(np.uint8)):
            raise AssertionError(f"{what}: philinit's bits are not Keras's")


def accelerated(call: Call, sampler: str | None) -> Call:
    """The same call inside `philinit.keras.accelerate`; with sampler None, as it is."""

    def inside() -> Any:
        with contextlib.nullcontext() if sampler is None else pk.accelerate(sampler=sampler):
            return call()

    return inside


def all_three(call: Call) -> dict[str, Call]:
    """One call of Keras's, for each contender."""
    samplers = (None, "tensorflow", "native")
    return {
        name: accelerated(call, sampler) for name, sampler in zip(CONTENDERS, samplers, strict=True)
    }


# ---------------------------------------------------------------------------- single tensors


def tensor(name: str, shape: tuple[int, int], rounds: int) -> Result:
    """One tensor by one initializer; small ones are made many times in a round."""
    size = shape[0] * shape[1]
    inits = (
        getattr(keras.initializers, name)(seed=42),
        getattr(pk, name)(seed=42),
        getattr(pk, name)(seed=42, sampler="native"),
    )
    assert_same_bits(f"{name}{shape}", [inits[1](shape)], [inits[0](shape)])
    inits[2](shape)  # warm
    batch = max(1, (1 << 20) // size)

    def repeated(init: Any) -> Call:
        def call() -> None:
            for _ in range(batch):
                init(shape)

        return call

    calls = {who: repeated(init) for who, init in zip(CONTENDERS, inits, strict=True)}
    seconds = {
        who: [taken / batch for taken in times] for who, times in in_turns(calls, rounds).items()
    }
    bound = INITIALIZERS[name] if size == LARGEST else None
    return Result(f"{name} {shape}", size, seconds, bound)


# ---------------------------------------------------------------------------- models


def resnet50() -> Any:
    """Keras's own: 54 layers with weights to draw, 25.6 million of them, by its defaults."""
    return keras.applications.ResNet50(weights=None)


def transformer_block(width: int) -> Any:
    """Seven layers with weights, 12 width**2 of them; the attention between them has none."""
    dense, x = keras.layers.Dense, keras.Input((16, width))
    normed = keras.layers.LayerNormalization()(x)
    query, key, value = dense(width)(normed), dense(width)(normed), dense(width)(normed)
    y = dense(width)(keras.layers.Attention()([query, value, key]))
    y = dense(4 * width, activation="relu", kernel_initializer="he_normal")(y)
    return keras.Model(x, dense(width)(y))


def model(what: str, build: Call, rounds: int) -> list[Result]:
    """The whole build, Keras's own work included; then its kernels alone."""

    def seeded() -> Any:
        keras.utils.set_random_seed(1)
        return build()

    made = seeded()
    again = accelerated(seeded, "tensorflow")()
    assert_same_bits(what, again.variables, made.variables)
    del again
    accelerated(seeded, "native")()  # warm
    weights = made.count_params()
    whole = Result(
        f"{what}, built", weights, in_turns(all_three(seeded), rounds, before=gc.collect)
    )
    kernels = [
        (layer.kernel_initializer, tuple(layer.kernel.shape))
        for layer in made.layers
        if hasattr(layer, "kernel")
    ]
    del made

    def draw() -> Any:
        return [init(shape) for init, shape in kernels]

    calls = all_three(draw)
    assert_same_bits(what, calls[CONTENDERS[1]](), draw())
    alone = sum(int(np.prod(shape)) for _, shape in kernels)
    title = f"{what}, {len(kernels)} kernels alone"
    return [whole, Result(title, alone, in_turns(calls, rounds))]


def models(most: int, rounds: int) -> list[Result]:
    """ResNet50 and a transformer block of at most `most` weights."""
    results = []
    if most >= 25_636_712:
        results += model("ResNet50", resnet50, rounds)
    width = 16
    while width < 4096 and 12 * (2 * width) ** 2 <= most:
        width *= 2
    what = f"transformer {width}"
    return results + model(what, lambda: transformer_block(width), rounds)


# ---------------------------------------------------------------------------- the report


def show(console: Console, title: str, results: list[Result]) -> None:
    """One row a result: milliseconds, and how many times as fast as Keras."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("float32", no_wrap=True)
    for column in ("weights", "Keras", "equal bits", "x", "native", "x", "must be"):
        table.add_column(column, justify="right", no_wrap=True)
    for r in results:
        keras_ms, same, native = (f"{_figure(r.ms(name))} ms" for name in CONTENDERS)
        times = [f"{r.faster(name):.1f}" for name in CONTENDERS[1:]]
        judged = {None: "", True: "reached", False: "[red]missed[/red]"}[r.reached]
        must = "" if r.bound is None else f">= {r.bound:g} {judged}"
        table.add_row(r.what, f"{r.weights:,}", keras_ms, same, times[0], native, times[1], must)
    console.print(table)


def _figure(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "at most 2**25 weights, three rounds")
    parser.add_argument(
        "--max-params", type=scripts.count, help="weights of the largest tensor or model"
    )
    options = parser.parse_args(arguments)
    most = options.max_params or (1 << 25 if options.quick else LARGEST)
    rounds = options.rounds or (3 if options.quick else 7)
    console = scripts.console()
    started = time.perf_counter()

    def say(text: str) -> None:
        console.print(f"{time.perf_counter() - started:6.1f} s  {text}", highlight=False)

    tensors = []
    for shape in SHAPES:
        size = shape[0] * shape[1]
        if size > most:
            continue
        if 3 * 4 * size > free_memory():
            say(f"{shape}: left out, too little memory")
            continue
        say(f"{shape}")
        tensors += [tensor(name, shape, rounds) for name in INITIALIZERS]
    say("models")
    built = models(most, min(rounds, 5))
    say("done")
    show(console, "One tensor: milliseconds, medians; x: how many times as fast as Keras", tensors)
    show(console, "Models, unmodified code, without and with accelerate()", built)
    console.print(
        "equal bits: weights are Keras's own, bit for bit, as was asserted before timing.",
        style="dim",
        highlight=False,
    )
    figures = {"tensors": [_plain(r) for r in tensors], "models": [_plain(r) for r in built]}
    path = scripts.write(options.json, "keras", **figures)
    console.print(f"written: {path}", highlight=False)
    return 0


def _plain(result: Result) -> dict[str, Any]:
    ratios = {name: result.faster(name) for name in CONTENDERS[1:]}
    return {**asdict(result), "times_as_fast": ratios, "reached": result.reached}


if __name__ == "__main__":
    sys.exit(main())
