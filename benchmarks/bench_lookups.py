# SPDX-License-Identifier: Apache-2.0
"""Training on a large table: lookups and updates in TensorFlow, on huge pages and on small ones.

    python benchmarks/bench_lookups.py [--quick] [--size 2**30] [--rounds 15] [--json PATH]

One process makes two `tf.Variable`s of 4 GiB each by `philinit.tensorflow.variable`: one on huge
pages, one with PHILINIT_HUGE_PAGES=0. Then it does in turns, on one and on the other, what training
does: a dense step of SGD over the whole table (3 x 4 GiB of memory in all), `tf.gather` of random
rows, a sparse update of them. In this order: once rows of a variable were gathered, TensorFlow
copies the whole of it at each dense step. Writes JSON with every single time, prints medians. Exit
code 0 whatever was reached.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median
from typing import Any

# Read when TensorFlow is imported: oneDNN's pool would hand out pages that were written before.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich import box
from rich.table import Table

import philinit as pi
import scripts
from philinit.filling.memory import address
from philinit.tools.measure.clock import Times, in_turns
from philinit.tools.measure.memory import huge_share

WIDTH = 64
IDS = 65_536
INIT = pi.Uniform(-0.05, 0.05, seed=42)


def steps(weights: int) -> tuple[dict[str, Callable[[], Any]], dict[str, float | None]]:
    """What is timed, by name and kind of pages; the share of each table on huge pages."""
    import tensorflow as tf

    import philinit.tensorflow as pit

    shape = (weights // WIDTH, WIDTH)
    ids = tf.constant(np.random.default_rng(1).integers(0, shape[0], IDS))
    updates = tf.zeros((IDS, WIDTH))
    gradient = tf.Variable(tf.zeros(shape))
    calls: dict[str, Callable[[], Any]] = {}
    shares: dict[str, float | None] = {}
    for kind, asked in (("small", "0"), ("huge", "1")):
        os.environ["PHILINIT_HUGE_PAGES"] = asked
        table = pit.variable(INIT, shape)
        memory = np.from_dlpack(table.value())
        shares[kind] = huge_share(address(memory), memory.nbytes)
        del memory  # TensorFlow copies what somebody else holds before it updates it

        def gather(table: Any = table) -> Any:
            return tf.gather(table, ids)

        def sparse(table: Any = table) -> Any:
            return table.scatter_sub(tf.IndexedSlices(updates, ids))

        def dense(table: Any = table) -> None:
            tf.raw_ops.ResourceApplyGradientDescent(
                var=table.handle, alpha=tf.constant(0.0), delta=gradient
            )

        for name, call in (
            ("dense step", dense),
            ("tf.gather", gather),
            ("sparse update", sparse),
        ):
            calls[f"{name}, {kind}"] = call
    del os.environ["PHILINIT_HUGE_PAGES"]
    return calls, shares


def main(arguments: list[str] | None = None) -> int:
    parser = scripts.measuring(__doc__, quick="tables of 64 MiB", rounds=15)
    parser.add_argument("--size", type=scripts.count, default=2**30, help="weights of a table")
    options = parser.parse_args(arguments)
    calls, shares = steps(2**24 if options.quick else options.size)
    times: Times = {}
    for name in dict.fromkeys(key.rsplit(", ", 1)[0] for key in calls):
        pair = {key: call for key, call in calls.items() if key.startswith(name)}
        in_turns(pair, 2)
        times |= in_turns(pair, options.rounds)
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "small pages, ms", "huge pages, ms", "times as fast"):
        table.add_column(column, justify="right" if column else "left", no_wrap=True)
    for name in dict.fromkeys(key.rsplit(", ", 1)[0] for key in calls):
        small, huge = (median(times[f"{name}, {kind}"]) for kind in ("small", "huge"))
        table.add_row(name, f"{small * 1e3:.2f}", f"{huge * 1e3:.2f}", f"{small / huge:.2f}")
    console = scripts.console()
    console.print(table)
    for kind, share in shares.items():
        console.print(f"{kind}: {'unknown' if share is None else f'{share:.0%}'} on huge pages")
    path = scripts.write(options.json, "lookups", seconds=times, huge=shares, width=WIDTH, ids=IDS)
    console.print(f"written: {path}", highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
