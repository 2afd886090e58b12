# SPDX-License-Identifier: Apache-2.0
"""The peak of memory beyond the parameters while a whole model is filled, in every library.

    python benchmarks/bench_peaks.py [--max-params 2**29] [--case NAME] [--json PATH]

Each case runs in a fresh process, which fills a small model first, so that neither libraries nor
compiled code count. Then the peak is read from VmHWM, beyond what was resident before and beyond
the parameters that are allocated while it lasts. The models have the shapes of GPT-2 XL, fewer
layers where --max-params or memory say so; Keras's is ResNet50. Each case beside the library's own
way. Writes JSON, prints a table. Exit code 0 whatever was reached.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

import scripts
from model_results import sizes
from philinit.tools.measure.machine import free_memory
from processes import run

MIB = 1 << 20
MUST = 64 * MIB

START = """
import sys
sys.path.insert(0, {folder!r})
import philinit as pi
from philinit.tools.measure.memory import Peak
large, small = {size}, (64, 1, 1000)
"""
TORCH = """
import torch
import philinit.torch as pt
from bench_models import GPT2, init_weights, made
parameters = pi.models.ParameterMap(
    {"*.bias": pi.Zeros(), "*ln_?.weight": pi.Ones(), "*": pi.Normal(0, 0.02)}
)
def on_meta(size):
    with pt.parameters_on_meta():
        return GPT2(*size)
def weights(model):
    return sum(p.numel() for p in model.parameters())
"""
JAX = """
import jax
import philinit.jax as pij
from bench_trees import INITIALIZERS, gpt2
theirs, ours, _ = INITIALIZERS["normal"]
key, parameters = jax.random.key(1), {"*.bias": pi.Zeros(), "*.scale": pi.Ones(), "*": ours}
def shapes(size):
    return jax.eval_shape(gpt2(theirs, *size), key)
def weights(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
"""
KERAS = """
import philinit.keras as pk
from bench_resets import FIRST, assigned, resnet50, small as few
def weights(model):
    return model.count_params()
"""
END = """
for size in (small, large):
    model = {prepare}
    if {resident}:
        {call}  # once before: its pages are there
    with Peak() as peak:
        filled = {call}
extra = None if peak.extra is None else peak.extra - (0 if {resident} else 4 * weights(filled))
print(extra, weights(filled))
"""


class Case(NamedTuple):
    """What a process imports, makes of a `size`, and calls; philinit's ways are held to a bound."""

    imports: str
    prepare: str
    call: str
    resident: bool  # whether the parameters have memory before
    ours: bool = True


CASES = {
    "torch, pt.initialize": Case(TORCH, "made(*size)", "pt.initialize(model, parameters, 1)", True),
    "torch, pt.materialize": Case(
        TORCH, "on_meta(size)", "pt.materialize(model, parameters, seed=1)", False
    ),
    "torch, model.apply(init_weights)": Case(
        TORCH, "made(*size)", "model.apply(init_weights)", True, False
    ),
    "JAX, pij.initialize": Case(JAX, "shapes(size)", "pij.initialize(model, parameters, 1)", False),
    "JAX, jax.jit(init)": Case(
        JAX, "jax.jit(gpt2(theirs, *size))", "jax.block_until_ready(model(key))", False, False
    ),
    "Keras, pk.initialize": Case(
        KERAS, "resnet50() if size is large else few()", "pk.initialize(model, FIRST, 1)", True
    ),
    "Keras, own initializers, assigned": Case(
        KERAS, "resnet50() if size is large else few()", "assigned(model)", True, False
    ),
}


def measure(what: str, size: tuple[int, int, int]) -> dict[str, Any]:
    """The bytes beyond the parameters, in a process of its own; None where it cannot tell."""
    case = CASES[what]
    start = START.format(folder=str(scripts.RESULTS.parent), size=size)
    end = END.format(prepare=case.prepare, call=case.call, resident=case.resident)
    extra, weights = run(start + case.imports + end).split()[-2:]
    found = None if extra == "None" else int(extra)
    bound = MUST if case.ours else None
    reached = None if bound is None or found is None else found <= bound
    row = {"what": what, "weights": int(weights), "extra_bytes": found}
    return {**row, "bound": bound, "reached": reached}


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__)
    parser.add_argument("--max-params", type=scripts.count, default=1 << 29, help="weights")
    parser.add_argument("--case", action="append", choices=CASES, help="may be repeated")
    options = parser.parse_args(arguments)
    size = sizes(min(options.max_params, free_memory() // 10))
    table = Table(title="MiB beyond the parameters", title_justify="left", box=box.SIMPLE_HEAD)
    for column in ("", "weights", "MiB", "must be"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    console = scripts.console()
    rows = [measure(what, size) for what in options.case or CASES]
    for row in rows:
        judged = {None: "", True: "reached", False: "[red]missed[/red]"}[row["reached"]]
        must = "" if row["bound"] is None else f"<= {row['bound'] // MIB} {judged}"
        shown = "unknown" if row["extra_bytes"] is None else f"{row['extra_bytes'] / MIB:.1f}"
        table.add_row(row["what"], f"{row['weights']:,}", shown, must)
    console.print(table)
    path = scripts.write(options.json, "peaks", peaks=rows)
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
