# SPDX-License-Identifier: Apache-2.0
"""What orthogonal matrices cost: philinit's own reflections beside LAPACK's QR factors.

    python benchmarks/bench_orthogonal.py [--quick] [--rounds 7] [--json PATH]

The contender is SciPy's QR in float32 (sgeqrf, sorgqr) of a normal matrix that philinit draws, with
the signs put right. Both make a new matrix, in turns, with a pause before each, since OpenBLAS's
threads spin for a while after a call; where other processes work, those threads wait for each
other, and only figures of one thread mean something (OPENBLAS_NUM_THREADS=1, and our own).
The largest entry of W^T W - 1, of its last columns, stands beside. A ratio is the median of those
of the rounds, and must be at most 3. Writes JSON with every single time. Exit code 0 whatever was
reached.
"""

from __future__ import annotations

import math
import sys
import time
from statistics import median
from typing import Any

import numpy as np
import scipy.linalg  # type: ignore[import-untyped]  # SciPy has no types
from rich import box
from rich.table import Table

import philinit as pi
import scripts
from philinit.filling.threads import default_threads

BOUND = 3.0
PAUSE = 0.1
SHAPES = ((64, 64), (512, 512), (3, 3, 256, 256), (1024, 4096), (4096, 1024), (4096, 4096))
KEY = pi.Key.from_seed(42)


def own(shape: tuple[int, ...]) -> Any:
    """philinit's matrix."""
    return pi.orthogonal(shape, "float32", seed=42)


def lapack(shape: tuple[int, ...]) -> Any:
    """Q sign(diag R) of a normal matrix, by LAPACK."""
    rows, columns = math.prod(shape[:-1]), shape[-1]
    normal = np.empty((max(rows, columns), min(rows, columns)), np.float32)
    pi.fill(normal, pi.distributions.Normal(), KEY)
    q, r = scipy.linalg.qr(normal, overwrite_a=True, mode="economic", check_finite=False)
    q *= np.where(np.diagonal(r) < 0, -1, 1).astype(np.float32)
    return (q if rows >= columns else q.T).reshape(shape)


CONTENDERS = {"philinit": own, "lapack": lapack}


def error(w: Any) -> float:
    """The largest entry of W^T W - 1, or of W W^T - 1, in the last 256 columns: the worst ones."""
    matrix = w.reshape(-1, w.shape[-1]).astype(np.float64)
    matrix = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    gram = matrix.T @ matrix[:, -256:]
    gram[-gram.shape[1] :] -= np.eye(gram.shape[1])
    return float(np.abs(gram).max())


def race(shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """Seconds of each round of both, and their errors."""
    seconds: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    errors = {name: error(make(shape)) for name, make in CONTENDERS.items()}
    repeats = max(1, 2**22 // math.prod(shape) ** 2)
    for _ in range(rounds):
        for name, make in CONTENDERS.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            for _ in range(repeats):
                make(shape)
            seconds[name].append((time.perf_counter() - start) / repeats)
    ratios = [a / b for a, b in zip(seconds["philinit"], seconds["lapack"], strict=True)]
    return {
        "shape": list(shape),
        "seconds": seconds,
        "errors": errors,
        "ratio": median(ratios),
        "best": min(seconds["philinit"]) / min(seconds["lapack"]),
        "bound": BOUND,
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure, write JSON, print."""
    parser = scripts.measuring(__doc__, "small matrices, three rounds")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (3 if options.quick else 7)
    results = [race(shape, rounds) for shape in (SHAPES[:3] if options.quick else SHAPES)]
    table = Table(
        box=box.SIMPLE_HEAD, title=f"float32, {default_threads()} threads", title_justify="left"
    )
    for name in (
        "shape",
        "philinit ms",
        "LAPACK ms",
        "ratio (best)",
        "must be",
        "error",
        "LAPACK's",
    ):
        table.add_column(name, justify="right")
    for row in results:
        table.add_row(
            str(tuple(row["shape"])),
            *(f"{1e3 * median(row['seconds'][name]):.3g}" for name in CONTENDERS),
            f"{row['ratio']:.2f} ({row['best']:.2f})",
            f"<= {BOUND:g}",
            *(f"{row['errors'][name]:.1e}" for name in CONTENDERS),
        )
    console = scripts.console()
    console.print(table)
    path = scripts.write(options.json, "orthogonal", threads=default_threads(), results=results)
    console.print(f"written: {path}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
