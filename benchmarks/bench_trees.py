# SPDX-License-Identifier: Apache-2.0
"""A pytree of GPT-2's shapes filled in JAX: jax.nn.initializers under jit beside philinit.

    python benchmarks/bench_trees.py [--quick] [--max-params 2**31] [--rounds N] [--json PATH]

The shapes are those of GPT-2 XL, 1.5 billion parameters (fewer layers where --max-params or memory
say so), as `jax.eval_shape` gives them for a function that draws each by jax.nn.initializers. JAX
runs that function, compiled before; `philinit.jax.initialize` fills the shapes by their names.
Both make new arrays each time, on new pages of memory; what memset needs for as many bytes on such
pages stands beside. Before each call as much memory is written and given back: the host of a
virtual machine takes free pages, and hands them out again in its own time. Ratios are of medians
within one run, contenders in turns. That mean and stddev of every matrix are right is asserted
before anything is timed. Writes JSON with every single time, prints a table. Exit code 0 whatever
was reached.
"""

from __future__ import annotations

import math
import os
import sys
from statistics import median
from typing import Any

import jax
import numpy as np

import philinit as pi
import philinit.jax as pij
import scripts
from model_results import CONTEXT, STDDEV, TRUNCATED, Result, rows, show, sizes
from philinit.filling.memory import empty
from philinit.tools.measure.clock import Call, in_turns
from philinit.tools.measure.machine import cpus, free_memory
from philinit.tools.measure.memory import memset, warm_pages

CONTENDERS = ("JAX", "philinit", "new pages alone")
MUST = 10.0
TREES = 3  # as much memory as JAX takes for one
LIMIT = math.sqrt(3.0) * STDDEV
INITIALIZERS: dict[str, tuple[Any, Any, float]] = {  # JAX's, philinit's, and the stddev of both
    "normal": (jax.nn.initializers.normal(STDDEV), pi.Normal(0.0, STDDEV), STDDEV),
    # JAX's uniform begins at 0: its scaled twin is what goes both ways.
    "uniform": (
        jax.nn.initializers.variance_scaling(1.0, "fan_in", "uniform"),
        pi.VarianceScaling(1.0, "fan_in", "uniform"),
        math.nan,
    ),
    "truncated_normal": (
        jax.nn.initializers.truncated_normal(STDDEV),
        pi.TruncatedNormal(0.0, STDDEV),
        TRUNCATED,
    ),
}

Used = dict[str, list[tuple[float, float]]]
BYTES = np.dtype(np.uint8)


def gpt2(init: Any, width: int, layers: int, vocabulary: int) -> Any:
    """A function of a key that makes the parameters of a GPT-2, as a Flax module's `init` does."""

    def block(key: Any) -> Any:
        keys = jax.random.split(key, 4)
        names = {"attn": (width, 3 * width), "proj": (width, width)}
        names |= {"up": (width, 4 * width), "down": (4 * width, width)}
        made: dict[str, Any] = {
            name: {"kernel": init(key, shape), "bias": jax.numpy.zeros(shape[1])}
            for key, (name, shape) in zip(keys, names.items(), strict=True)
        }
        return made | {"ln_1": norm(), "ln_2": norm()}

    def norm() -> Any:
        return {"scale": jax.numpy.ones(width), "bias": jax.numpy.zeros(width)}

    def parameters(key: Any) -> Any:
        wte, wpe, *keys = jax.random.split(key, layers + 2)
        tables = {"wte": init(wte, (vocabulary, width)), "wpe": init(wpe, (CONTEXT, width))}
        return {**tables, "h": [block(key) for key in keys], "ln_f": norm()}

    return parameters


def assert_drawn(what: str, tree: Any, stddev: float) -> None:
    """Mean and stddev of each matrix, within 6 standard errors; NaN: that of its fan in."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if leaf.ndim == 2:
            right = 1.0 / math.sqrt(leaf.shape[0]) if math.isnan(stddev) else stddev
            values, error = np.asarray(leaf), 6 * right / math.sqrt(leaf.size)
            mean, spread = values.mean(dtype=np.float64), values.std(dtype=np.float64)
            if not (abs(mean) < error and abs(spread - right) < error):
                name = jax.tree_util.keystr(path)
                raise AssertionError(f"{what}: {name} has other moments than it should")


def counted(call: Call, seconds: list[tuple[float, float]]) -> Call:
    """The call, which notes the processor time of all threads: its own, and in the system."""

    def run() -> Any:
        start = os.times()
        made = call()
        end = os.times()
        seconds.append((end.user - start.user, end.system - start.system))
        return made

    return run


def tree(name: str, size: tuple[int, int, int], rounds: int) -> tuple[Result, Used]:
    """The contenders, checked, then in turns; and the processor seconds of each."""
    theirs, ours, stddev = INITIALIZERS[name]
    init = gpt2(theirs, *size)
    key = jax.random.key(1)
    shapes = jax.eval_shape(init, key)
    leaves = jax.tree.leaves(shapes)
    compiled = jax.jit(init).lower(key).compile()
    parameters = pi.models.ParameterMap({"*.bias": pi.Zeros(), "*.scale": pi.Ones(), "*": ours})
    library, philinit, pages = CONTENDERS
    calls: dict[str, Call] = {
        library: lambda: jax.block_until_ready(compiled(key)),
        philinit: lambda: jax.block_until_ready(pij.initialize(shapes, parameters, seed=1)),
        pages: lambda: [memset(empty((4 * leaf.size,), BYTES), cpus()) for leaf in leaves],
    }
    for contender in (library, philinit):
        assert_drawn(f"{name}, {contender}", calls[contender](), stddev)
    used: Used = {contender: [] for contender in CONTENDERS}
    calls = {contender: counted(call, used[contender]) for contender, call in calls.items()}
    weights = sum(leaf.size for leaf in leaves)
    seconds = in_turns(calls, rounds, before=lambda: warm_pages(TREES * 4 * weights))
    what = f"GPT-2, {size[1]} layers, {name}"
    return Result(what, weights, seconds, MUST), used


def shown(seconds: list[tuple[float, float]]) -> str:
    """Medians of both kinds."""
    return " + ".join(f"{median(kind):.2f}" for kind in zip(*seconds, strict=True)) + " s"


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "at most 2**27 weights, three rounds")
    parser.add_argument("--max-params", type=scripts.count, help="weights of the tree")
    options = parser.parse_args(arguments)
    most = options.max_params or (1 << 27 if options.quick else 1 << 31)
    most = min(most, free_memory() // 8)  # bytes; JAX may need as much again beside the result
    rounds = options.rounds or (3 if options.quick else 5)
    console = scripts.console()
    found = [tree(name, sizes(most), rounds) for name in INITIALIZERS]
    show(console, [result for result, _ in found])
    console.print("Best rounds; processor time, their own + the system's for pages:", style="dim")
    for name, (result, used) in zip(INITIALIZERS, found, strict=True):
        library, ours, *_ = (min(times) for times in result.seconds.values())
        spent = ", ".join(f"{who} {shown(seconds)}" for who, seconds in used.items())
        words = f"{name}: {library / ours:.1f} times as fast; {spent}"
        console.print(words, highlight=False, style="dim")
    figures = [
        {**row, "processor_seconds": used}
        for row, (_, used) in zip(rows([r for r, _ in found]), found, strict=True)
    ]
    path = scripts.write(options.json, "trees", jax=figures)
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
