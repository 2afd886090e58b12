# SPDX-License-Identifier: Apache-2.0
"""Truncated normals between other bounds than +-2 beside the normal, whose table they share.

    python benchmarks/bounds.py [--weights 2**24] [--rounds 40] [--json PATH]

One process, one thread, resident memory, in turns: the same number of weights of each.
"""

from __future__ import annotations

import functools
import math
import sys
from statistics import median
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

import scripts
from philinit.distributions import Distribution, Normal, TruncatedNormal
from philinit.dtypes import as_dtype
from philinit.filling.fill import fill
from philinit.keys import Key
from philinit.tools.measure.clock import in_turns

DRAWN: dict[str, Distribution] = {
    "normal": Normal(0.0, 0.02),
    "[-3, 3]": TruncatedNormal(0.0, 0.02, -3.0, 3.0),
    "[0, inf)": TruncatedNormal(0.0, 0.02, 0.0, math.inf),
    "[-1, 2]": TruncatedNormal(0.0, 0.02, -1.0, 2.0),
}
DTYPES = ("float32", "bfloat16")


def measure(weights: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """By dtype and by what is drawn: seconds of each round."""
    found = {}
    for dtype in DTYPES:
        out, key = np.zeros(weights, as_dtype(dtype)), Key.from_seed(42)
        calls = {
            name: functools.partial(fill, out, drawn, key, threads=1)
            for name, drawn in DRAWN.items()
        }
        in_turns(calls, 2)  # compiles, and brings the memory in
        found[dtype] = in_turns(calls, rounds)
    return found


def speed(seconds: dict[str, list[float]], name: str) -> float:
    """Weights a second beside the normal's, of medians."""
    return median(seconds["normal"]) / median(seconds[name])


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = scripts.measuring(__doc__, rounds=40)
    parser.add_argument("--weights", type=scripts.count, default=1 << 24)
    options = parser.parse_args(arguments)
    found: dict[str, Any] = measure(options.weights, options.rounds)
    table = Table("weights/s of normal's", *DTYPES, box=box.SIMPLE_HEAD)
    for name in DRAWN:
        best = (min(found[d]["normal"]) / min(found[d][name]) for d in DTYPES)
        typical = (speed(found[d], name) for d in DTYPES)
        table.add_row(
            name, *(f"{t:.3f} (best {b:.3f})" for t, b in zip(typical, best, strict=True))
        )
    console = scripts.console(100)
    console.print(table)
    path = scripts.write(options.json, "bounds", weights=options.weights, bounds=found)
    console.print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
