# SPDX-License-Identifier: Apache-2.0
"""A pytree of GPT-2's shapes filled in JAX: jax.nn.initializers under jit beside philinit.

    python benchmarks/bench_trees.py [--quick] [--max-params 2**31] [--rounds N] [--json PATH]

The shapes are those of GPT-2 XL, 1.5 billion parameters (fewer layers where --max-params or memory
say so), as `jax.eval_shape` gives them for a function that draws each by jax.nn.initializers. JAX
runs that function, compiled before; `philinit.jax.initialize` fills the shapes by their names.
Both make new arrays each time. Ratios are of medians within one run, contenders in turns. That
mean and stddev of every matrix are right is asserted before anything is timed. Writes JSON with
every single time, prints a table. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import philinit as pi
import philinit.jax as pij
import scripts
from model_results import CONTEXT, STDDEV, TRUNCATED, Result, rows, show, sizes
from philinit.tools.measure.clock import in_turns
from philinit.tools.measure.machine import free_memory

CONTENDERS = ("JAX", "philinit")
MUST = 10.0
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

Init = Callable[[Any], Any]


def gpt2(init: Any, width: int, layers: int, vocabulary: int) -> Init:
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


def tree(name: str, size: tuple[int, int, int], rounds: int) -> Result:
    """Both contenders, checked, then in turns."""
    theirs, ours, stddev = INITIALIZERS[name]
    init = gpt2(theirs, *size)
    key = jax.random.key(1)
    shapes = jax.eval_shape(init, key)
    compiled = jax.jit(init).lower(key).compile()
    parameters = pi.models.ParameterMap({"*.bias": pi.Zeros(), "*.scale": pi.Ones(), "*": ours})
    calls: dict[str, Callable[[], Any]] = {
        CONTENDERS[0]: lambda: jax.block_until_ready(compiled(key)),
        CONTENDERS[1]: lambda: jax.block_until_ready(pij.initialize(shapes, parameters, seed=1)),
    }
    for contender, call in calls.items():
        assert_drawn(f"{name}, {contender}", call(), stddev)
    weights = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    width, layers, _ = size
    what = f"GPT-2, {layers} layers of {width}, {name}"
    return Result(what, weights, in_turns(calls, rounds), MUST)


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "at most 2**27 weights, three rounds")
    parser.add_argument("--max-params", type=scripts.count, help="weights of the tree")
    options = parser.parse_args(arguments)
    most = options.max_params or (1 << 27 if options.quick else 1 << 31)
    most = min(most, free_memory() // 8)  # bytes; JAX may need as much again beside the result
    rounds = options.rounds or (3 if options.quick else 5)
    console = scripts.console()
    results = [tree(name, sizes(most), rounds) for name in INITIALIZERS]
    show(console, results)
    path = scripts.write(options.json, "trees", jax=rows(results), version=jax.__version__)
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
